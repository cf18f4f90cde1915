"""Streams over AMQP 0-9-1: where reading begins, what acknowledging does, what they refuse."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from aioamqp import Channel
from amqp_codec import FieldTable, FieldValue, Int64, LongStr, basic, confirm, encode_method, queue
from tests.conformance.raw import Door
from tests.conformance.scenario import (
    Connect,
    Inbox,
    Message,
    NewName,
    mortal_queue,
    refusal,
    rejected,
    scenario,
)
from tests.conformance.wire import OpenWire, publish


async def stream(channel: Channel, name: str, *bodies: bytes, **arguments: Any) -> None:
    """Declare a stream and publish to it; return when the messages are in it."""
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
async def test_a_stream_is_read_from_where_the_consumer_likes(
    connect: Connect, name: str, offset: Any, first: int
) -> None:
    """Row 227."""
    channel = await (await connect()).channel()
    await stream(channel, name, b"0", b"1", b"2")
    await channel.basic_qos(prefetch_count=10)

    inbox = await read(channel, name, offset)
    await channel.publish(b"3", "", name)

    messages = [await inbox.take() for _ in range(first, 4)]
    assert [(message.body, offset_of(message)) for message in messages] == [
        (b"%d" % number, number) for number in range(first, 4)
    ]
    assert not any(message.envelope.is_redeliver for message in messages)


@scenario
async def test_a_stream_is_read_by_each_consumer_for_itself_and_again(
    connect: Connect, name: str
) -> None:
    """Row 227: the offset goes among the headers, which are sorted."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    await channel.publish(b"m", "", name, {"headers": {"z": 1, "a": "x"}, "priority": 3})
    await channel.basic_qos(prefetch_count=10)

    for _ in range(2):
        message = await (await read(channel, name, "first")).take()
        await channel.basic_client_ack(message.envelope.delivery_tag)
        assert message.properties.priority == 3
        assert list((message.properties.headers or {}).items()) == [
            ("a", "x"),
            ("x-stream-offset", 0),
            ("z", 1),
        ]


@scenario
async def test_a_stream_keeps_neither_arrays_nor_tables_nor_a_cluster(
    connect: Connect, name: str
) -> None:
    """Row 147, row 148: RabbitMQ 3.10 stores messages in the form of AMQP 1.0."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    headers = {"array": [1], "table": {"k": 1}, "text": "x", "void": None, "number": 1.5}
    await channel.publish(b"m", "", name, {"headers": headers, "cluster_id": "c", "app_id": "a"})
    await channel.basic_qos(prefetch_count=10)

    properties = (await (await read(channel, name, "first")).take()).properties

    assert properties.headers == {"number": 1.5, "text": "x", "void": None, "x-stream-offset": 0}
    assert (properties.cluster_id or None, properties.app_id) == (None, "a")


@scenario
async def test_dead_letters_do_not_reach_a_stream(connect: Connect, new_name: NewName) -> None:
    """Row 204: RabbitMQ 3.10 drops them without a word."""
    channel = await (await connect()).channel()
    grave = new_name()
    await stream(channel, grave)
    queue, _ = await mortal_queue(channel, new_name, dead_letter_routing_key=grave)
    await channel.basic_qos(prefetch_count=10)
    inbox = await read(channel, grave, "first")

    await channel.publish(b"dead", "", queue)
    await rejected(channel, queue)
    await channel.publish(b"alive", "", grave)

    assert await inbox.bodies(1) == [b"alive"]


@scenario
async def test_acknowledging_lets_a_reader_have_more(connect: Connect, name: str) -> None:
    """Row 227."""
    channel = await (await connect()).channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=1)
    inbox = await read(channel, name, "first")

    for number in range(3):
        await channel.publish(b"%d" % number, "", name)
        message = await inbox.take()
        assert message.body == b"%d" % number
        assert inbox.rest() == []
        await channel.basic_client_ack(message.envelope.delivery_tag)


@scenario
async def test_a_reader_has_to_have_a_prefetch_count(connect: Connect, name: str) -> None:
    """Row 224."""
    channel = await (await connect()).channel()
    await stream(channel, name)

    assert await refusal(read(channel, name)) == (
        406,
        "PRECONDITION_FAILED - consumer prefetch count is not set for"
        f" 'queue '{name}' in vhost '/''",
    )


@scenario
async def test_a_reader_has_to_acknowledge(connect: Connect, name: str) -> None:
    """Row 225."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)

    assert await refusal(read(channel, name, no_ack=True)) == (
        540,
        "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues"
        f" queue '{name}' in vhost '/'",
    )
    await protocol.wait_closed()


