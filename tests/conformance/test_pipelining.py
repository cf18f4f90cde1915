"""Requests in one write: what queues send follows the replies to all of them.

RabbitMQ: a queue is a process; its messages to a channel are queued after the client's requests.
"""

import pytest

from amqp_codec import (
    Command,
    FieldTable,
    basic,
    channel,
    confirm,
    connection,
    queue,
)
from tests.conformance.client import MethodOrCommand, method_of, publish
from tests.conformance.raw_client import Endpoint, RawClient
from tests.conformance.scenario import ByVersion, racing_scenario


def delivery(name: str, tag: int, redelivered: bool = False) -> basic.Deliver:
    """Return the basic.deliver of a message to the consumer `c`."""
    return basic.Deliver("c", tag, redelivered, "", name)


async def next_methods(
    raw: RawClient, *items: MethodOrCommand | bytes, count: int
) -> list[MethodOrCommand]:
    """Send items in one write; return the next ``count`` methods without contents."""
    raw.send(*items)
    received = [await raw.next_command() for _ in range(count)]
    return [method_of(each) for each in received]


async def is_idle(raw: RawClient) -> bool:
    """Return whether the next reply is that to channel.flow, so nothing else was sent before."""
    return await raw.request(channel.Flow(active=True)) == channel.FlowOk(active=True)


async def queue_of(endpoint: Endpoint, name: str, messages: int) -> RawClient:
    """Declare a queue with messages; return a client with two channels."""
    raw = await endpoint.open_connection(1, 2)
    await raw.request(queue.Declare(name, durable=True))
    raw.send(*(publish(name) for _ in range(messages)))
    assert await is_idle(raw)
    return raw


async def consumer_of(
    endpoint: Endpoint, name: str, messages: int, prefetch_count: int = 0
) -> RawClient:
    """Declare a queue with messages, and receive as many as the prefetch count allows."""
    raw = await queue_of(endpoint, name, messages)
    if prefetch_count:
        await raw.request(basic.Qos(prefetch_count=prefetch_count))
    assert await raw.request(basic.Consume(name, "c")) == basic.ConsumeOk("c")
    for _ in range(min(messages, prefetch_count or messages)):
        await raw.next_command()
    return raw


@racing_scenario
async def test_consume_ok_follows_the_replies_to_later_requests(
    endpoint: Endpoint, name: str
) -> None:
    """Row 168."""
    raw = await queue_of(endpoint, name, 2)

    received = await next_methods(
        raw, basic.Consume(name, "c"), basic.Qos(prefetch_count=1), count=4
    )

    assert received == [
        basic.QosOk(),
        basic.ConsumeOk("c"),
        delivery(name, 1),
        delivery(name, 2),
    ]


