"""Section 2 of the contract with aioamqp 0.15: consumers and their cancellation by the server."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, channel
from callbacks_seen import Gate, Recorder
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio


def message(tag: str, body: bytes, delivery_tag: int = 1) -> Command:
    return Command(1, basic.Deliver(tag, delivery_tag, False, "ex", "key"), Properties(), body)


async def test_the_callback_gets_channel_body_envelope_and_properties_by_position(
    connect: Connect,
) -> None:
    """B29."""
    opened = await (await connect()).channel()
    received: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def callback(*args: Any) -> None:
        received.put_nowait(args)

    name = (await opened.queue_declare(exclusive=True))["queue"]
    tag = (await opened.basic_consume(callback, name))["consumer_tag"]
    await opened.basic_publish(b"body", "", name, {"message_id": "m", "headers": {"a": 1}})
    given, body, envelope, properties = await received.get()

    assert given is opened
    assert type(body) is bytes
    assert body == b"body"
    assert type(envelope) is aioamqp.Envelope
    assert envelope.consumer_tag == tag
    assert (envelope.delivery_tag, envelope.is_redeliver) == (1, False)
    assert (envelope.exchange_name, envelope.routing_key) == ("", name)
    assert type(properties) is aioamqp.Properties
    assert (properties.message_id, properties.headers) == ("m", {"a": 1})
    assert (properties.content_type, properties.cluster_id) == (None, "")


async def test_a_consumer_handles_one_message_at_a_time_in_the_order_received(
    server: ScriptedServer,
) -> None:
    """B29, B30."""
    running: list[bytes] = []
    seen: list[bytes] = []

    async def callback(_: object, body: bytes, *__: object) -> None:
        running.append(body)
        await asyncio.sleep(int(body) % 3)  # some later ones take less time
        assert running == [body]
        seen.append(running.pop())

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    bodies = [b"%d" % n for n in range(20)]
    server.deliver("tag", *bodies)
    await asyncio.sleep(60)

    assert seen == bodies
    await opened.protocol.close()


async def test_a_slow_callback_delays_no_other_channel_or_reply(
    server: ScriptedServer,
) -> None:
    """B30. Row U34: the other consumers of its channel wait, as in 0.15."""
    slow, quick = Gate(), Recorder()
    opened = await server.open_channel()
    other = await opened.protocol.channel()
    await opened.basic_consume(slow, "q", "slow")
    await opened.basic_consume(quick, "q", "quick")
    await other.basic_consume(quick, "q", "other")
    server.deliver("slow", b"1", b"2")
    server.deliver("quick", b"3")
    server.deliver("other", b"4", channel=2)
    await wait_idle()

    assert (slow.bodies, quick.bodies) == ([b"1"], [b"4"])
    assert (await opened.queue_declare("q"))["queue"] == "q"
    assert (await other.queue_declare("q"))["queue"] == "q"
    assert (await opened.protocol.channel()).channel_id == 3
    slow.is_open.set()
    await wait_idle()
    assert (slow.bodies, quick.bodies) == ([b"1", b"2"], [b"4", b"3"])
    await opened.protocol.close()


async def test_a_callback_may_make_any_call_of_any_channel(connect: Connect) -> None:
    """B30."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    await other.confirm_select()
    done: asyncio.Queue[Any] = asyncio.Queue()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    async def callback(
        given: aioamqp.Channel, _: bytes, envelope: aioamqp.Envelope, __: aioamqp.Properties
    ) -> None:
        here = (await given.queue_declare(exclusive=True))["queue"]
        there = await protocol.channel()
        assert (await there.queue_declare(here, passive=True))["message_count"] == 0
        await other.publish(b"confirmed", "", here)
        received = (await there.basic_get(here, no_ack=True))["message"]
        await given.basic_client_ack(envelope.delivery_tag)
        await given.basic_cancel(envelope.consumer_tag)
        await there.close()
        done.put_nowait(received)

    await opened.basic_consume(callback, name)
    await opened.basic_publish(b"m", "", name)

    assert await done.get() == b"confirmed"
    assert opened.consumer_callbacks == {}


WAYS_TO_WAIT: list[Callable[[Any], Awaitable[Any]]] = [
    lambda call: call,
    asyncio.create_task,
    lambda call: asyncio.wait_for(call, 5),
    asyncio.gather,
]


