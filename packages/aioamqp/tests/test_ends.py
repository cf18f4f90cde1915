"""Ends that the program has not asked for: log, callbacks, and what later calls raise."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import basic, channel, connection
from callbacks_seen import Gate, Recorder
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
        assert (error.code, error.message) == (code, message)


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


async def test_messages_with_no_ack_that_are_not_handled_in_time_are_counted(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U32."""
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2", b"3")
    await wait_idle()

    before = asyncio.get_running_loop().time()
    await opened.close(timeout=2)

    assert asyncio.get_running_loop().time() - before == pytest.approx(2, abs=0.01)
    assert gate.bodies == [b"1"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "2 messages" in record.message
    assert "consumer tag of channel 1" in record.message
    gate.is_open.set()
    await wait_idle()
    assert gate.finished == 1
    assert opened.protocol.pending == {}
    await opened.protocol.close()


@pytest.mark.parametrize("answers", [True, False])
async def test_messages_with_no_ack_of_a_loop_that_is_left_are_counted_once(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    """Row U32: those in the buffer, and those that arrive before the cancel-ok."""
    opened = await server.open_channel(heartbeat=0)
    server.mute(basic.Cancel)
    messages = opened.consume("q", consumer_tag="tag", no_ack=True)
    await messages.__aenter__()
    server.deliver("tag", b"1", b"2", b"3")
    assert (await anext(messages)).body == b"1"
    leaving = asyncio.create_task(messages.aclose())
    await wait_idle()
    server.deliver("tag", b"4")
    await wait_idle()

    if answers:
        server.send(basic.CancelOk("tag"))
    else:
        server.send(channel.Close(541, "INTERNAL_ERROR"))
    await leaving

    (record,) = [record for record in caplog.records if "no_ack" in record.message]
    assert record.message.startswith("3 messages that were delivered to consumer tag of channel 1")
    await opened.protocol.close()


async def test_messages_with_no_ack_that_arrive_before_the_cancel_ok_are_handled(
    server: ScriptedServer,
) -> None:
    """Row U32: the server sends them until it has received basic.cancel."""
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Cancel)
    await opened.basic_consume(seen, "q", "tag", no_ack=True)
    server.deliver("tag", b"1")
    closing = asyncio.create_task(opened.close())
    await wait_idle()

    assert opened.is_open
    server.deliver("tag", b"2")
    server.send(basic.CancelOk("tag"))
    await closing

    assert seen.bodies == [b"1", b"2"]
    assert server.names() == ["basic.consume", "basic.cancel", "channel.close"]
    await opened.protocol.close()


async def test_a_loop_gets_messages_with_no_ack_after_the_program_has_closed_the_channel(
    server: ScriptedServer,
) -> None:
    """Row U32."""
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag", no_ack=True)
    async with messages:
        server.deliver("tag", b"1", b"2")
        await wait_idle()
        await opened.close()

        assert [message.body async for message in messages] == [b"1", b"2"]
    await opened.protocol.close()


async def test_a_close_that_is_cancelled_while_it_drains_closes_at_once(
    server: ScriptedServer,
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1")
    await wait_idle()
    closing = asyncio.create_task(opened.close(drain=100))
    await wait_idle()
    was_open = opened.is_open

    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert (was_open, opened.is_open) == (True, False)
    gate.is_open.set()
    await wait_idle()
    await opened.protocol.close()


async def test_a_draining_cancel_waits_for_the_callback(server: ScriptedServer) -> None:
    """Row U5."""
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2", b"3")
    cancelling = asyncio.create_task(opened.basic_cancel("tag", drain=10))
    await asyncio.sleep(9)
    assert not cancelling.done()

    assert await cancelling == {"consumer_tag": "tag"}

    await wait_idle()
    assert [nack.delivery_tag for nack in server.methods(basic.Nack)] == [2, 3]
    gate.is_open.set()
    await wait_idle()
    assert gate.bodies == [b"1"]
    await opened.protocol.close()


@pytest.mark.parametrize("wraps", [False, True])
async def test_a_callback_that_cancels_its_consumer_does_not_wait_for_itself(
    server: ScriptedServer, wraps: bool
) -> None:
    opened, seen = await server.open_channel(heartbeat=0), []
    loop = asyncio.get_running_loop()

    async def callback(channel: aioamqp.Channel, body: bytes, *_: object) -> None:
        if body == b"1":
            before = loop.time()
            cancel = channel.basic_cancel("tag", drain=20)
            await (asyncio.wait_for(cancel, 30) if wraps else cancel)
            assert loop.time() - before < 1
        seen.append(body)

    await opened.basic_consume(callback, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2")
    await asyncio.sleep(1)

    assert seen == [b"1", b"2"]
    await opened.protocol.close()


@pytest.mark.parametrize("close", [{"drain": "1"}, {"timeout": "1"}, {"reply_text": "x" * 256}])
async def test_a_close_that_is_refused_changes_nothing(
    server: ScriptedServer, close: dict[str, Any]
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.received.clear()

    with pytest.raises(aioamqp.InvalidArgument):
        await opened.close(**close)
    await wait_idle()

    assert server.received == []
    assert opened.is_open
    await opened.protocol.close()
