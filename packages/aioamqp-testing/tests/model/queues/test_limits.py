"""Limits of length, priorities of messages and of consumers, a single active consumer."""

from typing import Any

import pytest

from aioamqp_testing.model import BrokerError, NotSupported, Outcome, Queue, VirtualHost
from amqp_codec import Int64
from fake_broker_support import NotingChannel, a_message


def declare(vhost: VirtualHost, name: str = "q", **arguments: Any) -> Queue:
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return vhost.declare_queue(name, None, arguments=table)


def ready(queue: Queue) -> list[bytes]:
    return [message.body for message in queue.messages]


def fill(queue: Queue, *bodies: bytes, **properties: Any) -> list[bool]:
    return [queue.publish(a_message(body, **properties)) for body in bodies]


def test_the_head_gives_way_and_what_consumers_have_does_not_count(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 206."""
    queue = declare(vhost, max_length=2)
    fill(queue, b"held")
    held = queue.get(noting, no_ack=False)
    assert held

    assert fill(queue, b"0", b"1", b"2") == [True, True, True]
    assert ready(queue) == [b"1", b"2"]
    queue.requeue(noting, [held])
    assert ready(queue) == [b"1", b"2"]


def test_bytes_count_too(vhost: VirtualHost) -> None:
    """Row 207."""
    queue = declare(vhost, max_length_bytes=5)

    fill(queue, b"aa", b"bb", b"cc")
    assert ready(queue) == [b"bb", b"cc"]
    fill(queue, b"too large")
    assert ready(queue) == []


def test_a_purge_frees_the_bytes_of_its_messages(vhost: VirtualHost) -> None:
    """Row 207."""
    queue = declare(vhost, max_length_bytes=5, overflow="reject-publish")
    assert fill(queue, b"aaaaa", b"b") == [True, False]

    queue.purge()

    assert fill(queue, b"bbbbb", b"c") == [True, False]


def test_with_a_limit_of_0_no_message_is_ready_but_all_can_be_delivered(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 208."""
    queue = declare(vhost, max_length=0)
    fill(queue, b"lost")
    noting.consume(queue, no_ack=True)
    vhost.agenda.run_pending()

    fill(queue, b"0", b"1")

    assert noting.taken() == [("tag", b"0"), ("tag", b"1")]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_queue_refuses(vhost: VirtualHost, overflow: str) -> None:
    """Row 209, row 210."""
    grave = declare(vhost, "grave")
    queue = declare(
        vhost,
        max_length=1,
        overflow=overflow,
        dead_letter_exchange="",
        dead_letter_routing_key="grave",
    )

    assert fill(queue, b"0", b"1") == [True, False]
    vhost.agenda.run_pending()

    assert ready(queue) == [b"0"]
    assert ready(grave) == ([b"1"] if overflow == "reject-publish-dlx" else [])


def test_a_full_queue_accepts_what_is_requeued(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 209."""
    queue = declare(vhost, max_length=1, overflow="reject-publish")
    fill(queue, b"0")
    held = queue.get(noting, no_ack=False)
    assert held
    fill(queue, b"1")

    queue.requeue(noting, [held])

    assert ready(queue) == [b"0", b"1"]


def test_one_full_queue_of_several_is_a_refusal(vhost: VirtualHost) -> None:
    """Row 159."""
    full, free = declare(vhost, max_length=0, overflow="reject-publish"), declare(vhost, "free")
    vhost.bind_queue("q", "amq.fanout", "", {}, None)
    vhost.bind_queue("free", "amq.fanout", "", {}, None)

    assert vhost.publish(a_message(exchange="amq.fanout"), "guest") is Outcome.REFUSED
    assert (full.message_count, free.message_count) == (0, 1)


def test_a_higher_priority_goes_first(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 211."""
    queue = declare(vhost, max_priority=5)
    for body, priority in ((b"none", None), (b"1", 1), (b"9", 9), (b"5", 5), (b"0", 0)):
        fill(queue, body, priority=priority)
    first = queue.get(noting, no_ack=False)
    assert first

    queue.requeue(noting, [first])

    assert ready(queue) == [b"9", b"5", b"1", b"none", b"0"]
    assert queue.messages[0].properties.priority == 9


def test_a_highest_priority_of_0_is_none(vhost: VirtualHost) -> None:
    """Row 211."""
    queue = declare(vhost, max_priority=0)
    fill(queue, b"low", priority=0)
    fill(queue, b"high", priority=9)

    assert ready(queue) == [b"low", b"high"]


def test_a_consumer_of_a_higher_priority_goes_first_while_it_has_credit(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 176."""
    queue = declare(vhost)
    noting.consume(queue, "low")
    noting.consume(queue, "high", prefetch_count=2, arguments={"x-priority": 5})
    noting.consume(queue, "higher", prefetch_count=1, arguments={"x-priority": Int64(9)})

    fill(queue, b"0", b"1", b"2", b"3")
    assert [tag for tag, _ in noting.taken()] == ["higher", "high", "high", "low"]
    queue.acknowledge(noting, [noting.held[1]])
    fill(queue, b"4", b"5")

    assert [tag for tag, _ in noting.taken()] == ["high", "low"]


def test_equal_priorities_take_turns(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 174, row 176."""
    queue = declare(vhost)
    for tag in ("a", "b"):
        noting.consume(queue, tag, no_ack=True, arguments={"x-priority": 5})

    fill(queue, b"0", b"1", b"2", b"3")

    assert [tag for tag, _ in noting.taken()] == ["a", "b", "a", "b"]


def test_a_single_active_consumer_is_followed_by_the_next_in_line(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 177."""
    queue = declare(vhost, single_active_consumer=True)
    other = NotingChannel()
    first = noting.consume(queue, "first")
    other.consume(queue, "second", arguments={"x-priority": -1})
    other.consume(queue, "third")

    fill(queue, b"0", b"1")
    queue.remove_consumer(first)
    fill(queue, b"2")
    assert noting.taken() == [("first", b"0"), ("first", b"1")]
    assert other.taken() == [("third", b"2")]
    queue.remove_channel(noting)
    vhost.agenda.run_pending()

    assert other.taken() == [("third", b"0"), ("third", b"1")]


@pytest.mark.parametrize("first", [False, True])
def test_a_single_active_consumer_is_never_exclusive(
    vhost: VirtualHost, noting: NotingChannel, first: bool
) -> None:
    """Row 172."""
    queue = declare(vhost, single_active_consumer=True)
    if not first:
        noting.consume(queue, "first")

    with pytest.raises(BrokerError, match="in exclusive use"):
        noting.consume(queue, "second", exclusive=True)


def test_a_consumer_starts_with_the_credit_of_its_argument(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 77."""
    queue = declare(vhost)
    consumer = noting.consume(
        queue,
        prefetch_count=9,
        arguments={"x-credit": {"credit": Int64(1), "drain": False}},
    )

    fill(queue, b"0", b"1", b"2")
    queue.acknowledge(noting, [noting.held[0]])
    assert noting.taken() == [("tag", b"0")]
    assert queue.add_credit(consumer, 2) == 2
    vhost.agenda.run_pending()

    assert noting.taken() == [("tag", b"1"), ("tag", b"2")]


def test_credit_that_drains_is_refused(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 77."""
    credit = {"credit": Int64(1), "drain": True}

    with pytest.raises(NotSupported, match="x-credit that drains"):
        noting.consume(declare(vhost), arguments={"x-credit": credit})


@pytest.mark.parametrize("credit", [{"credit": 1, "drain": False}, {"credit": Int64(1)}])
def test_credit_of_a_wrong_form_is_none(
    vhost: VirtualHost, noting: NotingChannel, credit: Any
) -> None:
    """Row 77: RabbitMQ requires a 64-bit integer, and both keys."""
    queue = declare(vhost)
    noting.consume(queue, prefetch_count=2, arguments={"x-credit": credit})

    fill(queue, b"0", b"1", b"2")

    assert len(noting.taken()) == 2
