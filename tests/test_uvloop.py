"""The client and the fake broker on uvloop, whose transports are not instances of asyncio's."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Cut, Fault, MissHeartbeats, Reset, Silence, Split

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows version")

LARGE = 300_000
"""Bytes of a body that does not fit into the buffers of a socket and its transport."""


def run_on_uvloop(coroutine: Coroutine[Any, Any, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


@asynccontextmanager
async def channel_to(broker: str) -> AsyncIterator[aioamqp.Channel]:
    """Open a channel to the fake broker in memory or over TCP, or to RabbitMQ at a URL."""
    async with FakeBroker() as fake:
        if broker == "memory":
            _, protocol = await fake.connect()
        else:
            url = await fake.listen() if broker == "tcp" else broker
            _, protocol = await aioamqp.from_url(url)
        yield await protocol.channel()
        await protocol.close()


async def exchange_messages(broker: str) -> None:
    async with channel_to(broker) as channel:
        declared = await channel.queue_declare("", exclusive=True)
        await channel.confirm_select()
        for number in range(20):
            await channel.publish(bytes([number]) * LARGE, "", declared["queue"])

        bodies = []
        async for message in channel.consume(declared["queue"], no_ack=True):
            bodies.append((message.body[0], len(message.body)))
            if len(bodies) == 20:
                break

        assert bodies == [(number, LARGE) for number in range(20)]


@pytest.mark.parametrize("broker", ["memory", "tcp"])
def test_messages_pass_through_the_fake_broker(broker: str) -> None:
    """Row F9."""
    run_on_uvloop(exchange_messages(broker))


def test_messages_pass_through_rabbitmq(rabbitmq_url: str) -> None:
    run_on_uvloop(exchange_messages(rabbitmq_url))


@pytest.mark.parametrize("fault", [Reset(), Cut(3), Cut(3, reading=True)], ids=str)
def test_a_fault_ends_a_connection_over_tcp(fault: Fault) -> None:
    async def scenario() -> None:
        async with FakeBroker() as broker:
            _, protocol = await aioamqp.from_url(await broker.listen())
            broker.faults.add(fault)
            with pytest.raises(aioamqp.AioamqpException):
                await protocol.channel()
            await protocol.wait_closed()

    run_on_uvloop(scenario())


@pytest.mark.parametrize("fault", [Split(1), Split(1, reading=True)], ids=str)
def test_a_fault_splits_what_is_sent_over_tcp(fault: Fault) -> None:
    async def scenario() -> None:
        async with FakeBroker() as broker:
            broker.faults.add(fault)
            async with aioamqp.from_url(await broker.listen()) as protocol:
                channel = await protocol.channel()
                assert (await channel.queue_declare("q", durable=True))["queue"] == "q"

    run_on_uvloop(scenario())


def test_the_broker_misses_heartbeats_of_a_silent_link() -> None:
    async def scenario() -> None:
        async with FakeBroker(clock="manual") as broker:
            broker.faults.add(MissHeartbeats())
            transport, protocol = await aioamqp.from_url(await broker.listen(), heartbeat=10)
            broker.faults.add(Silence())

            broker.clock.advance(30)

            assert "no heartbeats from the client" in str(broker.journal)
            transport.abort()
            await protocol.wait_closed()

    run_on_uvloop(scenario())
