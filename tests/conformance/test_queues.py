"""Queues: declaring, counting, exclusive access, purging, deleting."""

import re
from collections.abc import Awaitable, Callable

import pytest

from aioamqp import Channel
from amqp_codec import FieldTable, Int64
from tests.conformance.scenario import (
    NO_SUCH_QUEUE,
    ByVersion,
    Connect,
    Inbox,
    NewName,
    drain,
    exclusive_queue,
    refusal,
    scenario,
)

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could"
    " be originally declared on another connection or the exclusive property value does not match"
    " that of the original declaration."
)


@scenario
async def test_a_new_queue_is_empty_and_has_no_consumers(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()

    assert await channel.queue_declare(name, exclusive=True) == {
        "queue": name,
        "message_count": 0,
        "consumer_count": 0,
    }


@scenario
async def test_declaring_again_counts_ready_messages_and_consumers(
    connect: Connect, name: str
) -> None:
    """Row 190."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"0", b"1", b"2", b"3", b"4")
    # RabbitMQ may count before pending publishes have reached the queue; a get follows them.
    assert (await channel.basic_get(name))["message_count"] == 4
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(inbox, name)
    await inbox.next_message()

    counted = {"queue": name, "message_count": 3, "consumer_count": 1}
    assert await channel.queue_declare(name, exclusive=True) == counted
    assert await channel.queue_declare(name, passive=True) == counted


@scenario
async def test_the_broker_generates_a_name_if_none_is_given(connect: Connect) -> None:
    channel = await (await connect()).channel()

    names = [(await channel.queue_declare(exclusive=True))["queue"] for _ in range(2)]

    assert all(re.fullmatch(r"amq\.gen-[\w-]{22}", name) for name in names)
    assert names[0] != names[1]


@scenario
async def test_an_empty_name_means_the_last_declared_queue(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"hello")
    inbox = Inbox()

    await channel.basic_consume(inbox, no_ack=True)

    assert await inbox.bodies(1) == [b"hello"]


@scenario
async def test_a_missing_queue_cannot_be_declared_passively(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )
    assert not channel.is_open


@scenario
async def test_a_long_reply_text_is_truncated(connect: Connect) -> None:
    channel = await (await connect()).channel()
    name = 240 * "n"

    code, text = await refusal(channel.queue_declare(name, passive=True))

    assert code == 404
    assert text == NO_SUCH_QUEUE.format(name)[:252] + "..."


@scenario
async def test_a_reserved_name_is_refused(connect: Connect) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare("amq.mine")) == (
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    )


async def declare(channel: Channel, name: str, argument: str, value: bool) -> None:
    if argument == "durable":
        await channel.queue_declare(name, durable=value)
    else:
        await channel.queue_declare(name, durable=True, auto_delete=value)


@pytest.mark.parametrize("argument", ["durable", "auto_delete"])
@pytest.mark.parametrize("current", [False, True])
@scenario
async def test_redeclaring_a_queue_with_another_argument_is_refused(
    connect: Connect, name: str, argument: str, current: bool, by_version: ByVersion
) -> None:
    """Row 95. RabbitMQ 4.3 denies queues that are neither durable nor exclusive."""
    protocol = await connect()
    channel = await protocol.channel()
    if argument == "durable" and not current and by_version({"3.10": False, "4.3": True}):
        code, text = await refusal(declare(channel, name, argument, current))
        assert code == 541
        assert text.startswith("INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.")
        return
    await declare(channel, name, argument, current)
    received = not current

    assert await refusal(declare(channel, name, argument, received)) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{name}' in vhost '/':"
        f" received '{str(received).lower()}' but current is '{str(current).lower()}'",
    )


@scenario
async def test_an_exclusive_queue_redeclared_as_shared_is_locked(
    connect: Connect, name: str
) -> None:
    """Row 96."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    assert await refusal(channel.queue_declare(name)) == (405, LOCKED.format(name))


@pytest.mark.parametrize(
    "use", ["declare", "declare passively", "bind", "consume", "get", "purge", "delete"]
)
@scenario
async def test_an_exclusive_queue_is_locked_for_other_connections(
    connect: Connect, name: str, use: str
) -> None:
    """Row 96."""
    owner, other = await connect(), await connect()
    channel = await other.channel()
    await exclusive_queue(await owner.channel(), name)
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "declare": lambda: channel.queue_declare(name, exclusive=True),
        "declare passively": lambda: channel.queue_declare(name, passive=True),
        "bind": lambda: channel.queue_bind(name, "amq.direct", name),
        "consume": lambda: channel.basic_consume(Inbox(), name),
        "get": lambda: channel.basic_get(name),
        "purge": lambda: channel.queue_purge(name),
        "delete": lambda: channel.queue_delete(name),
    }

    assert await refusal(uses[use]()) == (405, LOCKED.format(name))
    assert other.is_open


@scenario
async def test_any_connection_may_publish_to_an_exclusive_queue(
    connect: Connect, name: str
) -> None:
    """Row 96."""
    owner, other = await connect(), await connect()
    channel = await owner.channel()
    inbox = Inbox()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(inbox, name, no_ack=True)

    await (await other.channel()).basic_publish(b"hello", "", name)

    assert await inbox.bodies(1) == [b"hello"]


