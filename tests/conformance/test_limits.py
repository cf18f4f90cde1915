"""Length limits of queues and what they do with messages above the limit."""

import asyncio

import pytest

from aioamqp import PublishFailed
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    NewName,
    count,
    dead_lettering_queue,
    drain,
    exclusive_queue,
    inbox_of,
    refusal,
    scenario,
)


@scenario
async def test_the_oldest_ready_message_is_dropped_above_max_length(
    connect: Connect, new_name: NewName
) -> None:
    """Row 206."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, max_length=2)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await channel.basic_publish(b"held", "", queue)
    held = await channel.basic_get(queue)

    for body in (b"0", b"1", b"2"):
        await channel.basic_publish(body, "", queue)
    assert await dead_letters.bodies(1) == [b"0"]
    await channel.basic_client_nack(held["delivery_tag"], requeue=True)

    assert await dead_letters.bodies(1) == [b"held"]
    assert await drain(channel, queue) == [b"1", b"2"]


@scenario
async def test_max_length_bytes_limits_the_size_of_bodies(
    connect: Connect, new_name: NewName
) -> None:
    """Row 207. A message larger than the limit removes all messages including itself."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, max_length_bytes=6)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    for body in (b"aa", b"bbbb", b"c"):
        await channel.publish(body, "", queue, {"headers": {"they": "do not count"}})
    assert await dead_letters.bodies(1) == [b"aa"]
    await channel.publish(b"too large", "", queue)

    assert await dead_letters.bodies(3) == [b"bbbb", b"c", b"too large"]
    assert await drain(channel, queue) == []


@scenario
async def test_a_queue_with_a_max_length_of_0_delivers_only_to_ready_consumers(
    connect: Connect, new_name: NewName
) -> None:
    """Row 208."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, max_length=0)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"nobody is there", "", queue)
    assert await dead_letters.bodies(1) == [b"nobody is there"]
    inbox = await inbox_of(channel, queue)
    await channel.basic_publish(b"handed on", "", queue)

    assert await inbox.bodies(1) == [b"handed on"]
    assert dead_letters.waiting_bodies() == []


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
@scenario
async def test_a_full_queue_with_reject_publish_nacks_publishes(
    connect: Connect, new_name: NewName, overflow: str
) -> None:
    """Row 209, row 210."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    queue, dead_letter_queue = await dead_lettering_queue(
        channel, new_name, max_length=1, overflow=overflow
    )
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.publish(b"taken", "", queue)
    with pytest.raises(PublishFailed):
        await channel.publish(b"refused", "", queue)
    if overflow == "reject-publish-dlx":
        dead_letter = await dead_letters.next_message()
        assert dead_letter.body == b"refused"
        assert (dead_letter.properties.headers or {})["x-first-death-reason"] == "maxlen"

    assert await drain(channel, queue) == [b"taken"]
    await channel.publish(b"taken again", "", queue)
    assert dead_letters.waiting_bodies() == []


@scenario
async def test_a_full_queue_with_reject_publish_drops_silently_without_confirms(
    connect: Connect, new_name: NewName
) -> None:
    """Row 209."""
    channel = await (await connect()).channel()
    queue, _ = await dead_lettering_queue(
        channel, new_name, max_length=1, overflow="reject-publish"
    )

    await channel.basic_publish(b"taken", "", queue)
    await channel.basic_publish(b"refused", "", queue, mandatory=True)

    assert await drain(channel, queue) == [b"taken"]


@scenario
async def test_a_publish_is_refused_if_one_queue_of_several_is_full(
    connect: Connect, new_name: NewName
) -> None:
    """Row 159."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    full, _ = await dead_lettering_queue(channel, new_name, max_length=1, overflow="reject-publish")
    free = new_name()
    await channel.queue_declare(free, exclusive=True)
    for queue in (full, free):
        await channel.queue_bind(queue, "amq.direct", full)
    await channel.publish(b"first", "amq.direct", full)

    with pytest.raises(PublishFailed):
        await channel.publish(b"second", "amq.direct", full)

    assert await drain(channel, full) == [b"first"]
    assert await drain(channel, free) == [b"first", b"second"]


@scenario
async def test_messages_of_a_queue_deleted_meanwhile_are_confirmed(
    connect: Connect, name: str
) -> None:
    """Row 158."""
    channel = await (await connect()).channel()
    other = await (await connect()).channel()
    await channel.confirm_select()
    await channel.queue_declare(name, durable=True)

    publishes = [asyncio.create_task(channel.publish(b"", "", name)) for _ in range(50)]
    await other.queue_delete(name)

    assert await asyncio.gather(*publishes) == [None] * 50


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length-bytes", "a", '"expected integer, got longstr"'),
        ("x-overflow", "foo", "invalid_overflow"),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-queue-mode", "foo", "\"unsupported queue mode 'foo'\""),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
        ("x-queue-type", "foo", "\"unsupported queue type 'foo'\""),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-single-active-consumer", "yes", "{unacceptable_type,longstr}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-message-ttl", "1", '"expected integer, got longstr"'),
    ],
)
@scenario
async def test_an_invalid_queue_argument_is_refused(
    connect: Connect, name: str, argument: str, value: int | str, reason: str, by_version: ByVersion
) -> None:
    """Row 104. RabbitMQ 4.3 ignores x-queue-mode."""
    channel = await (await connect()).channel()
    declare = channel.queue_declare(name, exclusive=True, arguments={argument: value})

    if argument == "x-queue-mode" and by_version({"3.10": False, "4.3": True}):
        assert (await declare)["queue"] == name
        return
    assert await refusal(declare) == (
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': {reason}",
    )


@scenario
async def test_ready_messages_go_to_the_first_consumer(connect: Connect, name: str) -> None:
    """Row 175."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"0", b"1", b"2")

    first, second = await inbox_of(channel, name), await inbox_of(channel, name)

    assert await first.bodies(3) == [b"0", b"1", b"2"]
    assert second.waiting_bodies() == []
    assert await count(channel, name) == 0
