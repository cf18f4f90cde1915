"""Defects of 0.15 in callbacks: D9, D10 and D16 to D18."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from aioamqp.channel import Channel
from amqp_codec import Command, Properties, basic, connection, queue
from tests.compat.defects.scripted_tcp import (
    ScriptedServer,
    delivery,
    outcomes,
    result_of,
    wait_idle,
)

fails_on_0_15 = pytest.mark.fails_on_0_15
pytestmark = pytest.mark.asyncio

RETURNED = Command(1, basic.Return(312, "NO_ROUTE", "", "q"), Properties(), b"back")


class Calls:
    """A plain function that keeps the arguments of its calls."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> None:
        self.seen.append(args)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the texts logged at level ERROR."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# ---------------------------------------------------------------- D9


@fails_on_0_15("assert 2 == 1")
async def test_on_error_is_called_once_when_the_server_closes_the_connection(
    server: ScriptedServer,
) -> None:
    """D9."""
    calls = Calls()
    protocol = await server.connect(on_error=calls)
    server.send(connection.Close(320, "CONNECTION_FORCED - bye"), channel=0)
    server.transport.close()
    await result_of(protocol.wait_closed())
    await wait_idle()
    assert len(calls.seen) == 1
    ((error,),) = calls.seen
    assert isinstance(error, aioamqp.ChannelClosed)
    assert (error.code, error.message) == (320, "CONNECTION_FORCED - bye")


@fails_on_0_15("assert 2 == 1")
@pytest.mark.parametrize("is_reset", [False, True], ids=["end of file", "reset"])
async def test_on_error_is_called_once_when_the_connection_is_lost(
    server: ScriptedServer, is_reset: bool
) -> None:
    """D9."""
    calls = Calls()
    protocol = await server.connect(on_error=calls)
    if is_reset:
        server.reset()
    else:
        server.transport.close()
    await result_of(protocol.wait_closed())
    await wait_idle()
    assert len(calls.seen) == 1
    ((error,),) = calls.seen
    assert isinstance(error, aioamqp.AmqpClosedConnection)


@fails_on_0_15("assert 2 == 1")
async def test_on_error_is_called_once_when_the_program_closes_the_transport(
    server: ScriptedServer,
) -> None:
    """D9."""
    calls = Calls()
    transport, protocol = await result_of(aioamqp.connect("127.0.0.1", server.port, on_error=calls))
    transport.close()
    await result_of(protocol.wait_closed())
    await wait_idle()
    assert len(calls.seen) == 1


@fails_on_0_15("assert 2 == 1")
async def test_on_error_is_called_once_when_the_virtual_host_is_refused(
    server: ScriptedServer,
) -> None:
    """D9."""
    calls = Calls()
    server.answers[connection.Open] = lambda _: connection.Close(530, "NOT_ALLOWED - no vhost")
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await server.connect(on_error=calls)
    await wait_idle()
    assert len(calls.seen) == 1


@fails_on_0_15("ChannelClosed(ChannelClosed(320")
async def test_on_error_gets_the_same_argument_whatever_kind_of_function_it_is(
    server: ScriptedServer,
) -> None:
    """D9."""
    plain, from_coroutine = Calls(), Calls()

    async def coroutine_function(error: Exception) -> None:
        from_coroutine(error)

    for on_error in (plain, coroutine_function):
        protocol = await server.connect(on_error=on_error)
        server.send(connection.Close(320, "CONNECTION_FORCED - bye"), channel=0)
        server.transport.close()
        await result_of(protocol.wait_closed())
        await wait_idle()
    assert repr(plain.seen[0]) == repr(from_coroutine.seen[0])


@fails_on_0_15("== []")
async def test_on_error_is_not_called_when_the_program_closes(server: ScriptedServer) -> None:
    """D9."""
    calls = Calls()
    protocol = await server.connect(on_error=calls)
    await result_of(protocol.close())
    await wait_idle()
    assert calls.seen == []


@fails_on_0_15("waits forever")
async def test_pending_calls_fail_even_if_on_error_raises(server: ScriptedServer) -> None:
    """D9, R25."""

    def on_error(_error: Exception) -> None:
        raise RuntimeError("of the program")

    opened = await server.open_channel(on_error=on_error)
    server.mute(queue.Purge)
    calling = asyncio.ensure_future(outcomes(opened.queue_purge("q")))
    await server.wait_for(queue.Purge)
    server.reset()
    (error,) = await result_of(calling)
    assert isinstance(error, (aioamqp.AmqpClosedConnection, OSError))
    assert not opened.is_open


