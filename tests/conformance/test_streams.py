"""Streams over AMQP 0-9-1: offsets, acknowledging, and unsupported features."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from aioamqp import Channel
from amqp_codec import (
    FieldTable,
    FieldValue,
    Int64,
    LongStr,
    basic,
    confirm,
    connection,
    encode_method,
    queue,
)
from tests.conformance.client import OpenClient, publish
from tests.conformance.raw_client import Endpoint
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    Message,
    NewName,
    dead_lettering_queue,
    get_and_reject,
    refusal,
    scenario,
)

INVALID_MAX_AGE = (
    "PRECONDITION_FAILED - invalid arg 'x-max-age' for queue '{}' in vhost '/': invalid_max_age"
)


async def stream(channel: Channel, name: str, *bodies: bytes, **arguments: Any) -> None:
    """Declare a stream and publish to it; return when the messages are confirmed."""
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream", **table})
    await channel.confirm_select()
    for body in bodies:
        await channel.publish(body, "", name)


async def read(channel: Channel, name: str, offset: Any = None, **options: Any) -> Inbox:
    inbox = Inbox()
    arguments = {} if offset is None else {"x-stream-offset": offset}
    await channel.basic_consume(inbox, name, arguments=arguments, **options)
    return inbox


async def filtered(channel: Channel, name: str, arguments: dict[str, Any]) -> Inbox:
    """Consume from the start of a stream with arguments; return the callback."""
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=10)
    table = {"x-stream-offset": "first", **arguments}
    await channel.basic_consume(inbox, name, arguments=table)
    return inbox


def offset_of(message: Message) -> int:
    offset = (message.properties.headers or {})["x-stream-offset"]
    assert isinstance(offset, Int64)
    return offset


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        ("first", 0),
        ("last", 2),
        (1, 1),
        ("1h", 0),
        pytest.param(datetime.now(UTC) - timedelta(hours=1), 0, id="an hour ago"),
        ("next", 3),
        (None, 3),
        (3, 3),
    ],
    ids=str,
)
@scenario
async def test_a_stream_is_read_from_the_requested_offset(
    connect: Connect, name: str, offset: Any, first: int
) -> None:
    """Row 227."""
    channel = await (await connect()).channel()
    await stream(channel, name, b"0", b"1", b"2")
    await channel.basic_qos(prefetch_count=10)

    inbox = await read(channel, name, offset)
    await channel.publish(b"3", "", name)

    messages = [await inbox.next_message() for _ in range(first, 4)]
    assert [(message.body, offset_of(message)) for message in messages] == [
        (b"%d" % number, number) for number in range(first, 4)
    ]
    assert not any(message.envelope.is_redeliver for message in messages)


@scenario
async def test_a_stream_can_be_read_again_by_every_consumer(connect: Connect, name: str) -> None:
    """Row 227: the offset is added to the headers, which are sorted."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    await channel.publish(b"m", "", name, {"headers": {"z": 1, "a": "x"}, "priority": 3})
    await channel.basic_qos(prefetch_count=10)

    for _ in range(2):
        message = await (await read(channel, name, "first")).next_message()
        await channel.basic_client_ack(message.envelope.delivery_tag)
        assert message.properties.priority == 3
        assert list((message.properties.headers or {}).items()) == [
            ("a", "x"),
            ("x-stream-offset", 0),
            ("z", 1),
        ]


@scenario
async def test_a_stream_drops_array_and_table_headers_and_the_cluster_id(
    connect: Connect, name: str
) -> None:
    """Row 147, row 148: RabbitMQ 3.10 stores messages as AMQP 1.0."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    headers = {"array": [1], "table": {"k": 1}, "text": "x", "void": None, "number": 1.5}
    await channel.publish(b"m", "", name, {"headers": headers, "cluster_id": "c", "app_id": "a"})
    await channel.basic_qos(prefetch_count=10)

    properties = (await (await read(channel, name, "first")).next_message()).properties

    assert properties.headers == {"number": 1.5, "text": "x", "void": None, "x-stream-offset": 0}
    assert (properties.cluster_id or None, properties.app_id) == (None, "a")


@scenario
async def test_dead_letters_reach_a_stream_in_newer_versions(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 204: RabbitMQ drops them silently, before 4.0."""
    channel = await (await connect()).channel()
    dead_letter_queue = new_name()
    await stream(channel, dead_letter_queue)
    queue, _ = await dead_lettering_queue(
        channel, new_name, dead_letter_routing_key=dead_letter_queue
    )
    await channel.basic_qos(prefetch_count=10)
    inbox = await read(channel, dead_letter_queue, "first")

    await channel.publish(b"dead", "", queue)
    await get_and_reject(channel, queue)
    await channel.publish(b"alive", "", dead_letter_queue)

    arriving = by_version({"3.10": [b"alive"], "4.0": [b"alive", b"dead"]})
    assert sorted(await inbox.bodies(len(arriving))) == arriving


