"""Consumers: whose callback runs when, and what may happen meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted_server import ScriptedServer, settle

import aioamqp
from amqp_codec import Command, Properties, basic, channel, connection

pytestmark = pytest.mark.asyncio


class Recorder:
    """A callback that remembers what it was called with."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.calls: list[tuple[Any, ...]] = []

    async def __call__(self, *args: Any) -> None:
        self.calls.append(args)
        self.bodies.append(args[1])


class Gate(Recorder):
    """A callback that lasts until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()
        self.finished = 0

    async def __call__(self, *args: Any) -> None:
        await super().__call__(*args)
        await self.is_open.wait()
        self.finished += 1


def acks(server: ScriptedServer) -> list[int]:
    return [ack.delivery_tag for ack in server.methods(basic.Ack)]


async def test_a_message_is_given_to_the_callback(server: ScriptedServer) -> None:
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "tag")

    server.send(Command(1, basic.Deliver("tag", 7, True, "e", "k"), Properties(type="t"), b"body"))
    await settle()

    ((given, body, envelope, properties),) = seen.calls
    assert (given, body) == (opened, b"body")
    assert (envelope.consumer_tag, envelope.delivery_tag) == ("tag", 7)
    assert (envelope.exchange_name, envelope.routing_key, envelope.is_redeliver) == ("e", "k", True)
    assert properties.message_type == "t"
    await opened.protocol.close()


async def test_consume_sends_what_it_was_asked_and_makes_up_a_tag(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    result = await opened.basic_consume(
        None, "q", no_local=True, no_ack=True, exclusive=True, arguments={"x-priority": 1}
    )

    tag = result["consumer_tag"]
    assert tag.startswith("ctag1.")
    assert len(tag) == len("ctag1.") + 32
    assert opened.last_consumer_tag == tag
    assert server.methods(basic.Consume) == [
        basic.Consume("q", tag, True, True, True, False, {"x-priority": 1})
    ]
    await opened.protocol.close()


async def test_messages_come_in_order_and_one_at_a_time(server: ScriptedServer) -> None:
    running, most, seen = 0, 0, []

    async def callback(_: object, body: bytes, *__: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        seen.append(body)
        running -= 1

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    bodies = [b"%d" % n for n in range(10)]
    server.deliver("tag", *bodies[:5])
    server.deliver("tag", *bodies[5:], first=6)
    await asyncio.sleep(11)

    assert seen == bodies
    assert most == 1
    await opened.protocol.close()


async def test_the_callback_does_not_run_before_consume_has_returned(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    message = Command(1, basic.Deliver("tag", 1, False, "", ""), Properties(), b"early")
    server.mute(basic.Consume)
    wraps: list[Callable[[Any], Awaitable[Any]]] = [
        lambda call: call,
        asyncio.create_task,
        lambda call: asyncio.wait_for(call, 5),
        asyncio.gather,
    ]

    async def consume(wrap: Callable[[Any], Awaitable[Any]]) -> list[bytes]:
        await wrap(opened.basic_consume(seen, "q", "tag"))
        return list(seen.bodies)

    for wrap in wraps:
        seen.bodies.clear()
        consuming = asyncio.create_task(consume(wrap))
        await settle()
        server.send(message, basic.ConsumeOk("tag"), message)
        assert await consuming == []
        await settle()
        assert seen.bodies == [b"early", b"early"]
        await opened.basic_cancel("tag")
    await opened.protocol.close()


async def test_with_no_wait_the_callback_runs_as_soon_as_messages_come(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()

    assert await opened.basic_consume(seen, "q", "tag", no_wait=True) == {"consumer_tag": "tag"}
    server.deliver("tag", b"1")
    await settle()

    assert seen.bodies == [b"1"]
    await opened.protocol.close()


async def test_a_plain_function_may_be_a_callback(server: ScriptedServer) -> None:
    seen: list[bytes] = []
    opened = await server.open_channel()
    await opened.basic_consume(lambda _, body, *__: seen.append(body), "q", "tag")

    server.deliver("tag", b"1", b"2")
    await settle()

    assert seen == [b"1", b"2"]
    await opened.protocol.close()


async def test_a_callback_may_make_any_call(server: ScriptedServer) -> None:
    seen: list[Any] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        seen.append((await channel.queue_declare("q"))["queue"])
        other = await channel.protocol.channel()
        seen.append((await other.queue_declare("r"))["queue"])
        await other.close()
        await channel.basic_publish(body, "", "q")
        await channel.basic_client_ack(envelope.delivery_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await settle()

    assert seen == ["q", "r", "q", "r"]
    assert acks(server) == [1, 2]
    await opened.protocol.close()


async def test_a_slow_callback_delays_nobody_else(server: ScriptedServer) -> None:
    opened, slow, quick = await server.open_channel(), Gate(), Recorder()
    other = await opened.protocol.channel()
    await opened.basic_consume(slow, "q", "slow")
    await opened.basic_consume(quick, "q", "quick")
    await other.basic_consume(quick, "q", "other")

    server.deliver("slow", b"1", b"2")
    server.deliver("quick", b"3")
    server.deliver("other", b"4", channel=2)
    await settle()

    assert slow.bodies == [b"1"]
    assert quick.bodies == [b"3", b"4"]
    assert await opened.queue_declare("q")
    slow.is_open.set()
    await settle()
    assert slow.bodies == [b"1", b"2"]
    await opened.protocol.close()


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), asyncio.CancelledError("mine")])
async def test_a_callback_that_fails_is_logged_and_the_next_message_follows(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    seen: list[bytes] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        if body == b"bad":
            raise error
        seen.append(body)
        await channel.basic_client_ack(envelope.delivery_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"bad", b"good")
    await settle()

    assert seen == [b"good"]
    assert acks(server) == [2]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("aioamqp.channel", "ERROR")
    assert "error on dispatch" in record.message
    assert "tag" in record.message
    assert "callback" in record.message
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    await opened.protocol.close()


async def test_a_worker_that_is_cancelled_ends_and_reading_goes_on(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp.protocol.BACKLOG", 1000)
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", *[b"x" * 1000] * 3)
    await settle()

    (worker,) = (t for t in asyncio.all_tasks() if t.get_name() == "aioamqp consumer tag")
    worker.cancel()
    await settle()
    server.deliver("tag", b"x" * 10_000)
    await settle()

    assert worker.cancelled()
    assert server.transport.is_reading
    assert opened.protocol.wire.backlog.size == 0
    await opened.protocol.close()


async def test_the_callback_is_looked_up_for_every_message(server: ScriptedServer) -> None:
    opened, first, second = await server.open_channel(), Recorder(), Recorder()
    await opened.basic_consume(first, "q", "tag")
    server.deliver("tag", b"1")
    await settle()

    opened.consumer_callbacks["tag"] = second
    server.deliver("tag", b"2")
    await settle()

    assert (first.bodies, second.bodies) == ([b"1"], [b"2"])
    await opened.protocol.close()


@pytest.mark.parametrize("tag", ["tag", "unknown"])
async def test_a_message_without_a_callback_is_dropped_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, tag: str
) -> None:
    opened = await server.open_channel()
    await opened.basic_consume(None, "q", "tag")

    server.deliver(tag, b"1")
    await settle()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert tag in caplog.text
    assert opened.is_open
    await opened.protocol.close()


async def test_a_message_whose_headers_cannot_be_decoded_troubles_no_other(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    poison = Properties()
    poison._headers = b"\x00\x00\x00\x03\x01a?"
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "tag")

    server.send(Command(1, basic.Deliver("tag", 1, False, "", ""), poison, b"poison"))
    server.deliver("tag", b"good", first=2)
    await settle()

    assert seen.bodies == [b"good"]
    assert "delivery tag 1" in caplog.text
    await opened.protocol.close()


# -------------------------------------------------------------------- too many messages


async def test_reading_stops_while_too_much_waits_and_goes_on_after(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp.protocol.BACKLOG", 10_000)
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")

    for n in range(1, 11):
        server.deliver("tag", b"x" * 4000, first=n)
    await settle()
    assert not server.transport.is_reading
    assert len(gate.bodies) == 1

    gate.is_open.set()
    await settle()
    assert server.transport.is_reading

    assert [call[2].delivery_tag for call in gate.calls] == list(range(1, 11))
    assert opened.protocol.wire.backlog.size == 0
    await opened.protocol.close()


async def test_a_callback_gets_its_reply_even_while_too_much_waits(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp.protocol.BACKLOG", 1000)
    go_on, names = asyncio.Event(), []

    async def callback(channel: aioamqp.Channel, *_: object) -> None:
        await go_on.wait()
        names.append((await channel.queue_declare("q"))["queue"])

    opened = await server.open_channel(heartbeat=0)
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", *[b"x" * 1000] * 5)
    await settle()
    assert not server.transport.is_reading

    go_on.set()
    await settle()

    assert names == ["q"] * 5
    assert server.transport.is_reading
    await opened.protocol.close()


async def test_a_connection_that_reads_nothing_can_be_closed(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp.protocol.BACKLOG", 1000)
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", *[b"x" * 1000] * 5)
    await settle()
    assert not server.transport.is_reading

    await opened.protocol.close()

    assert not server.transport.was_aborted
    gate.is_open.set()


# -------------------------------------------------------------------- cancelling


async def test_after_a_cancel_what_was_delivered_still_comes(server: ScriptedServer) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await settle()

    assert await opened.basic_cancel("tag") == {"consumer_tag": "tag"}
    gate.is_open.set()
    await settle()

    assert gate.bodies == [b"1", b"2"]
    assert opened.consumer_callbacks == {}
    await opened.protocol.close()


async def test_a_consumer_can_cancel_itself(server: ScriptedServer) -> None:
    seen: list[bytes] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        seen.append(body)
        await channel.basic_cancel(envelope.consumer_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await settle()

    assert seen == [b"1", b"2"]
    assert opened.consumer_callbacks == {}
    await opened.protocol.close()


@pytest.mark.parametrize("no_ack", [False, True])
@pytest.mark.parametrize("in_the_same_turn", [False, True])
async def test_a_consume_that_is_cancelled_leaves_no_consumer_and_no_message_behind(
    server: ScriptedServer, no_ack: bool, in_the_same_turn: bool
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume, basic.Cancel)
    consuming = asyncio.create_task(opened.basic_consume(seen, "q", "tag", no_ack=no_ack))
    await settle()

    if in_the_same_turn:
        server.send(basic.ConsumeOk("tag"))
        asyncio.get_running_loop().call_soon(consuming.cancel)
    else:
        consuming.cancel()
        server.send(basic.ConsumeOk("tag"))
    with pytest.raises(asyncio.CancelledError):
        await consuming
    server.deliver("tag", b"1", b"2")
    server.send(basic.CancelOk("tag"))
    await settle()

    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    assert [nack.delivery_tag for nack in server.methods(basic.Nack)] == ([] if no_ack else [1, 2])
    assert all(nack.requeue for nack in server.methods(basic.Nack))
    assert seen.bodies == []
    assert opened.consumer_callbacks == {}
    assert opened.is_open
    await opened.protocol.close()


async def test_a_tag_can_be_used_again_at_once_after_a_consume_was_cancelled(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume, basic.Cancel)
    with pytest.raises(TimeoutError):
        await opened.basic_consume(seen, "q", "tag", timeout=1)
    second = asyncio.create_task(opened.basic_consume(seen, "q", "tag"))
    await settle()

    server.send(basic.ConsumeOk("tag"), basic.CancelOk("tag"), basic.ConsumeOk("tag"))
    server.deliver("tag", b"1")
    await second
    await settle()

    assert server.names() == ["basic.consume", "basic.cancel", "basic.consume"]
    assert seen.bodies == [b"1"]
    await opened.protocol.close()


async def test_a_server_s_cancel_is_told_to_the_callbacks_in_their_order(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    opened = await server.open_channel()

    async def consume_again(channel: aioamqp.Channel, tag: str) -> None:
        await channel.basic_consume(Recorder(), "q", "again")
        seen.append(("again", channel, tag))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    opened.add_cancellation_callback(lambda channel, tag: seen.append(("plain", channel, tag)))
    opened.add_cancellation_callback(fail)
    opened.add_cancellation_callback(consume_again)
    await opened.basic_consume(None, "q", "tag")

    server.send(basic.Cancel("tag", True))
    await settle()

    assert seen == [("plain", opened, "tag"), ("again", opened, "tag")]
    assert opened.cancelled_consumers == {"tag"}
    assert "tag" in opened.consumer_callbacks
    assert "a cancellation callback" in caplog.text
    assert "basic.cancel-ok" not in server.names()
    assert opened.is_open
    await opened.protocol.close()


async def test_a_server_s_cancel_that_wants_an_answer_gets_one(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(basic.Cancel("tag"))
    await settle()

    assert server.methods(basic.CancelOk) == [basic.CancelOk("tag")]
    await opened.protocol.close()


# -------------------------------------------------------------------- ending


@pytest.mark.parametrize("whole_connection", [False, True])
async def test_a_callback_may_close_what_it_runs_on(
    server: ScriptedServer, whole_connection: bool
) -> None:
    seen: list[bytes] = []
    closed = asyncio.Event()

    async def callback(channel: aioamqp.Channel, body: bytes, *_: object) -> None:
        seen.append(body)
        if whole_connection:
            await channel.protocol.close()
            await channel.protocol.wait_closed()
        else:
            await channel.close()
        closed.set()

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    async with asyncio.timeout(1):
        await closed.wait()

    assert seen == [b"1"]
    assert opened.protocol.wire.backlog.size == 0
    if not whole_connection:
        await opened.protocol.close()


async def test_what_was_delivered_before_the_link_broke_still_comes(server: ScriptedServer) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2")
    await settle()

    server.transport.end(ConnectionResetError(104, "reset"))
    await opened.protocol.wait_closed()
    gate.is_open.set()
    await settle()

    assert gate.bodies == [b"1", b"2"]


async def test_what_was_delivered_before_the_server_closed_the_channel_still_comes(
    server: ScriptedServer,
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2")
    server.send(channel.Close(404, "NOT_FOUND"))
    await settle()
    gate.is_open.set()
    await settle()

    assert gate.bodies == [b"1", b"2"]
    await opened.protocol.close()


async def test_after_closing_no_worker_is_left(server: ScriptedServer) -> None:
    opened, seen = await server.open_channel(), Recorder()
    for n in range(5):
        await opened.basic_consume(seen, "q", f"tag{n}")
    server.deliver("tag0", b"1")
    await settle()

    await opened.protocol.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_callback_that_runs_when_the_program_closes_is_let_finish(
    server: ScriptedServer,
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await settle()

    await opened.protocol.close()
    gate.is_open.set()
    await settle()

    assert (gate.bodies, gate.finished) == ([b"1"], 1)


async def test_a_duplicate_tag_is_refused_by_the_server(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.basic_consume(Recorder(), "q", "tag")
    server.mute(basic.Consume)
    second = asyncio.create_task(opened.basic_consume(Recorder(), "q", "tag"))
    await settle()

    server.send(connection.Close(530, "NOT_ALLOWED - attempt to reuse consumer tag"), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await second
    assert caught.value.code == 530
