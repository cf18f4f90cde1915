"""Arguments of queues and consumers: what each type refuses, and what is in force."""

import pytest

from aioamqp_testing.model import BrokerError
from aioamqp_testing.model.queues.arguments import (
    QUEUE_ARGUMENTS,
    Settings,
    check_consumer,
    check_queue,
    compare_queue,
)
from amqp_codec import FieldTable, Float32

Q = "queue 'q' in vhost '/'"


def refusal(table: FieldTable) -> tuple[int, str]:
    with pytest.raises(BrokerError) as caught:
        check_queue(table, Q)
    return int(caught.value.reply_code), caught.value.text


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"x-message-ttl": -1}, "{value_negative,-1}"),
        ({"x-message-ttl": 2**40}, "{value_too_large,1099511627776}"),
        ({"x-message-ttl": Float32(1.5)}, '"expected integer, got float"'),
        ({"x-message-ttl": None}, '"expected integer, got void"'),
        ({"x-expires": 0}, "{value_zero,0}"),
        ({"x-expires": -1}, "{value_negative,-1}"),
        ({"x-max-length": "a"}, '"expected integer, got longstr"'),
        ({"x-max-length": True}, '"expected integer, got bool"'),
        ({"x-max-length-bytes": -1}, "{value_negative,-1}"),
        ({"x-max-priority": 256}, "{max_value_exceeded,256}"),
        ({"x-overflow": "foo"}, "invalid_overflow"),
        ({"x-overflow": 5}, "{unacceptable_type,byte}"),
        ({"x-queue-mode": "foo"}, "\"unsupported queue mode 'foo'\""),
        ({"x-queue-version": 3}, "\"unsupported queue version '3'\""),
        ({"x-queue-type": "foo"}, "\"unsupported queue type 'foo'\""),
        ({"x-dead-letter-routing-key": "k"}, "routing_key_but_no_dlx_defined"),
        ({"x-single-active-consumer": "yes"}, "{unacceptable_type,longstr}"),
    ],
)
def test_a_bad_value_is_refused_in_rabbitmqs_words(table: FieldTable, reason: str) -> None:
    (name,) = table

    assert refusal(table) == (406, f"invalid arg '{name}' for {Q}: {reason}")


def test_a_dead_letter_exchange_that_is_no_string_has_a_text_of_its_own() -> None:
    assert refusal({"x-dead-letter-exchange": 5}) == (
        406,
        f"invalid type 'byte' for arg 'x-dead-letter-exchange' in {Q}",
    )


@pytest.mark.parametrize("name", ["x-delivery-limit", "x-max-age", "x-queue-leader-locator"])
def test_arguments_of_other_types_of_queue_are_refused(name: str) -> None:
    assert refusal({name: 5}) == (
        406,
        f"invalid arg '{name}' for {Q} of queue type rabbit_classic_queue",
    )


@pytest.mark.parametrize("locator", ["foo", 5])
def test_an_unknown_queue_master_is_an_internal_error_without_a_text(locator: object) -> None:
    assert refusal({"x-queue-master-locator": locator}) == (541, "")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"foo": "bar", "x-unknown": [1]},
        {"x-queue-type": "classic", "x-queue-mode": "lazy", "x-queue-version": 2},
        {"x-max-priority": 0, "x-single-active-consumer": True, "x-expires": 1},
        {"x-overflow": "reject-publish-dlx", "x-queue-master-locator": "min-masters"},
        {"x-queue-type": "quorum", "x-delivery-limit": "a", "x-overflow": "reject-publish-dlx"},
        {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once"},
        {
            "x-queue-type": "quorum",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
        {"x-queue-type": "stream", "x-max-age": "7D", "x-queue-leader-locator": "balanced"},
    ],
)
def test_good_arguments_are_accepted(table: FieldTable) -> None:
    """Row 99, row 216."""
    check_queue(table, Q)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"x-max-priority": 5}, "invalid arg 'x-max-priority' for {} of queue type {}"),
        ({"x-queue-mode": "foo"}, "invalid arg 'x-queue-mode' for {} of queue type {}"),
    ],
)
@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_other_types_refuse_what_only_classic_queues_know(
    kind: str, table: FieldTable, text: str
) -> None:
    """Row 105, row 216."""
    assert refusal({**table, "x-queue-type": kind}) == (406, text.format(Q, f"rabbit_{kind}_queue"))


