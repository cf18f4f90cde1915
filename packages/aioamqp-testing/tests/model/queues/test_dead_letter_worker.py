"""Dead letters that a quorum queue keeps until their queues have them. Row U44."""

from typing import Any

import pytest

from aioamqp_testing.model import ManualClock, Message, Queue, VirtualHost
from amqp_codec import FieldTable
from fake_broker_support import NotingChannel, a_message

RETRY_SECONDS = 180
HELD = 32


@pytest.fixture
def clock(vhost: VirtualHost) -> ManualClock:
    assert isinstance(vhost.clock, ManualClock)
    return vhost.clock


def declare(vhost: VirtualHost, name: str, **arguments: Any) -> Queue:
    table: FieldTable = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return vhost.declare_queue(name, None, durable=True, arguments=table)


def source(vhost: VirtualHost, **arguments: Any) -> Queue:
    strategy = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}
    table = {"queue_type": "quorum", **strategy, "dead_letter_exchange": "", **arguments}
    return declare(vhost, "source", **table)


def reject(vhost: VirtualHost, queue: Queue, *bodies: bytes) -> None:
    """Publish messages to a queue, and reject them."""
    noting = NotingChannel()
    for body in bodies:
        vhost.publish(a_message(body, queue.name))
        queued = queue.get(noting, no_ack=False)
        assert queued is not None
        queue.reject(noting, [queued])
    vhost.agenda.run_pending()


def bodies(queue: Queue) -> list[bytes]:
    return [message.body for message in queue.messages]


def empty(queue: Queue) -> list[Message]:
    """Remove and return all ready messages."""
    messages = queue.messages
    queue.purge()
    return messages