@scenario
async def test_acknowledging_a_stream_delivery_frees_the_prefetch(
    connect: Connect, name: str
) -> None:
    """Row 227."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=1)
    inbox = await read(channel, name, "first")

    for number in range(3):
        await channel.publish(b"%d" % number, "", name)
        message = await inbox.next_message()
        assert message.body == b"%d" % number
        assert inbox.waiting_bodies() == []
        await channel.basic_client_ack(message.envelope.delivery_tag)


@scenario
async def test_a_stream_consumer_needs_a_prefetch_count(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 224."""
    channel = await (await connect()).channel()
    await stream(channel, name)

    named = by_version(
        {
            "3.10": f"'queue '{name}' in vhost '/''",
            "4.0": f"stream queue '{name}' in vhost '/'",
        }
    )
    assert await refusal(read(channel, name)) == (
        406,
        f"PRECONDITION_FAILED - consumer prefetch count is not set for {named}",
    )


@scenario
async def test_a_stream_consumer_must_acknowledge(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 225."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)

    assert await refusal(read(channel, name, no_ack=True)) == (
        540,
        "NOT_IMPLEMENTED - automatic acknowledgement not supported by"
        f" {by_version({'3.10': 'stream queues queue', '4.0': 'stream queue'})} '{name}' in vhost '/'",
    )
    await protocol.wait_closed()


@scenario
async def test_a_stream_does_not_support_global_prefetch(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 217. RabbitMQ 4.3 denies global_qos: the limit is that of each consumer."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)
    await channel.basic_qos(prefetch_count=10, connection_global=True)

    if by_version({"3.10": False, "4.3": True}):
        await read(channel, name)
        return
    assert await refusal(read(channel, name)) == (
        540,
        f"NOT_IMPLEMENTED - queue '{name}' in vhost '/' does not support global qos",
    )
    await protocol.wait_closed()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("get", "basic.get"),
        ("purge", "queue.purge"),
        ("nack", "basic.nack and basic.reject"),
        ("reject", "basic.nack and basic.reject"),
    ],
)
@scenario
async def test_a_stream_does_not_support_get_purge_nack_and_reject(
    connect: Connect, name: str, what: str, text: str, by_version: ByVersion
) -> None:
    """Row 226. RabbitMQ 4.0 takes nack and reject for ack."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name, b"m")
    await channel.basic_qos(prefetch_count=10)
    tag = (await (await read(channel, name, "first")).next_message()).envelope.delivery_tag
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: channel.basic_get(name),
        "purge": lambda: channel.queue_purge(name),
        "nack": lambda: channel.basic_client_nack(tag),
        "reject": lambda: channel.basic_reject(tag),
    }

    async def attempt() -> None:
        await attempts[what]()
        await channel.basic_qos(prefetch_count=1)

    if what in ("nack", "reject") and by_version({"3.10": False, "4.0": True}):
        await attempt()
        return
    assert await refusal(attempt()) == (
        540,
        f"NOT_IMPLEMENTED - {text} not supported by stream queues queue '{name}' in vhost '/'",
    )
    await protocol.wait_closed()


@pytest.mark.parametrize("offset", ["bogus", "", True, 1.5, b"x", [], LongStr(b"\xff")])
@scenario
async def test_an_invalid_stream_offset_is_an_internal_error(
    connect: Connect, name: str, offset: Any, by_version: ByVersion
) -> None:
    """Row 228. RabbitMQ 4.3 refuses text with 406."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)

    refused = await refusal(read(channel, name, offset))

    if isinstance(offset, str | LongStr) and by_version({"3.10": False, "4.3": True}):
        assert refused[0] == 406
        assert "{invalid_stream_offset_arg,{longstr,<<" in refused[1]
        return
    assert refused == (541, "INTERNAL_ERROR")
    await protocol.wait_closed()


