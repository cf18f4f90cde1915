"""Faults over TCP, with real resets and half-open connections; and restarts on the same port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import aioamqp
from aioamqp.protocol import OPEN
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import (
    CancelConsumer,
    CloseChannel,
    CloseConnection,
    Corrupt,
    Cut,
    Delay,
    DelayConfirm,
    DuplicateConfirm,
    Fault,
    LoseConfirm,
    NackConfirm,
    RefuseLogin,
    Reset,
    Restart,
    Silence,
    Split,
)

pytestmark = pytest.mark.asyncio

DEADLINE = 5.0


@asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[FakeBroker, str]]:
    """A broker that listens, and a deadline for the test."""
    async with asyncio.timeout(DEADLINE), FakeBroker() as broker:
        yield broker, await broker.listen()


async def channel_to(url: str) -> aioamqp.Channel:
    _, protocol = await aioamqp.from_url(url)
    return await protocol.channel()


async def confirming(url: str) -> aioamqp.Channel:
    channel = await channel_to(url)
    await channel.queue_declare("q", durable=True)
    await channel.confirm_select()
    return channel


async def end(channel: aioamqp.Channel) -> None:
    """Close the connection, unless a fault has closed it."""
    if channel.protocol.state == OPEN:
        await channel.protocol.close()
    else:
        await channel.protocol.wait_closed()


@pytest.mark.parametrize(
    "fault",
    [
        Reset(received="queue.declare"),
        Reset(sent="queue.declare-ok"),
        Cut(5, sent="queue.declare-ok"),
        Cut(0, reading=True),
        Corrupt(sent="queue.declare-ok"),
        CloseConnection(320, "maintenance", received="queue.declare"),
        CloseChannel(406, "no", received="queue.declare"),
        Restart(received="queue.declare"),
    ],
    ids=str,
)
async def test_a_call_that_a_fault_hits_fails(fault: Fault) -> None:
    async with over_tcp() as (broker, url):
        channel = await channel_to(url)
        broker.faults.add(fault)

        with pytest.raises((aioamqp.AmqpClosedConnection, aioamqp.ChannelClosed)):
            while True:
                await channel.queue_declare("q", durable=True)

        await end(channel)


async def test_a_reset_raises_connection_reset_error() -> None:
    async with over_tcp() as (broker, url):
        channel = await channel_to(url)
        broker.faults.add(Reset(received="queue.declare"))

        with pytest.raises(ConnectionResetError):
            await channel.queue_declare("q", durable=True)
        await channel.protocol.wait_closed()


async def test_a_half_open_connection_is_closed_in_time() -> None:
    async with over_tcp() as (broker, url):
        channel = await channel_to(url)
        broker.faults.add(Silence())

        with pytest.raises(TimeoutError):
            await channel.protocol.close(timeout=0.05)


async def test_split_and_delayed_frames_are_assembled() -> None:
    async with over_tcp() as (broker, url):
        broker.faults.add(Split(3))
        broker.faults.add(Split(3, reading=True))
        channel = await confirming(url)
        broker.faults.add(Delay(0.01))

        await channel.publish(b"hello", "", "q")

        assert (await channel.basic_get("q", no_ack=True))["message"] == b"hello"
        await end(channel)


async def test_a_login_is_refused() -> None:
    async with over_tcp() as (broker, url):
        broker.faults.add(RefuseLogin())

        with pytest.raises(aioamqp.HandshakeFailed, match="ACCESS_REFUSED"):
            await aioamqp.from_url(url)
        await end(await channel_to(url))


async def test_each_publish_has_its_own_confirm_fault() -> None:
    async with over_tcp() as (broker, url):
        channel = await confirming(url)
        broker.faults.add(DuplicateConfirm(nth=1))
        broker.faults.add(NackConfirm(nth=2))
        broker.faults.add(DelayConfirm(0.01, nth=3))
        broker.faults.add(LoseConfirm(nth=4))

        await channel.publish(b"1", "", "q")
        with pytest.raises(aioamqp.PublishFailed):
            await channel.publish(b"2", "", "q")
        await channel.publish(b"3", "", "q")
        lost = asyncio.create_task(channel.publish(b"4", "", "q"))
        await broker.wait_for(lambda: broker.vhost.queues["q"].message_count == 4)
        await end(channel)

        with pytest.raises(aioamqp.PublishUnconfirmed):
            await lost


async def test_a_consumer_is_cancelled() -> None:
    async with over_tcp() as (broker, url):
        channel = await confirming(url)
        cancelled = asyncio.Event()

        async def callback(*_: object) -> None: ...

        async def on_cancel(*_: object) -> None:
            cancelled.set()

        channel.add_cancellation_callback(on_cancel)
        broker.faults.add(CancelConsumer())
        await channel.basic_consume(callback, "q")

        await cancelled.wait()
        await end(channel)


async def test_publishers_wait_while_there_is_an_alarm() -> None:
    """Rows 59 and 60."""
    async with over_tcp() as (broker, url):
        channel = await confirming(url)
        broker.block()
        publishing = asyncio.create_task(channel.publish(b"m", "", "q"))
        await channel.protocol.blocked.wait()
        assert not publishing.done()

        broker.unblock()
        await publishing

        assert broker.vhost.queues["q"].message_count == 1
        await end(channel)


async def test_a_broker_restarts_on_the_same_port() -> None:
    """Rows 58 and 120."""
    async with over_tcp() as (broker, url):
        channel = await channel_to(url)
        await channel.queue_declare("q", durable=True)
        await channel.basic_publish(b"m", "", "q", properties={"delivery_mode": 2})
        await broker.wait_for(lambda: broker.vhost.queues["q"].message_count)

        await broker.stop()
        with pytest.raises(OSError):
            await aioamqp.from_url(url)
        await channel.protocol.wait_closed()
        await broker.start()

        channel = await channel_to(url)
        got = await channel.basic_get("q", no_ack=True)
        assert got["message"] == b"m"
        assert not got["redelivered"]
        await end(channel)