@pytest.mark.parametrize("wait", WAYS_TO_WAIT, ids=["await", "create_task", "wait_for", "gather"])
async def test_the_callback_runs_only_after_basic_consume_has_returned(
    server: ScriptedServer, wait: Callable[[Any], Awaitable[Any]]
) -> None:
    """B31."""
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume)

    async def consume() -> list[bytes]:
        await wait(opened.basic_consume(seen, "q", "tag"))
        return list(seen.bodies)

    consuming = asyncio.create_task(consume())
    await wait_idle()
    server.send(message("tag", b"0"), basic.ConsumeOk("tag"), message("tag", b"1"))

    assert await consuming == []
    await wait_idle()
    assert seen.bodies == [b"0", b"1"]
    await opened.protocol.close()


async def test_the_callback_runs_without_consume_ok_with_no_wait(
    server: ScriptedServer,
) -> None:
    """B31."""
    opened, seen = await server.open_channel(), Recorder()

    await opened.basic_consume(seen, "q", "tag", no_wait=True)
    server.deliver("tag", b"m")
    await wait_idle()

    assert seen.bodies == [b"m"]
    await opened.protocol.close()


async def fails(*_: object) -> None:
    raise ZeroDivisionError


async def is_cancelled(*_: object) -> None:
    raise asyncio.CancelledError


def fails_at_once(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("callback", [fails, fails_at_once, is_cancelled])
async def test_a_callback_that_fails_is_logged_and_the_next_message_follows(
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    callback: Callable[..., Any],
) -> None:
    """B32."""
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1")
    await wait_idle()

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("aioamqp.protocol", logging.ERROR)
    assert "error on dispatch" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] in (ZeroDivisionError, asyncio.CancelledError)
    assert server.methods(basic.Ack) == server.methods(basic.Nack) == []
    assert opened.is_open
    opened.consumer_callbacks["tag"] = seen
    server.deliver("tag", b"2", first=2)
    await wait_idle()
    assert seen.bodies == [b"2"]
    await opened.protocol.close()


async def test_a_message_stays_unacknowledged_when_its_callback_fails(
    connect: Connect,
) -> None:
    """B32."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    second = asyncio.Event()

    async def callback(_: object, body: bytes, *__: object) -> None:
        if body == b"1":
            raise ZeroDivisionError
        second.set()

    name = (await opened.queue_declare(exclusive=True))["queue"]
    await opened.basic_consume(callback, name)
    for body in (b"1", b"2"):
        await opened.basic_publish(body, "", name)
    await second.wait()
    await opened.close()

    received = await other.basic_get(name)
    assert (received["message"], received["redelivered"], received["message_count"]) == (
        b"1",
        True,
        1,
    )


async def test_the_callback_is_looked_up_in_consumer_callbacks_for_every_delivery(
    server: ScriptedServer,
) -> None:
    """B33."""
    first, second = Recorder(), Recorder()
    opened = await server.open_channel()
    await opened.basic_consume(first, "q", "tag")
    assert opened.consumer_callbacks == {"tag": first}
    server.deliver("tag", b"1")
    await wait_idle()

    opened.consumer_callbacks["tag"] = second
    server.deliver("tag", b"2")
    await wait_idle()

    assert (first.bodies, second.bodies) == ([b"1"], [b"2"])
    await opened.protocol.close()


async def test_a_delivery_for_an_unknown_tag_is_logged_and_dropped_with_its_content(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B33."""
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "tag")

    server.send(message("nobody", bytes(300_000)), message("tag", b"m"))
    await wait_idle()

    assert [("nobody" in record.getMessage()) for record in caplog.records] == [True]
    assert seen.bodies == [b"m"]
    assert (await opened.queue_declare("q"))["queue"] == "q"
    await opened.protocol.close()


