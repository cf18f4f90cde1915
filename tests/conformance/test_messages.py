"""Messages arrive as they were published: body, properties, headers, order."""

import asyncio
import functools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from aioamqp import Channel, EmptyQueue, Envelope, Properties
from amqp_codec import (
    Command,
    FieldTable,
    FieldValue,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongStr,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    basic,
    encode_method,
    encode_table,
    queue,
)
from amqp_codec import Properties as CodecProperties
from amqp_codec.protocol.constants import FRAME_BODY, FRAME_HEADER
from tests.conformance.client import OpenClient
from tests.conformance.raw_client import content_header, frame
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    NewName,
    drain,
    exclusive_queue,
    scenario,
)

# All except expiration, which has its own test.
EVERY_PROPERTY: dict[str, object] = {
    "content_type": "application/json",
    "content_encoding": "gzip",
    "headers": {"key": "value"},
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "correlation",
    "reply_to": "answers",
    "message_id": "message",
    "timestamp": datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC),
    "message_type": "greeting",
    "user_id": "guest",
    "app_id": "conformance",
    "cluster_id": "cluster",
}

EVERY_HEADER: dict[str, FieldValue] = {
    "boolean true": True,
    "boolean false": False,
    "int8": Int8(-(2**7)),
    "uint8": UInt8(2**8 - 1),
    "int16": Int16(-(2**15)),
    "uint16": UInt16(2**16 - 1),
    "int32": Int32(-(2**31)),
    "uint32": UInt32(2**32 - 1),
    "int64": Int64(-(2**63)),
    "float32": Float32(0.5),
    "float64": 3.141592653589793,
    "decimal": Decimal("-12.345"),
    "text": "grüße 🐇",
    "empty text": "",
    "text that is not utf-8": LongStr(b"\xff\xfe"),
    "bytes": b"\x00\xce\xff",
    "time": datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
    "time past the year 9999": Timestamp(2**63),
    "void": None,
    "array": [1, "two", [3.0], {"four": 4}, None],
    "empty array": [],
    "table": {"inner": {"innermost": True}},
    "empty table": {},
    "grüße": "a key that is not ascii",
}


@scenario
async def test_a_published_message_is_delivered_and_acknowledged(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"hello")
    inbox = Inbox()

    consumer = await channel.basic_consume(inbox, name, consumer_tag="reader")
    message = await inbox.next_message()
    await channel.basic_client_ack(message.envelope.delivery_tag)

    assert consumer == {"consumer_tag": "reader"}
    assert message.body == b"hello"
    assert message.envelope.consumer_tag == "reader"
    assert message.envelope.delivery_tag == 1
    assert message.envelope.exchange_name == ""
    assert message.envelope.routing_key == name
    assert message.envelope.is_redeliver is False
    await channel.basic_cancel("reader")
    await channel.basic_client_nack(0, multiple=True)
    assert await drain(channel, name) == []


