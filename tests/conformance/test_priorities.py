"""Priorities of messages and of consumers, and consumers that are alone."""

import pytest

from tests.conformance.scenario import (
    Connect,
    Inbox,
    NewName,
    count,
    drained,
    exclusive_queue,
    inbox_of,
    mortal_queue,
    refusal,
    scenario,
)

IN_USE = "ACCESS_REFUSED - queue '{}' in vhost '/' in exclusive use"


@scenario
async def test_messages_of_a_higher_priority_go_first(connect: Connect, name: str) -> None:
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
    assert await drained(channel, name) == [b"9", b"3", b"3b", b"1", b"1b", b"none", b"0"]


@scenario
async def test_an_expired_message_may_sit_behind_one_of_a_higher_priority(
    connect: Connect, new_name: NewName
) -> None:
    """Row 212."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name, max_priority=5)
    hourglass, glass_grave = await mortal_queue(channel, new_name, message_ttl=20)
    dead, glass = await inbox_of(channel, grave), await inbox_of(channel, glass_grave)

    await channel.basic_publish(b"low", "", queue, {"expiration": "1", "priority": 1})
    await dead.take()
    await channel.basic_publish(b"high", "", queue, {"priority": 5})
    await channel.basic_publish(b"low", "", queue, {"expiration": "1", "priority": 1})
    await channel.basic_publish(b"", "", hourglass)
    await glass.take()

    assert await count(channel, queue) == 2
    assert await drained(channel, queue) == [b"high"]
    assert await dead.bodies(1) == [b"low"]


@scenario
async def test_a_lazy_queue_is_another_one_only_by_its_argument(
    connect: Connect, name: str
) -> None:
    """Row 213."""
    protocol = await connect()
    channel = await protocol.channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-queue-mode": "lazy"})
    await channel.basic_publish(b"m", "", name)

    assert await drained(channel, name) == [b"m"]
    default = channel.queue_declare(name, exclusive=True, arguments={"x-queue-mode": "default"})
    assert await refusal(default) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-mode' for queue '{name}' in vhost '/':"
        " received 'default' but current is 'lazy'",
    )


@scenario
async def test_a_consumer_of_a_higher_priority_has_all_while_it_has_room(
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
    first = await high.take()
    assert await high.bodies(1) == [b"1"]
    assert await low.bodies(1) == [b"2"]
    await channel.basic_client_ack(first.envelope.delivery_tag)
    await channel.basic_publish(b"3", "", name)

    assert await high.bodies(1) == [b"3"]


@scenario
async def test_the_priority_of_a_consumer_is_a_number(connect: Connect, name: str) -> None:
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
async def test_whether_a_consumer_is_cancelled_on_failover_is_true_or_false(
    connect: Connect, name: str
) -> None:
    """Row 176."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    consume = channel.basic_consume(Inbox(), name, arguments={"x-cancel-on-ha-failover": "yes"})
    assert await refusal(consume) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '{name}' in"
        " vhost '/': {unacceptable_type,longstr}",
    )


@scenario
async def test_a_single_active_consumer_is_followed_by_the_next(
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
    # What the old one held stays with its channel, and comes back with the end of it.
    assert waiting.rest() == []
    await other.close()

    assert await waiting.bodies(2) == [b"0", b"1"]
    assert last.rest() == []


@scenario
async def test_a_single_active_consumer_cannot_be_exclusive(connect: Connect, name: str) -> None:
    """Row 172. RabbitMQ refuses it even if there are no consumers."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True, arguments={"x-single-active-consumer": True})

    consume = channel.basic_consume(Inbox(), name, exclusive=True)
    assert await refusal(consume) == (403, IN_USE.format(name))


@pytest.mark.parametrize("second", [False, True])
@scenario
async def test_nobody_consumes_beside_an_exclusive_consumer_but_may_get(
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
async def test_a_consumer_cannot_be_exclusive_beside_others(connect: Connect, name: str) -> None:
    """Row 171."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name)
    await channel.basic_consume(Inbox(), name)

    consume = other.basic_consume(Inbox(), name, exclusive=True)
    assert await refusal(consume) == (403, IN_USE.format(name))
