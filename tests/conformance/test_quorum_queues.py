"""Quorum queues: what they count, where messages come back to, what they refuse."""

from collections.abc import Mapping
from typing import Any

import pytest

from aioamqp import Channel
from amqp_codec import Command, FieldTable, Int64, basic, channel, confirm, queue
from tests.conformance.scenario import (
    Connect,
    Inbox,
    NewName,
    count,
    drained,
    inbox_of,
    mortal_queue,
    refusal,
    scenario,
)
from tests.conformance.wire import OpenWire, publish

QUORUM = {"x-queue-type": "quorum"}


async def quorum_queue(channel: Channel, name: str, *bodies: bytes, **arguments: Any) -> str:
    """Declare a quorum queue and publish to it; return when the messages are in it."""
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    await channel.queue_declare(name, durable=True, arguments={**QUORUM, **table})
    await channel.confirm_select()
    for body in bodies:
        await channel.publish(body, "", name)
    return name


def delivery_count(properties: Any) -> int | None:
    headers: Mapping[str, Any] = properties.headers or {}
    count = headers.get("x-delivery-count")
    assert count is None or isinstance(count, Int64)
    return count


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
    ],
)
@pytest.mark.parametrize("kind", ["quorum", "stream"])
@scenario
async def test_a_replicated_queue_is_durable_and_for_all(
    connect: Connect, name: str, kind: str, options: dict[str, bool], what: str
) -> None:
    """Row 214."""
    channel = await (await connect()).channel()

    declare = channel.queue_declare(name, arguments={"x-queue-type": kind}, **options)
    assert await refusal(declare) == (
        406,
        f"PRECONDITION_FAILED - invalid property '{what}' for queue '{name}' in vhost '/'",
    )


@pytest.mark.parametrize("kind", ["quorum", "stream"])
@scenario
async def test_a_replicated_queue_needs_a_name(connect: Connect, kind: str) -> None:
    """Row 215."""
    channel = await (await connect()).channel()

    declare = channel.queue_declare("", durable=True, arguments={"x-queue-type": kind})
    assert await refusal(declare) == (
        406,
        f"PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_{kind}_queue",
    )


@pytest.mark.parametrize("argument", [{"x-max-priority": 5}, {"x-queue-mode": "lazy"}])
@scenario
async def test_a_quorum_queue_refuses_what_only_classic_queues_know(
    connect: Connect, name: str, argument: dict[str, Any]
) -> None:
    """Row 105, row 216."""
    channel = await (await connect()).channel()
    (key,) = argument

    declare = channel.queue_declare(name, durable=True, arguments={**QUORUM, **argument})
    assert await refusal(declare) == (
        406,
        f"PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/' of queue type"
        " rabbit_quorum_queue",
    )


@pytest.mark.parametrize(
    "argument", [{"x-overflow": "reject-publish-dlx"}, {"x-delivery-limit": "a"}]
)
@scenario
async def test_a_quorum_queue_takes_what_it_does_not_understand(
    connect: Connect, name: str, argument: dict[str, Any]
) -> None:
    """Row 216."""
    channel = await (await connect()).channel()

    declared = await channel.queue_declare(name, durable=True, arguments={**QUORUM, **argument})

    assert declared["queue"] == name


@scenario
async def test_a_quorum_queue_is_not_for_a_shared_prefetch(connect: Connect, name: str) -> None:
    """Row 217."""
    protocol = await connect()
    channel = await protocol.channel()
    await quorum_queue(channel, name)
    await channel.basic_qos(prefetch_count=5, connection_global=True)

    assert await refusal(channel.basic_consume(Inbox(), name)) == (
        540,
        f"NOT_IMPLEMENTED - queue '{name}' in vhost '/' does not support global qos",
    )
    await protocol.wait_closed()


@scenario
async def test_getting_counts_from_the_first_time_on(connect: Connect, name: str) -> None:
    """Row 218, row 220: without a limit a message comes back to the tail."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, b"0", b"1")

    got = []
    for _ in range(3):
        got.append(await channel.basic_get(name))
        await channel.basic_reject(got[-1]["delivery_tag"], requeue=True)

    assert [
        (each["message"], each["redelivered"], delivery_count(each["properties"])) for each in got
    ] == [(b"0", False, 0), (b"1", False, 0), (b"0", True, 1)]


@scenario
async def test_consumers_hear_of_the_count_from_the_second_time_on(
    connect: Connect, name: str
) -> None:
    """Row 218, row 223."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, b"m")
    inbox = Inbox()
    await channel.basic_consume(inbox, name)

    messages = []
    for _ in range(3):
        messages.append(await inbox.take())
        await channel.basic_reject(messages[-1].envelope.delivery_tag, requeue=True)

    assert [(each.envelope.is_redeliver, delivery_count(each.properties)) for each in messages] == [
        (False, None),
        (True, 1),
        (True, 2),
    ]


