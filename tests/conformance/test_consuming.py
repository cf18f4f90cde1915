"""Consumers: round robin, calls from callbacks, and cancelling by client and broker."""

import asyncio

import pytest

from aioamqp import Channel, ChannelClosed, Envelope, Properties
from tests.conformance.scenario import (
    NO_SUCH_QUEUE,
    Connect,
    Inbox,
    NewName,
    drain,
    exclusive_queue,
    refusal,
    scenario,
)


@scenario
async def test_two_consumers_receive_messages_in_turn(connect: Connect, name: str) -> None:
    """Row 174."""
    protocol = await connect()
    channel, publisher = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    left, right = Inbox(), Inbox()
    await channel.basic_consume(left, name, no_ack=True)
    await channel.basic_consume(right, name, no_ack=True)

    for number in range(6):
        await publisher.basic_publish(b"%d" % number, "", name)

    assert await left.bodies(3) == [b"0", b"2", b"4"]
    assert await right.bodies(3) == [b"1", b"3", b"5"]


@scenario
async def test_two_consumers_of_a_channel_may_acknowledge_with_multiple(
    connect: Connect, name: str
) -> None:
    """Row U34: their callbacks run one at a time, in the order of the delivery tags."""
    channel = await (await connect()).channel()
    tags: list[int] = []
    all_handled = asyncio.Event()

    async def callback(channel: Channel, _: bytes, envelope: Envelope, __: Properties) -> None:
        tags.append(envelope.delivery_tag)
        await asyncio.sleep(0)
        await channel.basic_client_ack(envelope.delivery_tag, multiple=True)
        if len(tags) == 100:
            all_handled.set()

    await exclusive_queue(channel, name, *[b""] * 100)
    await channel.basic_qos(prefetch_count=5)
    await channel.basic_consume(callback, name)
    await channel.basic_consume(callback, name)
    await all_handled.wait()

    assert tags == list(range(1, 101))
    assert await drain(channel, name) == []


@scenario
async def test_a_message_goes_to_a_consumer_with_free_prefetch(connect: Connect, name: str) -> None:
    """Row 174."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    busy, free = Inbox(), Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(busy, name)
    await channel.basic_qos(prefetch_count=0)
    await channel.basic_consume(free, name)

    for number in range(4):
        await channel.basic_publish(b"%d" % number, "", name)

    assert await busy.bodies(1) == [b"0"]
    assert await free.bodies(3) == [b"1", b"2", b"3"]
    assert busy.waiting_bodies() == []


@scenario
async def test_delivery_tags_are_counted_per_channel(connect: Connect, new_name: NewName) -> None:
    """Row 180."""
    channel = await (await connect()).channel()
    inbox = Inbox()
    for queue in (new_name(), new_name()):
        await exclusive_queue(channel, queue, b"")
        await channel.basic_consume(inbox, queue)

    tags = [(await inbox.next_message()).envelope.delivery_tag for _ in range(2)]

    assert tags == [1, 2]


@scenario
async def test_a_callback_may_make_calls_on_its_own_and_on_other_channels(
    connect: Connect, name: str
) -> None:
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, b"first", b"second")
    done: asyncio.Queue[tuple[bytes, str, bytes]] = asyncio.Queue()

    async def handle(own: Channel, body: bytes, envelope: Envelope, _: Properties) -> None:
        declared = await own.queue_declare(exclusive=True)
        other = await protocol.channel()
        await other.basic_publish(body.upper(), "", declared["queue"])
        got = await other.basic_get(declared["queue"], no_ack=True)
        await other.close()
        await own.basic_client_ack(envelope.delivery_tag)
        done.put_nowait((body, declared["queue"][:8], got["message"]))

    await channel.basic_consume(handle, name)

    assert [await done.get(), await done.get()] == [
        (b"first", "amq.gen-", b"FIRST"),
        (b"second", "amq.gen-", b"SECOND"),
    ]


@scenario
async def test_a_callback_may_cancel_its_own_consumer(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"first", b"second")
    cancelled: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(own: Channel, body: bytes, envelope: Envelope, _: Properties) -> None:
        await own.basic_cancel(envelope.consumer_tag)
        await own.basic_client_ack(envelope.delivery_tag)
        cancelled.put_nowait(body)

    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(handle, name)

    assert await cancelled.get() == b"first"
    assert await drain(channel, name) == [b"second"]


@pytest.mark.parametrize("what", ["channel", "connection"])
@scenario
async def test_a_callback_may_close_its_channel_or_connection(
    connect: Connect, name: str, what: str
) -> None:
    protocol, witness = await connect(), await (await connect()).channel()
    channel = await protocol.channel()
    await witness.queue_declare(name, durable=True)
    await channel.basic_publish(b"unacknowledged", "", name)
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def handle(own: Channel, body: bytes, envelope: Envelope, _: Properties) -> None:
        if what == "channel":
            await own.close()
        else:
            await protocol.close()
        closed.put_nowait(None)

    await channel.basic_consume(handle, name)
    await closed.get()

    assert not channel.is_open
    assert protocol.is_open == (what == "channel")
    assert await drain(witness, name) == [b"unacknowledged"]


@scenario
async def test_a_cancelled_consumer_receives_no_further_messages(
    connect: Connect, name: str
) -> None:
    """Row 169."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"before")
    inbox = Inbox()
    await channel.basic_consume(inbox, name, consumer_tag="reader")
    assert await inbox.bodies(1) == [b"before"]

    assert await channel.basic_cancel("reader") == {"consumer_tag": "reader"}
    await channel.basic_publish(b"after", "", name)

    assert await drain(channel, name) == [b"after"]
    assert inbox.waiting_bodies() == []


