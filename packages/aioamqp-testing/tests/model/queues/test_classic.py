"""Order, round robin, prefetch and requeueing in a classic queue."""

import pytest

from aioamqp_testing.model import BrokerError, Queue, VirtualHost
from amqp_codec import ReplyCode
from fake_broker_support import NotingChannel, a_message


@pytest.fixture
def queue(vhost: VirtualHost) -> Queue:
    return vhost.declare_queue("q", None)


def fill(queue: Queue, count: int = 5) -> None:
    for number in range(count):
        queue.publish(a_message(f"m{number}".encode()))


def ready(queue: Queue) -> list[bytes]:
    return [message.body for message in queue.messages]


def test_messages_come_out_in_the_order_of_publishing(queue: Queue, noting: NotingChannel) -> None:
    fill(queue, 3)

    got = [queue.get(noting, no_ack=True) for _ in range(4)]

    assert [queued and queued.message.body for queued in got] == [b"m0", b"m1", b"m2", None]


def test_a_requeued_message_comes_back_to_its_place_whatever_the_order(
    queue: Queue, noting: NotingChannel
) -> None:
    fill(queue, 5)
    held = [queued for _ in range(3) if (queued := queue.get(noting, no_ack=False))]

    queue.requeue(noting, held[2:])
    queue.requeue(noting, held[:2])

    assert ready(queue) == [b"m0", b"m1", b"m2", b"m3", b"m4"]
    again = [queue.get(noting, no_ack=True) for _ in range(4)]
    assert [queued and queued.redelivered for queued in again] == [True, True, True, False]


def test_a_rejected_message_is_gone(queue: Queue, noting: NotingChannel) -> None:
    fill(queue, 2)
    first = queue.get(noting, no_ack=False)
    assert first

    queue.reject(noting, [first])
    queue.requeue(noting, [first])

    assert ready(queue) == [b"m1"]
    assert queue.unacked_count == 0


def test_consumers_take_strict_turns(vhost: VirtualHost, queue: Queue) -> None:
    one, other = NotingChannel(), NotingChannel()
    one.consume(queue, "a", no_ack=True)
    other.consume(queue, "b", no_ack=True)

    fill(queue, 5)
    vhost.agenda.run_pending()

    assert one.taken() == [("a", b"m0"), ("a", b"m2"), ("a", b"m4")]
    assert other.taken() == [("b", b"m1"), ("b", b"m3")]


def test_a_consumer_without_a_limit_gets_all_ready_messages(
    vhost: VirtualHost, queue: Queue
) -> None:
    fill(queue, 3)
    one, other = NotingChannel(), NotingChannel()

    one.consume(queue)
    vhost.agenda.run_pending()
    other.consume(queue)
    vhost.agenda.run_pending()

    assert (len(one.taken()), len(other.taken())) == (3, 0)