@scenario
async def test_a_relative_offset_with_an_unknown_unit_is_refused(
    connect: Connect, name: str
) -> None:
    """Row 228."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)

    assert await refusal(read(channel, name, "5x")) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{name}' in vhost '/':"
        ' {invalid_stream_offset_arg,{longstr,<<"5x">>}}',
    )


@scenario
async def test_recovering_stream_deliveries_is_an_internal_error(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 188, row 226. RabbitMQ 4.0 answers it."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name, b"m")
    await channel.basic_qos(prefetch_count=10)
    await (await read(channel, name, "first")).next_message()

    if by_version({"3.10": False, "4.0": True}):
        await channel.basic_recover()
        return
    assert await refusal(channel.basic_recover()) == (541, "INTERNAL_ERROR")
    await protocol.wait_closed()


@scenario
async def test_deleting_a_stream_cancels_its_consumers(connect: Connect, name: str) -> None:
    """Row 230."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)
    await read(channel, name, consumer_tag="reader")
    cancelled: asyncio.Queue[str] = asyncio.Queue()

    async def note(_: Channel, consumer_tag: str) -> None:
        cancelled.put_nowait(consumer_tag)

    channel.add_cancellation_callback(note)
    await other.queue_delete(name, if_unused=True, if_empty=True)

    assert await cancelled.get() == "reader"


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ({"x-message-ttl": 5}, "of queue type rabbit_stream_queue"),
        ({"x-max-length": 5}, "of queue type rabbit_stream_queue"),
        ({"x-max-age": "5x"}, ": invalid_max_age"),
    ],
)
@scenario
async def test_a_stream_refuses_arguments_of_other_queue_types(
    connect: Connect, name: str, argument: dict[str, Any], text: str
) -> None:
    """Row 104, row 105."""
    channel = await (await connect()).channel()
    (key,) = argument
    declare = channel.queue_declare(
        name, durable=True, arguments={"x-queue-type": "stream", **argument}
    )

    code, text_received = await refusal(declare)

    where = f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/'"
    assert code == 406
    assert text_received.replace(" ", "") == f"{where}{text}".replace(" ", "")