@racing_scenario
async def test_messages_being_delivered_to_a_consumer_are_not_available_to_get(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 168, 190."""
    raw = await queue_of(endpoint, name, 2)

    received = await next_methods(raw, basic.Consume(name, "c"), basic.Get(name), count=4)

    assert received == [
        basic.GetEmpty(),
        basic.ConsumeOk("c"),
        delivery(name, 1),
        delivery(name, 2),
    ]


@racing_scenario
async def test_a_message_being_delivered_gets_its_delivery_tag_after_a_get(
    endpoint: Endpoint, name: str
) -> None:
    """Row 180."""
    raw = await consumer_of(endpoint, name, 3, prefetch_count=1)

    received = await next_methods(raw, basic.Ack(1), basic.Get(name), count=2)

    assert received == [basic.GetOk(2, False, "", name, 0), delivery(name, 3)]


@racing_scenario
async def test_a_delivery_of_an_own_message_follows_the_replies_to_later_requests(
    endpoint: Endpoint, name: str
) -> None:
    """Row 156."""
    raw = await consumer_of(endpoint, name, 0)

    received = await next_methods(raw, publish(name), basic.Qos(prefetch_count=1), count=2)

    assert received == [basic.QosOk(), delivery(name, 1)]


@racing_scenario
async def test_cancel_ok_for_an_unknown_consumer_is_sent_first(
    endpoint: Endpoint, name: str
) -> None:
    """Row 169: for a known consumer the channel calls the queue first."""
    raw = await consumer_of(endpoint, name, 0)

    received = await next_methods(raw, basic.Cancel("c"), basic.Cancel("none"), count=2)

    assert received == [basic.CancelOk("none"), basic.CancelOk("c")]


@racing_scenario
async def test_the_last_message_is_delivered_before_cancel_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Row 169."""
    raw = await consumer_of(endpoint, name, 0)

    received = await next_methods(raw, publish(name), basic.Cancel("c"), count=2)

    assert received == [delivery(name, 1), basic.CancelOk("c")]


@racing_scenario
async def test_the_cancel_notification_of_a_deleted_queue_is_sent_last(
    endpoint: Endpoint, name: str
) -> None:
    """Row 170."""
    raw = await consumer_of(endpoint, name, 0)

    received = await next_methods(raw, publish(name), queue.Delete(name), count=3)

    assert received == [
        queue.DeleteOk(0),
        delivery(name, 1),
        basic.Cancel("c", no_wait=True),
    ]


@racing_scenario
async def test_redeliveries_of_recover_follow_the_replies_to_later_requests(
    endpoint: Endpoint, name: str
) -> None:
    """Row 188."""
    raw = await consumer_of(endpoint, name, 2)

    received = await next_methods(
        raw, basic.Recover(requeue=True), basic.Qos(prefetch_count=5), count=4
    )

    assert received == [
        basic.RecoverOk(),
        basic.QosOk(),
        delivery(name, 3, redelivered=True),
        delivery(name, 4, redelivered=True),
    ]


@racing_scenario
async def test_a_message_being_delivered_cannot_be_acknowledged(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 70, 184: it is still delivered, and requeued."""
    raw = await queue_of(endpoint, name, 1)

    received = await next_methods(raw, basic.Consume(name, "c"), basic.Ack(1), count=2)

    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    assert received == [channel.Close(406, text, 60, 80), delivery(name, 1)]
    declared = await raw.request(queue.Declare(name, passive=True), channel=2)
    assert declared == queue.DeclareOk(name, 1, 0)


@racing_scenario
async def test_messages_being_delivered_are_sent_before_channel_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Row 72: but consume-ok is not sent."""
    raw = await queue_of(endpoint, name, 2)

    received = await next_methods(raw, basic.Consume(name, "c"), channel.Close(200, ""), count=3)

    assert received == [delivery(name, 1), delivery(name, 2), channel.CloseOk()]
    again = await raw.request(basic.Get(name), channel=2)
    assert isinstance(again, Command)
    assert again.method == basic.GetOk(1, True, "", name, 1)


@racing_scenario
async def test_messages_being_delivered_are_not_sent_before_connection_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Row 50."""
    raw = await queue_of(endpoint, name, 2)

    raw.send(basic.Consume(name, "c"), Command(0, connection.Close(200, "")))

    assert await raw.commands_until_eof() == [connection.CloseOk()]
    again = await (await endpoint.open_connection(1)).request(basic.Get(name))
    assert isinstance(again, Command)
    assert again.method == basic.GetOk(1, True, "", name, 1)


@pytest.mark.parametrize("messages", [0, 1])
@racing_scenario
async def test_a_consumer_started_with_no_wait_can_be_cancelled_in_the_same_write(
    endpoint: Endpoint, name: str, messages: int
) -> None:
    """Rows 168, 169."""
    raw = await queue_of(endpoint, name, messages)
    consume = basic.Consume(name, "c", no_wait=True)

    received = await next_methods(raw, consume, basic.Cancel("c"), count=messages + 1)

    assert received == [*(delivery(name, 1) for _ in range(messages)), basic.CancelOk("c")]


@racing_scenario
async def test_cancelling_a_consumer_before_consume_ok_is_an_internal_error(
    endpoint: Endpoint, name: str, by_version: ByVersion
) -> None:
    """Row 64. RabbitMQ 4.3 cancels it, usually without consume-ok."""
    raw = await queue_of(endpoint, name, 0)

    consume, cancel = basic.Consume(name, "c"), basic.Cancel("c")
    if by_version({"3.10": False, "4.3": True}):
        assert await next_methods(raw, consume, cancel, count=1) == [basic.CancelOk("c")]
        return
    received = await next_methods(raw, consume, cancel, count=2)
    assert received == [basic.ConsumeOk("c"), connection.Close(541, "INTERNAL_ERROR", 0, 0)]


@pytest.mark.parametrize(
    "failing",
    [
        basic.Qos(prefetch_size=4),
        basic.Consume("none", "c"),
        channel.Flow(active=False),
    ],
    ids=lambda failing: failing.NAME,
)
@racing_scenario
async def test_unacknowledged_messages_are_redelivered_before_an_error_closes_the_connection(
    endpoint: Endpoint, name: str, failing: MethodOrCommand
) -> None:
    """Row 70."""
    raw = await consumer_of(endpoint, name, 2)
    assert await raw.request(basic.Consume(name, "other"), channel=2) == basic.ConsumeOk("other")

    received = await next_methods(raw, failing, count=3)

    assert received[:2] == [basic.Deliver("other", tag, True, "", name) for tag in (1, 2)]
    assert isinstance(received[2], connection.Close)
    raw.send(connection.CloseOk(), channel=0)
    assert (
        await (await endpoint.open_connection(1)).request(queue.Declare(name, passive=True))
    ) == (queue.DeclareOk(name, 2, 0))


@pytest.mark.parametrize(
    ("how", "failing"),
    [
        ("consume", basic.Consume("none", "c")),
        ("consume", basic.Qos(prefetch_size=4)),
        ("get", basic.Qos(prefetch_size=4)),
    ],
    ids=["consume-530", "consume-540", "get-540"],
)
@racing_scenario
async def test_a_quorum_queue_redelivers_nothing_before_an_error_closes_the_connection(
    endpoint: Endpoint, name: str, how: str, failing: MethodOrCommand
) -> None:
    """Rows F6 and F7: a classic queue does, if the channel that fails consumes from it."""
    raw = await endpoint.open_connection(1, 2)
    arguments: FieldTable = {"x-queue-type": "quorum"}
    await raw.request(queue.Declare(name, durable=True, arguments=arguments))
    await raw.request(confirm.Select())
    assert await raw.request(publish(name)) == basic.Ack(1)
    if how == "get":
        await raw.request(basic.Get(name))
    else:
        assert await raw.request(basic.Consume(name, "c")) == basic.ConsumeOk("c")
        await raw.next_command()
    assert await raw.request(basic.Consume(name, "other"), channel=2) == basic.ConsumeOk("other")

    assert isinstance(await raw.request(failing), connection.Close)

    raw.send(connection.CloseOk(), channel=0)
    other = await endpoint.open_connection(1)
    assert await other.request(basic.Consume(name, "c")) == basic.ConsumeOk("c")
    again = await other.next_command()
    assert isinstance(again, Command)
    assert again.method == delivery(name, 1, redelivered=True)
