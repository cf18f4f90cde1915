"""`Connection.health` in every state of the connection."""

import pytest

from aioamqp import Backoff, Connection, Health
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseChannel, CloseConnection
from tests.reliability.breakable import break_off
from tests.reliability.test_rows import lose, recovering

pytestmark = pytest.mark.asyncio


async def test_a_connection_is_healthy_while_it_is_open(broker: FakeBroker) -> None:
    connection = Connection("amqp://secret:secret@localhost/", reconnect=Backoff(maximum=1))
    broker.add_user("secret", "secret")
    broker.set_permissions("secret")
    assert connection.health == Health(False, "The connection is not open yet: enter it first")

    async with connection:
        assert connection.health.is_healthy
        assert connection.is_healthy
        assert connection.health.reason.startswith("The connection to ")
        assert "secret" not in connection.health.reason

    assert connection.health == Health(False, "The program closed the connection")


async def test_the_reason_is_that_of_the_last_attempt(broker: FakeBroker) -> None:
    async with recovering() as connection:
        refusal = CloseConnection(320, "not yet", received="connection.open", times=None)
        planned = broker.faults.add(refusal)
        changes = connection.state_changes()
        break_off(connection)
        while (await anext(changes)).attempt < 2:
            assert not connection.is_healthy

        health = connection.health

        assert not health.is_healthy
        assert "There has been no connection for" in health.reason
        assert "after 2 attempts" in health.reason
        broker.faults.remove(planned)
        await connection.wait_open(timeout=60)
        assert connection.is_healthy


async def test_a_connection_that_is_given_up_says_why(broker: FakeBroker) -> None:
    async with recovering() as connection:
        broker.change_password("guest", "other")
        changes = connection.state_changes()
        break_off(connection)
        async for _ in changes:
            assert not connection.is_healthy

        assert "ACCESS_REFUSED" in connection.health.reason


async def test_a_blocked_connection_is_not_healthy(broker: FakeBroker) -> None:
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.basic_publish(b"", "", "q")
        broker.block("low on memory")
        await connection.protocol.blocked.wait()

        assert connection.health == Health(False, "The server blocks publishers: low on memory")
        broker.unblock()
        await connection.protocol.blocked.wait_over()
        assert connection.is_healthy


async def test_what_was_not_restored_is_named_until_the_next_connection(
    broker: FakeBroker,
) -> None:
    async with recovering(recover="all") as connection:
        channel = await connection.channel()
        await channel.exchange_declare("orders", "topic", auto_delete=True)
        fault = CloseChannel(406, "x", received="exchange.declare", connection=2, times=None)
        broker.faults.add(fault)
        await lose(connection)

        assert not connection.is_healthy
        assert (
            "Not everything was restored: exchange 'orders' (topic, auto-delete): 406"
            in connection.health.reason
        )
        await lose(connection)
        await connection.wait_open(timeout=60)
        assert connection.is_healthy
