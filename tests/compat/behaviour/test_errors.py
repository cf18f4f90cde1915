"""Section 2 of the contract with aioamqp 0.15: errors of pending calls."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, CLOSING
from amqp_codec import basic, channel, connection, queue
from callbacks_seen import Recorder
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio

RESET = ConnectionResetError(104, "Connection reset by peer")


def by_server(server: ScriptedServer) -> None:
    server.send(connection.Close(320, "CONNECTION_FORCED - bye"), channel=0)


def end_of_file(server: ScriptedServer) -> None:
    server.transport.protocol.eof_received()
    server.transport.end(None)


def reset(server: ScriptedServer) -> None:
    server.transport.end(RESET)


def timed_out(server: ScriptedServer) -> None:
    server.transport.end(TimeoutError(110, "Connection timed out"))


def by_transport(server: ScriptedServer) -> None:
    server.transport.close()


ENDS: list[Callable[[ScriptedServer], None]] = [
    by_server,
    end_of_file,
    reset,
    timed_out,
    by_transport,
]


async def pending_calls(opened: aioamqp.Channel) -> list[asyncio.Task[Any]]:
    """Start several calls that stay pending."""
    calls = [
        asyncio.create_task(call)
        for call in (opened.queue_declare("q"), opened.basic_get("q"), opened.basic_qos(0, 1))
    ]
    await wait_idle()
    return calls


async def errors_of(calls: list[asyncio.Task[Any]]) -> list[BaseException]:
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, BaseException) for error in errors)
    return errors


async def test_pending_calls_fail_with_the_code_and_text_of_channel_close(
    server: ScriptedServer,
) -> None:
    """B21. All calls of the channel, and no others, raise the same exception object, as in 0.15."""
    on_error_calls: list[Exception] = []
    opened = await server.open_channel(on_error=on_error_calls.append)
    other = await opened.protocol.channel()
    await opened.confirm_select()
    publish = asyncio.create_task(opened.publish(b"m", "", "q"))
    server.mute()
    calls, other_calls = await pending_calls(opened), await pending_calls(other)
    server.received.clear()

    server.send(channel.Close(406, "PRECONDITION_FAILED - no"))
    errors = await errors_of(calls)

    assert len({id(error) for error in errors}) == 1
    (closed,) = set(errors)
    assert type(closed) is aioamqp.ChannelClosed
    assert (closed.code, closed.message) == (406, "PRECONDITION_FAILED - no")
    with pytest.raises(aioamqp.ChannelClosed) as unconfirmed:
        await publish
    assert (unconfirmed.value.code, unconfirmed.value.message) == (406, closed.message)
    assert unconfirmed.value.__cause__ is closed
    assert [command.method for command in server.received] == [channel.CloseOk()]
    assert not opened.is_open
    assert opened.channel_id not in opened.protocol.channels
    assert other.is_open
    assert not any(call.done() for call in other_calls)
    assert on_error_calls == []
    server.send(queue.DeclareOk("q"), basic.GetEmpty(), basic.QosOk(), channel=2)
    assert (await other_calls[0])["queue"] == "q"
    await asyncio.wait(other_calls)
    assert isinstance(other_calls[1].exception(), aioamqp.EmptyQueue)
    server.answers[connection.Close] = lambda _: connection.CloseOk()
    await opened.protocol.close()


async def test_consumers_stop_with_one_log_entry_when_the_server_closes_the_channel(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B21. 0.15 logged nothing. Row U1."""
    caplog.set_level(logging.INFO)
    seen = Recorder()
    opened = await server.open_channel()
    await opened.basic_consume(seen, "q", "tag")
    server.deliver("tag", b"before")
    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for text in ("channel 1", "404", "NOT_FOUND", "consumers tag"):
        assert text in record.getMessage()

    server.deliver("tag", b"after")
    await wait_idle()

    assert seen.bodies == [b"before"]
    await opened.protocol.close()


async def test_the_channel_id_is_reused_after_the_server_closed_the_channel(
    connect: Connect,
) -> None:
    """B21."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()

    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await opened.queue_declare("compat-not-there", passive=True)

    text = "NOT_FOUND - no queue 'compat-not-there' in vhost '/'"
    assert (closed.value.code, closed.value.message) == (404, text)
    assert not opened.is_open
    assert protocol.channels_ids_count == 1
    again = await protocol.channel()
    assert again.channel_id == opened.channel_id
    for each in (other, again):
        assert (await each.queue_declare(exclusive=True))["message_count"] == 0


async def test_pending_calls_fail_with_the_code_and_text_of_connection_close(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B22."""
    opened = await server.open_channel()
    protocol = opened.protocol
    other = await protocol.channel()
    server.mute()
    calls = await pending_calls(opened) + await pending_calls(other)
    server.received.clear()
    server.transport.is_stuck = True

    by_server(server)
    errors = await errors_of(calls)

    assert [type(error) for error in errors] == [aioamqp.ChannelClosed] * 6
    assert {(error.code, error.message) for error in errors} == {  # type: ignore[attr-defined]
        (320, "CONNECTION_FORCED - bye")
    }
    assert server.names() == ["connection.close-ok"]
    assert server.transport.is_closing()
    assert not opened.is_open
    assert not other.is_open
    assert protocol.state == CLOSING
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "aioamqp.protocol")
    assert "320 CONNECTION_FORCED - bye" in record.getMessage()

    server.transport.end(None)
    await protocol.wait_closed()

    assert protocol.state == CLOSED
    for call in (opened.queue_declare, other.basic_qos, protocol.channel):
        with pytest.raises(aioamqp.AmqpClosedConnection):
            await call()