@scenario
async def test_a_delivery_limit_ends_in_a_dead_letter(connect: Connect, new_name: NewName) -> None:
    """Row 196, row 219, row 220: with a limit what comes back goes out next."""
    channel = await (await connect()).channel()
    grave = new_name()
    await channel.queue_declare(grave, exclusive=True)
    dead = await inbox_of(channel, grave)
    queue = await quorum_queue(
        channel,
        new_name(),
        b"0",
        b"1",
        delivery_limit=1,
        dead_letter_exchange="",
        dead_letter_routing_key=grave,
    )
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(inbox, queue)

    bodies = []
    for _ in range(3):
        message = await inbox.take()
        bodies.append(message.body)
        await channel.basic_reject(message.envelope.delivery_tag, requeue=True)

    assert bodies == [b"0", b"0", b"1"]
    letter = await dead.take()
    headers = letter.properties.headers or {}
    assert (letter.body, headers["x-first-death-reason"]) == (b"0", "delivery_limit")
    assert "x-delivery-count" not in headers


@scenario
async def test_what_a_closed_channel_held_comes_back_to_the_head(
    connect: Connect, name: str
) -> None:
    """Row 72, row 220."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await quorum_queue(channel, name, b"0", b"1", b"2")
    inbox = Inbox()
    await other.basic_qos(prefetch_count=2)
    await other.basic_consume(inbox, name)
    await inbox.bodies(2)

    await other.close()

    again = await inbox_of(channel, name)
    assert await again.bodies(3) == [b"0", b"1", b"2"]


@scenario
async def test_a_quorum_queue_with_a_single_active_consumer_is_not_for_getting(
    connect: Connect, name: str
) -> None:
    """Row 221."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, single_active_consumer=True)

    assert await refusal(channel.basic_get(name)) == (
        405,
        f"RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'. basic.get"
        " operations are not supported by quorum queues with single active consumer",
    )


@pytest.mark.parametrize("flag", ["if-unused", "if-empty"])
@scenario
async def test_a_quorum_queue_is_deleted_without_conditions(
    connect: Connect, name: str, flag: str
) -> None:
    """Row 222."""
    protocol = await connect()
    channel = await protocol.channel()
    await quorum_queue(channel, name)

    delete = channel.queue_delete(name, if_unused=flag == "if-unused", if_empty=flag == "if-empty")
    assert await refusal(delete) == (
        540,
        f"NOT_IMPLEMENTED - cannot delete queue '{name}' in vhost '/'. queue.delete operations with"
        f" {flag} flag set are not supported by quorum queues",
    )
    await protocol.wait_closed()


@scenario
async def test_consumers_of_a_quorum_queue_are_not_alone_even_if_exclusive(
    connect: Connect, name: str
) -> None:
    """Row 173."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name)

    for _ in range(2):
        assert await channel.basic_consume(Inbox(), name, exclusive=True)


@scenario
async def test_a_quorum_queue_expires_and_limits_like_a_classic_one(
    connect: Connect, new_name: NewName
) -> None:
    """Row 192, row 206."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    grave = new_name()
    await channel.queue_declare(grave, exclusive=True)
    dead = await inbox_of(channel, grave)
    letters = {"dead_letter_exchange": "", "dead_letter_routing_key": grave}

    short = await quorum_queue(channel, new_name(), b"0", b"1", max_length=1, **letters)
    assert await dead.bodies(1) == [b"0"]
    brief = await quorum_queue(other, new_name(), b"late", message_ttl=1, **letters)
    assert await dead.bodies(1) == [b"late"]

    assert await drained(channel, short) == [b"1"]
    assert await drained(channel, brief) == []


@scenario
async def test_a_queue_of_another_type_is_another_queue(connect: Connect, name: str) -> None:
    """Row 101."""
    protocol = await connect()
    channel = await protocol.channel()
    await quorum_queue(channel, name)
    inequivalent = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/':"
    )

    assert await refusal(channel.queue_declare(name, durable=True)) == (
        406,
        f"{inequivalent} received none but current is the value 'quorum' of type 'longstr'",
    )
    channel = await protocol.channel()
    classic = channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic"})
    assert await refusal(classic) == (
        406,
        f"{inequivalent} received 'classic' but current is 'quorum'",
    )


