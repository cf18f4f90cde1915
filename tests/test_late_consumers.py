"""Consumers of quorum queues that do not acknowledge in time, on the fake broker as RabbitMQ 4.3.

The broker cancels the consumer and queues its messages again; the channel stays open.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import AcknowledgementTimeout, Channel, Connection, ConsumerCancelled
from aioamqp_testing import FakeBroker
from virtual_loop import VirtualLoop

pytestmark = pytest.mark.asyncio

TIMEOUTS = {
    "by policy": 20,
    "by queue argument": 30,
    "by consumer argument": 40,
    "of the broker": 50,
}
"""Seconds. Each is set together with those below it, and is the one that applies."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker(clock="manual", consumer_timeout=TIMEOUTS["of the broker"]) as broker:
        yield broker


async def fill(broker: FakeBroker, channel: Channel, how: str) -> dict[str, int]:
    """Declare ``q`` with three messages and a timeout; return the arguments of its consumer."""
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    milliseconds = TIMEOUTS[how] * 1000
    if how == "by queue argument":
        arguments["x-consumer-timeout"] = milliseconds
    if how == "by policy":
        broker.set_policy("late", "^q$", {"consumer-timeout": milliseconds})
    await channel.queue_declare("q", durable=True, arguments=arguments)
    for body in b"first", b"second", b"third":
        broker.publish("", "q", body)
    return {"x-consumer-timeout": milliseconds} if how == "by consumer argument" else {}


def state(broker: FakeBroker) -> tuple[list[bytes], int]:
    """Return the bodies of the ready messages, and how many messages are unacknowledged."""
    queue = broker.vhost.queues["q"]
    return [message.body for message in queue.messages], queue.unacked_count


@pytest.mark.parametrize("how", TIMEOUTS)
async def test_a_late_consumer_is_cancelled_and_the_channel_stays_open(
    broker: FakeBroker, how: str
) -> None:
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    cancelled: list[str] = []
    channel.add_cancellation_callback(lambda _, tag: cancelled.append(tag))
    arguments = await fill(broker, channel, how)
    options: Any = {"prefetch_count": 1, "consumer_tag": "slow", "arguments": arguments}
    async with channel.consume("q", **options) as messages:
        late = await anext(messages)
        broker.clock.advance(TIMEOUTS[how] - 0.1)
        await broker.wait_idle()
        assert state(broker) == ([b"second", b"third"], 1)

        broker.clock.advance(0.1)
        with pytest.raises(ConsumerCancelled, match="within the server's consumer_timeout"):
            await anext(messages)
    await broker.wait_idle()
    assert cancelled == ["slow"]
    assert state(broker) == ([b"first", b"second", b"third"], 0)

    await late.ack()  # which settles nothing, but lets the consumer go on
    async with channel.consume("q", consumer_tag="other") as messages:
        bodies = [(await anext(messages)).body for _ in range(3)]
    assert bodies == [b"second", b"third", b"first"]
    assert broker.vhost.queues["q"].consumer_count == 0
    assert channel.is_open
    await protocol.close()


@pytest.mark.parametrize("how", TIMEOUTS)
async def test_a_late_consumer_of_a_recovering_channel_continues_once(
    broker: FakeBroker, how: str
) -> None:
    """The second time, AcknowledgementTimeout ends the consumer, and the channel stays open."""
    with aioamqp.dialing(broker.dial):
        async with Connection("amqp://broker/") as connection:
            channel = await connection.channel()
            cancelled: list[str] = []
            channel.add_cancellation_callback(lambda _, tag: cancelled.append(tag))
            arguments = await fill(broker, channel, how)
            options: Any = {"prefetch_count": 1, "consumer_tag": "slow", "arguments": arguments}
            async with channel.consume("q", **options) as messages:
                late = await anext(messages)
                broker.clock.advance(TIMEOUTS[how])

                again = await anext(messages)
                assert (again.body, again.envelope.is_redeliver) == (b"first", True)
                assert await late.ack() is False
                assert cancelled == []

                broker.clock.advance(TIMEOUTS[how])
                with pytest.raises(AcknowledgementTimeout, match="cancelled the consumer") as end:
                    await anext(messages)
            await broker.wait_idle()
            assert isinstance(end.value, ConsumerCancelled)
            assert end.value.consumer_tag == "slow"
            assert end.value.delivery_tag == again.envelope.delivery_tag
            assert cancelled == ["slow"]
            assert state(broker) == ([b"first", b"second", b"third"], 0)
            assert channel.is_open
            assert (await channel.basic_get("q"))["message"] == b"first"


async def test_a_consumer_that_acknowledges_in_time_is_not_cancelled(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    await fill(broker, channel, "by policy")
    async with channel.consume("q", prefetch_count=1) as messages:
        for _ in range(3):
            message = await anext(messages)
            broker.clock.advance(TIMEOUTS["by policy"] - 1)
            await message.ack()
        await broker.wait_idle()
        broker.clock.advance(3600)
        await broker.wait_idle()
        broker.publish("", "q", b"fourth")
        assert (await anext(messages)).body == b"fourth"
    await protocol.close()


async def test_other_consumers_of_the_channel_receive_what_a_late_one_held(
    broker: FakeBroker,
) -> None:
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    await fill(broker, channel, "of the broker")
    slow = channel.consume("q", prefetch_count=3, consumer_tag="slow")
    async with slow as late:
        await anext(late)
        async with channel.consume("q", consumer_tag="quick") as messages:
            waiting = asyncio.create_task(anext(messages))
            await broker.wait_idle()
            broker.clock.advance(TIMEOUTS["of the broker"])
            assert (await waiting).body == b"first"
    await protocol.close()
