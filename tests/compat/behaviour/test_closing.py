"""Section 2 of the contract with aioamqp 0.15: closing by the program."""

import asyncio
import gc
import logging

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, CLOSING
from amqp_codec import channel, connection
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio


async def test_closing_a_channel_marks_it_closed_at_once_and_returns_true(
    server: ScriptedServer,
) -> None:
    """B47. The code is 200, reply-success; 0.15 sent 0, which is not a reply code."""
    opened = await server.open_channel()
    server.mute(channel.Close)
    closing = asyncio.create_task(opened.close())
    await wait_idle()

    assert server.methods(channel.Close) == [channel.Close(200, "Normal Shutdown")]
    assert not opened.is_open
    assert opened.close_event.is_set()
    assert not closing.done()
    with pytest.raises(aioamqp.ChannelClosed):
        await opened.queue_declare("q")
    server.send(channel.CloseOk())
    assert await closing is True
    await opened.protocol.close()


async def test_a_channel_is_closed_with_the_caller_s_code_and_text(
    server: ScriptedServer,
) -> None:
    """B47."""
    opened = await server.open_channel()

    assert await opened.close(reply_code=300, reply_text="enough") is True

    assert server.methods(channel.Close) == [channel.Close(300, "enough")]
    await opened.protocol.close()


async def test_closing_a_connection_waits_until_the_transport_is_closed(
    server: ScriptedServer,
) -> None:
    """B48. The code is 200, reply-success; 0.15 sent 0, which is not a reply code."""
    protocol = await server.connect()
    server.mute(connection.Close)
    closing = asyncio.create_task(protocol.close())
    await wait_idle()

    assert server.methods(connection.Close) == [connection.Close(200, "Normal Shutdown")]
    assert protocol.state == CLOSING
    assert not closing.done()
    assert not server.transport.is_closing()
    server.send(connection.CloseOk(), channel=0)
    assert await closing is None  # type: ignore[func-returns-value]

    assert server.transport.is_closing()
    assert not server.transport.was_aborted
    assert protocol.state == CLOSED
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()


async def test_close_with_no_wait_returns_before_close_ok(server: ScriptedServer) -> None:
    """B48."""
    protocol = await server.connect()

    await protocol.close(no_wait=True)

    assert protocol.state == CLOSING
    assert server.names() == ["connection.close"]
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()
    await protocol.wait_closed()
    assert protocol.state == CLOSED


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_the_timeout_of_close_covers_close_ok_and_the_transport(
    server: ScriptedServer, is_stuck: bool
) -> None:
    """B48. Both if the server does not answer, and if the transport is not closed after close-ok."""
    protocol = await server.connect()
    if is_stuck:
        server.transport.is_stuck = True
    else:
        server.mute(connection.Close)
    started = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError):
        await protocol.close(timeout=3)

    assert asyncio.get_running_loop().time() - started == pytest.approx(3, abs=0.01)
    assert protocol.state == CLOSED
    assert server.transport.was_aborted
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()


async def test_closing_a_closed_connection_is_an_error(connect: Connect) -> None:
    """B48."""
    protocol = await connect()
    opened = await protocol.channel()

    await protocol.close()

    assert not opened.is_open
    assert protocol.state == CLOSED
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()


async def test_the_transport_may_be_closed_afterwards_and_more_than_once(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B49."""
    protocol = await server.connect()
    await protocol.close()

    server.transport.close()
    server.transport.close()
    await wait_idle()

    assert protocol.state == CLOSED
    assert caplog.records == []


@pytest.mark.parametrize("name", ["_reader", "_stream_reader", "_stream_writer"])
async def test_closing_only_the_transport_closes_the_connection(
    connect: Connect, name: str
) -> None:
    """B49."""
    protocol = await connect()
    opened = await protocol.channel()

    getattr(protocol, name)._transport.close()
    await protocol.wait_closed()

    assert protocol.state == CLOSED
    assert not opened.is_open


async def test_a_clean_close_logs_nothing_and_leaves_no_task(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """B50."""
    caplog.set_level(logging.INFO)
    before = asyncio.all_tasks()
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    await other.confirm_select()
    name = (await opened.queue_declare(exclusive=True))["queue"]
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def callback(
        given: aioamqp.Channel, body: bytes, envelope: aioamqp.Envelope, _: aioamqp.Properties
    ) -> None:
        await given.basic_client_ack(envelope.delivery_tag)
        seen.put_nowait(body)

    await opened.basic_consume(callback, name)
    await other.publish(b"m", "", name)
    assert await seen.get() == b"m"
    await other.close()
    waiting = asyncio.create_task(opened.basic_recover())  # a call that is pending during the close

    await protocol.close()
    await asyncio.gather(waiting, return_exceptions=True)
    await protocol.wait_closed()
    del waiting, opened, other, protocol
    gc.collect()  # an exception that was never retrieved would be logged now

    assert caplog.records == []
    assert asyncio.all_tasks() == before
