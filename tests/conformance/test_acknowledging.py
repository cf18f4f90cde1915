"""Acknowledging and requeueing of deliveries, and prefetch limits."""

import pytest

from aioamqp import EmptyQueue
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    count,
    drain,
    exclusive_queue,
    refusal,
    scenario,
)

BODIES = [b"0", b"1", b"2", b"3", b"4"]


@scenario
async def test_only_acknowledged_messages_are_removed_when_the_channel_closes(
    connect: Connect, name: str
) -> None:
    """Row 72, row 180."""
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, *BODIES)
    tags = [(await channel.basic_get(name))["delivery_tag"] for _ in BODIES]

    await channel.basic_client_ack(tags[1])
    await channel.basic_client_ack(tags[3])
    await channel.close()

    assert await drain(await protocol.channel(), name) == [b"0", b"2", b"4"]


@scenario
async def test_ack_with_multiple_acknowledges_all_up_to_the_tag(
    connect: Connect, name: str
) -> None:
    """Row 186."""
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, *BODIES)
    tags = [(await channel.basic_get(name))["delivery_tag"] for _ in BODIES]

    await channel.basic_client_ack(tags[2], multiple=True)
    await channel.close()

    assert await drain(await protocol.channel(), name) == [b"3", b"4"]


@pytest.mark.parametrize("how", ["nack", "reject"])
@scenario
async def test_a_requeued_message_keeps_its_position_and_is_redelivered(
    connect: Connect, name: str, how: str
) -> None:
    """Row 187."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    tags = [(await channel.basic_get(name))["delivery_tag"] for _ in range(3)]

    # The result depends neither on the order of requeueing nor on other unacknowledged messages.
    for tag in (tags[2], tags[0]):
        if how == "nack":
            await channel.basic_client_nack(tag, requeue=True)
        else:
            await channel.basic_reject(tag, requeue=True)

    got = [await channel.basic_get(name, no_ack=True) for _ in range(4)]
    assert [(message["message"], message["redelivered"]) for message in got] == [
        (b"0", True),
        (b"2", True),
        (b"3", False),
        (b"4", False),
    ]


@pytest.mark.parametrize("how", ["nack", "reject"])
@scenario
async def test_a_message_that_is_not_requeued_is_dropped(
    connect: Connect, name: str, how: str
) -> None:
    """Row 187."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"unwanted", b"wanted")
    tag = (await channel.basic_get(name))["delivery_tag"]

    if how == "nack":
        await channel.basic_client_nack(tag, requeue=False)
    else:
        await channel.basic_reject(tag)

    assert await drain(channel, name) == [b"wanted"]


@scenario
async def test_nack_with_multiple_requeues_all_unacknowledged_up_to_the_tag(
    connect: Connect, name: str
) -> None:
    """Row 187."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    tags = [(await channel.basic_get(name))["delivery_tag"] for _ in BODIES]
    await channel.basic_client_ack(tags[1])

    await channel.basic_client_nack(tags[3], multiple=True)

    assert await drain(channel, name) == [b"0", b"2", b"3"]


@scenario
async def test_a_rejected_and_requeued_delivery_is_redelivered_to_the_consumer(
    connect: Connect, name: str
) -> None:
    """Row 187."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"again")
    inbox = Inbox()
    await channel.basic_consume(inbox, name)

    first = await inbox.next_message()
    await channel.basic_reject(first.envelope.delivery_tag, requeue=True)
    second = await inbox.next_message()

    assert (first.body, first.envelope.delivery_tag, first.envelope.is_redeliver) == (
        b"again",
        1,
        False,
    )
    assert (second.body, second.envelope.delivery_tag, second.envelope.is_redeliver) == (
        b"again",
        2,
        True,
    )


@pytest.mark.parametrize("how", ["ack", "nack", "reject"])
@scenario
async def test_an_unknown_delivery_tag_closes_the_channel(
    connect: Connect, name: str, how: str
) -> None:
    """Row 184."""
    channel = await (await connect()).channel()

    if how == "ack":
        await channel.basic_client_ack(42)
    elif how == "nack":
        await channel.basic_client_nack(42)
    else:
        await channel.basic_reject(42)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 42",
    )


@scenario
async def test_a_message_cannot_be_acknowledged_twice(connect: Connect, name: str) -> None:
    """Row 184."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"")
    tag = (await channel.basic_get(name))["delivery_tag"]

    await channel.basic_client_ack(tag)
    await channel.basic_client_ack(tag)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        406,
        f"PRECONDITION_FAILED - unknown delivery tag {tag}",
    )


@scenario
async def test_a_consumer_is_delivered_no_more_than_its_prefetch_count(
    connect: Connect, name: str
) -> None:
    """Row 181."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name, *BODIES)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume(inbox, name)

    first, second = await inbox.next_message(), await inbox.next_message()
    # A message that another channel can get was not delivered to the consumer.
    taken = await other.basic_get(name, no_ack=True)
    await channel.basic_client_ack(first.envelope.delivery_tag)
    third = await inbox.next_message()

    assert [first.body, second.body, taken["message"], third.body] == BODIES[:4]
    assert await drain(other, name) == [b"4"]
    assert inbox.waiting_bodies() == []


