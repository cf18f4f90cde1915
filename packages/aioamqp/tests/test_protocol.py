"""A connection: its channels, its end, and new credentials."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, CLOSING
from amqp_codec import (
    Command,
    channel,
    connection,
    queue,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


# -------------------------------------------------------------------- opening channels


async def test_a_channel_factory_that_fails_costs_no_number(server: ScriptedServer) -> None:
    protocol = await server.connect()

    with pytest.raises(TypeError):
        await protocol.channel(colour="red")

    assert protocol.channels_ids_count == 0
    await protocol.close()


async def test_the_channel_factory_may_be_a_method(server: ScriptedServer) -> None:
    class Mine(aioamqp.AmqpProtocol):
        def CHANNEL_FACTORY(self, *args: object, **kwargs: object) -> aioamqp.Channel:  # noqa: N802
            return aioamqp.Channel(*args, **kwargs)  # type: ignore[arg-type]

    protocol = await server.connect(protocol_factory=Mine)

    opened = await protocol.channel(return_callback=print)

    assert (opened.protocol, opened.channel_id, opened.return_callback) == (protocol, 1, print)
    await protocol.close()


async def test_channels_beyond_channel_max_are_refused_here(server: ScriptedServer) -> None:
    protocol = await server.connect(channel_max=2)
    await protocol.channel()
    await protocol.channel()

    with pytest.raises(aioamqp.NoChannelAvailable):
        await protocol.channel()

    assert server.names() == ["channel.open", "channel.open"]
    await protocol.close()


async def test_a_channel_whose_opening_was_given_up_is_closed_and_its_number_freed(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.mute(channel.Open, channel.Close)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(protocol.channel(), 1)
    assert server.names() == ["channel.open", "channel.close"]
    assert protocol.channels_ids_count == 1

    server.send(channel.OpenOk(), channel.CloseOk())
    await wait_idle()

    assert protocol.channels_ids_count == 0
    await protocol.close()


async def test_a_method_on_an_unknown_channel_is_dropped(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    server.send(queue.DeclareOk("q"), channel=9)
    await wait_idle()

    assert opened.is_open
    await opened.protocol.close()


# -------------------------------------------------------------------- closing on purpose


async def test_closing_a_connection_logs_nothing_and_does_not_call_on_error(
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


async def test_the_error_of_a_closed_connection_comes_before_that_of_a_closed_channel(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection, match="The program closed the connection"):
        await opened.basic_publish(b"", "", "q")
    with pytest.raises(aioamqp.ChannelClosed):
        await opened.close()


async def test_closing_the_connection_fails_pending_requests(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await waiting


async def test_the_transport_is_aborted_if_the_server_does_not_answer_a_close(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)
    started = asyncio.get_running_loop().time()

    await protocol.close()

    assert server.transport.was_aborted
    assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=0.01)
    assert protocol.state == CLOSED


async def test_close_with_a_timeout_raises_timeout_error(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)

    with pytest.raises(TimeoutError, match="in time; the link was cut"):
        await protocol.close(timeout=2)

    assert server.transport.was_aborted
    assert protocol.state == CLOSED


async def test_the_transport_is_aborted_if_the_server_stops_reading(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.transport.is_stuck = True

    await protocol.close()

    assert server.transport.was_aborted


async def test_the_transport_is_aborted_if_the_server_closes_and_stops_reading(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.transport.is_stuck = True
    started = asyncio.get_running_loop().time()

    server.send(connection.Close(320, "bye"), channel=0)
    await protocol.wait_closed()

    assert server.transport.was_aborted
    assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=0.01)


async def test_the_transport_is_aborted_if_the_server_sends_eof_and_stops_reading(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=0)
    server.transport.is_stuck = True

    server.transport.protocol.eof_received()
    server.transport.close()
    await protocol.wait_closed(timeout=6)

    assert server.transport.was_aborted


async def test_a_close_whose_caller_is_cancelled_continues(server: ScriptedServer) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(protocol.close(), 1)
    assert protocol.state == CLOSING

    await protocol.wait_closed()

    assert protocol.state == CLOSED


async def test_close_with_no_wait_returns_at_once(server: ScriptedServer) -> None:
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


# -------------------------------------------------------------------- ending in other ways


async def end_by_server(server: ScriptedServer) -> None:
    server.send(connection.Close(320, "CONNECTION_FORCED - bye"), channel=0)


async def end_of_file(server: ScriptedServer) -> None:
    server.transport.protocol.eof_received()
    server.transport.end(None)


async def reset(server: ScriptedServer) -> None:
    server.transport.end(ConnectionResetError(104, "Connection reset by peer"))


async def bug(server: ScriptedServer) -> None:
    server.transport.end(RuntimeError("a bug in the transport"))


async def close_transport(server: ScriptedServer) -> None:
    server.transport.close()


async def garbage(server: ScriptedServer) -> None:
    server.send(b"garbage!")


async def unexpected(server: ScriptedServer) -> None:
    server.send(queue.PurgeOk(1))


async def silence(server: ScriptedServer) -> None:
    await asyncio.sleep(121)


ENDS: list[tuple[Callable[[ScriptedServer], object], tuple[type[BaseException], ...], str]] = [
    (end_by_server, (aioamqp.ChannelClosed,), "CONNECTION_FORCED - bye"),
    (end_of_file, (aioamqp.AmqpClosedConnection,), "ended the link"),
    (reset, (aioamqp.AmqpClosedConnection, ConnectionResetError), "Connection reset"),
    (bug, (aioamqp.AmqpClosedConnection, ConnectionError), "a bug in the transport"),
    (close_transport, (aioamqp.AmqpClosedConnection,), "closed the transport"),
    (garbage, (aioamqp.AmqpClosedConnection,), "because of the server"),
    (
        unexpected,
        (aioamqp.AmqpClosedConnection,),
        r"queue\.purge-ok on channel 1, where queue\.decl",
    ),
    (silence, (aioamqp.AmqpClosedConnection, ConnectionError), "for 120 seconds"),
]


@pytest.mark.parametrize(("end", "classes", "text"), ENDS, ids=[end[0].__name__ for end in ENDS])
async def test_every_end_fails_all_calls_with_one_error_and_calls_on_error_once(
    server: ScriptedServer,
    end: Callable[[ScriptedServer], object],
    classes: tuple[type[BaseException], ...],
    text: str,
) -> None:
    errors: list[Exception] = []
    opened = await server.open_channel(on_error=errors.append)
    protocol = opened.protocol
    other = await protocol.channel()
    await other.confirm_select()
    unconfirmed = asyncio.create_task(other.publish(b"", "", "q"))
    await wait_idle()
    server.mute()
    protocol.pause_writing()
    not_sent = asyncio.create_task(opened.basic_publish(b"", "", "q"))
    calls = [
        asyncio.create_task(opened.queue_declare("q")),
        asyncio.create_task(other.queue_declare("q")),
        asyncio.create_task(protocol.channel()),
    ]
    await wait_idle()

    await end(server)  # type: ignore[misc]
    await protocol.wait_closed()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await wait_idle()

    assert len({id(outcome) for outcome in outcomes}) == 1
    with pytest.raises(classes[0], match=text) as caught:
        await calls[0]
    assert all(isinstance(caught.value, wanted) for wanted in classes)
    assert errors == [caught.value]
    for publish, outcome in (
        (unconfirmed, aioamqp.PublishUnconfirmed),
        (not_sent, aioamqp.PublishNotSent),
    ):
        with pytest.raises(outcome, match=text) as published:
            await publish
        assert all(isinstance(published.value, wanted) for wanted in classes)
        assert published.value.__cause__ is caught.value
    assert protocol.state == CLOSED
    assert not opened.is_open
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await other.queue_declare("q")
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.channel()


async def test_a_connection_close_from_the_server_is_answered_and_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = await server.connect()

    await end_by_server(server)
    await protocol.wait_closed()

    assert server.names() == ["connection.close-ok"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "CONNECTION_FORCED - bye" in caplog.text


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"garbage!", 501), (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x03\xe7\xce", 502)],
)
async def test_bytes_that_are_not_amqp_are_answered_with_a_close(
    server: ScriptedServer, data: bytes, code: int
) -> None:
    opened = await server.open_channel()

    server.send(data)
    await opened.protocol.wait_closed()

    (close,) = server.methods(connection.Close)
    assert close.reply_code == code


async def test_good_commands_before_bad_bytes_are_processed(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(queue.Purge)
    waiting = asyncio.create_task(opened.queue_purge("q"))
    await wait_idle()

    server.send(queue.PurgeOk(5), b"garbage!")

    assert await waiting == {"message_count": 5}
    await opened.protocol.wait_closed()


async def test_a_reply_out_of_order_closes_the_connection_with_505(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    server.answers[connection.Close] = lambda _: connection.CloseOk()
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    server.send(queue.BindOk())

    with pytest.raises(aioamqp.ProtocolViolation) as caught:
        await waiting
    assert caught.value.code == 505
    await opened.protocol.wait_closed()
    (close,) = server.methods(connection.Close)
    assert (close.reply_code, close.reply_text) == (505, caught.value.message)


async def test_an_unexpected_connection_method_closes_with_503(server: ScriptedServer) -> None:
    protocol = await server.connect()

    server.send(connection.OpenOk(), channel=0)
    await protocol.wait_closed()

    (close,) = server.methods(connection.Close)
    assert close.reply_code == 503


async def test_a_coroutine_function_can_be_on_error_and_may_use_the_connection(
    server: ScriptedServer,
) -> None:
    seen: list[Exception] = []
    protocol: aioamqp.AmqpProtocol

    async def on_error(error: Exception) -> None:
        await protocol.wait_closed()
        seen.append(error)

    protocol = await server.connect(on_error=on_error)
    await reset(server)
    await wait_idle()

    assert len(seen) == 1
    assert isinstance(seen[0], ConnectionResetError)


async def test_an_exception_of_on_error_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def on_error(error: Exception) -> None:
        raise ZeroDivisionError

    opened = await server.open_channel(on_error=on_error)
    server.mute()
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    await reset(server)

    with pytest.raises(ConnectionResetError):
        await waiting
    await wait_idle()
    assert "on_error" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_on_error_is_called_before_calls_fail(server: ScriptedServer) -> None:
    errors: list[object] = []
    opened = await server.open_channel(on_error=errors.append)
    server.mute()

    async def call() -> int:
        with pytest.raises(aioamqp.ChannelClosed):
            await opened.queue_declare("q")
        return len(errors)

    calling = asyncio.create_task(call())
    await wait_idle()
    await end_by_server(server)

    assert await calling == 1
    await opened.protocol.wait_closed()


async def test_on_error_callback_may_be_assigned_late(server: ScriptedServer) -> None:
    errors: list[Exception] = []
    protocol = await server.connect()
    protocol._on_error_callback = errors.append

    server.transport.close()
    await protocol.wait_closed()
    await wait_idle()

    assert len(errors) == 1


async def test_a_protocol_violation_during_a_close_aborts_the_transport(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)
    await protocol.close(no_wait=True)

    server.send(b"garbage!")
    await protocol.wait_closed(timeout=1)

    assert server.transport.was_aborted


async def test_methods_after_the_end_are_ignored(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(
        connection.Close(320, "bye"),
        Command(1, queue.DeclareOk("q")),
        Command(1, channel.Close(404, "late")),
        channel=0,
    )
    await opened.protocol.wait_closed()

    assert server.names() == ["connection.close-ok"]


# -------------------------------------------------------------------- new credentials


@pytest.mark.parametrize("secret", ["new", b"new"])
async def test_update_secret_sends_new_credentials(server: ScriptedServer, secret: Any) -> None:
    protocol = await server.connect()
    server.answers[connection.UpdateSecret] = lambda _: connection.UpdateSecretOk()

    await protocol.update_secret(secret, "rotated")

    assert server.methods(connection.UpdateSecret) == [connection.UpdateSecret(b"new", "rotated")]
    await protocol.close()


async def test_the_end_of_the_connection_fails_update_secret(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    task = asyncio.create_task(protocol.update_secret("bad"))
    await wait_idle()

    server.send(connection.Close(530, "NOT_ALLOWED - bad token"), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await task
    assert (caught.value.code, caught.value.message) == (530, "NOT_ALLOWED - bad token")
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.update_secret("late")


async def test_a_late_update_secret_ok_is_not_the_reply_to_the_next_request(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    with pytest.raises(TimeoutError):
        await protocol.update_secret("first", timeout=1)
    second = asyncio.create_task(protocol.update_secret("second"))
    await wait_idle()

    server.send(connection.UpdateSecretOk(), channel=0)
    await wait_idle()
    assert not second.done()

    server.send(connection.UpdateSecretOk(), channel=0)
    await second
    await protocol.close()


async def test_an_update_secret_ok_without_a_request_is_a_protocol_violation(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()

    server.send(connection.UpdateSecretOk(), channel=0)
    await protocol.wait_closed()

    assert [close.reply_code for close in server.methods(connection.Close)] == [503]


async def test_an_update_secret_from_the_server_is_answered(server: ScriptedServer) -> None:
    protocol = await server.connect()

    server.send(connection.UpdateSecret(b"new", "rotated"), channel=0)
    await wait_idle()

    assert server.names() == ["connection.update-secret-ok"]
    await protocol.close()
