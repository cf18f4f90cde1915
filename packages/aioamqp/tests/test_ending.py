"""How a connection ends otherwise than by close()."""

import asyncio
from collections.abc import Callable

import pytest

import aioamqp
from aioamqp.protocol import CLOSED
from amqp_codec import Command, channel, connection, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


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
    (silence, (aioamqp.AmqpClosedConnection, ConnectionError, TimeoutError), "for 120 seconds"),
]


@pytest.mark.parametrize(("end", "classes", "text"), ENDS, ids=[end[0].__name__ for end in ENDS])
async def test_every_end_is_told_once_to_everyone_who_waits_and_to_on_error(
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


async def test_a_server_s_close_is_confirmed_and_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = await server.connect()

    await end_by_server(server)
    await protocol.wait_closed()

    assert server.names() == ["connection.close-ok"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "CONNECTION_FORCED - bye" in caplog.text


@pytest.mark.parametrize(
    ("octets", "code"),
    [(b"garbage!", 501), (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x03\xe7\xce", 502)],
)
async def test_octets_that_are_not_amqp_are_answered_with_a_close(
    server: ScriptedServer, octets: bytes, code: int
) -> None:
    opened = await server.open_channel()

    server.send(octets)
    await opened.protocol.wait_closed()

    (close,) = server.methods(connection.Close)
    assert close.reply_code == code


async def test_good_commands_before_bad_octets_are_taken(server: ScriptedServer) -> None:
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


async def test_a_connection_method_that_is_not_due_closes_with_503(server: ScriptedServer) -> None:
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


async def test_an_on_error_that_fails_is_logged_and_nothing_else_suffers(
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


async def test_on_error_is_called_before_those_who_wait_go_on(server: ScriptedServer) -> None:
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


async def test_on_error_is_looked_up_when_it_is_needed(server: ScriptedServer) -> None:
    errors: list[Exception] = []
    protocol = await server.connect()
    protocol._on_error_callback = errors.append

    server.transport.close()
    await protocol.wait_closed()
    await wait_idle()

    assert len(errors) == 1


async def test_what_a_server_must_not_send_while_it_is_being_closed_cuts_it_off(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.mute(connection.Close)
    await protocol.close(no_wait=True)

    server.send(b"garbage!")
    await protocol.wait_closed(timeout=1)

    assert server.transport.was_aborted


async def test_data_after_the_end_is_ignored(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(
        connection.Close(320, "bye"),
        Command(1, queue.DeclareOk("q")),
        Command(1, channel.Close(404, "late")),
        channel=0,
    )
    await opened.protocol.wait_closed()

    assert server.names() == ["connection.close-ok"]