async def test_a_generated_consumer_tag_contains_the_channel_id_and_becomes_last_consumer_tag(
    server: ScriptedServer,
) -> None:
    """B34."""
    protocol = await server.connect()
    _, opened = await protocol.channel(), await protocol.channel()

    first = (await opened.basic_consume(None, "q"))["consumer_tag"]
    assert re.fullmatch(r"ctag2\.[0-9a-f]{32}", first)
    assert opened.last_consumer_tag == first
    second = (await opened.basic_consume(None, "q"))["consumer_tag"]
    assert opened.last_consumer_tag == second != first
    await opened.basic_consume(None, "q", "mine")
    assert opened.last_consumer_tag == "mine"
    await protocol.close()


async def test_cancelling_an_unknown_consumer_succeeds(connect: Connect) -> None:
    """B35."""
    opened = await (await connect()).channel()

    assert await opened.basic_cancel("nobody") == {"consumer_tag": "nobody"}
    assert opened.is_open


async def test_the_callback_of_a_cancelled_consumer_is_removed_after_its_last_message(
    server: ScriptedServer,
) -> None:
    """B35."""
    slow = Gate()
    opened = await server.open_channel()
    await opened.basic_consume(slow, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    await opened.basic_cancel("tag")
    assert opened.consumer_callbacks == {"tag": slow}
    slow.is_open.set()
    await wait_idle()

    assert slow.bodies == [b"1", b"2"]
    assert opened.consumer_callbacks == {}
    await opened.protocol.close()


async def test_messages_received_before_the_connection_was_lost_reach_the_callback(
    server: ScriptedServer,
) -> None:
    """B36."""
    slow = Gate()
    opened = await server.open_channel()
    await opened.basic_consume(slow, "q", "tag")
    server.deliver("tag", b"1", b"2", b"3")
    await wait_idle()

    server.transport.end(ConnectionResetError(104, "reset"))
    await opened.protocol.wait_closed()
    slow.is_open.set()
    await wait_idle()

    assert slow.bodies == [b"1", b"2", b"3"]


async def test_a_cancel_from_the_server_calls_all_cancellation_callbacks_in_order(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B37."""
    opened, consumer = await server.open_channel(), Recorder()
    calls: list[tuple[str, Any, str]] = []

    async def coroutine(given: aioamqp.Channel, tag: str) -> None:
        await asyncio.sleep(1)  # the next callback waits for this one
        calls.append(("coroutine", given, tag))

    def fails(given: aioamqp.Channel, tag: str) -> None:
        calls.append(("fails", given, tag))
        raise ZeroDivisionError

    def plain(given: aioamqp.Channel, tag: str) -> None:
        calls.append(("plain", given, tag))

    for callback in (coroutine, fails, plain):
        opened.add_cancellation_callback(callback)
    await opened.basic_consume(consumer, "q", "tag")
    server.received.clear()
    server.send(basic.Cancel("tag", no_wait=True))
    await wait_idle()
    assert opened.cancelled_consumers == {"tag"}
    await asyncio.sleep(2)

    assert calls == [(name, opened, "tag") for name in ("coroutine", "fails", "plain")]
    (record,) = (each for each in caplog.records if each.levelname == "ERROR")
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert opened.is_open
    assert opened.consumer_callbacks == {"tag": consumer}
    assert server.received == []
    await opened.protocol.close()


async def test_deleting_the_queue_cancels_its_consumers(connect: Connect) -> None:
    """B37."""
    protocol = await connect()
    opened, other = await protocol.channel(), await protocol.channel()
    cancelled: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    opened.add_cancellation_callback(lambda *args: cancelled.put_nowait(args))
    name = (await opened.queue_declare(exclusive=True))["queue"]
    await opened.basic_consume(Recorder(), name, "tag")

    await other.queue_delete(name)

    assert await cancelled.get() == (opened, "tag")
    assert opened.cancelled_consumers == {"tag"}
    assert opened.is_open
    assert (await opened.queue_declare(exclusive=True))["message_count"] == 0


async def test_an_awaitable_returned_by_a_cancellation_callback_is_awaited(
    server: ScriptedServer,
) -> None:
    """B37. Programs pass ``lambda *args: protocol.close()``, which returns a coroutine."""
    opened = await server.open_channel()
    opened.add_cancellation_callback(lambda *_: opened.protocol.close())

    server.send(basic.Cancel("tag", no_wait=True))
    await opened.protocol.wait_closed()

    assert not opened.is_open
    assert "connection.close" in server.names()
    assert server.methods(channel.Close) == []