@fails_on_0_15("Task exception was never retrieved")
async def test_an_exception_in_on_error_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D9, R25."""

    async def on_error(_error: Exception) -> None:
        raise RuntimeError("of the program")

    protocol = await server.connect(on_error=on_error)
    server.reset()
    await result_of(protocol.wait_closed())
    await wait_idle()
    gc.collect()
    assert not [text for text in errors(caplog) if "never retrieved" in text], caplog.text
    assert "of the program" in caplog.text


# ---------------------------------------------------------------- D10


@fails_on_0_15("error on dispatch")
async def test_a_consumer_callback_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D10."""
    opened = await server.open_channel()
    calls = Calls()
    tag = (await result_of(opened.basic_consume(calls, "q")))["consumer_tag"]
    server.deliver(tag, b"one", b"two")
    await wait_idle()
    assert [args[1] for args in calls.seen] == [b"one", b"two"]
    assert errors(caplog) == []


@fails_on_0_15("error on dispatch")
async def test_a_return_callback_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D10."""
    calls = Calls()
    opened = await server.open_channel()
    opened.return_callback = calls
    server.send(RETURNED)
    await wait_idle()
    assert [args[1] for args in calls.seen] == [b"back"]
    assert errors(caplog) == []


@fails_on_0_15("raised exception TypeError")
async def test_a_cancellation_callback_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D10."""
    calls = Calls()
    opened = await server.open_channel()
    opened.add_cancellation_callback(calls)
    tag = (await result_of(opened.basic_consume(Calls(), "q")))["consumer_tag"]
    server.send(basic.Cancel(tag, no_wait=True))
    await wait_idle()
    assert calls.seen == [(opened, tag)]
    assert errors(caplog) == []


# ---------------------------------------------------------------- D16

Call = Callable[[Channel], Awaitable[Any]]

CALLS = [
    pytest.param(lambda c: c.queue_declare("q"), id="on the same channel"),
    pytest.param(lambda c: c.protocol.channels[2].queue_declare("q"), id="on another channel"),
    pytest.param(lambda c: c.protocol.channel(), id="a new channel"),
    pytest.param(lambda c: c.close(), id="closing the channel"),
]


@fails_on_0_15("waits forever")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["consumer", "return", "cancellation"])
async def test_a_callback_may_make_any_call(server: ScriptedServer, kind: str, call: Call) -> None:
    """D16, R4, R5."""
    protocol = await server.connect()
    opened, other = await result_of(protocol.channel()), await result_of(protocol.channel())
    done = asyncio.get_running_loop().create_future()

    async def callback(*_args: Any) -> None:
        done.set_result(await call(opened))

    tag = (await result_of(opened.basic_consume(callback if kind == "consumer" else Calls(), "q")))[
        "consumer_tag"
    ]
    opened.return_callback = callback
    opened.add_cancellation_callback(callback)
    triggers: dict[str, Command] = {
        "consumer": delivery(tag, b"one"),
        "return": RETURNED,
        "cancellation": Command(1, basic.Cancel(tag, no_wait=True)),
    }
    server.send(triggers[kind])
    await result_of(asyncio.shield(done))
    assert await result_of(other.queue_purge("q"))


@fails_on_0_15("waits forever")
async def test_a_callback_may_close_the_connection(server: ScriptedServer) -> None:
    """D16."""
    opened = await server.open_channel()
    done = asyncio.get_running_loop().create_future()

    async def on_message(*_args: Any) -> None:
        await opened.protocol.close()
        done.set_result(None)

    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one")
    await result_of(asyncio.shield(done))
    await server.wait_closed()


@fails_on_0_15("waits forever")
async def test_a_callback_may_publish_in_confirm_mode(server: ScriptedServer) -> None:
    """D16."""
    opened = await server.open_channel()
    await result_of(opened.confirm_select())
    server.answers[basic.Publish] = lambda _: basic.Ack(1)
    done = asyncio.get_running_loop().create_future()

    async def on_message(*_args: Any) -> None:
        await opened.publish(b"reply", "", "q")
        done.set_result(None)

    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one")
    await result_of(asyncio.shield(done))