@scenario
async def test_every_property_arrives_as_it_was_sent(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    inbox = Inbox()
    await channel.basic_consume(inbox, name, no_ack=True)

    await channel.basic_publish(b"", "", name, EVERY_PROPERTY)

    properties = (await inbox.next_message()).properties
    assert {key: getattr(properties, key) for key in EVERY_PROPERTY} == EVERY_PROPERTY
    assert properties.expiration is None


@scenario
async def test_an_expiration_arrives_as_it_was_sent(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    await channel.basic_publish(b"", "", name, {"expiration": "600000"})

    properties = (await channel.basic_get(name, no_ack=True))["properties"]
    assert properties.expiration == "600000"


@scenario
async def test_absent_properties_stay_absent(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"")

    properties = (await channel.basic_get(name, no_ack=True))["properties"]

    present = {key: value for key in Properties.__slots__ if (value := getattr(properties, key))}
    assert present == {}
    assert properties.headers is None


@scenario
async def test_a_header_of_every_type_arrives_with_its_value_and_its_type(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    inbox = Inbox()
    await channel.basic_consume(inbox, name, no_ack=True)

    await channel.basic_publish(b"", "", name, {"headers": EVERY_HEADER})

    headers = (await inbox.next_message()).properties.headers
    assert headers is not None
    assert headers == EVERY_HEADER
    # RabbitMQ: 4.0 sorts headers.
    assert list(headers) == by_version({"3.10": list(EVERY_HEADER), "4.0": sorted(EVERY_HEADER)})
    assert type(headers["uint8"]) is UInt8
    assert type(headers["float32"]) is Float32
    assert type(headers["text that is not utf-8"]) is LongStr
    assert type(headers["time past the year 9999"]) is Timestamp


@scenario
async def test_received_properties_can_be_published_unchanged(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_publish(b"", "", name, {**EVERY_PROPERTY, "headers": EVERY_HEADER})
    first = await channel.basic_get(name, no_ack=True)

    await channel.basic_publish(first["message"], "", name, first["properties"])

    second = await channel.basic_get(name, no_ack=True)
    for key in Properties.__slots__:
        assert getattr(second["properties"], key) == getattr(first["properties"], key)


@scenario
async def test_messages_arrive_in_the_order_of_publishing(connect: Connect, name: str) -> None:
    protocol = await connect()
    publisher, reader = await protocol.channel(), await protocol.channel()
    await reader.queue_declare(name, exclusive=True)
    inbox = Inbox()
    await reader.basic_consume(inbox, name, no_ack=True)
    bodies = [b"%d" % number for number in range(500)]

    for body in bodies:
        await publisher.basic_publish(body, "", name)

    messages = [await inbox.next_message() for _ in bodies]
    assert [message.body for message in messages] == bodies
    assert [message.envelope.delivery_tag for message in messages] == list(range(1, 501))


@pytest.mark.parametrize("size", [0, 1, 8184, 8185, 16_368, 300_000], ids="{}-bytes".format)
@scenario
async def test_a_body_of_any_size_arrives_whole_through_small_frames(
    connect: Connect, name: str, size: int
) -> None:
    channel = await (await connect(frame_max=8192)).channel()
    body = bytes(number % 251 for number in range(size))
    inbox = Inbox()
    await exclusive_queue(channel, name, body, b"next")

    got = await channel.basic_get(name, no_ack=True)
    await channel.basic_publish(body, "", name)
    await channel.basic_consume(inbox, name, no_ack=True)

    assert got["message"] == body
    assert await inbox.bodies(2) == [b"next", body]


@scenario
async def test_a_body_of_a_few_megabytes_arrives_whole(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    body = bytes(range(256)) * 12_000
    await exclusive_queue(channel, name, body)

    assert (await channel.basic_get(name, no_ack=True))["message"] == body


@scenario
async def test_text_is_sent_as_utf_8(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    await channel.basic_publish("grüße 🐇", "", name)

    assert (await channel.basic_get(name, no_ack=True))["message"] == "grüße 🐇".encode()


@scenario
async def test_basic_get_returns_the_message_and_the_remaining_count(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"first", b"second", b"third")

    got = await channel.basic_get(name)

    del got["properties"]
    assert got == {
        "delivery_tag": 1,
        "redelivered": False,
        "exchange_name": "",
        "routing_key": name,
        "message_count": 2,
        "message": b"first",
    }
    assert await drain(channel, name) == [b"second", b"third"]


@scenario
async def test_getting_from_an_empty_queue_raises_empty_queue(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"only")
    await channel.basic_get(name)

    with pytest.raises(EmptyQueue):
        await channel.basic_get(name)

    assert channel.is_open


DEEP = functools.reduce(lambda table, _: {"in": table}, range(101), dict[str, Any]())
"""Headers that the server takes, and that are nested deeper than the codec decodes."""


def unreadable() -> Properties:
    """Return properties whose headers cannot be decoded, but published."""
    flags, app_id = b"\x20\x08", b"\x03app"
    data = flags + encode_table(DEEP, 200) + app_id
    return Properties.from_codec(CodecProperties.decode(data, 0, len(data)))


@scenario
async def test_headers_that_cannot_be_decoded_are_passed_on_in_every_way(connect: Connect) -> None:
    """Rows C3 and F8."""
    channel = await (await connect()).channel()
    await channel.basic_qos(prefetch_count=1)
    name = (await channel.queue_declare(exclusive=True))["queue"]
    sent = unreadable()
    for number in range(4):
        await channel.publish(b"%d" % number, "", name, sent)

    got = await channel.basic_get(name)
    await channel.basic_ack(got["delivery_tag"])
    received: asyncio.Queue[tuple[bytes, Properties]] = asyncio.Queue()

    async def on_message(
        channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        received.put_nowait((body, properties))
        await channel.basic_ack(envelope.delivery_tag)

    tag = (await channel.basic_consume(on_message, name))["consumer_tag"]
    called = [await received.get() for _ in range(3)]
    await channel.basic_cancel(tag)
    await channel.publish(b"4", "", name, sent)
    async with channel.consume(name, prefetch_count=1) as messages:
        message = await anext(messages)
        await message.ack()
    channel.return_callback = lambda _, body, envelope, properties: received.put_nowait(
        (body, properties)
    )
    await channel.basic_publish(b"5", "", f"no {name}", sent, mandatory=True)
    returned = await received.get()

    arrived = [(got["message"], got["properties"]), *called, (message.body, message.properties)]
    arrived.append(returned)
    assert [body for body, _ in arrived] == [b"%d" % number for number in range(6)]
    assert [properties for _, properties in arrived] == [sent] * 6
    assert [properties.app_id for _, properties in arrived] == ["app"] * 6
    assert all(properties.raw_headers == sent.raw_headers for _, properties in arrived)


def deep_headers(levels: int, *, last: bytes = b"") -> bytes:
    """Return the encoded properties with a header that is nested in so many tables."""
    table = len(last).to_bytes(4, "big") + last
    for _ in range(levels):
        entry = b"\x01dF" + table
        table = len(entry).to_bytes(4, "big") + entry
    entries = b"\x01zt\x01" + table[4:] + b"\x01at\x00"
    return b"\x20\0" + len(entries).to_bytes(4, "big") + entries


def publish_encoded(key: str, properties: bytes) -> bytes:
    """Return the frames of a message with encoded properties."""
    arguments = b"\0\0\0" + bytes([len(key)]) + key.encode() + b"\0"
    header = frame(FRAME_HEADER, 1, content_header(1, rest=properties))
    return (
        encode_method(1, basic.Publish.INDEX.to_bytes(4, "big") + arguments)
        + header
        + frame(FRAME_BODY, 1, b"m")
    )


@pytest.mark.parametrize("levels", [101, 1000])
@scenario
async def test_deeply_nested_headers_stay_when_a_message_is_dead_lettered(
    open_client: OpenClient, new_name: NewName, levels: int, by_version: ByVersion
) -> None:
    """Row F8."""
    client = await open_client()
    name, dead_letter_queue = new_name(), new_name()
    arguments: FieldTable = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letter_queue,
    }
    await client.call(
        queue.Declare(dead_letter_queue, exclusive=True),
        queue.Declare(name, exclusive=True, arguments=arguments),
    )
    encoded = deep_headers(levels)
    await client.call(publish_encoded(name, encoded))
    (got,) = await client.call(basic.Get(name))
    client.send(basic.Reject(1, requeue=False))
    client.send(basic.Consume(dead_letter_queue, "c"))
    assert await client.next_command() == basic.ConsumeOk("c")
    dead = await client.next_command()

    assert isinstance(got, Command)
    assert got.properties is not None
    deep = encoded[encoded.index(b"\x01dF") : -4]
    # RabbitMQ: 4.0 sorts headers always, before only when it adds some.
    is_sorted = encoded[:6] + b"\x01at\x00" + deep + b"\x01zt\x01"
    assert got.properties.encode() == by_version({"3.10": encoded, "4.0": is_sorted})
    assert isinstance(dead, Command)
    assert dead.properties is not None
    changed = dead.properties.encode()
    assert changed[6:].startswith(b"\x01at\x00" + deep + b"\x07x-deathA")
    assert changed.endswith(b"\x01zt\x01")


@pytest.mark.parametrize("levels", [1, 101])
@pytest.mark.parametrize(
    "last", [b"\x01?", b"\x01x?", b"\x01xS\0\0\0\x09", b"\x09xt\x01", b"\x01xI\0\0"], ids=repr
)
@scenario
async def test_damaged_headers_are_an_internal_error_however_deep_they_are_nested(
    open_client: OpenClient, name: str, levels: int, last: bytes
) -> None:
    """Row F8."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))
    damaged = deep_headers(levels, last=last)

    refusal = await client.refusal(publish_encoded(name, damaged))

    assert refusal == (541, "INTERNAL_ERROR")