@scenario
async def test_a_reader_cannot_share_its_prefetch(connect: Connect, name: str) -> None:
    """Row 217."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)
    await channel.basic_qos(prefetch_count=10, connection_global=True)

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
async def test_a_stream_gives_nothing_away_and_takes_nothing_back(
    connect: Connect, name: str, what: str, text: str
) -> None:
    """Row 226."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name, b"m")
    await channel.basic_qos(prefetch_count=10)
    tag = (await (await read(channel, name, "first")).take()).envelope.delivery_tag
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: channel.basic_get(name),
        "purge": lambda: channel.queue_purge(name),
        "nack": lambda: channel.basic_client_nack(tag),
        "reject": lambda: channel.basic_reject(tag),
    }

    async def attempt() -> None:
        await attempts[what]()
        await channel.basic_qos(prefetch_count=1)

    assert await refusal(attempt()) == (
        540,
        f"NOT_IMPLEMENTED - {text} not supported by stream queues queue '{name}' in vhost '/'",
    )
    await protocol.wait_closed()


@pytest.mark.parametrize("offset", ["bogus", "", True, 1.5, b"x", [], LongStr(b"\xff")])
@scenario
async def test_an_offset_that_is_none_is_an_internal_error(
    connect: Connect, name: str, offset: Any
) -> None:
    """Row 228."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name)
    await channel.basic_qos(prefetch_count=10)

    assert await refusal(read(channel, name, offset)) == (541, "INTERNAL_ERROR")
    await protocol.wait_closed()


@scenario
async def test_an_age_without_a_unit_is_refused(connect: Connect, name: str) -> None:
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
async def test_recovering_what_a_stream_has_sent_is_an_internal_error(
    connect: Connect, name: str
) -> None:
    """Row 188, row 226."""
    protocol = await connect()
    channel = await protocol.channel()
    await stream(channel, name, b"m")
    await channel.basic_qos(prefetch_count=10)
    await (await read(channel, name, "first")).take()

    assert await refusal(channel.basic_recover()) == (541, "INTERNAL_ERROR")
    await protocol.wait_closed()


@scenario
async def test_deleting_a_stream_cancels_its_readers(connect: Connect, name: str) -> None:
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
async def test_a_stream_refuses_arguments_of_other_queues(
    connect: Connect, name: str, argument: dict[str, Any], text: str
) -> None:
    """Row 104, row 105."""
    channel = await (await connect()).channel()
    (key,) = argument
    declare = channel.queue_declare(
        name, durable=True, arguments={"x-queue-type": "stream", **argument}
    )

    code, told = await refusal(declare)

    where = f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/'"
    assert code == 406
    assert told.replace(" ", "") == f"{where}{text}".replace(" ", "")


@pytest.mark.parametrize(
    "offset", [True, 1.5, None, {"a": 1}, [1], Decimal("1.5"), b"1h"], ids=repr
)
@scenario
async def test_an_offset_of_a_wrong_type_is_an_internal_error(
    open_wire: OpenWire, name: str, offset: FieldValue
) -> None:
    """Row 228."""
    wire = await open_wire()
    arguments: FieldTable = {"x-stream-offset": offset}
    await wire.say(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await wire.say(basic.Qos(0, 10))

    assert await wire.refusal(basic.Consume(name, arguments=arguments)) == (541, "INTERNAL_ERROR")


@scenario
async def test_the_words_for_offsets_may_be_octets(connect: Connect, name: str) -> None:
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
        (
            "00h",
            (
                406,
                "PRECONDITION_FAILED - invalid arg 'x-max-age' for queue '{}' in vhost '/':"
                " invalid_max_age",
            ),
        ),
    ],
)
@scenario
async def test_an_age_without_a_number_is_an_internal_error(
    open_wire: OpenWire, name: str, age: str, refused: tuple[int, str]
) -> None:
    """Row 106, of streams."""
    wire = await open_wire()
    arguments: FieldTable = {"x-queue-type": "stream", "x-max-age": age}

    code, text = await wire.refusal(queue.Declare(name, durable=True, arguments=arguments))

    assert (code, text) == (refused[0], refused[1].format(name))


@scenario
async def test_a_decimal_among_the_headers_is_too_much_for_a_stream(
    open_wire: OpenWire, name: str
) -> None:
    """Row 226: what is published to a stream must be something that AMQP 1.0 has, too."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await wire.say(publish(name, headers={"inside": {"price": Decimal("1.5")}}))

    assert await wire.refusal(publish(name, headers={"price": Decimal("1.5")})) == (
        541,
        "INTERNAL_ERROR",
    )


@scenario
async def test_credit_for_a_reader_is_answered_with_what_it_buys(door: Door, name: str) -> None:
    """Row 77, of a stream."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, durable=True, arguments={"x-queue-type": "stream"}))
    await raw.ask(confirm.Select())
    await raw.ask(basic.Qos(0, 1))
    for _ in range(4):
        assert isinstance(await raw.ask(publish(name)), basic.Ack)
    await raw.ask(basic.Consume(name, "A", arguments={"x-stream-offset": "first"}))
    await raw.hear()
    credit = encode_method(1, (60 << 16 | 200).to_bytes(4, "big") + b"\x01A\0\0\0\2\0")

    credit_ok = encode_method(1, (60 << 16 | 201).to_bytes(4, "big") + b"\0\0\0\2")

    assert (await raw.ask_octets(credit, len(credit_ok))).startswith(credit_ok)
