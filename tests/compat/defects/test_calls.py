"""Defects of 0.15 in calls and their replies: D6, D7, D14, D15, D21, D28 and D29."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from aioamqp.channel import Channel
from amqp_codec import Command, Properties, basic, channel, exchange, queue
from tests.compat.defects.scripted_tcp import ScriptedServer, logged, outcomes, result_of, wait_idle

fails_on_0_15 = pytest.mark.fails_on_0_15
pytestmark = pytest.mark.asyncio

Call = Callable[[Channel], Awaitable[Any]]


async def on_message(*_args: object) -> None:
    """Ignore the message."""


# ---------------------------------------------------------------- D6


CALLS = [
    pytest.param(lambda c: c.queue_declare("q"), id="queue_declare"),
    pytest.param(lambda c: c.queue_purge("q"), id="queue_purge"),
    pytest.param(lambda c: c.queue_delete("q"), id="queue_delete"),
    pytest.param(lambda c: c.queue_unbind("q", "ex", "key"), id="queue_unbind"),
    pytest.param(lambda c: c.exchange_delete("ex"), id="exchange_delete"),
    pytest.param(lambda c: c.exchange_bind("to", "from", "key"), id="exchange_bind"),
    pytest.param(lambda c: c.basic_qos(prefetch_count=1), id="basic_qos"),
    pytest.param(lambda c: c.basic_recover(), id="basic_recover"),
    pytest.param(lambda c: c.basic_cancel("tag"), id="basic_cancel"),
    pytest.param(lambda c: c.flow(True), id="flow"),
]


@fails_on_0_15("Waiter already exists")
@pytest.mark.parametrize("call", CALLS)
async def test_any_number_of_equal_calls_can_run_concurrently(
    server: ScriptedServer, call: Call
) -> None:
    """D6."""
    opened = await server.open_channel()
    alone = await result_of(call(opened))
    assert await outcomes(*(call(opened) for _ in range(5))) == [alone] * 5


@fails_on_0_15("'SynchronizationError'")
async def test_concurrent_basic_gets_return_messages_in_the_order_of_the_calls(
    server: ScriptedServer,
) -> None:
    """D6."""
    opened = await server.open_channel()
    server.mute(basic.Get)
    calls = [opened.basic_get("q") for _ in range(3)]
    getting = asyncio.ensure_future(outcomes(*calls))
    await wait_idle()
    server.send(
        Command(1, basic.GetOk(1, False, "ex", "key", 1), Properties(), b"one"),
        basic.GetEmpty(),
        Command(1, basic.GetOk(2, False, "ex", "key", 0), Properties(), b"three"),
    )
    first, second, third = await result_of(getting)
    assert (first["message"], third["message"]) == (b"one", b"three")
    assert isinstance(second, aioamqp.EmptyQueue)


# ---------------------------------------------------------------- D7


@fails_on_0_15("Waiter already exists")
async def test_the_next_call_gets_its_own_reply_after_a_timeout(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D7, R3."""
    opened = await server.open_channel()
    server.mute(queue.Purge)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(opened.queue_purge("slow"), 1)
    second = asyncio.ensure_future(opened.queue_purge("quick"))
    await wait_idle()
    server.send(queue.PurgeOk(1), queue.PurgeOk(2))
    assert await result_of(second) == {"message_count": 2}
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@fails_on_0_15("error on dispatch")
async def test_a_late_reply_to_a_cancelled_call_is_not_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D7, R3."""
    opened = await server.open_channel()
    server.mute(exchange.Declare)
    call = asyncio.ensure_future(opened.exchange_declare("ex", "direct"))
    await server.wait_for(exchange.Declare)
    call.cancel()
    await asyncio.wait({call})
    server.send(exchange.DeclareOk())
    await wait_idle()
    assert logged(caplog) == []
    assert opened.is_open


@fails_on_0_15("error on dispatch")
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_can_be_cancelled_at_any_time(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, call: Call
) -> None:
    """D7, R3."""
    opened = await server.open_channel()
    iterations, was_cancelled = 0, True
    while was_cancelled:
        task = asyncio.ensure_future(call(opened))
        for _ in range(iterations):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        was_cancelled = task.cancelled()
        await result_of(call(opened))
        iterations += 1
    assert iterations > 2
    await wait_idle()
    assert logged(caplog) == []


@fails_on_0_15("SynchronizationError")
@pytest.mark.parametrize("is_reset", [False, True], ids=["end of file", "reset"])
async def test_a_repeated_call_on_a_lost_connection_raises_amqp_closed_connection(
    server: ScriptedServer, is_reset: bool
) -> None:
    """D7."""
    opened = await server.open_channel()
    server.mute(queue.Purge)
    calling = asyncio.ensure_future(outcomes(opened.queue_purge("q")))
    await server.wait_for(queue.Purge)
    if is_reset:
        server.reset()
    else:
        server.transport.close()
    (error,) = await result_of(calling)
    assert isinstance(error, (aioamqp.AmqpClosedConnection, OSError))
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await result_of(opened.queue_purge("q"))


@fails_on_0_15("SynchronizationError")
async def test_a_repeated_call_on_a_closed_channel_raises_channel_closed(
    server: ScriptedServer,
) -> None:
    """D7."""
    opened = await server.open_channel()
    server.answers[queue.Purge] = lambda _: channel.Close(404, "NOT_FOUND - no queue")
    for _ in range(2):
        with pytest.raises(aioamqp.ChannelClosed) as closed:
            await result_of(opened.queue_purge("q"))
        assert closed.value.code == 404


# ---------------------------------------------------------------- D14


@fails_on_0_15("aioamqp.gen-")
@pytest.mark.parametrize("arguments", [{}, {"queue_name": ""}, {"queue_name": None}])
async def test_a_queue_declared_without_a_name_is_named_by_the_server(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    """D14."""
    opened = await server.open_channel()
    declaring = asyncio.ensure_future(outcomes(opened.queue_declare(**arguments)))
    assert (await server.wait_for(queue.Declare)).queue == ""
    (declared,) = await result_of(declaring)
    assert declared["queue"] == "amq.gen-1"


@fails_on_0_15("aioamqp.gen-")
async def test_a_passive_declaration_without_a_name_sends_an_empty_name(
    server: ScriptedServer,
) -> None:
    """D14."""
    opened = await server.open_channel()
    declaring = asyncio.ensure_future(outcomes(opened.queue_declare(passive=True)))
    assert await server.wait_for(queue.Declare) == queue.Declare("", passive=True)
    await declaring


# ---------------------------------------------------------------- D15


@fails_on_0_15("ValueError")
@pytest.mark.parametrize("name", ["price$", "größe", "a/b|c", "n" * 232, "ü" * 127])
async def test_every_name_of_at_most_255_bytes_is_sent(server: ScriptedServer, name: str) -> None:
    """D15."""
    opened = await server.open_channel()
    assert (await result_of(opened.queue_declare(name)))["queue"] == name
    assert await result_of(opened.exchange_declare(name, "direct"))
    assert await result_of(opened.queue_bind(name, name, "key"))
    assert server.methods(queue.Declare)[0].queue == name
    assert server.methods(exchange.Declare)[0].exchange == name


@pytest.mark.parametrize("name", ["n" * 256, "ü" * 128, 7])
async def test_a_name_that_is_too_long_or_not_a_string_is_a_type_error(
    server: ScriptedServer, name: Any
) -> None:
    """D15. This works in 0.15.0 too."""
    opened = await server.open_channel()
    with pytest.raises(TypeError):
        await result_of(opened.queue_bind("q", "ex", name))
    await wait_idle()
    assert server.data == b""


# ---------------------------------------------------------------- D21


@fails_on_0_15("waits forever")
async def test_both_channel_closes_are_answered_when_they_cross(server: ScriptedServer) -> None:
    """D21."""
    opened = await server.open_channel()
    server.answers[channel.Close] = lambda _: channel.Close(406, "PRECONDITION_FAILED - crossed")
    closing = asyncio.ensure_future(outcomes(opened.close()))
    await server.wait_for(channel.CloseOk)
    server.send(channel.CloseOk())
    assert await result_of(closing) == [True]


async def test_a_channel_id_is_not_reused_before_both_sides_have_closed(
    server: ScriptedServer,
) -> None:
    """D21. This part works in 0.15.0 too."""
    opened = await server.open_channel()
    server.answers[channel.Close] = lambda _: channel.Close(406, "PRECONDITION_FAILED - crossed")
    closing = asyncio.ensure_future(outcomes(opened.close()))
    await server.wait_for(channel.Close)
    await wait_idle()
    assert (await result_of(opened.protocol.channel())).channel_id == 2
    server.send(channel.CloseOk())
    await closing
    assert (await result_of(opened.protocol.channel())).channel_id == 1


@fails_on_0_15("waits forever")
async def test_pending_calls_fail_when_the_program_closes_the_channel(
    server: ScriptedServer,
) -> None:
    """D21."""
    opened = await server.open_channel()
    server.mute(queue.Declare, exchange.Delete)
    calling = asyncio.ensure_future(
        outcomes(opened.queue_declare("q"), opened.exchange_delete("ex"))
    )
    await server.wait_for(exchange.Delete)
    assert await result_of(opened.close())
    for error in await result_of(calling):
        assert isinstance(error, aioamqp.ChannelClosed)


# ---------------------------------------------------------------- D28


@fails_on_0_15("'channel already closed or closing'")
async def test_closing_a_closed_channel_raises_code_0_with_a_message(
    server: ScriptedServer,
) -> None:
    """D28."""
    opened = await server.open_channel()
    await result_of(opened.close())
    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await result_of(opened.close())
    assert closed.value.code == 0
    assert "closed" in closed.value.message


@fails_on_0_15("assert not True")
async def test_a_late_flow_ok_does_not_reopen_a_closed_channel(server: ScriptedServer) -> None:
    """D28."""
    opened = await server.open_channel()
    server.mute(channel.Flow, channel.Close)
    calling = asyncio.ensure_future(outcomes(opened.flow(True), opened.close()))
    await server.wait_for(channel.Close)
    server.send(channel.FlowOk(True))
    await wait_idle()
    assert not opened.is_open
    server.send(channel.CloseOk())
    await calling


# ---------------------------------------------------------------- D29


@fails_on_0_15("assert 1 == 0")
async def test_a_closed_channel_is_removed_from_the_connection(server: ScriptedServer) -> None:
    """D29, R10."""
    protocol = await server.connect()
    for _ in range(3):
        await result_of((await result_of(protocol.channel())).close())
    assert len(protocol.channels) == 0
    server.answers[queue.Purge] = lambda _: channel.Close(404, "NOT_FOUND - no queue")
    with pytest.raises(aioamqp.ChannelClosed):
        await result_of((await result_of(protocol.channel())).queue_purge("q"))
    assert len(protocol.channels) == 0


async def test_the_next_channel_gets_the_lowest_free_channel_id(server: ScriptedServer) -> None:
    """R10. This works in 0.15.0 too."""
    protocol = await server.connect()
    opened = [await result_of(protocol.channel()) for _ in range(5)]
    for each in (opened[1], opened[4], opened[2]):
        await result_of(each.close())
    again = [(await result_of(protocol.channel())).channel_id for _ in range(3)]
    assert again == [2, 3, 5]
    assert len(protocol.channels) == 5


@fails_on_0_15("assert 1 == 0")
async def test_the_callback_of_a_cancelled_consumer_is_removed(server: ScriptedServer) -> None:
    """D29."""
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
    await result_of(opened.basic_cancel(tag))
    await wait_idle()
    assert len(opened.consumer_callbacks) == 0


@fails_on_0_15("objects")
async def test_finished_calls_and_consumers_leave_no_objects(
    server: ScriptedServer,
) -> None:
    """D29."""
    opened = await server.open_channel()
    server.answers[queue.Declare] = lambda m: queue.DeclareOk(m.queue, 0, 0)

    async def once(number: int) -> None:
        server.mute(queue.Declare)
        declaring = asyncio.ensure_future(opened.queue_declare(f"q{number}"))
        await server.wait_for(queue.Declare)
        declaring.cancel()
        await asyncio.wait({declaring})
        server.send(queue.DeclareOk(f"q{number}", 0, 0))
        tag = (await result_of(opened.basic_consume(on_message, "q")))["consumer_tag"]
        await result_of(opened.basic_cancel(tag))
        server.clear()

    await once(0)
    before = objects()
    for number in range(1, 21):
        await once(number)
    assert objects() - before < 20, "objects are left after every call"


def objects() -> int:
    """Count the futures, events and tasks that are not garbage."""
    gc.collect()
    kinds = (asyncio.Future, asyncio.Event, asyncio.Task)
    return sum(isinstance(each, kinds) for each in gc.get_objects())
