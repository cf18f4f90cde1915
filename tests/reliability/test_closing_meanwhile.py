"""A channel that the program closes while its connection is being recovered stays closed."""

import asyncio

import pytest

from aioamqp import Backoff, Connection
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("iterations", range(40))
async def test_a_channel_that_is_closed_during_recovery_is_not_restored(
    iterations: int, amqp_broker: FakeBroker
) -> None:
    async with Connection("amqp://broker/", reconnect=Backoff(initial=0.0)) as connection:
        channel = await connection.channel()
        await channel.confirm_select()
        amqp_broker.faults.add(Reset())
        await connection.protocol.wait_closed()

        for _ in range(iterations):
            await asyncio.sleep(0)
        await channel.close()
        await connection.wait_open()
        await amqp_broker.wait_idle()

        assert not channel.is_open
        assert connection.snapshot()["channels"] == []
        (session,) = amqp_broker.sessions
        assert len(session.channels) == 0


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("iterations", range(30))
async def test_a_channel_that_is_closed_stays_closed_if_the_connection_is_lost_while_it_drains(
    iterations: int, is_cancelled: bool, amqp_broker: FakeBroker
) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def callback(*_: object) -> None:
        started.set()
        await released.wait()

    async with Connection("amqp://broker/", reconnect=Backoff(initial=0.0)) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.basic_consume(callback, "q", no_ack=True)
        amqp_broker.publish("", "q", b"1")
        await started.wait()
        closing = asyncio.create_task(channel.close())
        await amqp_broker.wait_idle()

        amqp_broker.faults.add(Reset())
        for _ in range(iterations):
            await asyncio.sleep(0)
        if is_cancelled:
            closing.cancel()
        released.set()
        await asyncio.wait([closing])
        assert closing.cancelled() or closing.exception() is None
        await connection.wait_open()
        await amqp_broker.wait_idle()

        assert not channel.is_open
        assert connection.snapshot()["channels"] == []
        assert connection.topology.consumers == {}
        assert amqp_broker.vhost.queues["q"].consumer_count == 0
