"""When a session stops reading and delivering: alarms, and clients that do not read."""

import pytest

from amqp_codec import Command, Properties, basic, connection, encode_command, queue
from fake_broker_support import CAPABILITIES, SilentClient, a_message

BLOCKING = {**CAPABILITIES, "connection.blocked": True}
A_THIRD = bytes(100 * 1024)  # of what a session has ready at most, and a little more


@pytest.fixture
def publisher() -> SilentClient:
    client = SilentClient().open(1, capabilities=BLOCKING)
    client.say(1, queue.Declare("q"))
    return client


def alarm(client: SilentClient, reason: str = "low on memory") -> None:
    client.node.alarm = reason


def all_clear(client: SilentClient) -> None:
    client.node.alarm = ""
    client.session.unblock()


def test_only_who_publishes_during_an_alarm_is_told_of_it(publisher: SilentClient) -> None:
    """Row 59."""
    other = publisher.another(1)
    alarm(publisher)

    assert publisher.publish("q", b"") == [connection.Blocked("low on memory")]

    assert other.say(1, queue.Declare("mine")) == [queue.DeclareOk("mine")]
    assert other.session.is_reading
    assert not publisher.session.is_reading


def test_a_message_whose_body_is_still_to_come_is_not_taken_during_an_alarm(
    publisher: SilentClient,
) -> None:
    """Row 59. RabbitMQ's reader stops behind the content header."""
    alarm(publisher)
    publisher.publish("q", b"m")
    assert publisher.vhost.queues["q"].message_count == 0

    all_clear(publisher)

    assert publisher.heard() == [connection.Unblocked()]
    assert publisher.vhost.queues["q"].message_count == 1


def test_a_blocked_client_is_not_heard_but_has_its_deliveries(publisher: SilentClient) -> None:
    """Row 59."""
    publisher.say(1, basic.Consume("q", "c"))
    alarm(publisher)
    publisher.publish("elsewhere", b"m")

    assert publisher.say(1, queue.Declare("later")) == []

    publisher.vhost.queues["q"].publish(a_message())
    publisher.vhost.run_later()
    assert publisher.heard() == [basic.Deliver("c", 1, False, "", "q")]


def test_when_an_alarm_ends_what_was_waiting_is_answered_in_order(publisher: SilentClient) -> None:
    """Row 60."""
    alarm(publisher)
    publisher.publish("q", b"1")
    publisher.say(1, queue.Declare("first"), queue.Declare("second"))

    all_clear(publisher)

    assert publisher.heard() == [
        connection.Unblocked(),
        queue.DeclareOk("first"),
        queue.DeclareOk("second"),
    ]


def test_a_client_that_does_not_know_of_alarms_just_waits() -> None:
    """Row 61."""
    client = SilentClient().open(1)
    client.say(1, queue.Declare("q"))
    alarm(client)

    assert client.publish("q", b"m") == []
    assert client.say(1, queue.Declare("later")) == []

    all_clear(client)
    assert client.heard() == [queue.DeclareOk("later")]


def test_a_client_that_publishes_in_the_next_alarm_is_told_again(publisher: SilentClient) -> None:
    alarm(publisher)
    publisher.publish("q", b"1")
    all_clear(publisher)
    publisher.heard()
    alarm(publisher, "low on disk")

    assert publisher.publish("q", b"2") == [connection.Blocked("low on disk")]


def test_who_has_nothing_to_do_with_an_alarm_is_not_told_that_it_is_over(
    publisher: SilentClient,
) -> None:
    alarm(publisher)
    all_clear(publisher)

    assert publisher.heard() == []


def test_a_blocked_client_is_not_taken_for_dead() -> None:
    client = SilentClient().open(1, heartbeat=1)
    alarm(client)
    client.publish("nowhere", b"m")

    client.clock.advance(60)
    assert client.session.is_open

    all_clear(client)
    client.clock.advance(3)
    assert not client.session.is_open


def test_deliveries_wait_until_the_output_is_taken(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    for _ in range(10):
        client.vhost.queues["q"].publish(a_message(A_THIRD))

    client.raw(encode_command(Command(1, basic.Consume("q", "c", no_ack=True))))

    assert client.vhost.queues["q"].message_count == 7
    deliveries = 0
    while heard := client.heard():
        deliveries += sum(isinstance(method, basic.Deliver) for method in heard)
    assert deliveries == 10


def test_a_client_that_does_not_read_is_not_read_from(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    client.session.output.pause()

    assert client.say(1, queue.Declare("later")) == []

    client.session.output.resume()
    assert client.heard() == [queue.DeclareOk("later")]


def test_many_answers_wait_as_deliveries_do(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    for _ in range(10):
        client.vhost.queues["q"].publish(a_message(A_THIRD))

    gets = encode_command(Command(1, basic.Get("q", no_ack=True))) * 10
    client.raw(gets)

    assert client.vhost.queues["q"].message_count == 7
    answers = 0
    while heard := client.heard():
        answers += len(heard)
    assert answers == 10


def test_a_prefetch_of_the_channel_counts_on_when_the_client_reads_again(
    client: SilentClient,
) -> None:
    client.say(1, queue.Declare("q"), basic.Qos(0, 2, True), basic.Consume("q", "c"))
    client.publish("q", b"1")
    client.session.output.pause()
    for body in (b"2", b"3"):
        client.vhost.queues["q"].publish(a_message(body))
    client.vhost.run_later()
    assert client.bodies() == []

    client.session.output.resume()
    assert client.bodies() == [b"2"]

    client.say(1, basic.Ack(1))
    assert client.vhost.queues["q"].message_count == 0


def test_a_message_of_another_client_waits_for_the_one_that_does_not_read() -> None:
    slow = SilentClient().open(1)
    slow.say(1, queue.Declare("q"), basic.Consume("q", "c", no_ack=True))
    publisher = slow.another(1)
    slow.session.output.pause()

    publisher.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m")))

    assert slow.bodies() == []
    assert slow.vhost.queues["q"].message_count == 1
    slow.session.output.resume()
    assert slow.bodies() == [b"m"]