@scenario
async def test_what_a_quorum_queue_drops_at_once_dies_in_reverse_order(
    connect: Connect, new_name: NewName
) -> None:
    """Row 207."""
    channel = await (await connect()).channel()
    grave = new_name()
    await channel.queue_declare(grave, exclusive=True)
    dead = await inbox_of(channel, grave)
    table = {"dead_letter_exchange": "", "dead_letter_routing_key": grave}

    await quorum_queue(channel, new_name(), b"1", b"22", b"too long", max_length_bytes=4, **table)

    assert await dead.bodies(3) == [b"too long", b"22", b"1"]


@scenario
async def test_a_quorum_queue_that_was_full_lets_publishers_in_at_four_fifths(
    open_wire: OpenWire, name: str
) -> None:
    """Row 209: it refuses them once it is beyond its limit."""
    wire = await open_wire()
    arguments: FieldTable = {**QUORUM, "x-max-length": 2, "x-overflow": "reject-publish"}
    await wire.say(queue.Declare(name, durable=True, arguments=arguments), confirm.Select())

    async def is_taken() -> bool:
        wire.send(publish(name))
        return isinstance(await wire.hear(), basic.Ack)

    taken = [await is_taken() for _ in range(4)]
    for _ in range(3):
        wire.send(basic.Get(name, no_ack=True))
        await wire.hear()
        taken.append(await is_taken())

    assert taken == [True, True, True, False, False, True, True]


@scenario
async def test_a_full_quorum_queue_takes_dead_letters(connect: Connect, new_name: NewName) -> None:
    """Row 209: only publishers are refused."""
    channel = await (await connect()).channel()
    grave, mortal = new_name(), new_name()
    await quorum_queue(channel, grave, b"0", b"1", max_length=1, overflow="reject-publish")
    table: FieldTable = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": grave,
        "x-max-length": 0,
    }
    await channel.queue_declare(mortal, exclusive=True, arguments=table)

    await channel.publish(b"2", "", mortal)

    dead = await inbox_of(channel, grave)
    assert await dead.bodies(3) == [b"0", b"1", b"2"]


@scenario
async def test_the_next_single_active_consumer_is_the_one_that_waits_the_longest(
    connect: Connect, name: str
) -> None:
    """Row 177, of quorum queues: priorities do not count."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, single_active_consumer=True)
    inboxes = {
        tag: await inbox_of(channel, name, consumer_tag=tag, arguments={"x-priority": priority})
        for tag, priority in (("first", 1), ("second", 2), ("third", 3))
    }

    await channel.basic_cancel("first")
    await channel.publish(b"m", "", name)

    assert await inboxes["second"].bodies(1) == [b"m"]


@scenario
async def test_a_quorum_queue_does_not_expire_to_the_moment(
    connect: Connect, new_name: NewName
) -> None:
    """Row 116, of quorum queues: RabbitMQ looks every five seconds."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name, message_ttl=50)
    hourglass = await inbox_of(channel, grave)
    brief = await quorum_queue(channel, new_name(), expires=1)

    await channel.basic_publish(b"", "", queue)
    await hourglass.take()

    assert await count(channel, brief) == 0


@scenario
async def test_a_quorum_queue_goes_on_delivering_to_a_channel_until_its_error_is_understood(
    open_wire: OpenWire, name: str
) -> None:
    """Row 70, of quorum queues: they have everything back after close-ok."""
    wire = await open_wire(1, 2)
    await wire.say(queue.Declare(name, durable=True, arguments=QUORUM), confirm.Select())
    wire.send(basic.Consume(name, "A"), number=2)
    assert await wire.hear() == basic.ConsumeOk("A")
    wire.send(basic.Ack(99), number=2)
    assert isinstance(await wire.hear(), channel.Close)

    wire.send(publish(name))

    heard = [await wire.hear(), await wire.hear()]
    (delivered,) = [said for said in heard if isinstance(said, Command)]
    assert delivered.method == basic.Deliver("A", 1, False, "", name)
    assert await wire.say(queue.Declare(name, passive=True)) == [queue.DeclareOk(name, 0, 1)]
    wire.send(channel.CloseOk(), channel.Open(), number=2)
    assert isinstance(await wire.hear(), channel.OpenOk)
    wire.send(basic.Consume(name, "B", no_ack=True))
    assert await wire.hear() == basic.ConsumeOk("B")
    again = await wire.hear()
    assert isinstance(again, Command)
    assert again.method == basic.Deliver("B", 1, True, "", name)
