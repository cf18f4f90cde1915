"""Messages that an exchange of the plugin rabbitmq_delayed_message_exchange delays, with clients."""

import asyncio
from typing import Any

import pytest

import aioamqp
from aioamqp_testing import FakeBroker

pytestmark = pytest.mark.asyncio

PLUGINS = ["rabbitmq_delayed_message_exchange"]


async def delaying(broker: FakeBroker) -> aioamqp.Channel:
    """Return a channel in confirm mode, on which the exchange ``x`` and the queue ``q`` exist."""
    _, protocol = await broker.connect(heartbeat=0)
    channel = await protocol.channel()
    await channel.confirm_select()
    arguments = {"x-delayed-type": "direct"}
    await channel.exchange_declare("x", "x-delayed-message", durable=True, arguments=arguments)
    await channel.queue_declare("q", durable=True)
    await channel.queue_bind("q", "x", "key")
    return channel


async def test_a_consumer_receives_a_message_when_its_delay_has_ended() -> None:
    """Row U20. It is confirmed at once."""
    async with FakeBroker(clock="manual", plugins=PLUGINS) as broker:
        channel = await delaying(broker)
        received: asyncio.Queue[Any] = asyncio.Queue()

        async def callback(_: object, body: bytes, __: object, properties: Any) -> None:
            received.put_nowait((body, properties.headers))

        await channel.basic_consume(callback, "q", no_ack=True)
        for delay in (2000, 1000):
            await channel.publish(str(delay).encode(), "x", "key", {"headers": {"x-delay": delay}})

        broker.clock.advance(1)
        assert await received.get() == (b"1000", {"x-delay": -1000})
        broker.clock.advance(0.999)
        await broker.wait_idle()
        assert received.empty()
        broker.clock.advance(0.001)
        assert await received.get() == (b"2000", {"x-delay": -2000})


async def test_a_mandatory_message_with_a_delay_is_returned_and_routed_later() -> None:
    """Row U20."""
    async with FakeBroker(clock="manual", plugins=PLUGINS) as broker:
        channel = await delaying(broker)

        with pytest.raises(aioamqp.PublishReturned):
            await channel.publish(b"m", "x", "key", {"headers": {"x-delay": 1000}}, mandatory=True)
        broker.clock.advance(1)

        assert broker.vhost.queues["q"].message_count == 1


async def test_a_delay_continues_over_a_restart() -> None:
    """Row U20."""
    async with FakeBroker(clock="manual", plugins=PLUGINS) as broker:
        channel = await delaying(broker)
        await channel.publish(b"m", "x", "key", {"headers": {"x-delay": 1000}})

        broker.clock.advance(0.5)
        await broker.restart()
        broker.clock.advance(0.5)

        assert broker.vhost.queues["q"].message_count == 1


async def test_a_delay_is_measured_by_the_event_loop_unless_the_clock_is_manual() -> None:
    """Row U20."""
    async with FakeBroker(plugins=PLUGINS) as broker:
        channel = await delaying(broker)
        await channel.publish(b"m", "x", "key", {"headers": {"x-delay": 1}})

        await broker.wait_for(lambda: broker.vhost.queues["q"].message_count == 1)
