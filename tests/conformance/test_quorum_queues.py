"""Quorum queues: delivery counts, requeueing, and unsupported features."""

from collections.abc import Mapping
from typing import Any

import pytest

from aioamqp import Channel
from amqp_codec import Command, FieldTable, Int64, basic, channel, confirm, queue
from tests.conformance.client import OpenClient, publish
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    NewName,
    count,
    dead_lettering_queue,
    drain,
    inbox_of,
    refusal,
    scenario,
)

QUORUM = {"x-queue-type": "quorum"}


async def quorum_queue(channel: Channel, name: str, *bodies: bytes, **arguments: Any) -> str:
    """Declare a quorum queue and publish to it; return when the messages are confirmed."""
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
async def test_a_replicated_queue_must_be_durable_and_shared(
    connect: Connect,
    name: str,
    kind: str,
    options: dict[str, Any],
    what: str,
    by_version: ByVersion,
) -> None:
    """Row 214. RabbitMQ 4.3 denies one that is neither durable nor exclusive before."""
    channel = await (await connect()).channel()

    declare = channel.queue_declare(name, arguments={"x-queue-type": kind}, **options)
    if not options and by_version({"3.10": False, "4.3": True}):
        code, text = await refusal(declare)
        assert code == 541
        assert text.startswith("INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.")
        return
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
async def test_a_quorum_queue_refuses_arguments_of_classic_queues(
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
async def test_a_quorum_queue_accepts_some_values_that_it_ignores(
    connect: Connect, name: str, argument: dict[str, Any]
) -> None:
    """Row 216."""
    channel = await (await connect()).channel()

    declared = await channel.queue_declare(name, durable=True, arguments={**QUORUM, **argument})

    assert declared["queue"] == name


@scenario
async def test_a_quorum_queue_does_not_support_global_prefetch(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 217. RabbitMQ 4.3 denies global_qos: the limit is that of each consumer."""
    protocol = await connect()
    channel = await protocol.channel()
    await quorum_queue(channel, name)
    await channel.basic_qos(prefetch_count=5, connection_global=True)

    if by_version({"3.10": False, "4.3": True}):
        await channel.basic_consume(Inbox(), name)
        return
    assert await refusal(channel.basic_consume(Inbox(), name)) == (
        540,
        f"NOT_IMPLEMENTED - queue '{name}' in vhost '/' does not support global qos",
    )
    await protocol.wait_closed()


@scenario
async def test_basic_get_reports_the_delivery_count(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 218, row 220: without a delivery limit a message is requeued at the tail.

    RabbitMQ 4.0 has a limit, requeues at the head, and reports no count on the first delivery.
    """
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, b"0", b"1")

    got = []
    for _ in range(3):
        got.append(await channel.basic_get(name))
        await channel.basic_reject(got[-1]["delivery_tag"], requeue=True)

    assert [
        (each["message"], each["redelivered"], delivery_count(each["properties"])) for each in got
    ] == by_version(
        {
            "3.10": [(b"0", False, 0), (b"1", False, 0), (b"0", True, 1)],
            "4.0": [(b"0", False, None), (b"0", True, 1), (b"0", True, 2)],
        }
    )


@scenario
async def test_consumers_see_the_delivery_count_from_the_second_delivery(
    connect: Connect, name: str
) -> None:
    """Row 218, row 223."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, b"m")
    inbox = Inbox()
    await channel.basic_consume(inbox, name)

    messages = []
    for _ in range(3):
        messages.append(await inbox.next_message())
        await channel.basic_reject(messages[-1].envelope.delivery_tag, requeue=True)

    assert [(each.envelope.is_redeliver, delivery_count(each.properties)) for each in messages] == [
        (False, None),
        (True, 1),
        (True, 2),
    ]


@scenario
async def test_a_message_above_the_delivery_limit_is_dead_lettered(
    connect: Connect, new_name: NewName
) -> None:
    """Row 196, row 219, row 220: with a delivery limit a message is requeued at the head."""
    channel = await (await connect()).channel()
    dead_letter_queue = new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    queue = await quorum_queue(
        channel,
        new_name(),
        b"0",
        b"1",
        delivery_limit=1,
        dead_letter_exchange="",
        dead_letter_routing_key=dead_letter_queue,
    )
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(inbox, queue)

    bodies = []
    for _ in range(3):
        message = await inbox.next_message()
        bodies.append(message.body)
        await channel.basic_reject(message.envelope.delivery_tag, requeue=True)

    assert bodies == [b"0", b"0", b"1"]
    dead_letter = await dead_letters.next_message()
    headers = dead_letter.properties.headers or {}
    assert (dead_letter.body, headers["x-first-death-reason"]) == (b"0", "delivery_limit")
    assert "x-delivery-count" not in headers


@scenario
async def test_messages_of_a_closed_channel_are_requeued_at_the_head(
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
    while await count(channel, name) < 3:
        pass  # RabbitMQ: 4.3 may requeue them after channel.close-ok.

    again = await inbox_of(channel, name)
    assert await again.bodies(3) == [b"0", b"1", b"2"]


@scenario
async def test_a_quorum_queue_with_a_single_active_consumer_refuses_basic_get(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 221."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, single_active_consumer=True)

    printed = by_version({"3.10": "quorum", "4.3": '<<"quorum">>'})
    assert await refusal(channel.basic_get(name)) == (
        405,
        f"RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'. basic.get"
        f" operations are not supported by {printed} queues with single active consumer",
    )


@pytest.mark.parametrize("flag", ["if-unused", "if-empty"])
@scenario
async def test_a_quorum_queue_does_not_support_if_unused_and_if_empty(
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
async def test_exclusive_consumers_are_not_enforced_by_a_quorum_queue(
    connect: Connect, name: str
) -> None:
    """Row 173."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name)

    for _ in range(2):
        assert await channel.basic_consume(Inbox(), name, exclusive=True)


@scenario
async def test_max_length_and_message_ttl_work_on_a_quorum_queue(
    connect: Connect, new_name: NewName
) -> None:
    """Row 192, row 206."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    dead_letter_queue = new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    dead_lettering = {"dead_letter_exchange": "", "dead_letter_routing_key": dead_letter_queue}

    short = await quorum_queue(channel, new_name(), b"0", b"1", max_length=1, **dead_lettering)
    assert await dead_letters.bodies(1) == [b"0"]
    brief = await quorum_queue(other, new_name(), b"late", message_ttl=1, **dead_lettering)
    assert await dead_letters.bodies(1) == [b"late"]

    assert await drain(channel, short) == [b"1"]
    assert await drain(channel, brief) == []


@scenario
async def test_redeclaring_a_queue_with_another_type_is_refused(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 101."""
    protocol = await connect()
    channel = await protocol.channel()
    await quorum_queue(channel, name)
    inequivalent = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/':"
    )

    assert await refusal(channel.queue_declare(name, durable=True)) == (
        406,
        inequivalent
        + by_version(
            {
                "3.10": " received none but current is the value 'quorum' of type 'longstr'",
                "4.0": " received 'classic' but current is 'quorum'",
            }
        ),
    )
    channel = await protocol.channel()
    classic = channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic"})
    assert await refusal(classic) == (
        406,
        f"{inequivalent} received 'classic' but current is 'quorum'",
    )


