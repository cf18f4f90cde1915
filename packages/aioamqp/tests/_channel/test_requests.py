"""Matching replies to their requests."""

import asyncio
import gc

import pytest

from aioamqp._channel.requests import PendingRequests
from aioamqp.exceptions import ChannelClosed, ProtocolViolation
from amqp_codec import (
    Command,
    basic,
    exchange,
    queue,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


DECLARED = Command(1, queue.DeclareOk("a"))


BOUND = Command(1, queue.BindOk())


def future() -> asyncio.Future[Command]:
    return asyncio.get_running_loop().create_future()


async def test_replies_are_matched_in_the_order_of_requests() -> None:
    replies, first, second = PendingRequests(), future(), future()
    other = Command(1, queue.DeclareOk("b"))
    replies.add(first, queue.Declare("a"))
    replies.add(second, queue.Declare("a"))

    replies.receive_reply(DECLARED)
    replies.receive_reply(other)

    assert (await first, await second) == (DECLARED, other)


async def test_the_late_reply_to_a_cancelled_call_is_dropped() -> None:
    replies, given_up, waiting = PendingRequests(), future(), future()
    replies.add(given_up, queue.Declare("a"))
    replies.add(waiting, queue.Bind("a"))
    given_up.cancel()

    replies.receive_reply(DECLARED)
    replies.receive_reply(BOUND)

    assert await waiting == BOUND


async def test_on_late_reply_is_called_with_the_reply_to_a_cancelled_call() -> None:
    replies, given_up, seen = PendingRequests(), future(), list[Command]()
    replies.add(given_up, queue.Declare("a"), seen.append)
    given_up.cancel()

    replies.receive_reply(DECLARED)

    assert seen == [DECLARED]


async def test_on_late_reply_is_not_called_with_a_reply_in_time() -> None:
    replies, waiting, seen = PendingRequests(), future(), list[Command]()
    replies.add(waiting, queue.Declare("a"), seen.append)

    replies.receive_reply(DECLARED)

    assert seen == []
    assert await waiting == DECLARED


async def test_either_of_several_replies_is_accepted() -> None:
    replies, waiting = PendingRequests(), future()
    replies.add(waiting, basic.Get("a"))

    replies.receive_reply(Command(1, basic.GetEmpty()))

    assert (await waiting).method == basic.GetEmpty()


async def test_an_unexpected_reply_is_a_protocol_violation_505() -> None:
    replies, waiting = PendingRequests(), future()
    replies.add(waiting, exchange.Declare("a"))

    with pytest.raises(ProtocolViolation, match=r"queue\.bind-ok.*exchange\.declare-ok") as caught:
        replies.receive_reply(BOUND)

    assert caught.value.code == 505
    assert not waiting.done()


async def test_a_reply_without_a_request_is_a_protocol_violation_503() -> None:
    with pytest.raises(ProtocolViolation, match=r"queue\.bind-ok") as caught:
        PendingRequests().receive_reply(BOUND)

    assert caught.value.code == 503


async def test_replies_for_a_consumer_may_come_after_replies_to_later_requests() -> None:
    """RabbitMQ: the queue answers basic.consume, and the channel answers later requests meanwhile."""
    replies = PendingRequests()
    consume, other, cancel, declare = (future() for _ in range(4))
    replies.add(consume, basic.Consume("q", "a"))
    replies.add(other, basic.Consume("q", "b"))
    replies.add(cancel, basic.Cancel("a"))
    replies.add(declare, queue.Declare("a"))

    replies.receive_reply(DECLARED)
    replies.receive_reply(Command(1, basic.ConsumeOk("b")))
    replies.receive_reply(Command(1, basic.ConsumeOk("a")))
    replies.receive_reply(Command(1, basic.CancelOk("a")))

    assert await declare == DECLARED
    assert (await consume).method == basic.ConsumeOk("a")
    assert (await other).method == basic.ConsumeOk("b")
    assert (await cancel).method == basic.CancelOk("a")
    assert len(replies) == 0


async def test_replies_for_one_consumer_come_in_order() -> None:
    replies, consume, cancel = PendingRequests(), future(), future()
    replies.add(consume, basic.Consume("q", "a"))
    replies.add(cancel, basic.Cancel("a"))

    with pytest.raises(ProtocolViolation, match=r"cancel-ok.*where basic\.consume-ok is due"):
        replies.receive_reply(Command(1, basic.CancelOk("a")))


async def test_a_reply_for_an_unknown_consumer_is_a_protocol_violation_503() -> None:
    replies, consume = PendingRequests(), future()
    replies.add(consume, basic.Consume("q", "a"))

    with pytest.raises(ProtocolViolation, match=r"consume-ok.*no reply is due") as caught:
        replies.receive_reply(Command(1, basic.ConsumeOk("b")))

    assert caught.value.code == 503


async def test_fail_raises_the_error_in_every_call_once() -> None:
    replies, first, given_up, last = PendingRequests(), future(), future(), future()
    for each in (first, given_up):
        replies.add(each, queue.Bind("a"))
    replies.add(last, basic.Consume("q", "tag"))
    given_up.cancel()
    error = ChannelClosed(404, "NOT_FOUND")

    replies.fail(error)
    replies.fail(ChannelClosed(500, "later"))

    assert first.exception() is last.exception() is error
    assert given_up.cancelled()
    assert len(replies) == 0


# -------------------------------------------------------------------- on a channel


async def test_calls_of_one_kind_can_be_made_side_by_side(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    results = await asyncio.gather(*(opened.queue_declare(f"q{n}") for n in range(5)))

    assert [result["queue"] for result in results] == [f"q{n}" for n in range(5)]
    await opened.protocol.close()


async def test_after_a_cancelled_call_the_next_one_gets_its_own_reply(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(opened.queue_declare("first"), 0.05)
    second = asyncio.create_task(opened.queue_declare("second"))
    await wait_idle()
    server.send(queue.DeclareOk("first"))
    await wait_idle()

    assert not second.done()

    server.send(queue.DeclareOk("second"))

    assert (await second)["queue"] == "second"
    await opened.protocol.close()


async def test_a_call_has_a_timeout_of_its_own(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(exchange.Declare)

    with pytest.raises(TimeoutError):
        await opened.exchange_declare("e", timeout=1)

    server.send(exchange.DeclareOk())
    await wait_idle()
    assert await opened.queue_declare("q", timeout=1)
    await opened.protocol.close()


async def test_an_expired_timeout_is_named_in_round_seconds(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(exchange.Declare)

    with pytest.raises(TimeoutError, match=r"answered exchange\.declare within 3 seconds"):
        await opened.exchange_declare("e", timeout=2.999998198)  # what recovery has left of 3

    server.send(exchange.DeclareOk())
    await opened.protocol.close()


async def test_a_call_cancelled_in_the_turn_in_which_its_reply_comes_is_cancelled(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    task = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    server.send(queue.DeclareOk("q"))
    asyncio.get_running_loop().call_soon(task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task
    server.send(queue.DeclareOk("r"))
    assert (await opened.queue_declare("r"))["queue"] == "r"
    await opened.protocol.close()


async def test_the_reply_to_an_unbind_with_no_wait_is_dropped(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    await opened.queue_unbind("q", "e", "k", no_wait=True)

    assert (await opened.queue_declare("q"))["queue"] == "q"
    await opened.protocol.close()


async def test_the_reply_to_a_call_whose_coroutine_was_closed_is_dropped(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await server.open_channel()
    for name in ("first", "third"):
        call = opened.queue_declare(name)
        call.send(None)
        call.close()
        del call
        if name == "first":
            assert (await opened.queue_declare("second"))["queue"] == "second"

    await opened.protocol.close()
    gc.collect()

    assert caplog.messages == []