async def test_an_unsupported_method_closes_the_connection_and_all_channels(
    connect: Connect,
) -> None:
    """B22."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()

    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await opened.basic_qos(prefetch_size=10)

    assert closed.value.code == 540
    assert closed.value.message.startswith("NOT_IMPLEMENTED - prefetch_size!=0")
    await protocol.wait_closed()
    assert protocol.state == CLOSED
    assert not opened.is_open
    assert not other.is_open
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await other.queue_declare()


@pytest.mark.parametrize(
    ("end", "classes"),
    [
        (end_of_file, (aioamqp.AmqpClosedConnection,)),
        (reset, (aioamqp.AmqpClosedConnection, ConnectionError, ConnectionResetError)),
        (timed_out, (aioamqp.AmqpClosedConnection, ConnectionError, TimeoutError)),
        (by_transport, (aioamqp.AmqpClosedConnection,)),
    ],
)
async def test_a_lost_connection_raises_amqp_closed_connection_that_is_also_the_os_error(
    server: ScriptedServer,
    end: Callable[[ScriptedServer], None],
    classes: tuple[type[BaseException], ...],
) -> None:
    """B23."""
    opened = await server.open_channel()
    server.mute()
    calls = await pending_calls(opened)

    end(server)
    errors = await errors_of(calls)

    for error in errors:
        assert all(isinstance(error, wanted) for wanted in classes)
        assert not isinstance(error, aioamqp.ChannelClosed)
        assert str(error)
    if end is reset:
        assert {error.__cause__ for error in errors} == {RESET}
        assert {error.args for error in errors} == {RESET.args}
        assert {getattr(error, "errno", None) for error in errors} == {104}


@pytest.mark.parametrize("name", ["publish", "basic_publish"])
async def test_publishers_waiting_to_write_fail_when_the_connection_is_lost(
    server: ScriptedServer, name: str
) -> None:
    """B24."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    blocked = [asyncio.create_task(getattr(opened, name)(b"m", "", "q")) for _ in range(3)]
    await wait_idle()
    assert not any(each.done() for each in blocked)

    reset(server)

    for error in await errors_of(blocked):
        assert isinstance(error, aioamqp.AmqpClosedConnection)
        assert isinstance(error, ConnectionResetError)
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await getattr(opened, name)(b"m", "", "q")


@pytest.mark.parametrize("end", ENDS)
async def test_wait_closed_and_the_worker_return_however_the_connection_ends(
    server: ScriptedServer, end: Callable[[ScriptedServer], None]
) -> None:
    """B25."""
    protocol = await server.connect()
    waiter = asyncio.create_task(protocol.wait_closed())
    await wait_idle()
    assert not waiter.done()

    end(server)

    await waiter
    await protocol.wait_closed()  # and again after the connection has closed
    assert protocol.worker is not None
    assert protocol.worker.result() is None


async def test_wait_closed_and_the_worker_return_when_the_program_closes(connect: Connect) -> None:
    """B25."""
    protocol = await connect()
    waiter = asyncio.create_task(protocol.wait_closed())

    await protocol.close()

    await waiter
    assert protocol.worker is not None
    assert protocol.worker.result() is None


@pytest.mark.parametrize(
    ("clauses", "first"),
    [
        ((aioamqp.AmqpClosedConnection, OSError), aioamqp.AmqpClosedConnection),
        ((OSError, aioamqp.AmqpClosedConnection), OSError),
    ],
)
async def test_an_unreachable_server_is_an_os_error_and_a_closed_connection(
    clauses: tuple[type[Exception], type[Exception]], first: type[Exception]
) -> None:
    """Row U35: both classes stay, so the order of the except clauses matters. See UPGRADING.md."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        caught: type[Exception] | None = None
        try:
            await aioamqp.connect("127.0.0.1", taken.getsockname()[1])
        except clauses[0]:
            caught = clauses[0]
        except clauses[1]:
            caught = clauses[1]

    assert caught is first
