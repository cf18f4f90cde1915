"""Events of a message, and the history of a virtual host."""

from aioamqp_testing.model import VirtualHost
from aioamqp_testing.model.messages.history import History
from amqp_codec import FieldTable
from fake_broker_support import NotingChannel, a_message


def described(vhost: VirtualHost) -> list[str]:
    """Return the descriptions of what has happened to the last message."""
    return [str(event) for event in list(vhost.history)[-1].history]


def test_the_copies_of_a_message_share_everything(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row U47."""
    for number in range(3):
        queue = vhost.declare_queue(f"q{number}", None)
        vhost.bind_queue(queue.name, "amq.fanout", "", {}, None)
    first, last = (a_message(exchange="amq.fanout") for _ in range(2))
    vhost.publish(first)
    vhost.publish(last)
    noting.consume(queue, "c")
    vhost.agenda.run_pending()
    queue.acknowledge(noting, noting.held)

    for queue in vhost.queues.values():
        assert all(
            found is published
            for found, published in zip(queue.messages, (first, last), strict=False)
        )
    # the events of each delivery are the same objects, too
    assert all(one is two for one, two in zip(first.events[2:], last.events[2:], strict=True))
    assert len(first.events) == 4


def test_a_message_is_followed_to_its_acknowledgement(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    noting.consume(queue, "c")
    vhost.publish(a_message(), "alice")
    vhost.agenda.run_pending()
    queue.acknowledge(noting, noting.held)

    assert described(vhost) == [
        "published by alice",
        "routed to queue 'q'",
        "delivered from queue 'q' to consumer 'c' on test",
        "acknowledged to queue 'q'",
    ]


def test_a_message_that_nobody_gets_is_routed_nowhere(vhost: VirtualHost) -> None:
    vhost.publish(a_message(), "guest")

    assert described(vhost) == ["published by guest", "routed nowhere"]


def test_a_message_in_two_queues_has_one_history(vhost: VirtualHost, noting: NotingChannel) -> None:
    for name in ("a", "b"):
        vhost.declare_queue(name, None)
        vhost.bind_queue(name, "amq.fanout", "", {}, None)
    vhost.publish(a_message(exchange="amq.fanout"), "guest")
    vhost.queues["b"].get(noting, no_ack=True)
    vhost.remove_queue(vhost.queues["a"])

    assert described(vhost)[1:] == [
        "routed to queue 'a', 'b'",
        "fetched from queue 'b' by test, with no_ack",
        "purged from queue 'a'",
    ]


def test_requeueing_and_rejecting_are_recorded(vhost: VirtualHost, noting: NotingChannel) -> None:
    queue = vhost.declare_queue("q", None)
    vhost.publish(a_message(), "guest")
    got = queue.get(noting, no_ack=False)
    assert got is not None
    queue.requeue(noting, [got])
    got = queue.get(noting, no_ack=False)
    assert got is not None
    queue.reject(noting, [got])

    assert described(vhost)[2:] == [
        "fetched from queue 'q' by test",
        "requeued to queue 'q'",
        "fetched from queue 'q' by test",
        "rejected to queue 'q'",
        "dropped from queue 'q': rejected",
    ]


def test_a_dead_letter_takes_its_history_along(vhost: VirtualHost, noting: NotingChannel) -> None:
    vhost.declare_queue("dead", None)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue = vhost.declare_queue("q", None, arguments=arguments)
    vhost.publish(a_message(), "guest")
    got = queue.get(noting, no_ack=False)
    assert got is not None
    queue.reject(noting, [got])
    vhost.agenda.run_pending()
    vhost.queues["dead"].get(noting, no_ack=True)

    assert described(vhost)[3:] == [
        "rejected to queue 'q'",
        "dead-lettered from queue 'q': rejected",
        "routed to queue 'dead'",
        "fetched from queue 'dead' by test, with no_ack",
    ]
    assert next(iter(vhost.history)).queues == ["q", "dead"]


def test_a_refusal_is_recorded(vhost: VirtualHost) -> None:
    arguments: FieldTable = {"x-max-length": 0, "x-overflow": "reject-publish"}
    vhost.declare_queue("q", None, arguments=arguments)
    vhost.publish(a_message(), "guest")

    assert described(vhost)[1:] == ["routed to queue 'q'", "refused by queue 'q', which is full"]


def test_a_message_that_is_lost_with_its_queue_is_recorded(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    vhost.publish(a_message(), "guest")
    queue.get(noting, no_ack=False)
    vhost.remove_queue(queue)

    assert described(vhost)[-1] == "lost with queue 'q'"


def test_a_message_tells_its_story(vhost: VirtualHost) -> None:
    vhost.declare_queue("q", None)
    vhost.publish(a_message(b"x" * 50), "guest")

    assert str(next(iter(vhost.history))) == (
        f"message b'{'x' * 40}'... to exchange '' with key 'q'\n"
        "  published by guest\n"
        "  routed to queue 'q'"
    )


def test_of_a_message_that_is_requeued_for_ever_the_ends_are_kept(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    queue = vhost.declare_queue("q", None)
    vhost.publish(a_message(), "guest")
    for _ in range(1000):
        got = queue.get(noting, no_ack=False)
        assert got is not None
        queue.requeue(noting, [got])

    story = described(vhost)
    assert len(story) <= 101
    assert story[0] == "published by guest"
    assert story[-1] == "requeued to queue 'q'"


def test_of_many_messages_the_last_ones_are_remembered() -> None:
    history = History()
    for number in range(10_003):
        history.add(a_message(str(number).encode()))

    assert len(history) == 10_000
    assert history.forgotten == 3
    assert next(iter(history)).body == b"3"


def test_of_large_messages_fewer_are_remembered() -> None:
    history = History()
    for _ in range(5):
        history.add(a_message(bytes(20 * 2**20)))

    assert (len(history), history.forgotten) == (3, 2)


def test_of_messages_in_many_queues_fewer_are_remembered() -> None:
    """Row U47. The events of every copy are kept."""
    history = History()
    for _ in range(5):
        history.add(a_message(), copies=300_000)

    assert (len(history), history.forgotten) == (3, 2)
