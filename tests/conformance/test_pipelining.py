"""What a client sends in one piece: queues have their say behind the answers to all of it.

RabbitMQ: a queue is a process, and what it tells a channel lies behind what the client has sent.
"""

import pytest

from amqp_codec import Command, ReplyCode, basic, channel, connection, exchange, queue
from tests.conformance.raw import Door, Raw
from tests.conformance.scenario import scenario
from tests.conformance.wire import Said, publish


def delivery(name: str, tag: int, redelivered: bool = False) -> basic.Deliver:
    """Return what the consumer `c` is told about a message."""
    return basic.Deliver("c", tag, redelivered, "", name)


async def answers(raw: Raw, *what: Said | bytes, count: int) -> list[Said]:
    """Say something in one piece; return that many answers, without contents."""
    raw.send(*what)
    said = [await raw.hear() for _ in range(count)]
    return [each.method if isinstance(each, Command) else each for each in said]


async def nothing_more(raw: Raw) -> bool:
    """Return whether the broker has said everything that it had to say."""
    return await raw.ask(channel.Flow(active=True)) == channel.FlowOk(active=True)


async def queue_of(door: Door, name: str, messages: int) -> Raw:
    """Declare a queue with some messages; return the connection, with two channels."""
    raw = await door.enter(1, 2)
    await raw.ask(queue.Declare(name))
    raw.send(*(publish(name) for _ in range(messages)))
    assert await nothing_more(raw)
    return raw


async def consumer_of(door: Door, name: str, messages: int, prefetch_count: int = 0) -> Raw:
    """Declare a queue, and consume from it until there is no more to be had."""
    raw = await queue_of(door, name, messages)
    if prefetch_count:
        await raw.ask(basic.Qos(prefetch_count=prefetch_count))
    assert await raw.ask(basic.Consume(name, "c")) == basic.ConsumeOk("c")
    for _ in range(min(messages, prefetch_count or messages)):
        await raw.hear()
    return raw


@scenario
async def test_a_consumer_begins_behind_what_was_asked_after_it(door: Door, name: str) -> None:
    """Row 168."""
    raw = await queue_of(door, name, 2)

    heard = await answers(raw, basic.Consume(name, "c"), basic.Qos(prefetch_count=1), count=4)

    assert heard == [
        basic.QosOk(),
        basic.ConsumeOk("c"),
        delivery(name, 1),
        delivery(name, 2),
    ]


@scenario
async def test_messages_on_their_way_to_a_consumer_are_not_there_to_get(
    door: Door, name: str
) -> None:
    """Rows 168, 190."""
    raw = await queue_of(door, name, 2)

    heard = await answers(raw, basic.Consume(name, "c"), basic.Get(name), count=4)

    assert heard == [
        basic.GetEmpty(),
        basic.ConsumeOk("c"),
        delivery(name, 1),
        delivery(name, 2),
    ]


@scenario
async def test_a_message_on_its_way_has_no_delivery_tag_yet(door: Door, name: str) -> None:
    """Row 180."""
    raw = await consumer_of(door, name, 3, prefetch_count=1)

    heard = await answers(raw, basic.Ack(1), basic.Get(name), count=2)

    assert heard == [basic.GetOk(2, False, "", name, 0), delivery(name, 3)]


@scenario
async def test_who_consumes_what_it_publishes_hears_of_it_behind_other_answers(
    door: Door, name: str
) -> None:
    """Row 156."""
    raw = await consumer_of(door, name, 0)

    heard = await answers(raw, publish(name), basic.Qos(prefetch_count=1), count=2)

    assert heard == [basic.QosOk(), delivery(name, 1)]


@scenario
async def test_cancelling_an_unknown_consumer_is_agreed_to_first(door: Door, name: str) -> None:
    """Row 169: for one that it knows, the channel asks the queue."""
    raw = await consumer_of(door, name, 0)

    heard = await answers(raw, basic.Cancel("c"), basic.Cancel("none"), count=2)

    assert heard == [basic.CancelOk("none"), basic.CancelOk("c")]


@scenario
async def test_a_consumer_has_the_last_message_before_it_is_cancelled(
    door: Door, name: str
) -> None:
    """Row 169."""
    raw = await consumer_of(door, name, 0)

    heard = await answers(raw, publish(name), basic.Cancel("c"), count=2)

    assert heard == [delivery(name, 1), basic.CancelOk("c")]


