"""Defects of 0.15 in open connections: D8, D20, D23 to D26, D30 and D32."""

import asyncio
import logging
import struct
from typing import Any

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, OPEN
from amqp_codec import (
    HEARTBEAT,
    Command,
    Properties,
    basic,
    channel,
    connection,
    encode_command,
    queue,
)
from tests.compat.defects.scripted_tcp import (
    PREFIX,
    ScriptedServer,
    delivery,
    frames,
    outcomes,
    publish_until_paused,
    result_of,
    wait_idle,
)

fails_on_0_15 = pytest.mark.fails_on_0_15
pytestmark = pytest.mark.asyncio

HEARTBEAT_FRAME = encode_command(Command(0, HEARTBEAT))


class Bodies:
    """A consumer callback that keeps the bodies of messages."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def __call__(self, _channel: object, body: bytes, *_args: object) -> None:
        self.seen.append(body)


def enable_heartbeats(server: ScriptedServer, seconds: int) -> None:
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, 131072, seconds)


# ---------------------------------------------------------------- D8


@fails_on_0_15("assert 3 == 1")
@pytest.mark.parametrize("megabytes", [1, 20])
async def test_a_slow_callback_does_not_cause_a_heartbeat_timeout(
    server: ScriptedServer, megabytes: int
) -> None:
    """D8. Also if reading is paused because too many bytes wait for the callback."""
    enable_heartbeats(server, 1)
    opened = await server.open_channel()
    may_continue = asyncio.Event()
    count = 0

    async def slow(*_args: object) -> None:
        nonlocal count
        await may_continue.wait()
        count += 1

    tag = (await result_of(opened.basic_consume(slow, "q")))["consumer_tag"]
    server.deliver(tag, *[bytes(500_000)] * (2 * megabytes))
    for _ in range(20):
        server.send(HEARTBEAT_FRAME)
        await asyncio.sleep(0.5)
    assert opened.protocol.state == OPEN
    may_continue.set()
    assert await result_of(opened.queue_purge("q"))
    await wait_idle()
    assert count == 2 * megabytes


# ---------------------------------------------------------------- D20


@fails_on_0_15("BusyLoop")
async def test_a_dead_server_is_detected_while_writing_is_paused(server: ScriptedServer) -> None:
    """D20. The server neither reads nor sends, and its connection stays open."""
    enable_heartbeats(server, 1)
    opened = await server.open_channel()
    server.transport.pause_reading()
    publishing = asyncio.ensure_future(publish_until_paused(opened))
    await wait_idle()
    assert opened.protocol.state == OPEN
    await result_of(opened.protocol.wait_closed())
    assert opened.protocol.state == CLOSED
    assert isinstance(await result_of(publishing), (aioamqp.AmqpClosedConnection, OSError))


# ---------------------------------------------------------------- D23


@fails_on_0_15("== [b'one']")
async def test_a_heartbeat_may_arrive_between_the_frames_of_a_message(
    server: ScriptedServer,
) -> None:
    """D23. Spec: 4.2.6."""
    bodies = Bodies()
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(bodies, "q")))["consumer_tag"]
    method, header, body = frames(encode_command(delivery(tag, b"one")))
    server.send(method, HEARTBEAT_FRAME, header, HEARTBEAT_FRAME, body, HEARTBEAT_FRAME)
    assert await result_of(opened.queue_purge("q"))
    await wait_idle()
    assert bodies.seen == [b"one"]


@fails_on_0_15("waits forever")
async def test_a_reply_on_another_channel_may_arrive_between_the_frames_of_a_message(
    server: ScriptedServer,
) -> None:
    """D23. Spec: 4.2.6."""
    bodies = Bodies()
    opened = await server.open_channel()
    other = await result_of(opened.protocol.channel())
    tag = (await result_of(opened.basic_consume(bodies, "q")))["consumer_tag"]
    server.mute(queue.Purge)
    purging = asyncio.ensure_future(other.queue_purge("q"))
    await server.wait_for(queue.Purge)
    method, header, body = frames(encode_command(delivery(tag, b"one")))
    server.send(method, encode_command(Command(2, queue.PurgeOk(5))), header, body)
    assert await result_of(purging) == {"message_count": 5}
    await wait_idle()
    assert bodies.seen == [b"one"]


@fails_on_0_15("== [b'one']")
async def test_frames_of_messages_on_two_channels_may_be_interleaved(
    server: ScriptedServer,
) -> None:
    """D23. Spec: 4.2.6."""
    ones, twos = Bodies(), Bodies()
    first = await server.open_channel()
    second = await result_of(first.protocol.channel())
    one = (await result_of(first.basic_consume(ones, "q")))["consumer_tag"]
    two = (await result_of(second.basic_consume(twos, "q")))["consumer_tag"]
    of_one = frames(encode_command(delivery(one, b"one")))
    of_two = frames(encode_command(delivery(two, b"two", channel=2)))
    server.send(*(frame for pair in zip(of_one, of_two, strict=True) for frame in pair))
    await wait_idle()
    assert ones.seen == [b"one"]
    assert twos.seen == [b"two"]


# ---------------------------------------------------------------- D24

PURGE_OK = encode_command(Command(1, queue.PurgeOk(7)))


@fails_on_0_15("waits forever")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(PURGE_OK[:-1] + b"\x00", 501, id="wrong frame end"),
        pytest.param(PREFIX.pack(9, 1, 1) + b"x\xce", 501, id="unknown frame type"),
        pytest.param(PREFIX.pack(1, 1, 2) + b"xx\xce", 502, id="method cut short"),
        pytest.param(PREFIX.pack(1, 1, 200_000) + bytes(200_000) + b"\xce", 501, id="too large"),
    ],
)
async def test_invalid_frames_close_the_connection(
    server: ScriptedServer, data: bytes, code: int
) -> None:
    """D24."""
    seen: list[Exception] = []
    opened = await server.open_channel(on_error=seen.append)
    server.mute(queue.Purge)
    calling = asyncio.ensure_future(outcomes(opened.queue_purge("q")))
    await server.wait_for(queue.Purge)
    server.send(data)
    (error,) = await result_of(calling)
    assert isinstance(error, aioamqp.AmqpClosedConnection)
    await result_of(opened.protocol.wait_closed())
    assert [close.reply_code for close in server.methods(connection.Close)] == [code]
    assert len(seen) == 1


# ---------------------------------------------------------------- D25


@fails_on_0_15("waits forever")
async def test_a_close_that_times_out_aborts_the_connection(server: ScriptedServer) -> None:
    """D25, R6."""
    protocol = await server.connect()
    server.mute(connection.Close)
    with pytest.raises(asyncio.TimeoutError):
        await result_of(protocol.close(timeout=1))
    await server.wait_closed()
    assert protocol.state == CLOSED
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await result_of(protocol.close())


@fails_on_0_15("waits forever")
async def test_an_unanswered_connection_close_times_out_by_default(server: ScriptedServer) -> None:
    """D25, R6."""
    protocol = await server.connect()
    server.mute(connection.Close)
    await result_of(protocol.close())
    await server.wait_closed()


@fails_on_0_15("waits forever")
async def test_an_unanswered_channel_close_times_out_by_default(server: ScriptedServer) -> None:
    """D25, R6."""
    opened = await server.open_channel()
    server.mute(channel.Close)
    with pytest.raises(asyncio.TimeoutError):
        await result_of(opened.close())
    assert not opened.is_open


@fails_on_0_15("waits forever")
async def test_a_connection_can_be_closed_while_writing_is_paused(
    server: ScriptedServer,
) -> None:
    """D25, R7."""
    opened = await server.open_channel()
    server.send(connection.Blocked("low on memory"), channel=0)
    server.transport.pause_reading()
    publishing = asyncio.ensure_future(publish_until_paused(opened))
    await wait_idle()
    await result_of(opened.protocol.close())
    assert isinstance(await result_of(publishing), (aioamqp.AioamqpException, OSError))


@fails_on_0_15("the cancellation was ignored")
async def test_wait_closed_can_be_cancelled_at_any_time(server: ScriptedServer) -> None:
    """D25."""
    enable_heartbeats(server, 60)
    for iterations in range(10):
        assert await can_be_cancelled(server, iterations), "the cancellation was ignored"


async def can_be_cancelled(server: ScriptedServer, iterations: int) -> bool:
    """Cancel wait_closed() some iterations after a reset; return whether it was cancelled."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[None]] = []
    was_cancelled: list[bool] = []

    def cancel_after(iterations: int) -> None:
        if iterations:
            loop.call_soon(cancel_after, iterations - 1)
        else:
            was_cancelled.append(waiting[0].cancel())

    def on_error(_error: object) -> None:
        waiting.append(asyncio.ensure_future(protocol.wait_closed()))
        if len(waiting) == 1:
            loop.call_soon(cancel_after, iterations)

    protocol = await server.connect(on_error=on_error)
    server.reset()
    await wait_idle()
    await asyncio.wait(waiting)
    return waiting[0].cancelled() == was_cancelled[0]


