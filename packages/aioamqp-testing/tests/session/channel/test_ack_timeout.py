"""Clients that do not acknowledge in time, up to RabbitMQ 4.2: their channel is closed."""

from typing import Any

import pytest

from aioamqp import ChannelClosed
from aioamqp_testing import FakeBroker
from amqp_codec import basic, channel, queue
from fake_broker_support import SilentClient

TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel {} timed out. Timeout value used:"
    " {} ms. This timeout value can be configured, see consumers doc guide to learn more"
)


@pytest.fixture
def client() -> SilentClient:
    client = SilentClient()
    client.node.consumer_timeout = 90.0
    return client.open(1, 2)


def fill(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    client.publish("q", b"0", b"1")


@pytest.mark.parametrize("how", ["consume", "get"])
def test_a_channel_that_does_not_acknowledge_in_time_is_closed(
    client: SilentClient, how: str
) -> None:
    """Row 191. RabbitMQ looks once a minute, from channel.open on."""
    fill(client)
    client.clock.advance(50)
    client.say(2, basic.Consume("q", "c") if how == "consume" else basic.Get("q"))
    client.heard()

    client.clock.advance(129.9)  # 90 seconds are over, but it was looked 120 after the opening
    assert client.heard() == []
    client.clock.advance(0.1)

    assert client.heard() == [channel.Close(406, TEXT.format(2, 90000), 0, 0)]
    assert client.wakes > 0
    client.say(2, channel.CloseOk())
    assert [message.body for message in client.vhost.queues["q"].messages] == [b"0", b"1"]


def test_the_messages_of_a_consumer_go_to_others_at_once(client: SilentClient) -> None:
    """Row 191."""
    fill(client)
    client.say(2, basic.Consume("q", "slow"))
    client.say(1, basic.Consume("q", "other", no_ack=True))

    client.clock.advance(120)

    assert [method.NAME for method in client.heard()] == [
        "channel.close",
        "basic.deliver",
        "basic.deliver",
    ]


def test_only_the_oldest_delivery_counts_and_acknowledging_it_helps(client: SilentClient) -> None:
    """Row 191."""
    fill(client)
    client.say(2, basic.Qos(prefetch_count=1), basic.Consume("q", "c"))

    for tag in (1, 2):
        client.clock.advance(80)
        client.say(2, basic.Ack(tag))
    client.clock.advance(3600)

    assert client.heard() == []


def test_nobody_waits_for_the_acknowledgement_of_a_consumer_that_sends_none(
    client: SilentClient,
) -> None:
    """Row 191."""
    fill(client)
    client.say(2, basic.Consume("q", "c", no_ack=True))

    client.clock.advance(3600)

    assert client.heard() == []


def test_a_channel_that_is_gone_is_not_closed_again(client: SilentClient) -> None:
    fill(client)
    client.say(2, basic.Consume("q", "c"))
    client.say(2, channel.Close(200, ""))

    client.clock.advance(3600)

    assert client.heard() == []


@pytest.mark.parametrize(("options", "timeout"), [({}, 1800.0), ({"consumer_timeout": 5}, 5.0)])
@pytest.mark.asyncio
async def test_a_broker_waits_for_as_long_as_it_was_told(
    options: dict[str, Any], timeout: float
) -> None:
    """Row 191. Half an hour is RabbitMQ's own."""
    async with FakeBroker(clock="manual", rabbitmq="4.0", **options) as broker:
        _, protocol = await broker.connect(heartbeat=0)
        channel = await protocol.channel()
        await channel.queue_declare("q")
        await channel.basic_publish(b"", "", "q")
        await channel.basic_get("q")

        broker.clock.advance(timeout)
        assert await channel.basic_qos(prefetch_count=1)
        broker.clock.advance(60)
        with pytest.raises(ChannelClosed, match="delivery acknowledgement on channel 1 timed out"):
            await channel.basic_qos(prefetch_count=1)
        await protocol.close()


@pytest.mark.asyncio
async def test_a_broker_may_wait_for_ever() -> None:
    async with FakeBroker(clock="manual", rabbitmq="4.0", consumer_timeout=None) as broker:
        _, protocol = await broker.connect(heartbeat=0)
        channel = await protocol.channel()
        await channel.queue_declare("q")
        await channel.basic_publish(b"", "", "q")
        await channel.basic_get("q")

        broker.clock.advance(30 * 86400)

        assert await channel.basic_qos(prefetch_count=1)
        await protocol.close()
