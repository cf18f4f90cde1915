"""Heartbeats on a connection."""

import asyncio
import errno

import pytest

import aioamqp
from aioamqp._connection.heartbeat import Heartbeat
from aioamqp._connection.heartbeat_timer import HeartbeatTimer
from amqp_codec import HEARTBEAT, basic
from scripted_server import ScriptedServer, wait_idle
from virtual_loop import VirtualLoop

pytestmark = pytest.mark.asyncio


def heartbeats(server: ScriptedServer) -> int:
    return sum(command.method is HEARTBEAT for command in server.received)


def block(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    assert isinstance(loop, VirtualLoop)
    loop.advance(seconds)


async def alive(server: ScriptedServer, seconds: int) -> None:
    """Wait for so many seconds while the server sends heartbeats."""
    for _ in range(seconds):
        server.send(HEARTBEAT, channel=0)
        await asyncio.sleep(1)


async def test_a_heartbeat_is_sent_in_every_interval_without_other_data(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=10)

    await alive(server, 35)

    assert heartbeats(server) == 3
    await protocol.close()


async def test_sent_data_delays_the_next_heartbeat(server: ScriptedServer) -> None:
    opened = await server.open_channel(heartbeat=10)

    for _ in range(5):
        await alive(server, 9)
        await opened.basic_client_ack(1)

    assert heartbeats(server) == 0
    await opened.protocol.close()


async def test_without_heartbeats_silence_does_not_end_the_connection(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=0)

    await asyncio.sleep(100_000)

    assert protocol.is_open
    assert heartbeats(server) == 0
    await protocol.close()


async def test_the_connection_ends_once_after_two_missed_heartbeats(
    server: ScriptedServer,
) -> None:
    errors: list[Exception] = []
    protocol = await server.connect(heartbeat=10, on_error=errors.append)
    started = asyncio.get_running_loop().time()

    await protocol.wait_closed()

    assert asyncio.get_running_loop().time() - started == pytest.approx(20, abs=0.01)
    assert server.transport.was_aborted
    await wait_idle()
    (error,) = errors
    assert isinstance(error, aioamqp.ConnectionLost)
    assert "20 seconds" in str(error)
    # except TimeoutError is for calls with a timeout.
    assert not isinstance(error, TimeoutError)
    assert isinstance(error, ConnectionError)
    assert error.errno == errno.ETIMEDOUT


async def test_a_server_is_not_blamed_for_its_silence_while_the_loop_was_blocked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On loops such as uvloop, timers run before the bytes that have come are read."""
    missed: list[Exception] = []
    sent: list[float] = []
    loop = asyncio.get_running_loop()
    heartbeat = Heartbeat(0, loop.time())
    timer = HeartbeatTimer(heartbeat, loop, lambda: sent.append(loop.time()), missed.append)
    timer.start(10)

    await asyncio.sleep(8)
    block(loop, 60)
    await wait_idle()
    assert (missed, sent) == ([], [68])
    assert "The event loop was blocked for at least 58.0 seconds" in caplog.text

    heartbeat.last_received = loop.time()  # the bytes are read
    await asyncio.sleep(19)
    assert missed == []
    await asyncio.sleep(2)
    assert [type(error) for error in missed] == [aioamqp.ConnectionLost]


async def test_a_blocked_loop_is_named_when_the_server_has_ended_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    timer = HeartbeatTimer(Heartbeat(0, loop.time()), loop, print, print)
    timer.start(10)

    block(loop, 60)
    timer.stop()  # the end of the link is read before the timer fires

    assert "The event loop was blocked for at least 50.0 seconds" in caplog.text


async def test_a_closing_transport_that_cannot_send_is_aborted(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=10)
    server.transport.is_stuck = True
    server.transport.close()

    await protocol.wait_closed(timeout=25)

    assert server.transport.was_aborted


async def test_missed_heartbeats_are_ignored_while_reading_is_paused(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 1000)
    go_on = asyncio.Event()
    opened = await server.open_channel(heartbeat=10)
    await opened.basic_consume(lambda *_: go_on.wait(), "q", "tag")
    server.deliver("tag", *[b"x" * 1000] * 3)
    await wait_idle()
    assert not server.is_read()

    await asyncio.sleep(500)

    assert opened.is_open
    assert heartbeats(server) == 50

    go_on.set()
    await wait_idle()
    assert server.is_read()
    await asyncio.sleep(19)
    assert opened.is_open
    await opened.protocol.wait_closed(timeout=1.01)


async def test_a_busy_callback_does_not_stop_heartbeats(server: ScriptedServer) -> None:
    opened = await server.open_channel(heartbeat=10)
    go_on = asyncio.Event()
    await opened.basic_consume(lambda *_: go_on.wait(), "q", "tag")
    server.deliver("tag", b"1")

    await alive(server, 45)

    assert heartbeats(server) == 4
    assert server.methods(basic.Ack) == []
    go_on.set()
    await opened.protocol.close()