@scenario
async def test_messages_dropped_together_are_dead_lettered_one_by_one(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 207: the newest first, before 4.3."""
    channel = await (await connect()).channel()
    dead_letter_queue = new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    table = {"dead_letter_exchange": "", "dead_letter_routing_key": dead_letter_queue}

    await quorum_queue(channel, new_name(), b"1", b"22", b"too long", max_length_bytes=4, **table)

    dropped = [b"1", b"22", b"too long"]
    assert await dead_letters.bodies(3) == by_version({"3.10": dropped[::-1], "4.3": dropped})


@scenario
async def test_a_full_quorum_queue_accepts_publishes_again_at_four_fifths_of_its_limit(
    open_client: OpenClient, name: str
) -> None:
    """Row 209: it refuses publishes when it is above its limit."""
    client = await open_client()
    arguments: FieldTable = {**QUORUM, "x-max-length": 2, "x-overflow": "reject-publish"}
    await client.call(queue.Declare(name, durable=True, arguments=arguments), confirm.Select())

    async def is_taken() -> bool:
        client.send(publish(name))
        return isinstance(await client.next_command(), basic.Ack)

    taken = [await is_taken() for _ in range(4)]
    for _ in range(3):
        client.send(basic.Get(name, no_ack=True))
        await client.next_command()
        taken.append(await is_taken())

    assert taken == [True, True, True, False, False, True, True]


@scenario
async def test_a_full_quorum_queue_accepts_dead_letters(
    connect: Connect, new_name: NewName
) -> None:
    """Row 209: only publishers are refused."""
    channel = await (await connect()).channel()
    dead_letter_queue, dropping = new_name(), new_name()
    await quorum_queue(
        channel, dead_letter_queue, b"0", b"1", max_length=1, overflow="reject-publish"
    )
    table: FieldTable = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letter_queue,
        "x-max-length": 0,
    }
    await channel.queue_declare(dropping, exclusive=True, arguments=table)

    await channel.publish(b"2", "", dropping)

    dead_letters = await inbox_of(channel, dead_letter_queue)
    assert await dead_letters.bodies(3) == [b"0", b"1", b"2"]


@scenario
async def test_the_next_single_active_consumer_is_the_oldest(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 177, for quorum queues: priorities are ignored, before 4.0."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, single_active_consumer=True)
    inboxes = {
        tag: await inbox_of(channel, name, consumer_tag=tag, arguments={"x-priority": priority})
        for tag, priority in (("first", 1), ("second", 2), ("third", 3))
    }

    await channel.basic_cancel("first")
    await channel.publish(b"m", "", name)

    assert await inboxes[by_version({"3.10": "second", "4.0": "third"})].bodies(1) == [b"m"]


@scenario
async def test_a_message_that_a_consumer_gets_at_once_takes_a_turn_of_the_priorities(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """RabbitMQ 4.0: two of a high priority, then one of the others. 4.3: all of the highest."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name)
    await channel.basic_qos(prefetch_count=1)
    inbox = Inbox()
    await channel.basic_consume(inbox, name)
    await channel.publish(b"at once", "", name)
    assert await inbox.bodies(1) == [b"at once"]

    for body, priority in ((b"b", 0), (b"c", 0), (b"H", 9), (b"I", 9), (b"J", 9)):
        await channel.publish(body, "", name, {"priority": priority})

    got = [(await channel.basic_get(name))["message"] for _ in range(5)]
    assert b"".join(got) == by_version({"3.10": b"bcHIJ", "4.0": b"HbIJc", "4.3": b"HIJbc"})


@scenario
async def test_a_message_beyond_the_delivery_limit_gives_its_credit_back(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 219. Twice before 4.0: a consumer with a prefetch limit of 1 holds two messages then."""
    channel = await (await connect()).channel()
    await quorum_queue(channel, name, delivery_limit=0)
    await channel.basic_qos(prefetch_count=1)
    inbox = Inbox()
    await channel.basic_consume(inbox, name)
    for body in (b"0", b"1", b"2", b"3"):
        await channel.publish(body, "", name)
    assert await inbox.bodies(1) == [b"0"]

    await channel.basic_reject(1, requeue=True)

    held = by_version({"3.10": [b"1", b"2"], "4.0": [b"1"]})
    assert await inbox.bodies(len(held)) == held
    assert await count(channel, name) == 3 - len(held)
    assert inbox.waiting_bodies() == []


@scenario
async def test_a_quorum_queue_expires_with_a_delay(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 116, for quorum queues: RabbitMQ checks every five seconds.

    RabbitMQ: the first check of 4.3 is some milliseconds after the declaration.
    """
    connection = await connect()
    channel = await connection.channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=600)
    timer_queue = await inbox_of(channel, dead_letter_queue)
    brief = await quorum_queue(channel, new_name(), expires=1)
    longer = new_name()
    await channel.queue_declare(longer, durable=True, arguments={**QUORUM, "x-expires": 300})

    await channel.basic_publish(b"", "", queue)
    await timer_queue.next_message()

    if by_version({"3.10": True, "4.3": False}):
        assert await count(channel, brief) == 0
    else:
        assert (await refusal(channel.queue_declare(brief, passive=True)))[0] == 404
        channel = await connection.channel()
    assert await count(channel, longer) == 0


@scenario
async def test_a_quorum_queue_delivers_to_a_failed_channel_until_close_ok(
    open_client: OpenClient, name: str
) -> None:
    """Row 70, for quorum queues: messages are requeued after close-ok."""
    client = await open_client(1, 2)
    await client.call(queue.Declare(name, durable=True, arguments=QUORUM), confirm.Select())
    client.send(basic.Consume(name, "A"), channel=2)
    assert await client.next_command() == basic.ConsumeOk("A")
    client.send(basic.Ack(99), channel=2)
    assert isinstance(await client.next_command(), channel.Close)

    client.send(publish(name))

    received = [await client.next_command(), await client.next_command()]
    (delivered,) = [each for each in received if isinstance(each, Command)]
    assert delivered.method == basic.Deliver("A", 1, False, "", name)
    assert await client.call(queue.Declare(name, passive=True)) == [queue.DeclareOk(name, 0, 1)]
    client.send(channel.CloseOk(), channel.Open(), channel=2)
    assert isinstance(await client.next_command(), channel.OpenOk)
    client.send(basic.Consume(name, "B", no_ack=True))
    assert await client.next_command() == basic.ConsumeOk("B")
    again = await client.next_command()
    assert isinstance(again, Command)
    assert again.method == basic.Deliver("B", 1, True, "", name)
