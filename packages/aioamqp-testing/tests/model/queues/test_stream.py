"""Streams: offsets, credit and refusals."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aioamqp_testing.model import BrokerError, ManualClock, Node, Queue, VirtualHost
from amqp_codec import Timestamp
from fake_broker_support import RABBITMQ_3_10, NotingChannel, a_message

STARTED = 1_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(STARTED)


@pytest.fixture
def vhost(clock: ManualClock) -> VirtualHost:
    return Node(clock, profile=RABBITMQ_3_10).vhosts["/"]


@pytest.fixture
def stream(vhost: VirtualHost) -> Queue:
    return vhost.declare_queue("s", None, durable=True, arguments={"x-queue-type": "stream"})


def fill(queue: Queue, *numbers: int) -> None:
    for number in numbers:
        queue.publish(a_message(b"%d" % number))


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        ("first", 0),
        ("last", 3),
        ("next", 4),
        (2, 2),
        (-1, 0),
        (9, 9),
        ("60s", 3),
        ("2m", 2),
        ("1h", 0),
        (datetime.fromtimestamp(STARTED + 60, UTC), 1),
        (Timestamp(STARTED + 61), 2),
        (Timestamp(STARTED + 1000), 4),
    ],
    ids=str,
)
def test_reading_begins_at_the_offset(
    vhost: VirtualHost,
    clock: ManualClock,
    stream: Queue,
    noting: NotingChannel,
    offset: Any,
    first: int,
) -> None:
    """Row 227. A message a minute, and another one of the last minute."""
    for number in range(4):
        fill(stream, number)
        clock.advance(60)

    noting.consume(stream, prefetch_count=100, arguments={"x-stream-offset": offset})
    vhost.agenda.run_pending()
    fill(stream, *range(4, 11))

    assert [int(body) for _, body in noting.taken()] == list(range(first, 11))


def test_acknowledging_is_credit_and_keeps_the_messages(
    vhost: VirtualHost, stream: Queue, noting: NotingChannel
) -> None:
    """Rows 227 and 229."""
    noting.consume(stream, prefetch_count=2)
    vhost.agenda.run_pending()
    fill(stream, 0, 1, 2, 3)
    assert len(noting.taken()) == 2
    assert stream.unacked_count == 2

    stream.acknowledge(noting, [noting.held[1]])

    assert noting.taken() == [("tag", b"2")]
    assert stream.message_count == 4
    stream.remove_channel(noting)
    assert (stream.unacked_count, stream.consumer_count) == (0, 0)


def test_each_message_says_its_offset(
    vhost: VirtualHost, stream: Queue, noting: NotingChannel
) -> None:
    """Row 227."""
    noting.consume(stream, prefetch_count=5)
    vhost.agenda.run_pending()
    fill(stream, 0, 1)

    assert [queued.message.properties.headers for queued in noting.held] == [
        {"x-stream-offset": 0},
        {"x-stream-offset": 1},
    ]
    assert stream.messages[0].properties.headers is None


def test_what_is_acknowledged_after_the_end_does_no_harm(
    vhost: VirtualHost, stream: Queue, noting: NotingChannel
) -> None:
    """Row 117."""
    noting.consume(stream, prefetch_count=1)
    vhost.agenda.run_pending()
    fill(stream, 0, 1)

    vhost.remove_queue(stream)
    vhost.agenda.run_pending()
    stream.acknowledge(noting, [noting.held[0]])

    assert noting.cancelled == ["tag"]
    assert len(noting.taken()) == 1


@pytest.mark.parametrize(
    ("options", "code"), [({}, 406), ({"prefetch_count": 5, "no_ack": True}, 540)]
)
def test_readers_have_rules(
    stream: Queue, noting: NotingChannel, options: dict[str, Any], code: int
) -> None:
    """Row 224, row 225."""
    with pytest.raises(BrokerError) as caught:
        noting.consume(stream, **options)

    assert int(caught.value.reply_code) == code
    assert stream.consumer_count == 0


def test_credit_for_a_reader_is_added_to_what_it_has(
    vhost: VirtualHost, stream: Queue, noting: NotingChannel
) -> None:
    """Row 77."""
    reader = noting.consume(stream, prefetch_count=1)
    vhost.agenda.run_pending()
    fill(stream, 0, 1, 2, 3)

    assert stream.add_credit(reader, 2) == 2
    vhost.agenda.run_pending()

    assert [body for _, body in noting.taken()] == [b"0", b"1", b"2"]
