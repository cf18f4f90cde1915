"""Heartbeats of links in memory, which cannot break without notice, and of those over TCP."""

import asyncio
import logging

import freezegun
import pytest

import aioamqp
from aioamqp_testing import FakeBroker, fake_broker
from aioamqp_testing.faults import MissHeartbeats, Silence

pytestmark = pytest.mark.asyncio


async def url_of(broker: FakeBroker, backend: str) -> str:
    return "amqp://anywhere/" if backend == "fake" else await broker.listen()


@pytest.mark.parametrize("backend", ["fake", "tcp"])
async def test_a_manual_clock_can_be_advanced_by_half_an_hour(backend: str) -> None:
    """Row U16. The acknowledgement timeout is 30 minutes, and is checked once a minute."""
    async with FakeBroker(rabbitmq="3.10", clock="manual") as broker:
        dialer = broker.dial if backend == "fake" else aioamqp.dial.dial_tcp
        url = await url_of(broker, backend)
        with aioamqp.dialing(dialer):
            _, protocol = await aioamqp.from_url(url)
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)
        await channel.basic_publish(b"", "", "q")
        await channel.basic_get("q")

        broker.clock.advance(1800)
        await channel.queue_declare("other", durable=True)
        broker.clock.advance(60)
        with pytest.raises(aioamqp.ChannelClosed, match="acknowledgement on channel 1 timed out"):
            await channel.queue_declare("other", durable=True)
        await protocol.close()


async def test_a_fault_makes_the_broker_miss_heartbeats() -> None:
    """Row U16."""
    async with FakeBroker(clock="manual") as broker:
        broker.faults.add(MissHeartbeats())
        _, protocol = await broker.connect(heartbeat=10)

        broker.clock.advance(19)
        await protocol.channel()
        broker.clock.advance(11)
        await protocol.wait_closed()

        assert "no heartbeats from the client" in str(broker.journal)
        with pytest.raises(aioamqp.AmqpClosedConnection):
            await protocol.channel()


async def test_a_silent_link_ends_by_the_clock_of_the_broker() -> None:
    """Row U16."""
    async with FakeBroker(clock="manual") as broker:
        transport, protocol = await broker.connect(heartbeat=10)
        broker.faults.add(Silence())

        broker.clock.advance(30)

        assert "no heartbeats from the client" in str(broker.journal)
        assert not broker.sessions[0].is_open
        transport.abort()
        await protocol.wait_closed()


@pytest.mark.parametrize("seconds", [29, 59, 3600])
async def test_frozen_time_does_not_end_a_connection_in_memory(
    seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U14."""
    caplog.set_level(logging.WARNING)
    async with fake_broker() as broker, aioamqp.connect(heartbeat=30) as protocol:
        channel = await protocol.channel()
        with freezegun.freeze_time("2030-01-01") as frozen:
            for _ in range(20):
                await channel.queue_declare("q", durable=True)
                await broker.wait_idle()
                frozen.tick(seconds)
                for _ in range(3):
                    await asyncio.sleep(0)
        await channel.queue_declare("q", durable=True)

    assert caplog.messages == []


async def test_a_connection_opened_in_frozen_time_outlives_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Row U14."""
    caplog.set_level(logging.WARNING)
    async with fake_broker():
        with freezegun.freeze_time("2030-01-01", tick=True):
            _, protocol = await aioamqp.connect(heartbeat=30)
        channel = await protocol.channel()
        with freezegun.freeze_time("2040-01-01", tick=True):
            await channel.queue_declare("q", durable=True)
        await protocol.close()

    assert caplog.messages == []