def test_a_dead_letter_is_published_again_after_three_minutes(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U44."""
    queue = source(vhost, dead_letter_routing_key="target")
    reject(vhost, queue, b"1", b"2")
    assert (queue.message_count, queue.unacked_count) == (0, 2)

    target = declare(vhost, "target")
    clock.advance(RETRY_SECONDS - 1)
    assert bodies(target) == []
    clock.advance(1)

    assert bodies(target) == [b"1", b"2"]
    assert queue.unacked_count == 0
    clock.advance(10 * RETRY_SECONDS)
    assert bodies(target) == [b"1", b"2"]


@pytest.mark.parametrize(("target_type", "at_once"), [("classic", 1), ("quorum", 2)])
def test_a_queue_that_is_full_gets_the_dead_letters_later(
    vhost: VirtualHost, clock: ManualClock, target_type: str, at_once: int
) -> None:
    """Row U44. A quorum queue refuses messages only when it is above the limit."""
    limit = {"max_length": 1, "overflow": "reject-publish"}
    target = declare(vhost, "target", queue_type=target_type, **limit)
    queue = source(vhost, dead_letter_routing_key="target")
    numbers = [b"1", b"2", b"3", b"4"]
    reject(vhost, queue, *numbers)
    arrived: list[bytes] = []

    for _ in range(0, 4, at_once):
        assert len(target.messages) == at_once
        assert queue.unacked_count == 4 - len(arrived) - at_once
        arrived += [message.body for message in empty(target)]
        clock.advance(RETRY_SECONDS)

    assert arrived == numbers
    assert (queue.unacked_count, target.message_count) == (0, 0)


def test_a_queue_that_has_a_dead_letter_does_not_get_it_again(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U44."""
    limit = {"max_length": 1, "overflow": "reject-publish"}
    free, full = declare(vhost, "free"), declare(vhost, "full", **limit)
    for each in (free, full):
        vhost.bind_queue(each.name, "amq.fanout", "", {}, None)
    full.publish(a_message(b"in the way"))
    queue = source(vhost, dead_letter_exchange="amq.fanout")
    reject(vhost, queue, b"m")
    assert bodies(free) == [b"m"]

    full.purge()
    clock.advance(RETRY_SECONDS)

    assert bodies(free) == bodies(full) == [b"m"]
    assert queue.unacked_count == 0


def test_the_death_of_a_dead_letter_that_is_late_has_its_own_date(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U44. It is also counted once."""
    queue = source(vhost, dead_letter_routing_key="target")
    date = clock.now()
    reject(vhost, queue, b"m")
    clock.advance(2 * RETRY_SECONDS)
    target = declare(vhost, "target")
    clock.advance(RETRY_SECONDS)

    (message,) = target.messages
    headers: dict[str, Any] = dict(message.properties.headers or {})
    (death,) = headers["x-death"]
    assert (death["time"].timestamp(), death["count"]) == (date, 1)


def test_dead_letters_that_are_routed_nowhere_keep_others_waiting(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U44. RabbitMQ: the worker holds 32 at a time."""
    queue, good = source(vhost, dead_letter_exchange="amq.direct"), declare(vhost, "good")
    vhost.bind_queue("good", "amq.direct", "good", {}, None)
    vhost.bind_queue("source", "amq.fanout", "", {}, None)
    noting = NotingChannel()
    keys = [*["bad"] * (HELD - 1), "good", "bad", "good"]
    for number, key in enumerate(keys):
        vhost.publish(a_message(b"%d" % number, key, "amq.fanout"))
        queued = queue.get(noting, no_ack=False)
        assert queued is not None
        queue.reject(noting, [queued])
    vhost.agenda.run_pending()
    assert bodies(good) == [b"31"]
    clock.advance(RETRY_SECONDS)
    assert bodies(good) == [b"31"]

    vhost.bind_queue("good", "amq.direct", "bad", {}, None)
    clock.advance(RETRY_SECONDS)

    assert sorted(map(int, bodies(good))) == list(range(len(keys)))
    assert queue.unacked_count == 0


def test_a_cycle_is_kept(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U44. At most once it would be dropped; a queue that is bound later gets it."""
    queue = source(vhost, dead_letter_exchange="amq.fanout", message_ttl=1)
    vhost.bind_queue("source", "amq.fanout", "", {}, None)
    vhost.publish(a_message(b"m", "source"))
    clock.advance(1)
    assert (queue.message_count, queue.unacked_count) == (0, 1)

    target = declare(vhost, "target")
    vhost.bind_queue("target", "amq.fanout", "", {}, None)
    clock.advance(RETRY_SECONDS)

    assert bodies(target) == [b"m"]
    assert (queue.message_count, queue.unacked_count) == (0, 0)


def test_a_dead_letter_that_one_queue_has_is_done_when_it_is_routed_nowhere(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U44. RabbitMQ: but not when all queues that are left have it."""
    for name, limit in (("free", {}), ("full", {"max_length": 0, "overflow": "reject-publish"})):
        declare(vhost, name, **limit)
        vhost.bind_queue(name, "amq.fanout", "", {}, None)
    queue = source(vhost, dead_letter_exchange="amq.fanout")
    reject(vhost, queue, b"m")

    vhost.delete_queue("full", None)
    clock.advance(RETRY_SECONDS)
    assert queue.unacked_count == 1
    vhost.delete_queue("free", None)
    clock.advance(RETRY_SECONDS)
    assert queue.unacked_count == 0


def test_dead_letters_survive_a_restart_and_are_published_again(vhost: VirtualHost) -> None:
    """Row U44. RabbitMQ: also to the queues that had them before."""
    limit = {"max_length": 1, "overflow": "reject-publish"}
    free, full = declare(vhost, "free"), declare(vhost, "full", **limit)
    for each in (free, full):
        vhost.bind_queue(each.name, "amq.fanout", "", {}, None)
    full.publish(a_message(b"in the way", delivery_mode=2))
    queue = source(vhost, dead_letter_exchange="amq.fanout")
    reject(vhost, queue, b"m")
    assert bodies(free) == [b"m"]
    full.purge()

    vhost.restart()

    assert bodies(full) == bodies(free) == [b"m"]  # the first one was not persistent
    assert queue.unacked_count == 0


def test_dead_letters_are_lost_with_their_queue(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U44."""
    queue = source(vhost, dead_letter_routing_key="target")
    reject(vhost, queue, b"m")
    (message,) = queue.unacked["the dead-letter worker"]

    assert vhost.delete_queue("source", None) == 0

    target = declare(vhost, "target")
    clock.advance(RETRY_SECONDS)
    assert bodies(target) == []
    assert str(message.history[-1]) == "lost with queue 'source'"
    assert clock.next_due is None


def test_without_reject_publish_or_an_exchange_dead_letters_are_not_kept(
    vhost: VirtualHost,
) -> None:
    """Row U44."""
    changes: list[dict[str, Any]] = [
        {"overflow": "drop-head"},
        {"overflow": "reject-publish-dlx"},
        {"dead_letter_strategy": "at-most-once"},
        {"dead_letter_exchange": None},
    ]
    for number, change in enumerate(changes):
        table = {
            "queue_type": "quorum",
            "dead_letter_strategy": "at-least-once",
            "overflow": "reject-publish",
            "dead_letter_exchange": "missing",
            **change,
        }
        arguments = {key: value for key, value in table.items() if value is not None}
        queue = declare(vhost, f"q{number}", **arguments)
        reject(vhost, queue, b"m")
        assert (queue.message_count, queue.unacked_count) == (0, 0)
