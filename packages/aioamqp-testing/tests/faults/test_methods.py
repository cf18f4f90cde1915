"""Faults of methods: closing by the broker, and cancelled consumers."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CancelConsumer, CloseChannel, CloseConnection
from amqp_codec import basic, channel, connection, queue
from fake_broker_support import exchange, raw_client


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "text"),
    [(406, "PRECONDITION_FAILED - no"), (320, "CONNECTION_FORCED - no"), (999, "no")],
)
async def test_a_channel_or_connection_is_closed_with_any_code(code: int, text: str) -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(CloseChannel(code, "no", received="basic.qos"))
        broker.faults.add(CloseConnection(code, "no", received="channel.close-ok"))

        assert await exchange(broker, client, basic.Qos()) == [channel.Close(code, text, 60, 10)]
        assert await exchange(broker, client, channel.CloseOk()) == [
            connection.Close(code, text, 20, 41)
        ]


@pytest.mark.asyncio
async def test_a_fault_of_an_open_connection_is_triggered_at_the_next_one_too() -> None:
    async with FakeBroker() as broker:
        one = await raw_client(broker, 1)
        broker.faults.add(CloseConnection(320, "go away", times=2))
        await broker.wait_idle()
        await raw_client(broker)

        assert one.received() == [connection.Close(320, "CONNECTION_FORCED - go away", 0, 0)]
        assert not broker.sessions[1].is_open


@pytest.mark.asyncio
async def test_a_consumer_is_cancelled_at_once_and_keeps_what_it_has() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        await exchange(broker, client, queue.Declare("q", durable=True), basic.Consume("q", "c"))
        broker.publish("", "q", b"m")
        await broker.wait_idle()
        client.received()

        broker.faults.add(CancelConsumer("c"))
        await broker.wait_idle()

        assert client.received() == [basic.Cancel("c", no_wait=True)]
        assert broker.vhost.queues["q"].consumer_count == 0
        assert broker.vhost.queues["q"].unacked_count == 1
        assert await exchange(broker, client, basic.Ack(1)) == []