@fails_on_0_15("assert [0] == [200]")
async def test_closing_sends_reply_code_200(server: ScriptedServer) -> None:
    """D25. Spec: 1.2, reply-success."""
    opened = await server.open_channel()
    await result_of(opened.close())
    await result_of(opened.protocol.close())
    assert [close.reply_code for close in server.methods(channel.Close)] == [200]
    assert [close.reply_code for close in server.methods(connection.Close)] == [200]


# ---------------------------------------------------------------- D26


@fails_on_0_15("waits forever")
async def test_channel_flow_is_answered_and_stops_publishing(
    server: ScriptedServer,
) -> None:
    """D26."""
    opened = await server.open_channel()
    server.send(channel.Flow(False))
    assert await server.wait_for(channel.FlowOk) == channel.FlowOk(False)
    publishing = asyncio.ensure_future(opened.basic_publish(b"one", "", "q"))
    await wait_idle()
    assert server.methods(basic.Publish) == []
    server.send(channel.Flow(True))
    assert await server.wait_for(channel.FlowOk, 2) == channel.FlowOk(True)
    await result_of(publishing)
    await server.wait_for(basic.Publish)


@fails_on_0_15("waits forever")
async def test_update_secret_from_the_server_is_answered(server: ScriptedServer) -> None:
    """D26."""
    protocol = await server.connect()
    server.send(connection.UpdateSecret(b"new", "expired"), channel=0)
    await server.wait_for(connection.UpdateSecretOk)
    assert (await result_of(protocol.channel())).is_open


