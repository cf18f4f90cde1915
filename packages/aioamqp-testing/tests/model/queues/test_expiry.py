"""Expiry of messages and of queues, with one timer for each queue."""

import pytest

from aioamqp_testing.model import ManualClock, Node, Queue, Timer, VirtualHost
from amqp_codec import FieldTable
from fake_broker_support import RABBITMQ_3_10, NotingChannel, a_message


class CountingClock(ManualClock):
    """A clock that counts its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def call_later(self, *args: object) -> Timer:
        self.timers += 1
        return super().call_later(*args)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


@pytest.fixture
def vhost(clock: CountingClock) -> VirtualHost:
    return Node(clock, profile=RABBITMQ_3_10).vhosts["/"]


def declare(vhost: VirtualHost, **arguments: int | str) -> Queue:
    table = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return vhost.declare_queue("q", None, arguments=table)


def ready(queue: Queue) -> list[bytes]:
    return [message.body for message in queue.messages]


def test_a_message_is_there_until_its_time_is_over(
    clock: CountingClock, vhost: VirtualHost
) -> None:
    """Row 192."""
    queue = declare(vhost, message_ttl=1000)
    queue.publish(a_message(b"0"))
    clock.advance(0.5)
    queue.publish(a_message(b"1"))

    clock.advance(0.499)
    assert ready(queue) == [b"0", b"1"]
    clock.advance(0.001)
    assert ready(queue) == [b"1"]
    clock.advance(0.5)
    assert ready(queue) == []


def test_any_number_of_messages_needs_one_timer_at_a_time(
    clock: CountingClock, vhost: VirtualHost
) -> None:
    queue = declare(vhost, message_ttl=1000)

    for _ in range(1000):
        queue.publish(a_message())
    clock.advance(1)

    assert queue.message_count == 0
    assert clock.timers == 1


def test_messages_that_are_taken_leave_no_timers_behind(
    clock: CountingClock, vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = declare(vhost, message_ttl=60_000)

    for _ in range(1000):
        queue.publish(a_message())
        queue.get(noting, no_ack=True)

    assert clock.timers == 1


def test_each_of_many_queues_has_a_timer_of_its_own(
    clock: CountingClock, vhost: VirtualHost
) -> None:
    for number in range(10_000):
        queue = vhost.declare_queue(
            str(number), None, arguments={"x-expires": 1000 + number % 1000}
        )
        queue.publish(a_message())

    clock.advance(2)

    assert not vhost.queues
    assert clock.timers == 10_000


def test_an_expired_message_is_not_delivered_even_before_its_timer_fires(
    vhost: VirtualHost, clock: CountingClock, noting: NotingChannel
) -> None:
    """Row 194: an expired message is never delivered."""
    queue = declare(vhost)
    queue.publish(a_message(b"held", expiration="1000"))
    held = queue.get(noting, no_ack=False)
    assert held
    queue.publish(a_message(b"other"))

    clock.advance(1)
    queue.requeue(noting, [held])

    assert ready(queue) == [b"other"]


def test_only_the_head_expires_and_what_is_behind_it_goes_with_it(
    vhost: VirtualHost, clock: CountingClock, noting: NotingChannel
) -> None:
    """Row 194."""
    queue = declare(vhost)
    for body, expiration in ((b"0", "5000"), (b"1", "1"), (b"2", None), (b"3", "1")):
        queue.publish(a_message(body, expiration=expiration))

    clock.advance(1)
    assert len(ready(queue)) == 4
    clock.advance(4)
    assert ready(queue) == [b"2", b"3"]
    assert queue.get(noting, no_ack=True)
    assert ready(queue) == []


def test_a_message_without_any_time_reaches_only_a_consumer_that_is_ready(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 193."""
    queue = declare(vhost, message_ttl=0)

    queue.publish(a_message(b"lost"))
    assert ready(queue) == []
    noting.consume(queue, prefetch_count=1)
    vhost.agenda.run_pending()
    queue.publish(a_message(b"caught"))
    queue.publish(a_message(b"lost too"))

    assert noting.taken() == [("tag", b"caught")]
    assert ready(queue) == []