@pytest.mark.parametrize("value", ["5x", "0h", "1.5h", "5hh"])
def test_an_age_is_a_number_and_a_unit(value: str) -> None:
    """Row 104."""
    assert refusal({"x-queue-type": "stream", "x-max-age": value}) == (
        406,
        f"invalid arg 'x-max-age' for {Q}: invalid_max_age",
    )


@pytest.mark.parametrize("value", ["h", "", "-1h", "\u0665h", "\udcff"])
def test_an_age_without_a_number_is_an_internal_error(value: str) -> None:
    """Row 104."""
    assert refusal({"x-queue-type": "stream", "x-max-age": value}) == (541, "")


def test_the_size_of_a_segment_has_a_limit() -> None:
    table: FieldTable = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 3_000_000_001}
    assert refusal(table) == (406, "Exceeded max value for x-stream-max-segment-size-bytes")


def test_the_first_difference_is_named_by_rabbitmqs_order_and_not_the_clients() -> None:
    with pytest.raises(BrokerError, match="'x-expires'"):
        compare_queue({"x-queue-mode": "lazy", "x-expires": 5}, {}, Q)


def test_a_classic_queue_is_the_same_with_and_without_its_type() -> None:
    compare_queue({"x-queue-type": "classic", "foo": 1}, {"bar": 2}, Q)
    with pytest.raises(BrokerError, match="'quorum' of type 'longstr' but current is none"):
        compare_queue({"x-queue-type": "quorum"}, {}, Q)


@pytest.mark.parametrize(
    ("kind", "table", "code", "text"),
    [
        (
            "classic",
            {"x-priority": "a"},
            406,
            f"invalid arg 'x-priority' for {Q}: \"expected integer, got longstr\"",
        ),
        (
            "quorum",
            {"x-stream-offset": 5},
            406,
            f"invalid arg 'x-stream-offset' for {Q} of queue type rabbit_quorum_queue",
        ),
        (
            "stream",
            {"x-priority": 5},
            406,
            f"invalid arg 'x-priority' for {Q} of queue type rabbit_stream_queue",
        ),
        ("stream", {"x-stream-offset": "bogus"}, 541, ""),
        (
            "stream",
            {"x-stream-offset": "5x"},
            406,
            f"invalid arg 'x-stream-offset' for {Q}:"
            ' {invalid_stream_offset_arg,{longstr,<<"5x">>}}',
        ),
    ],
)
def test_a_consumer_is_refused_what_the_type_of_queue_does_not_know(
    kind: str, table: FieldTable, code: int, text: str
) -> None:
    """Row 176, row 228."""
    with pytest.raises(BrokerError) as caught:
        check_consumer(table, kind, Q)

    assert (int(caught.value.reply_code), caught.value.text) == (code, text)


def test_other_arguments_of_a_consumer_do_not_matter() -> None:
    check_consumer({"x-priority": 5, "foo": 5}, "classic", Q)
    check_consumer({"x-stream-offset": "5m", "foo": 5}, "stream", Q)


@pytest.mark.parametrize(("kind", "count"), [("classic", 13), ("quorum", 15), ("stream", 6)])
def test_each_type_compares_its_arguments_at_places_of_their_own(kind: str, count: int) -> None:
    places = [place for row in QUEUE_ARGUMENTS.rows if (place := row.place(kind))]

    assert sorted(places) == list(range(1, count + 1))


def test_the_lower_number_is_in_force_and_of_strings_the_argument() -> None:
    """Row 121."""
    arguments: FieldTable = {"x-max-length": 5, "x-overflow": "reject-publish", "x-expires": 9}
    policy: FieldTable = {"max-length": 4, "overflow": "drop-head", "message-ttl": 7}

    assert Settings.of(arguments, policy) == Settings(
        max_length=4, overflow="reject-publish", expires=9, message_ttl=7
    )
    assert Settings.of({}, {}) == Settings(overflow="drop-head")
