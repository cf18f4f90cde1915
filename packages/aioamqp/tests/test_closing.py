"""Closing a connection on purpose."""

import asyncio
import logging

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, CLOSING
from amqp_codec import connection, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_closing_is_confirmed_and_silent(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    opened = await server.open_channel(on_error=errors.append)
    protocol = opened.protocol

    with caplog.at_level(logging.INFO):
        await protocol.close()
        await protocol.wait_closed()
        await asyncio.sleep(100)

    assert not server.transport.was_aborted
    assert server.methods(connection.Close) == [connection.Close(200, "Normal Shutdown")]
    assert protocol.state == CLOSED
    assert not opened.is_open
    assert (protocol.channels, protocol.channels_ids_count) == ({}, 0)
    assert protocol.server_heartbeat is None
    assert errors == []
    assert caplog.records == []


async def test_a_connection_can_be_closed_once(server: ScriptedServer) -> None:
    protocol = await server.connect()
    await protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.ensure_open()
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.channel()


async def test_a_closed_connection_goes_before_a_closed_channel(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection, match="The program closed the connection"):
        await opened.basic_publish(b"", "", "q")
    with pytest.raises(aioamqp.ChannelClosed):
        await opened.close()


async def test_calls_that_wait_end_when_the_program_closes_the_connection(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await waiting


async def test_a_server_that_does_not_answer_a_close_is_cut_off(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)
    started = asyncio.get_running_loop().time()

    await protocol.close()

    assert server.transport.was_aborted
    assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=0.01)
    assert protocol.state == CLOSED


async def test_a_timeout_of_close_that_was_asked_for_is_told(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)

    with pytest.raises(TimeoutError, match="in time; the link was cut"):
        await protocol.close(timeout=2)

    assert server.transport.was_aborted
    assert protocol.state == CLOSED


async def test_a_server_that_reads_nothing_more_is_cut_off_too(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.transport.is_stuck = True

    await protocol.close()

    assert server.transport.was_aborted


async def test_a_server_that_closes_but_reads_nothing_more_is_cut_off(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.transport.is_stuck = True
    started = asyncio.get_running_loop().time()

    server.send(connection.Close(320, "bye"), channel=0)
    await protocol.wait_closed()

    assert server.transport.was_aborted
    assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=0.01)


async def test_a_server_that_sends_and_reads_nothing_more_is_cut_off(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=0)
    server.transport.is_stuck = True

    server.transport.protocol.eof_received()
    server.transport.close()
    await protocol.wait_closed(timeout=6)

    assert server.transport.was_aborted


async def test_a_close_whose_caller_is_cancelled_goes_on(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(protocol.close(), 1)
    assert protocol.state == CLOSING

    await protocol.wait_closed()

    assert protocol.state == CLOSED


async def test_close_need_not_wait(server: ScriptedServer) -> None:
    protocol = await server.connect()

    await protocol.close(no_wait=True)

    assert protocol.state == CLOSING
    await protocol.wait_closed(timeout=1)
    assert protocol.state == CLOSED


async def test_wait_closed_can_run_out_of_time(server: ScriptedServer) -> None:
    protocol = await server.connect()

    with pytest.raises(TimeoutError):
        await protocol.wait_closed(timeout=1)

    await protocol.close()


async def test_ensure_open_waits_for_the_end_while_closing(server: ScriptedServer) -> None:
    protocol = await server.connect()
    await protocol.ensure_open()
    await protocol.close(no_wait=True)

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.ensure_open()

    assert protocol.state == CLOSED


async def test_a_connection_that_is_not_open_yet_says_so() -> None:
    protocol = aioamqp.AmqpProtocol()

    with pytest.raises(aioamqp.AioamqpException, match="not open yet"):
        await protocol.ensure_open()
    with pytest.raises(aioamqp.AmqpClosedConnection, match="not open yet"):
        await protocol.close()


async def test_connection_closes_that_cross_are_both_answered(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.answers[connection.Close] = lambda _: connection.Close(320, "CONNECTION_FORCED")

    await protocol.close()

    assert server.names() == ["connection.close", "connection.close-ok"]
