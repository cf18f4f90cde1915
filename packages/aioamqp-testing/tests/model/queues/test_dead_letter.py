"""Dead letters: their headers, and how cycles end."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aioamqp_testing.model import Message, Queue, VirtualHost
from aioamqp_testing.model.queues.dead_letter import Reason, dead_lettered
from amqp_codec import Int64
from fake_broker_support import NotingChannel, a_message

NOW = 946684800.0
DATE = datetime(2000, 1, 1, tzinfo=UTC)


def died(message: Message, *, queue: str = "q", **options: Any) -> Message:
    return dead_lettered(
        message,
        options.get("reason", Reason.REJECTED),
        queue=queue,
        exchange="dlx",
        routing_key=options.get("routing_key"),
        now=NOW + 0.9,
    )


def headers_of(message: Message) -> dict[str, Any]:
    return dict(message.properties.headers or {})


def test_the_first_death_is_written_down() -> None:
    """Row 198."""
    dead = died(a_message(b"body", "key", "x", expiration="500", headers={"z": 1, "a": 2}))

    assert (dead.exchange, dead.routing_key, dead.body) == ("dlx", "key", b"body")
    assert dead.properties.expiration is None
    assert list(headers_of(dead).items()) == [
        ("a", 2),
        (
            "x-death",
            [
                {
                    "count": 1,
                    "reason": "rejected",
                    "queue": "q",
                    "time": DATE,
                    "exchange": "x",
                    "routing-keys": ["key"],
                    "original-expiration": "500",
                }
            ],
        ),
        ("x-first-death-exchange", "x"),
        ("x-first-death-queue", "q"),
        ("x-first-death-reason", "rejected"),
        ("z", 1),
    ]
    (death,) = headers_of(dead)["x-death"]
    assert isinstance(death["count"], Int64)
    assert next(iter(death)) == "count"


def test_the_original_is_left_alone() -> None:
    message = a_message(headers={"a": 1}, expiration="1")

    died(message)

    assert message.properties.expiration == "1"
    assert message.properties.headers == {"a": 1}


def test_the_same_death_is_counted_and_keeps_its_time() -> None:
    """Row 199."""
    once = died(a_message())
    twice = dead_lettered(
        once, Reason.REJECTED, queue="q", exchange="dlx", routing_key=None, now=NOW + 3600
    )

    (death,) = headers_of(twice)["x-death"]
    assert (death["count"], death["time"]) == (2, DATE)
    assert list(death) == sorted(death)


def test_another_death_goes_in_front_and_the_first_one_is_not_forgotten() -> None:
    """Row 199."""
    dead = died(died(a_message(), queue="one"), queue="two", reason=Reason.EXPIRED)

    headers = headers_of(dead)
    assert [(death["queue"], death["reason"]) for death in headers["x-death"]] == [
        ("two", "expired"),
        ("one", "rejected"),
    ]
    assert headers["x-first-death-queue"] == "one"
    assert headers["x-death"][0]["exchange"] == "dlx"


def test_a_key_of_its_own_takes_all_others_away() -> None:
    """Row 200."""
    message = Message("", "k", a_message(headers={"CC": ["c"]}).properties, b"", ("c", "secret"))

    kept, changed = died(message), died(message, routing_key="other")

    assert kept.routing_keys == ("k", "c", "secret")
    assert changed.routing_keys == ("other",)
    assert "CC" not in headers_of(changed)
    assert headers_of(changed)["x-death"][0]["routing-keys"] == ["k", "c"]


@pytest.mark.parametrize("odd", ["text", 5, None, {"queue": "q"}])
def test_deaths_of_a_wrong_type_are_replaced(odd: object) -> None:
    """Row 203."""
    headers = headers_of(died(a_message(headers={"x-death": odd})))

    assert list(headers) == ["x-death"]
    assert [death["count"] for death in headers["x-death"]] == [1]


@pytest.mark.parametrize(
    ("deaths", "count"),
    [
        ([{"queue": "q", "reason": "rejected"}], 1),
        ([{"queue": "q", "reason": "rejected"}, {"queue": "q", "reason": "rejected"}], 3),
    ],
)
def test_what_a_client_made_up_does_no_harm(deaths: list[Any], count: int) -> None:
    """Row 202."""
    dead = died(a_message(headers={"x-death": deaths}))

    assert headers_of(dead)["x-death"][0]["count"] == count


def declare(vhost: VirtualHost, name: str, **arguments: Any) -> Queue:
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return vhost.declare_queue(name, None, arguments={"x-dead-letter-exchange": "", **table})


def reject(vhost: VirtualHost, queue: Queue, noting: NotingChannel) -> None:
    queued = queue.get(noting, no_ack=False)
    assert queued
    queue.reject(noting, [queued])
    vhost.agenda.run_pending()


@pytest.mark.parametrize(
    "deaths",
    [
        [1],
        ["never", {}],
        [None],
        [[{}]],
        [{"queue": "q", "reason": "rejected", "count": "1"}],
        [{"queue": "q", "reason": "rejected", "count": True}],
    ],
)
def test_a_message_with_deaths_that_cannot_be_counted_is_lost(
    vhost: VirtualHost, noting: NotingChannel, deaths: list[Any]
) -> None:
    """Row 203. RabbitMQ's queue crashes with it, and loses more."""
    source, grave = declare(vhost, "q", dead_letter_routing_key="grave"), declare(vhost, "grave")
    source.publish(a_message(headers={"x-death": deaths}))

    reject(vhost, source, noting)

    assert grave.message_count == 0


def test_a_message_is_lost_on_its_way_to_an_address_that_cannot_be_one(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 240. RabbitMQ's queue crashes with it, and loses more."""
    source = declare(vhost, "q", dead_letter_routing_key="amq.rabbitmq.reply-to.abc.def")
    source.publish(a_message())

    reject(vhost, source, noting)

    assert source.message_count == 0


@pytest.mark.parametrize("limit", [{"max_length": 0}, {"message_ttl": 0}])
def test_a_queue_does_not_get_its_own_dead_letters_again(
    vhost: VirtualHost, limit: dict[str, int]
) -> None:
    """Row 201."""
    queue = declare(vhost, "q", **limit)

    queue.publish(a_message())
    vhost.agenda.run_pending()

    assert queue.message_count == 0


def test_a_rejected_message_may_come_back_any_number_of_times(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 201."""
    queue = declare(vhost, "q")
    queue.publish(a_message())

    for count in (1, 2, 3):
        reject(vhost, queue, noting)
        (message,) = queue.messages
        assert headers_of(message)["x-death"][0]["count"] == count


def test_a_consumer_of_the_dead_letters_has_them_at_once(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    source, grave = declare(vhost, "q", dead_letter_routing_key="grave"), declare(vhost, "grave")
    noting.consume(grave, no_ack=True)
    source.publish(a_message(b"m"))

    reject(vhost, source, noting)

    assert noting.taken() == [("tag", b"m")]
    assert noting.held[0].redelivered is False


def test_no_dead_letter_exchange_is_no_mistake(vhost: VirtualHost, noting: NotingChannel) -> None:
    """Row 204."""
    queue = vhost.declare_queue("q", None, arguments={"x-dead-letter-exchange": "missing"})
    queue.publish(a_message())

    reject(vhost, queue, noting)

    assert (queue.message_count, queue.unacked_count) == (0, 0)
