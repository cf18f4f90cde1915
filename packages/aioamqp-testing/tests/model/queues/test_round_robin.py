"""Which consumer gets the next message."""

from aioamqp_testing.model import Consumer, Queue, VirtualHost
from aioamqp_testing.model.queues.round_robin import RoundRobin
from fake_broker_support import NotingChannel


def consumers(queue: Queue, channel: NotingChannel, *tags: str) -> list[Consumer]:
    return [Consumer(tag, channel, queue, prefetch_count=1) for tag in tags]


def test_consumers_take_strict_turns_and_join_the_end_when_they_have_credit_again(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    round_robin = RoundRobin(queue)
    a, b, c = consumers(queue, noting, "a", "b", "c")
    for consumer in (a, b, c):
        round_robin.append(consumer)

    assert [round_robin.next() for _ in range(4)] == [a, b, c, a]
    b.credit = 0
    assert [round_robin.next() for _ in range(2)] == [c, a]
    b.credit = 1
    assert [round_robin.next() for _ in range(2)] == [c, a]
    round_robin.unblock(noting)
    assert [round_robin.next() for _ in range(3)] == [c, a, b]


def test_a_suspended_channel_is_skipped_until_it_is_resumed(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    round_robin, other = RoundRobin(queue), NotingChannel()
    (mine,), (theirs,) = consumers(queue, noting, "mine"), consumers(queue, other, "theirs")
    round_robin.append(mine)
    round_robin.append(theirs)
    noting.prefetch.pause()

    assert [round_robin.next() for _ in range(2)] == [theirs, theirs]
    noting.prefetch.resume()
    round_robin.resume(noting)
    assert [round_robin.next() for _ in range(2)] == [theirs, mine]


def test_a_removed_consumer_gets_nothing_blocked_or_not(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    round_robin = RoundRobin(queue)
    a, b = consumers(queue, noting, "a", "b")
    for consumer in (a, b):
        round_robin.append(consumer)
    round_robin.block(a)

    round_robin.remove(a)
    round_robin.remove(b)
    round_robin.unblock(noting)

    assert round_robin.next() is None
    assert not round_robin