@pytest.mark.parametrize("use", ["get", "declare", "declare passively"])
def test_using_a_queue_renews_it(
    vhost: VirtualHost, clock: CountingClock, noting: NotingChannel, use: str
) -> None:
    """Row 116."""
    queue = declare(vhost, expires=1000)
    clock.advance(0.9)

    if use == "get":
        queue.get(noting, no_ack=True)
    elif use == "declare":
        declare(vhost, expires=1000)
    else:
        vhost.check_queue("q", None)

    clock.advance(0.9)
    assert vhost.queues
    clock.advance(0.1)
    assert not vhost.queues


@pytest.mark.parametrize("use", ["publish", "purge", "bind"])
def test_other_uses_do_not_renew_a_queue(
    vhost: VirtualHost, clock: CountingClock, use: str
) -> None:
    """Row 116."""
    queue = declare(vhost, expires=1000)
    clock.advance(0.9)

    if use == "publish":
        queue.publish(a_message())
    elif use == "purge":
        queue.purge()
    else:
        vhost.bind_queue("q", "amq.direct", "k", {}, None)

    clock.advance(0.1)
    assert not vhost.queues


def test_a_queue_lives_with_its_consumers_and_a_while_longer(
    vhost: VirtualHost, clock: CountingClock, noting: NotingChannel
) -> None:
    """Row 116."""
    queue = declare(vhost, expires=1000)
    consumer = noting.consume(queue)

    clock.advance(5)
    queue.remove_consumer(consumer)
    clock.advance(0.9)
    assert vhost.queues
    clock.advance(0.1)

    assert queue.is_deleted


def test_a_deleted_queue_no_longer_expires(vhost: VirtualHost, clock: CountingClock) -> None:
    queue = declare(vhost, expires=1000, message_ttl=1000)
    queue.publish(a_message())
    vhost.remove_queue(queue)
    again = declare(vhost)

    clock.advance(5)

    assert not again.is_deleted
    assert again.message_count == 0


def test_a_policy_holds_at_once_and_the_lower_number_of_both(
    vhost: VirtualHost, clock: CountingClock
) -> None:
    """Row 121."""
    queue = declare(vhost, max_length=4, message_ttl=5000)
    for number in range(4):
        queue.publish(a_message(b"%d" % number))

    queue.apply_policy({"max-length": 2, "message-ttl": 1000, "expires": 10_000})
    assert ready(queue) == [b"2", b"3"]
    queue.publish(a_message(b"4"))
    clock.advance(5)
    queue.publish(a_message(b"5"))
    clock.advance(1)
    assert ready(queue) == []
    clock.advance(4)

    assert queue.is_deleted


def test_a_policy_that_ends_leaves_the_arguments(vhost: VirtualHost) -> None:
    """Row 121."""
    queue = declare(vhost, max_length=2)
    queue.apply_policy({"max-length": 1})
    queue.apply_policy({})

    for number in range(3):
        queue.publish(a_message(b"%d" % number))

    assert ready(queue) == [b"1", b"2"]


def test_a_quorum_queue_expires_when_the_clock_is_looked_at(
    vhost: VirtualHost, clock: CountingClock, noting: NotingChannel
) -> None:
    """Row 116. RabbitMQ checks every five seconds; basic.get renews the queue, declaring does not."""
    arguments: FieldTable = {"x-queue-type": "quorum", "x-expires": 3000}
    queue = vhost.declare_queue("q", None, durable=True, arguments=arguments)
    clock.advance(2.5)
    vhost.check_queue("q", None)
    queue.get(noting, no_ack=True)
    clock.advance(7)
    vhost.check_queue("q", None)
    assert vhost.queues

    clock.advance(0.5)

    assert not vhost.queues
