"""Arguments that cannot be sent: the error names each, and nothing is written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
    connection,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


Call = Callable[[aioamqp.Channel], Awaitable[Any]]


REFUSED: dict[str, tuple[Call, str]] = {
    "a name over 255 bytes": (
        lambda c: c.queue_declare("q" * 256),
        "queue.declare.queue: must be at most 255 bytes of UTF-8, not 256",
    ),
    "a name over 255 bytes of UTF-8": (
        lambda c: c.exchange_declare("ä" * 128, "fanout"),
        "exchange.declare.exchange",
    ),
    "a routing key over 255 bytes": (
        lambda c: c.basic_publish(b"", "", "k" * 256),
        "basic.publish.routing_key",
    ),
    "a name that is no string": (lambda c: c.queue_delete(7), "queue.delete.queue"),  # type: ignore[arg-type]
    "a header that cannot be encoded": (
        lambda c: c.publish(b"", "", "q", {"headers": {"trace": [1, {"at": object()}]}}),
        r"properties\.headers\.trace\[1\]\.at",
    ),
    "headers that do not fit into a frame": (
        lambda c: c.publish(b"", "", "q", {"headers": {"big": "x" * 200_000}}),
        "a frame holds 131064",
    ),
    "a property that is unknown": (
        lambda c: c.publish(b"", "", "q", {"content-type": "text/plain"}),
        "there is no property 'content-type'; there are content_type",
    ),
    "a body that is not bytes": (
        lambda c: c.publish(["a"], "", "q"),  # type: ignore[arg-type]
        "must be bytes",
    ),
    "a body that is too large": (
        lambda c: c.publish(bytes(1001), "", "q"),
        "payload: has 1001 bytes, more than max_message_size=1000: send it in parts",
    ),
    "a prefetch that is out of range": (
        lambda c: c.basic_qos(prefetch_count=65536),
        "basic.qos.prefetch_count",
    ),
    "a timeout that is no number": (
        lambda c: c.queue_declare("q", timeout="1"),  # type: ignore[call-overload]
        "timeout: must be a number of seconds or None, not str",
    ),
    "a timeout of a channel close that is no number": (
        lambda c: c.close(timeout="1"),  # type: ignore[arg-type]
        "timeout: must be a number of seconds or None, not str",
    ),
    "a timeout of a connection close that is no number": (
        lambda c: c.protocol.close(timeout="1"),  # type: ignore[arg-type]
        "timeout: must be a number of seconds or None, not str",
    ),
    "a delivery tag that is negative": (
        lambda c: c.basic_client_ack(-1),
        "basic.ack.delivery_tag",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_bad_argument_is_named_and_nothing_is_written(
    server: ScriptedServer, what: str
) -> None:
    opened = await server.open_channel(max_message_size=1000)
    await opened.confirm_select()
    server.received.clear()
    server.transport.writes.clear()
    call, culprit = REFUSED[what]

    with pytest.raises(aioamqp.InvalidArgument, match=culprit) as refused:
        await call(opened)
    await wait_idle()

    assert isinstance(refused.value, (ValueError, TypeError))
    assert server.transport.writes == []
    publishing = asyncio.create_task(opened.publish(b"good", "", "q"))
    await wait_idle()
    server.send(basic.Ack(1))
    await publishing
    await opened.protocol.close()


@pytest.mark.parametrize(
    "body",
    [bytes(1000), bytearray(1000), memoryview(bytes(1000)), memoryview(bytes(1000)).cast("q")],
)
async def test_a_body_may_have_max_message_size(server: ScriptedServer, body: Any) -> None:
    opened = await server.open_channel(max_message_size=1000)

    await opened.publish(body, "", "q")
    await wait_idle()

    assert [len(c.body) for c in server.received] == [1000]
    await opened.protocol.close()


async def test_max_message_size_counts_bytes_not_items(server: ScriptedServer) -> None:
    opened = await server.open_channel(max_message_size=1000)

    with pytest.raises(aioamqp.MessageTooLarge, match="has 1008 bytes"):
        await opened.publish(memoryview(bytes(1008)).cast("q"), "", "q")

    await opened.protocol.close()


async def test_max_message_size_also_limits_received_bodies(server: ScriptedServer) -> None:
    opened = await server.open_channel(max_message_size=1000)

    server.send(Command(1, basic.Deliver("tag", 1, False, "", ""), Properties(), bytes(1001)))
    with pytest.raises(aioamqp.ProtocolViolation, match="1001"):
        await opened.queue_declare("q")

    assert [m.reply_code for m in server.methods(connection.Close)] == [501]
    await opened.protocol.wait_closed()


async def test_no_frame_is_larger_than_frame_max(server: ScriptedServer) -> None:
    opened = await server.open_channel(frame_max=4096)

    await opened.basic_publish(b"x" * 10_000, "", "q")
    await wait_idle()

    data = b"".join(server.transport.writes)
    sizes = []
    while data:
        size = int.from_bytes(data[3:7]) + 8
        sizes.append(size)
        data = data[size:]
    assert max(sizes) == 4096
    await opened.protocol.close()


async def test_more_routes_than_the_cache_holds_are_encoded_correctly(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    keys = [f"key{n}" for n in range(1500)]

    for key in [*keys, *keys]:
        await opened.basic_publish(b"", "ex", key)
    await wait_idle()

    assert [publish.routing_key for publish in server.methods(basic.Publish)] == [*keys, *keys]
    await opened.protocol.close()
