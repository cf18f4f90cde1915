"""Quorum queues: what is different from classic queues."""

from typing import Any

import pytest

from aioamqp_testing.model import BrokerError, Queue, VirtualHost
from fake_broker_support import NotingChannel, a_message


def declare(vhost: VirtualHost, **arguments: Any) -> Queue:
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return vhost.declare_queue(
        "q", None, durable=True, arguments={"x-queue-type": "quorum", **table}
    )


def fill(queue: Queue, count: int) -> list[bool]:
    return [queue.publish(a_message(b"%d" % number)) for number in range(count)]


def got(queue: Queue, noting: NotingChannel) -> Any:
    queued = queue.get(noting, no_ack=False)
    assert queued
    return queued


def counts(queue: Queue) -> list[tuple[bytes, Any]]:
    """Return the bodies that are ready, and how often each was requeued."""
    return [
        (message.body, (message.properties.headers or {}).get("x-delivery-count"))
        for message in queue.messages
    ]


def test_a_message_comes_back_to_the_tail(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 218, row 220."""
    queue = declare(vhost)
    fill(queue, 2)

    queue.requeue(noting, [got(queue, noting)])

    assert counts(queue) == [(b"1", None), (b"0", 1)]


def test_with_a_delivery_limit_it_comes_back_to_the_head(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 219, row 220."""
    queue = declare(vhost, delivery_limit=2)
    fill(queue, 3)
    first, second = got(queue, noting), got(queue, noting)

    queue.requeue(noting, [second])
    queue.requeue(noting, [first])
    assert counts(queue) == [(b"1", 1), (b"0", 1), (b"2", None)]
    for _ in range(2):
        queue.requeue(noting, [got(queue, noting)])

    assert counts(queue) == [(b"1", 2), (b"0", 2), (b"2", None)]
    queue.requeue(noting, [got(queue, noting)])
    assert counts(queue) == [(b"0", 2), (b"2", None)]


def test_what_a_channel_held_comes_back_to_the_head(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 72, row 220."""
    queue = declare(vhost)
    fill(queue, 3)
    for _ in range(2):
        got(queue, noting)

    queue.remove_channel(noting)

    assert counts(queue) == [(b"0", 1), (b"1", 1), (b"2", None)]


def test_a_get_counts_from_0(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 218."""
    queue = declare(vhost)
    queue.publish(a_message(headers={"z": 1}))

    queued = got(queue, noting)

    assert list(queued.message.properties.headers.items()) == [("x-delivery-count", 0), ("z", 1)]


def test_a_consumer_without_a_limit_has_2000_messages_at_most(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = declare(vhost)
    noting.consume(queue)

    fill(queue, 2001)

    assert len(noting.taken()) == 2000


def test_publishers_are_refused_beyond_the_limit_and_accepted_well_below_it(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 209: RabbitMQ accepts one more, and then none until a fifth is consumed."""
    queue = declare(vhost, max_length=5, overflow="reject-publish")

    assert fill(queue, 7) == [True] * 6 + [False]
    queue.get(noting, no_ack=True)
    assert fill(queue, 1) == [False]
    queue.get(noting, no_ack=True)
    assert fill(queue, 1) == [True]


def test_reject_publish_dlx_is_treated_as_drop_head(vhost: VirtualHost) -> None:
    """Row 216."""
    queue = declare(vhost, max_length=1, overflow="reject-publish-dlx")

    assert fill(queue, 2) == [True, True]
    assert counts(queue) == [(b"1", None)]


def test_a_requeued_message_may_be_delivered_before_the_limit_is_checked(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 206."""
    queue = declare(vhost, max_length=2)
    noting.consume(queue, prefetch_count=1)
    fill(queue, 3)

    queue.requeue(noting, [noting.held[0]])

    assert noting.taken() == [("tag", b"0"), ("tag", b"1")]
    assert counts(queue) == [(b"2", None), (b"0", 1)]


def test_a_message_beyond_the_delivery_limit_gives_its_credit_twice(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 219. It is a bug of RabbitMQ 3.10 that a client can see."""
    queue = declare(vhost, delivery_limit=0)
    noting.consume(queue, prefetch_count=1)
    fill(queue, 5)

    queue.requeue(noting, [noting.held[0]])

    assert noting.taken() == [("tag", b"0"), ("tag", b"1"), ("tag", b"2")]


def test_a_consumer_without_credit_has_its_next_turn_after_all_others(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 174. In a classic queue the narrow one would be the next."""
    queue = declare(vhost)
    noting.consume(queue, "wide")
    noting.consume(queue, "narrow", prefetch_count=1)
    fill(queue, 3)
    assert [tag for tag, _ in noting.taken()] == ["wide", "narrow", "wide"]

    queue.acknowledge(noting, [noting.held[1]])
    fill(queue, 2)

    assert [tag for tag, _ in noting.taken()] == ["wide", "narrow"]


def test_what_a_channel_held_comes_back_by_consumer(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 72, row 220."""
    queue = declare(vhost)
    noting.consume(queue, "b", prefetch_count=1)
    noting.consume(queue, "a", prefetch_count=1)
    fill(queue, 3)
    got(queue, noting)

    queue.remove_channel(noting)

    assert [body for body, _ in counts(queue)] == [b"2", b"1", b"0"]


def test_whoever_has_a_message_counts_as_a_consumer(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = declare(vhost)
    consumer = noting.consume(queue, prefetch_count=2)
    fill(queue, 4)
    queue.remove_consumer(consumer)
    held = got(queue, noting)

    assert queue.counts() == (1, 2)
    queue.acknowledge(noting, [held])
    assert queue.counts() == (1, 1)
    queue.reject(noting, noting.held)
    assert queue.counts() == (1, 0)


def test_consumers_that_wait_for_the_single_active_one_do_not_count(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = declare(vhost, single_active_consumer=True)
    assert queue.counts() == (0, 0)
    active = noting.consume(queue, "active")
    noting.consume(queue, "waiting")
    fill(queue, 1)
    assert queue.counts() == (0, 1)

    queue.remove_consumer(active)

    assert queue.counts() == (0, 2)
    assert queue.consumer_count == 1


def test_a_shared_prefetch_is_not_for_quorum_queues(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 217."""
    noting.prefetch.set(5, unacked=0)

    with pytest.raises(BrokerError, match="does not support global qos") as caught:
        noting.consume(declare(vhost))

    assert int(caught.value.reply_code) == 540


def test_several_consumers_may_be_exclusive(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 173."""
    queue = declare(vhost)

    for tag in ("a", "b"):
        noting.consume(queue, tag, exclusive=True)

    assert queue.consumer_count == 2
