"""Expiry of messages and of unused queues."""

import pytest

from aioamqp import Channel, PublishFailed, PublishReturned
from amqp_codec import FieldTable
from tests.conformance.client import OpenClient, publish
from tests.conformance.scenario import (
    Connect,
    Inbox,
    NewName,
    count,
    dead_lettering_queue,
    drain,
    inbox_of,
    scenario,
)


async def publish_until_expired(channel: Channel, queue: str) -> None:
    """Publish to a queue until it does not exist; a passive declaration would renew it."""
    while True:
        try:
            await channel.publish(b"", "", queue, mandatory=True)
        except PublishReturned:
            return
        except PublishFailed:
            pass  # RabbitMQ: 4.3 sends basic.nack while the queue is being deleted.


@scenario
async def test_a_message_expires_after_its_ttl(connect: Connect, new_name: NewName) -> None:
    """Row 192."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=1)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"late", "", queue)

    assert await dead_letters.bodies(1) == [b"late"]
    assert await count(channel, queue) == 0


@pytest.mark.parametrize("last", [{}, {"expiration": "0"}], ids=["stays", "expires"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
@scenario
async def test_messages_expire_when_the_message_before_them_is_dropped(
    connect: Connect, new_name: NewName, kind: str, last: dict[str, str]
) -> None:
    """Row F2."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = new_name(), new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    arguments: FieldTable = {
        "x-queue-type": kind,
        "x-max-length": 3,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letter_queue,
    }
    await channel.queue_declare(queue, durable=True, arguments=arguments)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await channel.confirm_select()

    await channel.publish(b"head", "", queue)
    for body in (b"1", b"2"):
        await channel.publish(body, "", queue, {"expiration": "0"})
    assert await count(channel, queue) == 3
    await channel.publish(b"last", "", queue, last)

    assert await dead_letters.bodies(3) == [b"head", b"1", b"2"]
    if last:
        assert await dead_letters.bodies(1) == [b"last"]
    assert await drain(channel, queue) == ([] if last else [b"last"])


@pytest.mark.parametrize("whose", ["queue", "message"])
@scenario
async def test_a_message_with_a_ttl_of_0_reaches_only_a_ready_consumer(
    connect: Connect, new_name: NewName, whose: str
) -> None:
    """Row 193."""
    channel = await (await connect()).channel()
    ttl = {"message_ttl": 0} if whose == "queue" else {}
    properties = {"expiration": "0"} if whose == "message" else {}
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, **ttl)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"nobody is there", "", queue, properties)
    assert await dead_letters.bodies(1) == [b"nobody is there"]
    inbox = await inbox_of(channel, queue)
    await channel.basic_publish(b"caught", "", queue, properties)

    caught = await inbox.next_message()
    assert (caught.body, caught.properties.expiration) == (b"caught", properties.get("expiration"))
    assert dead_letters.waiting_bodies() == []


@scenario
async def test_a_message_expires_only_at_the_head_of_the_queue(
    connect: Connect, new_name: NewName
) -> None:
    """Row 194."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name)
    timer_queue, timer_target = await dead_lettering_queue(channel, new_name, message_ttl=20)
    dead_letters, timer = (
        await inbox_of(channel, dead_letter_queue),
        await inbox_of(channel, timer_target),
    )

    await channel.basic_publish(b"long", "", queue, {"expiration": "60000"})
    await channel.basic_publish(b"short", "", queue, {"expiration": "1"})
    await channel.basic_publish(b"", "", timer_queue)
    await timer.next_message()

    assert await count(channel, queue) == 2
    assert (await channel.basic_get(queue, no_ack=True))["message"] == b"long"
    assert await dead_letters.bodies(1) == [b"short"]
    assert await drain(channel, queue) == []


@pytest.mark.parametrize(("queues", "messages"), [(1, 60000), (60000, 1)])
@scenario
async def test_the_shorter_of_queue_ttl_and_message_expiration_applies(
    connect: Connect, new_name: NewName, queues: int, messages: int
) -> None:
    """Row 195."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=queues)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"late", "", queue, {"expiration": str(messages)})

    assert await dead_letters.bodies(1) == [b"late"]


@scenario
async def test_an_unacknowledged_message_expires_when_it_is_requeued(
    connect: Connect, new_name: NewName
) -> None:
    """Row 195."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=100)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await channel.basic_publish(b"held", "", queue)
    held = await channel.basic_get(queue)
    await channel.basic_publish(b"ready", "", queue)

    assert await dead_letters.bodies(1) == [b"ready"]
    await channel.basic_client_nack(held["delivery_tag"], requeue=True)

    dead_letter = await dead_letters.next_message()
    assert (dead_letter.body, dead_letter.envelope.is_redeliver) == (b"held", False)
    assert await drain(channel, queue) == []


@scenario
async def test_an_unused_queue_expires(connect: Connect, new_name: NewName) -> None:
    """Row 116, row 205."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, expires=10)

    await publish_until_expired(channel, queue)

    assert await drain(channel, dead_letter_queue) == []


@scenario
async def test_a_queue_does_not_expire_while_it_has_a_consumer(
    connect: Connect, new_name: NewName
) -> None:
    """Row 116."""
    channel = await (await connect()).channel()
    await channel.confirm_select()
    used, unused = new_name(), new_name()
    # Long enough to start the consumer on a loaded machine.
    await channel.queue_declare(used, durable=True, arguments={"x-expires": 250})
    await channel.basic_consume(Inbox(), used, consumer_tag="user", no_ack=True)
    await channel.queue_declare(unused, durable=True, arguments={"x-expires": 300})

    await publish_until_expired(channel, unused)
    await channel.publish(b"", "", used, mandatory=True)
    await channel.basic_cancel("user")

    await publish_until_expired(channel, used)


@scenario
async def test_a_ttl_of_ten_years_is_accepted(connect: Connect, name: str) -> None:
    """Row 104. Row 144 has the same limit for messages."""
    channel = await (await connect()).channel()
    longest = 315_360_000_000
    arguments = {"x-message-ttl": longest, "x-expires": longest}

    await channel.queue_declare(name, exclusive=True, arguments=arguments)
    await channel.basic_publish(b"m", "", name, {"expiration": str(longest)})

    assert await drain(channel, name) == [b"m"]


@scenario
async def test_a_long_error_text_for_an_expiration_is_wrapped_as_in_erlang(
    open_client: OpenClient, name: str
) -> None:
    """Row 144: Erlang wraps terms at 80 columns."""
    client = await open_client()
    begin = "PRECONDITION_FAILED - invalid expiration '{}': "

    for expiration, kind, reason in (
        ("9" * 20, "value_too_large", "9" * 20),
        ("-" + "9" * 20, "value_negative", "-" + "9" * 20),
        ("1" + "y" * 30, "leftover_string", f'"{"y" * 30}"'),
    ):
        indent = " " * len(f"invalid expiration '{expiration}': {{")
        text = begin.format(expiration) + f"{{{kind},\n{indent}{reason}}}"
        assert await client.refusal(publish(name, expiration=expiration)) == (406, text)
    text = begin.format("5 s") + '{leftover_string," s"}'
    assert await client.refusal(publish(name, expiration="5 s")) == (406, text)
