"""Priorities of messages and consumers, single active consumers, and exclusive consumers."""

import pytest

from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    NewName,
    count,
    dead_lettering_queue,
    drain,
    exclusive_queue,
    inbox_of,
    refusal,
    scenario,
)

IN_USE = "ACCESS_REFUSED - queue '{}' in vhost '/' in exclusive use"


@scenario
async def test_messages_of_a_higher_priority_are_delivered_first(
    connect: Connect, name: str
) -> None:
    """Row 211."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-max-priority": 3})

    for body, priority in ((b"none", None), (b"1", 1), (b"9", 9), (b"3", 3), (b"0", 0), (b"1b", 1)):
        properties = {} if priority is None else {"priority": priority}
        await channel.basic_publish(body, "", name, properties)
    first = await channel.basic_get(name)
    await channel.basic_publish(b"3b", "", name, {"priority": 3})
    await channel.basic_reject(first["delivery_tag"], requeue=True)

    assert (first["message"], first["properties"].priority) == (b"9", 9)
    assert await drain(channel, name) == [b"9", b"3", b"3b", b"1", b"1b", b"none", b"0"]


@scenario
async def test_an_expired_message_may_stay_behind_one_of_a_higher_priority(
    connect: Connect, new_name: NewName
) -> None:
    """Row 212."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, max_priority=5)
    timer_queue, timer_target = await dead_lettering_queue(channel, new_name, message_ttl=20)
    dead_letters, timer = (
        await inbox_of(channel, dead_letter_queue),
        await inbox_of(channel, timer_target),
    )

    await channel.basic_publish(b"low", "", queue, {"expiration": "1", "priority": 1})
    await dead_letters.next_message()
    await channel.basic_publish(b"high", "", queue, {"priority": 5})
    await channel.basic_publish(b"low", "", queue, {"expiration": "1", "priority": 1})
    await channel.basic_publish(b"", "", timer_queue)
    await timer.next_message()

    assert await count(channel, queue) == 2
    assert await drain(channel, queue) == [b"high"]
    assert await dead_letters.bodies(1) == [b"low"]


@scenario
async def test_a_message_that_passes_others_because_of_its_priority_does_not_expire(
    connect: Connect, new_name: NewName
) -> None:
    """Row F4: RabbitMQ looks at it when it has delivered or dropped something."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, max_priority=5)
    timer_queue, timer_target = await dead_lettering_queue(channel, new_name, message_ttl=20)
    timer = await inbox_of(channel, timer_target)
    expiring = {"expiration": "1", "priority": 5}

    await channel.basic_publish(b"low", "", queue, {"priority": 1})
    await channel.basic_publish(b"high", "", queue, expiring)
    await channel.basic_publish(b"next", "", queue, expiring)
    await channel.basic_publish(b"", "", timer_queue)
    await timer.next_message()

    assert await count(channel, queue) == 3
    assert await drain(channel, queue) == [b"high", b"low"]
    assert await drain(channel, dead_letter_queue) == [b"next"]


@scenario
async def test_a_lazy_queue_differs_only_in_its_argument(connect: Connect, name: str) -> None:
    """Row 213."""
    protocol = await connect()
    channel = await protocol.channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-queue-mode": "lazy"})
    await channel.basic_publish(b"m", "", name)

    assert await drain(channel, name) == [b"m"]
    default = channel.queue_declare(name, exclusive=True, arguments={"x-queue-mode": "default"})
    assert await refusal(default) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-mode' for queue '{name}' in vhost '/':"
        " received 'default' but current is 'lazy'",
    )


@scenario
async def test_a_consumer_of_a_higher_priority_receives_all_messages_until_its_prefetch_is_used(
    connect: Connect, name: str
) -> None:
    """Row 176."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    low, high = Inbox(), Inbox()
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume(low, name)
    await channel.basic_consume(high, name, arguments={"x-priority": 10})

    for number in range(3):
        await channel.basic_publish(b"%d" % number, "", name)
    first = await high.next_message()
    assert await high.bodies(1) == [b"1"]
    assert await low.bodies(1) == [b"2"]
    await channel.basic_client_ack(first.envelope.delivery_tag)
    await channel.basic_publish(b"3", "", name)

    assert await high.bodies(1) == [b"3"]


@scenario
async def test_a_consumer_priority_must_be_an_integer(connect: Connect, name: str) -> None:
    """Row 176."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    consume = channel.basic_consume(Inbox(), name, arguments={"x-priority": "high"})
    assert await refusal(consume) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{name}' in vhost '/':"
        ' "expected integer, got longstr"',
    )


@scenario
async def test_x_cancel_on_ha_failover_must_be_a_boolean_where_it_is_known(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 176."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    consume = channel.basic_consume(Inbox(), name, arguments={"x-cancel-on-ha-failover": "yes"})
    if by_version({"3.10": False, "4.0": True}):
        await consume
        return
    assert await refusal(consume) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '{name}' in"
        " vhost '/': {unacceptable_type,longstr}",
    )


@scenario
async def test_the_next_consumer_becomes_active_when_the_single_active_consumer_is_cancelled(
    connect: Connect, name: str
) -> None:
    """Row 177."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-single-active-consumer": True})
    active, waiting, last = Inbox(), Inbox(), Inbox()
    await other.basic_consume(active, name, consumer_tag="active")
    await channel.basic_consume(waiting, name, consumer_tag="waiting")
    await channel.basic_consume(last, name)

    await channel.basic_publish(b"0", "", name)
    await channel.basic_publish(b"1", "", name)
    assert await active.bodies(2) == [b"0", b"1"]
    await other.basic_cancel("active")
    await channel.basic_publish(b"2", "", name)
    assert await waiting.bodies(1) == [b"2"]
    # Unacknowledged messages of the cancelled consumer are requeued when its channel is closed.
    assert waiting.waiting_bodies() == []
    await other.close()

    assert await waiting.bodies(2) == [b"0", b"1"]
    assert last.waiting_bodies() == []


@scenario
async def test_a_single_active_consumer_cannot_be_exclusive(connect: Connect, name: str) -> None:
    """Row 172. RabbitMQ refuses it even if there are no consumers."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-single-active-consumer": True})

    consume = channel.basic_consume(Inbox(), name, exclusive=True)
    assert await refusal(consume) == (403, IN_USE.format(name))


@pytest.mark.parametrize("second", [False, True])
@scenario
async def test_an_exclusive_consumer_prevents_other_consumers_but_not_basic_get(
    connect: Connect, name: str, second: bool
) -> None:
    """Row 171."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name, b"0", b"1")
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(Inbox(), name, exclusive=True)

    assert (await other.basic_get(name, no_ack=True))["message"] == b"1"
    consume = other.basic_consume(Inbox(), name, exclusive=second)
    assert await refusal(consume) == (403, IN_USE.format(name))


@scenario
async def test_an_exclusive_consumer_is_refused_if_the_queue_has_consumers(
    connect: Connect, name: str
) -> None:
    """Row 171."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name)
    await channel.basic_consume(Inbox(), name)

    consume = other.basic_consume(Inbox(), name, exclusive=True)
    assert await refusal(consume) == (403, IN_USE.format(name))