async def test_a_connection_works_after_it_was_blocked_and_unblocked(
    server: ScriptedServer,
) -> None:
    """D26. This part works in 0.15.0 too, but there the program cannot see that it is blocked."""
    opened = await server.open_channel()
    server.send(connection.Blocked("low on memory"), channel=0)
    server.send(connection.Unblocked(), channel=0)
    assert await result_of(opened.queue_purge("q"))


# ---------------------------------------------------------------- D30


@fails_on_0_15("Channel closed")
async def test_a_clean_close_logs_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D30."""
    opened = await server.open_channel()
    caplog.set_level(logging.INFO)
    caplog.clear()
    await result_of(opened.close())
    await result_of(opened.protocol.close())
    await server.wait_closed()
    await wait_idle()
    logged = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert not logged, "; ".join(logged)


# ---------------------------------------------------------------- D32


async def test_basic_cancel_is_encoded_correctly(server: ScriptedServer) -> None:
    """D32. Fixed in 0.15.0."""
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(Bodies(), "q")))["consumer_tag"]
    assert await result_of(opened.basic_cancel(tag)) == {"consumer_tag": tag}
    assert server.methods(basic.Cancel) == [basic.Cancel(tag)]


async def test_basic_cancel_from_the_server_calls_the_cancellation_callback(
    server: ScriptedServer,
) -> None:
    """D32. Fixed in 0.15.0."""
    seen: list[tuple[object, str]] = []

    async def on_cancel(channel: object, tag: str) -> None:
        seen.append((channel, tag))

    opened = await server.open_channel()
    opened.add_cancellation_callback(on_cancel)
    tag = (await result_of(opened.basic_consume(Bodies(), "q")))["consumer_tag"]
    server.send(basic.Cancel(tag, no_wait=True))
    await wait_idle()
    assert seen == [(opened, tag)]
    assert opened.cancelled_consumers == {tag}
    assert opened.is_open


async def test_a_returned_message_calls_the_return_callback(server: ScriptedServer) -> None:
    """D32. Fixed in 0.15.0."""
    seen: list[Any] = []

    async def on_return(_channel: object, body: bytes, envelope: Any, properties: Any) -> None:
        seen.append((body, envelope.reply_code, envelope.reply_text, properties.message_id))

    opened = await server.open_channel()
    opened.return_callback = on_return
    method = basic.Return(312, "NO_ROUTE", "", "nowhere")
    server.send(Command(1, method, Properties(message_id="7"), b"back"))
    await wait_idle()
    assert seen == [(b"back", 312, "NO_ROUTE", "7")]


# ---------------------------------------------------------------- R11, R19: what a server may send


async def test_a_message_may_arrive_byte_by_byte(server: ScriptedServer) -> None:
    """R19. This works in 0.15.0 too."""
    bodies = Bodies()
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(bodies, "q")))["consumer_tag"]
    for byte in encode_command(delivery(tag, b"one")):
        server.send(bytes((byte,)))
        await asyncio.sleep(0)
    await wait_idle()
    assert bodies.seen == [b"one"]


def message_with_header(tag: str, value: bytes, key: bytes = b"k") -> bytes:
    """Return a message with one header, whose value is already encoded."""
    method, header, body = frames(encode_command(delivery(tag, b"odd")))
    table = struct.pack(">B", len(key)) + key + value
    payload = (
        header[PREFIX.size : PREFIX.size + 12] + struct.pack(">HI", 1 << 13, len(table)) + table
    )
    return method + PREFIX.pack(2, 1, len(payload)) + payload + b"\xce" + body


@fails_on_0_15("== [b'odd', b'next']")
@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"T" + struct.pack(">Q", (1 << 64) - 14256000),), id="time before 1970"),
        pytest.param((b"t\x01", b"\xff\xfe"), id="key"),
    ],
)
async def test_a_message_with_an_odd_header_is_delivered(
    server: ScriptedServer, header: tuple[bytes, ...]
) -> None:
    """R11."""
    bodies = Bodies()
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(bodies, "q")))["consumer_tag"]
    server.send(message_with_header(tag, *header), delivery(tag, b"next", 2))
    await wait_idle()
    assert bodies.seen == [b"odd", b"next"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"f\x7f\xc0\x00\x00", id="float that is no number"),
        pytest.param(b"d\x7f\xf8" + bytes(6), id="double that is no number"),
        pytest.param(b"T" + struct.pack(">Q", 1_700_000_000_000), id="time in milliseconds"),
        pytest.param(b"S\x00\x00\x00\x02\xff\xfe", id="string that is not UTF-8"),
    ],
)
async def test_a_message_with_an_unusual_header_is_delivered(
    server: ScriptedServer, value: bytes
) -> None:
    """R11. This part works in 0.15.0 too."""
    bodies = Bodies()
    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(bodies, "q")))["consumer_tag"]
    server.send(message_with_header(tag, value), delivery(tag, b"next", 2))
    await wait_idle()
    assert bodies.seen == [b"odd", b"next"]


@fails_on_0_15("== [b'odd', b'next']")
async def test_a_header_of_an_unknown_type_affects_only_its_message(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """R11. Row C3."""
    seen: list[bytes] = []

    async def look(channel: Any, body: bytes, envelope: Any, properties: Any) -> None:
        seen.append(body)
        assert not properties.headers

    opened = await server.open_channel()
    tag = (await result_of(opened.basic_consume(look, "q")))["consumer_tag"]
    server.send(message_with_header(tag, b"?1234"), delivery(tag, b"next", 2))
    await wait_idle()
    assert seen == [b"odd", b"next"]
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be decoded" in warnings[0].getMessage()
