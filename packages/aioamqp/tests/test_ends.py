"""Ends that the program has not asked for: log, callbacks, and what later calls raise."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import channel, connection
from callbacks_seen import Recorder
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_a_lost_link_is_logged_once_with_the_consumers_that_end(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows U1 and U39."""
    errors: list[Any] = []
    opened = await server.open_channel(on_error=errors.append)
    opened.on_close = errors.append
    await opened.basic_consume(Recorder(), "q", "tag")

    server.transport.end(ConnectionResetError(104, "reset"))
    await wait_idle()

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "reset; with it end the consumers tag (channel 1)" in record.message
    assert len(errors) == 2
    assert errors[0] is errors[1]
    assert errors[0].code is None
    assert errors[0].message == str(errors[0])


async def test_every_error_of_a_connection_has_a_code_and_a_message() -> None:
    """Row U39."""
    for error, code, message in (
        (aioamqp.AmqpClosedConnection("why"), None, "why"),
        (aioamqp.ConnectionLost("why"), None, "why"),
        (aioamqp.ConnectionFailed("why"), None, "why"),
        (aioamqp.HandshakeFailed("refused", 403, "ACCESS_REFUSED"), 403, "ACCESS_REFUSED"),
        (aioamqp.ProtocolViolation(503, "it did"), 503, "it did"),
        (aioamqp.ChannelClosed(320, "CONNECTION_FORCED"), 320, "CONNECTION_FORCED"),
    ):
        assert (error.code, error.message) == (code, message)  # type: ignore[attr-defined]


async def test_on_close_may_be_a_coroutine_function_and_does_not_wait_for_callbacks(
    server: ScriptedServer,
) -> None:
    """Row U1."""
    errors: list[Exception] = []
    opened = await server.open_channel()

    async def on_close(error: Exception) -> None:
        await asyncio.sleep(0)
        errors.append(error)

    async def stuck(*_: object) -> None:
        await asyncio.sleep(100)

    opened.on_close = on_close
    await opened.basic_consume(stuck, "q", "tag")
    server.deliver("tag", b"")
    server.send(channel.Close(406, "PRECONDITION_FAILED"))
    await wait_idle()

    (error,) = errors
    assert isinstance(error, aioamqp.ChannelClosed)
    assert error.code == 406
    await asyncio.sleep(100)
    await opened.protocol.close()
    await wait_idle()
    assert len(errors) == 1


async def test_an_on_close_that_is_set_late_is_called_at_once(server: ScriptedServer) -> None:
    """Row U1."""
    errors: list[Exception] = []
    opened = await server.open_channel()
    server.send(channel.Close(406, "PRECONDITION_FAILED"))
    await wait_idle()

    opened.on_close = errors.append
    await wait_idle()

    assert len(errors) == 1
    with pytest.raises(aioamqp.InvalidArgument, match="on_close"):
        opened.on_close = 5  # type: ignore[assignment]
    await opened.protocol.close()


async def test_waiting_for_the_end_of_a_channel_can_run_out_of_time(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    with pytest.raises(TimeoutError, match="Channel 1"):
        await opened.wait_closed(timeout=1)

    await opened.close()
    await opened.wait_closed()
    await opened.protocol.close()


async def test_a_blocked_connection_is_logged_when_it_begins_and_ends(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U2."""
    caplog.set_level("INFO")
    protocol = await server.connect()

    for method in (
        connection.Unblocked(),
        connection.Blocked("low on memory"),
        connection.Blocked("low on memory"),
        connection.Unblocked(),
    ):
        server.send(method, channel=0)
        await wait_idle()

    began, ended = caplog.records
    assert (began.levelname, ended.levelname) == ("WARNING", "INFO")
    assert "low on memory" in began.message
    assert "low on memory" in ended.message
    await protocol.close()


async def test_a_transport_that_the_program_closes_is_not_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U41."""
    with aioamqp.dialing(server.dial):
        transport, protocol = await aioamqp.connect()
        transport.close()
        await protocol.wait_closed()

    assert caplog.records == []
