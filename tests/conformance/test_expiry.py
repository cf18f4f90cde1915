"""Time: messages that expire, queues that nobody uses."""

import pytest

from aioamqp import Channel, PublishReturned
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


async def until_gone(channel: Channel, queue: str) -> None:
    """Publish to a queue until there is none: to look for it in another way would renew it."""
    with pytest.raises(PublishReturned):
        while True:
            await channel.publish(b"", "", queue, mandatory=True)


@scenario
async def test_a_message_leaves_the_queue_when_its_time_is_over(
    connect: Connect, new_name: NewName
) -> None:
    """Row 192."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name, message_ttl=1)
    dead = await inbox_of(channel, grave)

    await channel.basic_publish(b"late", "", queue)

    assert await dead.bodies(1) == [b"late"]
    assert await count(channel, queue) == 0


@pytest.mark.parametrize("whose", ["queue", "message"])
@scenario
async def test_without_any_time_a_message_only_reaches_a_consumer_that_is_ready(
    connect: Connect, new_name: NewName, whose: str
) -> None:
    """Row 193."""
    channel = await (await connect()).channel()
    ttl = {"message_ttl": 0} if whose == "queue" else {}
    properties = {"expiration": "0"} if whose == "message" else {}
    queue, grave = await mortal_queue(channel, new_name, **ttl)
    dead = await inbox_of(channel, grave)

    await channel.basic_publish(b"nobody is there", "", queue, properties)
    assert await dead.bodies(1) == [b"nobody is there"]
    inbox = await inbox_of(channel, queue)
    await channel.basic_publish(b"caught", "", queue, properties)

    caught = await inbox.take()
    assert (caught.body, caught.properties.expiration) == (b"caught", properties.get("expiration"))
    assert dead.rest() == []


@scenario
async def test_a_message_expires_only_when_it_is_at_the_head(
    connect: Connect, new_name: NewName
) -> None:
    """Row 194."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name)
    hourglass, glass_grave = await mortal_queue(channel, new_name, message_ttl=20)
    dead, glass = await inbox_of(channel, grave), await inbox_of(channel, glass_grave)

    await channel.basic_publish(b"long", "", queue, {"expiration": "60000"})
    await channel.basic_publish(b"short", "", queue, {"expiration": "1"})
    await channel.basic_publish(b"", "", hourglass)
    await glass.take()

    assert await count(channel, queue) == 2
    assert (await channel.basic_get(queue, no_ack=True))["message"] == b"long"
    assert await dead.bodies(1) == [b"short"]
    assert await drained(channel, queue) == []


@pytest.mark.parametrize(("queues", "messages"), [(1, 60000), (60000, 1)])
@scenario
async def test_the_shorter_time_holds(
    connect: Connect, new_name: NewName, queues: int, messages: int
) -> None:
    """Row 195."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name, message_ttl=queues)
    dead = await inbox_of(channel, grave)

    await channel.basic_publish(b"late", "", queue, {"expiration": str(messages)})

    assert await dead.bodies(1) == [b"late"]


@scenario
async def test_a_message_that_a_consumer_has_expires_when_it_comes_back(
    connect: Connect, new_name: NewName
) -> None:
    """Row 195."""
    channel = await (await connect()).channel()
    queue, grave = await mortal_queue(channel, new_name, message_ttl=10)
    dead = await inbox_of(channel, grave)
    await channel.basic_publish(b"held", "", queue)
    held = await channel.basic_get(queue)
    await channel.basic_publish(b"ready", "", queue)

    assert await dead.bodies(1) == [b"ready"]
    await channel.basic_client_nack(held["delivery_tag"], requeue=True)

    letter = await dead.take()
    assert (letter.body, letter.envelope.is_redeliver) == (b"held", False)
    assert await drained(channel, queue) == []


@scenario
async def test_a_queue_that_nobody_uses_expires(connect: Connect, new_name: NewName) -> None:
    """Row 116, row 205."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    queue, grave = await mortal_queue(channel, new_name, expires=10)

    await until_gone(channel, queue)

    assert await drained(channel, grave) == []


@scenario
async def test_a_queue_does_not_expire_while_it_has_a_consumer(
    connect: Connect, new_name: NewName
) -> None:
    """Row 116."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    used, unused = new_name(), new_name()
    await channel.queue_declare(used, arguments={"x-expires": 10})
    await channel.basic_consume(Inbox(), used, consumer_tag="user", no_ack=True)
    await channel.queue_declare(unused, arguments={"x-expires": 20})

    await until_gone(channel, unused)
    await channel.publish(b"", "", used, mandatory=True)
    await channel.basic_cancel("user")

    await until_gone(channel, used)


@scenario
async def test_a_time_may_be_as_long_as_ten_years(connect: Connect, name: str) -> None:
    """Row 104, which has a lower limit; so has row 144."""
    channel = await (await connect()).channel()
    longest = 315_360_000_000
    arguments = {"x-message-ttl": longest, "x-expires": longest}

    await channel.queue_declare(name, exclusive=True, arguments=arguments)
    await channel.basic_publish(b"m", "", name, {"expiration": str(longest)})

    assert await drained(channel, name) == [b"m"]


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("x-expires", 0, "{value_zero,0}"),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-message-ttl", "1", '"expected integer, got longstr"'),
    ],
)
@scenario
async def test_a_time_that_is_none_is_refused(
    connect: Connect, name: str, argument: str, value: int | str, reason: str
) -> None:
    """Row 104."""
    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare(name, arguments={argument: value})) == (
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': {reason}",
    )


@scenario
async def test_a_long_reason_for_a_refused_expiration_goes_into_a_line_of_its_own(
    open_wire: OpenWire, name: str
) -> None:
    """Row 144: Erlang prints it so that it fits into 80 columns."""
    wire = await open_wire()
    begin = "PRECONDITION_FAILED - invalid expiration '{}': "

    for expiration, kind, reason in (
        ("9" * 20, "value_too_large", "9" * 20),
        ("-" + "9" * 20, "value_negative", "-" + "9" * 20),
        ("1" + "y" * 30, "leftover_string", f'"{"y" * 30}"'),
    ):
        indent = " " * len(f"invalid expiration '{expiration}': {{")
        text = begin.format(expiration) + f"{{{kind},\n{indent}{reason}}}"
        assert await wire.refusal(publish(name, expiration=expiration)) == (406, text)
    text = begin.format("5 s") + '{leftover_string," s"}'
    assert await wire.refusal(publish(name, expiration="5 s")) == (406, text)