@scenario
async def test_deliveries_can_be_acknowledged_after_cancelling_the_consumer(
    connect: Connect, name: str
) -> None:
    """Row 169."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"first", b"second")
    inbox = Inbox()
    await channel.basic_consume(inbox, name, consumer_tag="reader")
    first, second = await inbox.next_message(), await inbox.next_message()

    await channel.basic_cancel("reader")
    await channel.basic_client_ack(first.envelope.delivery_tag)
    await channel.basic_client_nack(second.envelope.delivery_tag)

    assert await drain(channel, name) == [b"second"]


@scenario
async def test_cancelling_an_unknown_consumer_succeeds(connect: Connect) -> None:
    """Row 169."""
    channel = await (await connect()).channel()

    assert await channel.basic_cancel("nobody") == {"consumer_tag": "nobody"}


@scenario
async def test_a_consumer_tag_can_be_reused_after_cancelling(connect: Connect, name: str) -> None:
    """Row 167, row 169."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    old, new = Inbox(), Inbox()
    await channel.basic_consume(old, name, consumer_tag="reader", no_ack=True)
    await channel.basic_cancel("reader")

    await channel.basic_consume(new, name, consumer_tag="reader", no_ack=True)
    await channel.basic_publish(b"hello", "", name)

    assert await new.bodies(1) == [b"hello"]
    assert old.waiting_bodies() == []


@scenario
async def test_deleting_a_queue_cancels_its_consumers(connect: Connect, name: str) -> None:
    """Row 170."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    cancelled: asyncio.Queue[tuple[Channel, str]] = asyncio.Queue()

    async def on_cancel(own: Channel, tag: str) -> None:
        cancelled.put_nowait((own, tag))

    channel.add_cancellation_callback(on_cancel)
    await channel.basic_consume(Inbox(), name, consumer_tag="reader")

    await other.queue_delete(name)

    assert await cancelled.get() == (channel, "reader")
    assert channel.cancelled_consumers == {"reader"}
    assert channel.is_open


@scenario
async def test_a_cancellation_callback_may_consume_again(connect: Connect, name: str) -> None:
    """Row 170."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    inbox = Inbox()

    async def consume_again(own: Channel, tag: str) -> None:
        await own.queue_declare(name, exclusive=True)
        await own.basic_consume(inbox, name, consumer_tag=tag)
        await own.basic_publish(b"back", "", name)

    channel.add_cancellation_callback(consume_again)
    await channel.basic_consume(inbox, name, consumer_tag="reader")

    await other.queue_delete(name)

    assert await inbox.bodies(1) == [b"back"]


@scenario
async def test_a_second_consumer_with_the_same_tag_closes_the_connection(
    connect: Connect, name: str
) -> None:
    """Row 167."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(Inbox(), name, consumer_tag="reader")

    assert await refusal(channel.basic_consume(Inbox(), name, consumer_tag="reader")) == (
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'reader'",
    )

    await protocol.wait_closed()
    assert not channel.is_open
    assert not other.is_open


@scenario
async def test_the_same_tag_on_another_channel_is_another_consumer(
    connect: Connect, name: str
) -> None:
    """Row 167."""
    protocol = await connect()
    inboxes = Inbox(), Inbox()
    await (await protocol.channel()).queue_declare(name, exclusive=True)
    for inbox in inboxes:
        channel = await protocol.channel()
        await channel.basic_consume(inbox, name, consumer_tag="reader", no_ack=True)

    for number in range(2):
        await channel.basic_publish(b"%d" % number, "", name)

    assert [await inbox.bodies(1) for inbox in inboxes] == [[b"0"], [b"1"]]


@scenario
async def test_an_exclusive_consumer_prevents_other_consumers(connect: Connect, name: str) -> None:
    """Row 171."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(Inbox(), name, exclusive=True)

    assert await refusal(other.basic_consume(Inbox(), name)) == (
        403,
        f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use",
    )

    assert channel.is_open


@scenario
async def test_consuming_from_a_missing_queue_closes_the_channel(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.basic_consume(Inbox(), name)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )
    with pytest.raises(ChannelClosed):
        await channel.queue_declare(name)


@scenario
async def test_no_local_is_ignored(connect: Connect, name: str) -> None:
    """Row 178: RabbitMQ ignores no_local."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"own")
    inbox = Inbox()

    await channel.basic_consume(inbox, name, no_local=True, no_ack=True)

    assert await inbox.bodies(1) == [b"own"]