@scenario
async def test_an_exclusive_queue_outlives_its_channel_but_not_its_connection(
    connect: Connect, name: str
) -> None:
    """Row 115."""
    owner, other = await connect(), await connect()
    channel = await owner.channel()
    await channel.queue_declare(name, exclusive=True)

    await channel.close()
    still_there = await (await owner.channel()).queue_declare(name, passive=True)
    await owner.close()

    assert still_there["queue"] == name
    channel = await other.channel()
    assert await refusal(channel.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_an_auto_delete_queue_is_deleted_with_its_last_consumer(
    connect: Connect, name: str
) -> None:
    """Row 114."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True, auto_delete=True)
    await channel.basic_consume(Inbox(), name, consumer_tag="left")
    await channel.basic_consume(Inbox(), name, consumer_tag="right")

    await channel.basic_cancel("left")
    assert (await channel.queue_declare(name, passive=True))["consumer_count"] == 1
    await channel.basic_cancel("right")

    assert await refusal(channel.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_purging_removes_ready_but_not_unacknowledged_messages(
    connect: Connect, name: str
) -> None:
    """Row 113."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"taken", b"ready", b"ready")
    taken = await channel.basic_get(name)

    assert await channel.queue_purge(name) == {"message_count": 2}

    await channel.basic_client_nack(taken["delivery_tag"])
    assert await drain(channel, name) == [b"taken"]


@scenario
async def test_a_queue_with_messages_is_not_deleted_if_empty(connect: Connect, name: str) -> None:
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, b"")

    assert await refusal(channel.queue_delete(name, if_empty=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty",
    )

    channel = await protocol.channel()
    await channel.queue_purge(name)
    assert await channel.queue_delete(name, if_empty=True)


@scenario
async def test_a_queue_with_consumers_is_not_deleted_if_unused(connect: Connect, name: str) -> None:
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(Inbox(), name, consumer_tag="reader")

    assert await refusal(other.queue_delete(name, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use",
    )

    await channel.basic_cancel("reader")
    assert await channel.queue_delete(name, if_unused=True)


@scenario
async def test_deleting_a_missing_queue_or_exchange_succeeds(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()

    assert await channel.queue_delete(new_name())
    assert await channel.exchange_delete(new_name())


@scenario
async def test_queue_declare_with_no_wait_takes_effect(connect: Connect, name: str) -> None:
    """Row 103."""
    channel = await (await connect()).channel()

    assert await channel.queue_declare(name, exclusive=True, no_wait=True) is None

    assert (await channel.queue_declare(name, passive=True))["queue"] == name


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (
            {"x-max-length": 10},
            {"x-max-length": 11},
            "'x-max-length' for {}: received '11' but current is '10'",
        ),
        (
            {"x-overflow": "drop-head"},
            {},
            "'x-overflow' for {}: received none but current is the value 'drop-head' of type"
            " 'longstr'",
        ),
        (
            {},
            {"x-max-length": 300},
            "'x-max-length' for {}: received the value '300' of type 'short' but current is none",
        ),
        (
            {},
            {"x-single-active-consumer": True},
            "'x-single-active-consumer' for {}: received the value 'true' of type 'bool' but"
            " current is none",
        ),
        (
            {},
            {"x-queue-mode": "lazy", "x-expires": 70000},
            "'x-expires' for {}: received the value '70000' of type 'signedint' but current is"
            " none",
        ),
    ],
)
@scenario
async def test_redeclaring_a_queue_with_other_arguments_is_refused(
    connect: Connect, name: str, first: FieldTable, second: FieldTable, text: str
) -> None:
    """Row 97, row 98, row 102."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True, arguments=first)

    again = channel.queue_declare(name, exclusive=True, arguments=second)
    described = f"queue '{name}' in vhost '/'"
    assert await refusal(again) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg {text.format(described)}",
    )


@scenario
async def test_unknown_and_equivalent_arguments_are_ignored_when_redeclaring(
    connect: Connect, name: str
) -> None:
    """Row 99, row 100, row 101."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True, arguments={"x-max-length": 10, "unknown": 1})

    arguments: FieldTable = {"x-max-length": Int64(10), "x-queue-type": "classic", "other": 2}
    assert (await channel.queue_declare(name, durable=True, arguments=arguments))["queue"] == name


@pytest.mark.parametrize("argument", ["x-delivery-limit", "x-max-age"])
@scenario
async def test_an_argument_of_another_queue_type_is_refused(
    connect: Connect, name: str, argument: str
) -> None:
    """Row 105."""
    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare(name, arguments={argument: 5})) == (
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/' of queue"
        " type rabbit_classic_queue",
    )


@scenario
async def test_queue_declare_with_no_wait_may_be_refused(connect: Connect, name: str) -> None:
    """Row 103."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True)

    await channel.queue_declare(name, durable=True, auto_delete=True, no_wait=True)

    assert (await refusal(channel.basic_qos(prefetch_count=1)))[0] == 406


@pytest.mark.parametrize("end", ["channel", "connection"])
@scenario
async def test_an_auto_delete_queue_is_deleted_with_the_channel_of_its_last_consumer(
    connect: Connect, name: str, end: str
) -> None:
    """Row 114. Neither closing the declaring connection nor a basic.get deletes it."""
    declarer, user, witness = await connect(), await connect(), await connect()
    await (await declarer.channel()).queue_declare(name, durable=True, auto_delete=True)
    await declarer.close()
    channel, other = await user.channel(), await witness.channel()
    await channel.basic_publish(b"", "", name)
    await channel.basic_get(name)
    await channel.basic_consume(Inbox(), name)

    assert (await other.queue_declare(name, passive=True))["consumer_count"] == 1
    await (channel if end == "channel" else user).close()

    assert await refusal(other.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_an_exclusive_queue_may_be_declared_durable(connect: Connect, name: str) -> None:
    """Row 115."""
    channel = await (await connect()).channel()

    await channel.queue_declare(name, exclusive=True, durable=True)

    assert (await channel.queue_declare(name, exclusive=True))["queue"] == name