@fails_on_0_15("waits forever")
async def test_a_slow_callback_delays_no_other_channel_and_no_call(
    server: ScriptedServer,
) -> None:
    """D16, R4."""
    opened = await server.open_channel()
    other = await result_of(opened.protocol.channel())
    may_end = asyncio.Event()

    async def slow(*_args: Any) -> None:
        await may_end.wait()

    quick = asyncio.Queue[bytes]()

    async def on_message(_channel: object, body: bytes, *_args: Any) -> None:
        quick.put_nowait(body)

    slow_tag = (await result_of(opened.basic_consume(slow, "slow")))["consumer_tag"]
    tag = (await result_of(other.basic_consume(on_message, "quick")))["consumer_tag"]
    server.deliver(slow_tag, b"1", b"2", b"3")
    server.deliver(tag, b"one", channel=2)
    assert await result_of(quick.get()) == b"one"
    assert await result_of(opened.queue_purge("q"))
    may_end.set()


@fails_on_0_15("waits forever")
async def test_a_cancellation_callback_may_start_a_new_consumer(
    server: ScriptedServer,
) -> None:
    """D16, R5. Meanwhile another channel works."""
    protocol = await server.connect()
    opened, other = await result_of(protocol.channel()), await result_of(protocol.channel())
    bodies: list[bytes] = []

    async def on_message(_channel: object, body: bytes, *_args: Any) -> None:
        bodies.append(body)

    async def on_cancel(channel: Channel, tag: str) -> None:
        await channel.basic_consume(on_message, "q", consumer_tag="again")

    opened.add_cancellation_callback(on_cancel)
    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    server.send(basic.Cancel(tag, no_wait=True))
    await server.wait_for(basic.Consume, 2)
    server.deliver("again", *(b"%d" % number for number in range(25)))
    assert await result_of(other.queue_purge("q"))
    await wait_idle()
    assert bodies == [b"%d" % number for number in range(25)]


# ---------------------------------------------------------------- D17


@fails_on_0_15("waits forever")
async def test_a_cancelled_error_from_a_callback_is_logged_and_stops_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D17, R25."""
    opened = await server.open_channel()
    bodies: list[bytes] = []

    async def on_message(_channel: object, body: bytes, *_args: Any) -> None:
        bodies.append(body)
        raise asyncio.CancelledError

    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one", b"two")
    assert await result_of(opened.queue_purge("q"))
    await wait_idle()
    assert bodies == [b"one", b"two"]
    assert len(errors(caplog)) == 2


async def test_an_exception_in_a_callback_is_logged_once_and_the_next_message_follows(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """R25. This works in 0.15.0 too."""
    opened = await server.open_channel()
    bodies: list[bytes] = []

    async def on_message(_channel: object, body: bytes, *_args: Any) -> None:
        bodies.append(body)
        raise RuntimeError("of the program")

    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one", b"two")
    await wait_idle()
    assert bodies == [b"one", b"two"]
    assert len(errors(caplog)) == 2
    assert "of the program" in caplog.text
    assert await result_of(opened.queue_purge("q"))


# ---------------------------------------------------------------- D18


@fails_on_0_15("waits forever")
async def test_other_consumers_work_when_basic_consume_is_cancelled_at_any_time(
    server: ScriptedServer,
) -> None:
    """D18, R3."""
    opened = await server.open_channel()
    bodies = asyncio.Queue[bytes]()

    async def on_message(_channel: object, body: bytes, *_args: Any) -> None:
        bodies.put_nowait(body)

    steady = (await result_of(opened.basic_consume(on_message, "steady")))["consumer_tag"]
    server.answers[basic.Consume] = consume_and_deliver(server)
    iterations, was_cancelled = 0, True
    while was_cancelled:
        iterations += 1
        task = asyncio.ensure_future(opened.basic_consume(on_message, "q"))
        for _ in range(iterations):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        was_cancelled = task.cancelled()
        await wait_idle()
        while not bodies.empty():
            bodies.get_nowait()
        server.deliver(steady, b"tick")
        assert await result_of(bodies.get()) == b"tick"
    assert iterations > 2


def consume_and_deliver(server: ScriptedServer) -> Callable[[basic.Consume], None]:
    """Return an answer that sends consume-ok and a message in one write."""

    def answer(consume: basic.Consume) -> None:
        tag = consume.consumer_tag
        server.send(basic.ConsumeOk(tag), delivery(tag, b"first"))

    return answer