def test_prefetch_limits_each_consumer_of_its_own(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.consume(queue, "a", prefetch_count=2)
    noting.consume(queue, "b", prefetch_count=1)

    fill(queue, 5)
    vhost.agenda.run_pending()
    assert noting.taken() == [("a", b"m0"), ("b", b"m1"), ("a", b"m2")]

    queue.acknowledge(noting, [noting.held[1]])
    assert noting.taken() == [("b", b"m3")]
    assert queue.message_count == 1


def test_no_ack_ignores_prefetch_and_holds_nothing(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.consume(queue, prefetch_count=1, no_ack=True)

    fill(queue, 3)
    vhost.agenda.run_pending()

    assert len(noting.taken()) == 3
    assert queue.unacked_count == 0


def test_a_shared_limit_holds_for_all_consumers_of_the_channel(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.prefetch.set(2, unacked=0)
    noting.consume(queue, "a")
    noting.consume(queue, "b")

    fill(queue, 5)
    vhost.agenda.run_pending()
    assert noting.taken() == [("a", b"m0"), ("b", b"m1")]

    noting.prefetch.release(2)
    queue.acknowledge(noting, noting.held)
    noting.prefetch.resume_queues()
    vhost.agenda.run_pending()
    assert len(noting.taken()) == 2


def test_raising_the_shared_limit_delivers_and_lowering_it_does_not(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.prefetch.set(1, unacked=0)
    noting.consume(queue)
    fill(queue, 5)
    vhost.agenda.run_pending()
    assert len(noting.taken()) == 1

    noting.prefetch.set(3, unacked=1)
    vhost.agenda.run_pending()
    assert len(noting.taken()) == 2

    noting.prefetch.set(2, unacked=3)
    noting.prefetch.release(1)
    queue.acknowledge(noting, noting.held[:1])
    noting.prefetch.resume_queues()
    vhost.agenda.run_pending()
    assert noting.taken() == []

    noting.prefetch.set(0, unacked=2)
    vhost.agenda.run_pending()
    assert len(noting.taken()) == 2


def test_the_shared_limit_holds_up_a_consumer_with_no_ack_too(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.prefetch.set(1, unacked=0)
    noting.consume(queue, "a")
    noting.consume(queue, "b", no_ack=True)

    fill(queue, 5)
    vhost.agenda.run_pending()

    assert noting.taken() == [("a", b"m0")]


def test_a_cancelled_consumer_keeps_what_it_has(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    consumer = noting.consume(queue)
    fill(queue, 2)
    vhost.agenda.run_pending()

    queue.remove_consumer(consumer)

    assert (queue.message_count, queue.unacked_count, queue.consumer_count) == (0, 2, 0)


def test_a_channel_that_is_forgotten_gives_back_what_it_held(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.consume(queue, prefetch_count=2)
    fill(queue, 4)
    vhost.agenda.run_pending()
    other = NotingChannel()
    other.consume(queue, "other")

    queue.remove_channel(noting)
    vhost.agenda.run_pending()

    assert [body for _, body in other.taken()] == [b"m0", b"m1", b"m2", b"m3"]
    assert [queued.redelivered for queued in other.held] == [True, True, False, False]


def test_purging_leaves_what_consumers_have(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.consume(queue, prefetch_count=1)
    fill(queue, 3)
    vhost.agenda.run_pending()

    assert queue.purge() == 2
    assert (queue.message_count, queue.unacked_count) == (0, 1)


@pytest.mark.parametrize(("first", "second"), [(True, False), (True, True), (False, True)])
def test_an_exclusive_consumer_is_alone(queue: Queue, first: bool, second: bool) -> None:
    NotingChannel().consume(queue, exclusive=first)

    with pytest.raises(BrokerError, match="queue 'q' in vhost '/' in exclusive use") as caught:
        NotingChannel().consume(queue, exclusive=second)

    assert caught.value.reply_code is ReplyCode.ACCESS_REFUSED


def test_an_auto_delete_queue_goes_with_its_last_consumer_and_not_before_it_had_one(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("auto", None, auto_delete=True)
    queue.publish(a_message())
    queue.get(noting, no_ack=True)
    assert "auto" in vhost.queues

    one, other = noting.consume(queue, "a"), NotingChannel().consume(queue, "b")
    queue.remove_consumer(one)
    assert "auto" in vhost.queues

    queue.remove_channel(other.channel)
    assert "auto" not in vhost.queues


def test_the_consumers_of_a_deleted_queue_are_cancelled_later_and_by_tag(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    noting.consume(queue, "b")
    noting.consume(queue, "a")

    vhost.delete_queue("q", None)
    assert noting.cancelled == []

    vhost.agenda.run_pending()
    assert noting.cancelled == ["a", "b"]


def test_what_came_from_a_deleted_queue_can_still_be_settled(
    vhost: VirtualHost, queue: Queue, noting: NotingChannel
) -> None:
    fill(queue, 1)
    queued = queue.get(noting, no_ack=False)
    assert queued
    vhost.delete_queue("q", None)

    queue.requeue(noting, [queued])
    queue.remove_channel(noting)

    assert queue.message_count == 0