@scenario
async def test_the_notice_of_a_deleted_queue_comes_last(door: Door, name: str) -> None:
    """Row 170."""
    raw = await consumer_of(door, name, 0)

    heard = await answers(raw, publish(name), queue.Delete(name), count=3)

    assert heard == [queue.DeleteOk(0), delivery(name, 1), basic.Cancel("c", no_wait=True)]


@scenario
async def test_recovered_messages_come_behind_what_was_asked_after_it(
    door: Door, name: str
) -> None:
    """Row 188."""
    raw = await consumer_of(door, name, 2)

    heard = await answers(raw, basic.Recover(requeue=True), basic.Qos(prefetch_count=5), count=4)

    assert heard == [
        basic.RecoverOk(),
        basic.QosOk(),
        delivery(name, 3, redelivered=True),
        delivery(name, 4, redelivered=True),
    ]


@scenario
async def test_a_message_on_its_way_cannot_be_acknowledged(door: Door, name: str) -> None:
    """Rows 70, 184: it comes all the same, and is in the queue again."""
    raw = await queue_of(door, name, 1)

    heard = await answers(raw, basic.Consume(name, "c"), basic.Ack(1), count=2)

    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    assert heard == [channel.Close(406, text, 60, 80), delivery(name, 1)]
    declared = await raw.ask(queue.Declare(name, passive=True), number=2)
    assert declared == queue.DeclareOk(name, 1, 0)


@scenario
async def test_a_channel_that_is_closed_sends_what_was_on_its_way(door: Door, name: str) -> None:
    """Row 72: but it does not say any more that the consumer has begun."""
    raw = await queue_of(door, name, 2)

    heard = await answers(raw, basic.Consume(name, "c"), channel.Close(200, ""), count=3)

    assert heard == [delivery(name, 1), delivery(name, 2), channel.CloseOk()]
    again = await raw.ask(basic.Get(name), number=2)
    assert isinstance(again, Command)
    assert again.method == basic.GetOk(1, True, "", name, 1)


@scenario
async def test_a_connection_that_is_closed_sends_nothing_of_what_was_on_its_way(
    door: Door, name: str
) -> None:
    """Row 50."""
    raw = await queue_of(door, name, 2)

    raw.send(basic.Consume(name, "c"), Command(0, connection.Close(200, "")))

    assert await raw.rest() == [connection.CloseOk()]
    again = await (await door.enter(1)).ask(basic.Get(name))
    assert isinstance(again, Command)
    assert again.method == basic.GetOk(1, True, "", name, 1)


@pytest.mark.parametrize("messages", [0, 1])
@scenario
async def test_a_consumer_that_begins_without_an_answer_can_be_cancelled_in_the_same_piece(
    door: Door, name: str, messages: int
) -> None:
    """Rows 168, 169."""
    raw = await queue_of(door, name, messages)
    consume = basic.Consume(name, "c", no_wait=True)

    heard = await answers(raw, consume, basic.Cancel("c"), count=messages + 1)

    assert heard == [*(delivery(name, 1) for _ in range(messages)), basic.CancelOk("c")]


@scenario
async def test_a_consumer_cancelled_before_it_has_begun_is_an_internal_error(
    door: Door, name: str
) -> None:
    """Row 64."""
    raw = await queue_of(door, name, 0)

    heard = await answers(raw, basic.Consume(name, "c"), basic.Cancel("c"), count=2)

    code = int(ReplyCode.INTERNAL_ERROR)
    assert heard == [basic.ConsumeOk("c"), connection.Close(code, "INTERNAL_ERROR", 0, 0)]


@pytest.mark.parametrize(
    "mistake",
    [
        basic.Qos(prefetch_size=4),
        basic.Consume("none", "c"),
        exchange.Declare("none", "of-no-type"),
    ],
    ids=lambda mistake: mistake.NAME,
)
@scenario
async def test_what_a_channel_had_goes_to_the_others_before_its_mistake_ends_the_connection(
    door: Door, name: str, mistake: Said
) -> None:
    """Row 70."""
    raw = await consumer_of(door, name, 2)
    assert await raw.ask(basic.Consume(name, "other"), number=2) == basic.ConsumeOk("other")

    heard = await answers(raw, mistake, count=3)

    assert heard[:2] == [basic.Deliver("other", tag, True, "", name) for tag in (1, 2)]
    assert isinstance(heard[2], connection.Close)
    raw.send(connection.CloseOk(), number=0)
    assert (await (await door.enter(1)).ask(queue.Declare(name, passive=True))) == (
        queue.DeclareOk(name, 2, 0)
    )
