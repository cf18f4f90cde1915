"""Features that RabbitMQ 4.3 denies, on a connection that recovers."""

from collections.abc import AsyncIterator

import pytest

from aioamqp import StateChange
from aioamqp.exceptions import ChannelClosed
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseConnection
from tests.reliability.test_rows import lose, recovering

pytestmark = pytest.mark.asyncio

DENIED = (
    "Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is not permitted"
)


async def test_a_queue_that_the_server_denies_is_declared_once(broker: FakeBroker) -> None:
    """R14. RabbitMQ 4.3 closes the connection with 541, after which other calls are sent again."""
    broker.faults.add(CloseConnection(541, DENIED, received="queue.declare", times=None))
    async with recovering() as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelClosed, match="durable=True") as caught:
            await channel.queue_declare("q")
        assert not caught.value.is_retryable
        await connection.wait_open(timeout=5)

        await channel.exchange_declare("still there", "fanout")
        assert str(connection.topology) == "exchange 'still there' (fanout)"


@pytest.mark.parametrize("broker", ["4.0"], indirect=True)
async def test_a_queue_that_the_next_server_denies_is_given_up_and_named(
    broker: FakeBroker,
) -> None:
    """R14. The server was upgraded to RabbitMQ 4.3 meanwhile."""
    async with recovering(recover="all") as connection:
        channel = await connection.channel()
        await channel.queue_declare("q")
        await channel.exchange_declare("e", "fanout")
        broker.faults.add(CloseConnection(541, DENIED, received="queue.declare", times=None))
        changes = connection.state_changes()
        await lose(connection)

        unrestored = [each async for change in first(changes, 3) for each in change.unrestored]

        assert [each.what for each in unrestored] == ["queue 'q'"]
        assert "durable=True" in str(unrestored[0].error)
        assert channel.is_open
        assert str(connection.topology) == "exchange 'e' (fanout)"


async def first(changes: AsyncIterator[StateChange], count: int) -> AsyncIterator[StateChange]:
    for _ in range(count):
        yield await anext(changes)