@scenario
async def test_ack_with_multiple_frees_the_prefetch_of_all_acknowledged_deliveries(
    connect: Connect, name: str
) -> None:
    """Row 181, row 186."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES, b"5")
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=3)
    await channel.basic_consume(inbox, name)

    assert await inbox.bodies(2) == BODIES[:2]
    last = await inbox.next_message()
    await channel.basic_client_ack(last.envelope.delivery_tag, multiple=True)

    assert await inbox.bodies(3) == [b"3", b"4", b"5"]


@scenario
async def test_a_prefetch_count_applies_to_consumers_started_after_it(
    connect: Connect, name: str
) -> None:
    """Row 181."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    left, right = Inbox(), Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(left, name)
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume(right, name)

    assert await left.bodies(1) == [b"0"]
    assert await right.bodies(2) == [b"1", b"2"]
    assert await drain(channel, name) == [b"3", b"4"]


@scenario
async def test_a_global_prefetch_count_is_shared_by_the_consumers_of_the_channel(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 182. RabbitMQ 4.3 denies global_qos: each consumer gets the limit for itself."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=3, connection_global=True)
    await channel.basic_consume(inbox, name, consumer_tag="left")
    await channel.basic_consume(inbox, name, consumer_tag="right")

    delivered = by_version({"3.10": 3, "4.3": 5})
    assert await inbox.bodies(delivered) == BODIES[:delivered]
    assert await drain(channel, name) == BODIES[delivered:]


@scenario
async def test_a_consumer_that_does_not_acknowledge_has_no_prefetch_limit(
    connect: Connect, name: str
) -> None:
    """Row 179."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1)

    await channel.basic_consume(inbox, name, no_ack=True)

    assert await inbox.bodies(5) == BODIES


@pytest.mark.parametrize("what", ["channel", "connection"])
@scenario
async def test_closing_requeues_unacknowledged_messages(
    connect: Connect, name: str, what: str
) -> None:
    """Row 72."""
    observer, closing = await connect(), await connect()
    channel, other = await closing.channel(), await observer.channel()
    await other.queue_declare(name, durable=True)
    for body in BODIES:
        await channel.basic_publish(body, "", name)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume(inbox, name)
    assert await inbox.bodies(2) == [b"0", b"1"]
    await channel.basic_get(name)

    if what == "channel":
        await channel.close()
    else:
        await closing.close()

    got = [await other.basic_get(name, no_ack=True) for _ in BODIES]
    assert [(message["message"], message["redelivered"]) for message in got] == [
        (b"0", True),
        (b"1", True),
        (b"2", True),
        (b"3", False),
        (b"4", False),
    ]


@scenario
async def test_a_prefetch_size_is_not_implemented(connect: Connect) -> None:
    """Row 183."""
    protocol = await connect()
    channel = await protocol.channel()

    assert await refusal(channel.basic_qos(prefetch_size=1)) == (
        540,
        "NOT_IMPLEMENTED - prefetch_size!=0 (1)",
    )

    await protocol.wait_closed()


@scenario
async def test_recover_redelivers_unacknowledged_messages(connect: Connect, name: str) -> None:
    """Row 188."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"1", b"2")
    inbox = Inbox()
    await channel.basic_consume(inbox, name)
    await inbox.bodies(2)

    assert await channel.basic_recover() is True
    again = [await inbox.next_message(), await inbox.next_message()]
    await channel.basic_recover_async()
    once_more = await inbox.bodies(2)

    assert sorted(message.body for message in again) == [b"1", b"2"]
    assert all(message.envelope.is_redeliver for message in again)
    assert sorted(once_more) == [b"1", b"2"]


@scenario
async def test_recover_without_requeue_is_not_implemented(connect: Connect) -> None:
    """Row 189."""
    channel = await (await connect()).channel()

    assert await refusal(channel.basic_recover(requeue=False)) == (
        540,
        "NOT_IMPLEMENTED - requeue=false",
    )


@pytest.mark.parametrize("how", ["no_ack", "other channel"])
@scenario
async def test_a_delivery_tag_is_known_only_on_its_channel_and_only_with_acknowledgements(
    connect: Connect, name: str, how: str
) -> None:
    """Row 179, row 180, row 184."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name, b"")
    tag = (await channel.basic_get(name, no_ack=how == "no_ack"))["delivery_tag"]
    acknowledging = channel if how == "no_ack" else other

    await acknowledging.basic_client_ack(tag)

    assert await refusal(acknowledging.basic_qos(prefetch_count=1)) == (
        406,
        f"PRECONDITION_FAILED - unknown delivery tag {tag}",
    )


@scenario
async def test_ack_of_tag_0_with_multiple_acknowledges_everything(
    connect: Connect, name: str
) -> None:
    """Row 185. Also if there is nothing to acknowledge."""
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, *BODIES)

    await channel.basic_client_ack(0, multiple=True)
    for _ in BODIES[1:]:
        await channel.basic_get(name)
    await channel.basic_client_ack(0, multiple=True)
    await channel.close()

    assert await drain(await protocol.channel(), name) == [b"4"]


@scenario
async def test_ack_of_tag_0_without_multiple_is_an_unknown_tag(connect: Connect) -> None:
    """Row 185."""
    channel = await (await connect()).channel()

    await channel.basic_client_ack(0)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 0",
    )


@scenario
async def test_ack_with_multiple_of_an_unknown_tag_acknowledges_nothing(
    connect: Connect, name: str
) -> None:
    """Row 186."""
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, b"0", b"1")
    for _ in range(2):
        await channel.basic_get(name)

    await channel.basic_client_ack(7, multiple=True)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 7",
    )
    assert await drain(await protocol.channel(), name) == [b"0", b"1"]


@scenario
async def test_a_global_prefetch_applies_at_once_and_together_with_that_of_a_consumer(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 182. RabbitMQ 4.3 denies global_qos: it is the limit of each later consumer."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES, b"5", b"6")
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(inbox, name, consumer_tag="narrow")
    await channel.basic_qos(prefetch_count=0)
    await channel.basic_qos(prefetch_count=4, connection_global=True)
    await channel.basic_consume(inbox, name, consumer_tag="wide")

    if by_version({"3.10": False, "4.3": True}):
        assert sorted(await inbox.bodies(5)) == [*BODIES]
        await channel.basic_qos(prefetch_count=5, connection_global=True)
        assert await drain(channel, name) == [b"5", b"6"]
        return
    first = [await inbox.next_message() for _ in range(4)]
    await channel.basic_qos(prefetch_count=5, connection_global=True)
    raised = await inbox.next_message()
    await channel.basic_qos(prefetch_count=2, connection_global=True)
    await channel.basic_client_ack(3, multiple=True)
    lowered = await count(channel, name)
    await channel.basic_qos(prefetch_count=0, connection_global=True)

    assert [(message.envelope.consumer_tag, message.body) for message in (*first, raised)] == [
        ("narrow", b"0"),
        ("wide", b"1"),
        ("wide", b"2"),
        ("wide", b"3"),
        ("wide", b"4"),
    ]
    assert lowered == 2
    assert sorted(await inbox.bodies(2)) == [b"5", b"6"]


@scenario
async def test_a_per_consumer_prefetch_removes_the_global_prefetch(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 181, row 182. RabbitMQ 4.3 denies global_qos: there is nothing to remove."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *BODIES)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=1, connection_global=True)
    await channel.basic_consume(inbox, name)
    assert await inbox.bodies(1) == [b"0"]

    await channel.basic_qos(prefetch_count=1)

    removed = by_version({"3.10": True, "4.3": False})
    assert await (inbox.bodies(4) if removed else drain(channel, name)) == BODIES[1:]


@scenario
async def test_basic_get_reports_the_remaining_message_count(connect: Connect, name: str) -> None:
    """Row 190."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"0", b"1")

    assert [(await channel.basic_get(name))["message_count"] for _ in range(2)] == [1, 0]
    with pytest.raises(EmptyQueue):
        await channel.basic_get(name)


@scenario
async def test_a_channel_error_requeues_the_deliveries_of_its_consumers(
    connect: Connect, name: str
) -> None:
    """Row 70."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    await exclusive_queue(other, name, *BODIES)
    inbox, next_inbox = Inbox(), Inbox()
    await channel.basic_qos(prefetch_count=2)
    await channel.basic_consume(inbox, name)
    await inbox.bodies(2)
    await other.basic_consume(next_inbox, name)
    await next_inbox.bodies(3)

    await refusal(channel.queue_declare(f"{name}-missing", passive=True))

    again = [await next_inbox.next_message() for _ in range(2)]
    assert [(message.body, message.envelope.is_redeliver) for message in again] == [
        (b"0", True),
        (b"1", True),
    ]


@scenario
async def test_a_delivery_from_a_deleted_queue_can_be_acknowledged_once(
    connect: Connect, name: str
) -> None:
    """Row 117."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"")
    tag = (await channel.basic_get(name))["delivery_tag"]
    await channel.queue_delete(name)

    await channel.basic_client_ack(tag)
    await channel.basic_qos(prefetch_count=1)
    await channel.basic_client_ack(tag)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        406,
        f"PRECONDITION_FAILED - unknown delivery tag {tag}",
    )