@pytest.mark.parametrize(
    "offset", [True, 1.5, None, {"a": 1}, [1], Decimal("1.5"), b"1h"], ids=repr
)
@scenario
async def test_a_stream_offset_of_a_wrong_type_is_an_internal_error(
    open_client: OpenClient, name: str, offset: FieldValue
) -> None:
    """Row 228."""
    client = await open_client()
    arguments: FieldTable = {"x-stream-offset": offset}
    await client.call(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await client.call(basic.Qos(0, 10))

    assert await client.refusal(basic.Consume(name, arguments=arguments)) == (541, "INTERNAL_ERROR")


@scenario
async def test_a_named_offset_may_be_bytes(connect: Connect, name: str) -> None:
    """Row 227."""
    channel = await (await connect()).channel()
    await stream(channel, name, b"0")
    await channel.basic_qos(prefetch_count=10)

    assert await (await read(channel, name, b"first")).bodies(1) == [b"0"]


@pytest.mark.parametrize(
    ("age", "refused"),
    [
        ("", (541, "INTERNAL_ERROR")),
        ("h", (541, "INTERNAL_ERROR")),
        ("-1h", (541, "INTERNAL_ERROR")),
        ("00h", (406, INVALID_MAX_AGE)),
    ],
)
@scenario
async def test_an_invalid_max_age_is_refused(
    open_client: OpenClient, name: str, age: str, refused: tuple[int, str], by_version: ByVersion
) -> None:
    """Row 106, for streams. RabbitMQ 4.3 reports the same for all."""
    client = await open_client()
    arguments: FieldTable = {"x-queue-type": "stream", "x-max-age": age}

    code, text = await client.refusal(queue.Declare(name, durable=True, arguments=arguments))

    refused = by_version({"3.10": refused, "4.3": (406, INVALID_MAX_AGE)})
    assert (code, text) == (refused[0], refused[1].format(name))


@scenario
async def test_a_decimal_header_published_to_a_stream_is_an_internal_error(
    open_client: OpenClient, name: str
) -> None:
    """Row 226: a message in a stream must be representable in AMQP 1.0."""
    client = await open_client()
    await client.call(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await client.call(publish(name, headers={"inside": {"price": Decimal("1.5")}}))

    assert await client.refusal(publish(name, headers={"price": Decimal("1.5")})) == (
        541,
        "INTERNAL_ERROR",
    )


@scenario
async def test_basic_credit_on_a_stream_is_answered_with_credit_ok(
    endpoint: Endpoint, name: str, by_version: ByVersion
) -> None:
    """Row 77, for a stream. RabbitMQ 4.0 does not know the method."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await raw.request(confirm.Select())
    await raw.request(basic.Qos(0, 1))
    for _ in range(4):
        assert isinstance(await raw.request(publish(name)), basic.Ack)
    await raw.request(basic.Consume(name, "A", arguments={"x-stream-offset": "first"}))
    await raw.next_command()
    credit = encode_method(1, (60 << 16 | 200).to_bytes(4, "big") + b"\x01A\0\0\0\2\0")

    if by_version({"3.10": False, "4.0": True}):
        raw.send(credit)
        assert isinstance(await raw.next_command(), connection.Close)
        return
    credit_ok = encode_method(1, (60 << 16 | 201).to_bytes(4, "big") + b"\0\0\0\2")

    assert (await raw.request_bytes(credit, len(credit_ok))).startswith(credit_ok)


@pytest.mark.parametrize("value", [5, True, None, [1], {"a": 1}], ids=repr)
@scenario
async def test_a_filter_value_that_is_no_text_is_an_internal_error(
    connect: Connect, name: str, by_version: ByVersion, value: Any
) -> None:
    """RabbitMQ 4: messages with such a header x-stream-filter-value cannot be published."""
    channel = await (await connect()).channel()
    await stream(channel, name)

    publishing = channel.publish(b"m", "", name, {"headers": {"x-stream-filter-value": value}})

    if by_version({"3.10": True, "4.0": False}):
        await publishing
    else:
        assert (await refusal(publishing))[0] == 541


@pytest.mark.parametrize("wanted", [[], [5]], ids=repr)
@scenario
async def test_a_list_of_filters_without_text_is_an_internal_error(
    connect: Connect, name: str, by_version: ByVersion, wanted: Any
) -> None:
    channel = await (await connect()).channel()
    await stream(channel, name)

    reading = filtered(channel, name, {"x-stream-filter": wanted})

    if by_version({"3.10": True, "4.0": False}):
        await reading
    else:
        assert (await refusal(reading))[0] == 541


@pytest.mark.parametrize(
    ("arguments", "bodies"),
    [
        ({"x-stream-filter": ""}, [b"none", b"empty"]),
        ({"x-stream-filter": True}, [b"a", b"none", b"empty"]),
        ({"x-stream-filter": ["a", 5]}, [b"a"]),
        ({"x-stream-filter": "b", "x-stream-match-unfiltered": True}, [b"none", b"empty"]),
    ],
    ids=["empty", "boolean", "text-and-number", "unfiltered"],
)
@scenario
async def test_an_empty_filter_value_is_none(
    connect: Connect,
    name: str,
    by_version: ByVersion,
    arguments: dict[str, Any],
    bodies: list[bytes],
) -> None:
    """RabbitMQ 4: for messages and for consumers; a filter of another type is ignored."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    for body, headers in (
        (b"a", {"x-stream-filter-value": "a"}),
        (b"none", {}),
        (b"empty", {"x-stream-filter-value": ""}),
    ):
        await channel.publish(body, "", name, {"headers": headers})

    inbox = await filtered(channel, name, arguments)

    expected = by_version({"3.10": [b"a", b"none", b"empty"], "4.0": bodies})
    assert await inbox.bodies(len(expected)) == expected
