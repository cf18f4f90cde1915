"""Rules of declaring, binding, deleting and routing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from aioamqp_testing.model import BrokerError, VirtualHost
from amqp_codec import FieldValue
from fake_broker_support import NotingChannel, a_message

ME, YOU = object(), object()


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(BrokerError) as caught:
        call()
    return int(caught.value.reply_code), caught.value.text


def test_the_default_exchange_leads_to_every_queue_by_its_name(vhost: VirtualHost) -> None:
    queue = vhost.declare_queue("q", ME)

    assert vhost.publish(a_message(b"1", key="q"), "guest")
    assert not vhost.publish(a_message(b"2", key="other"), "guest")

    assert [message.body for message in queue.messages] == [b"1"]


def test_a_direct_exchange_gives_a_queue_one_copy_however_many_bindings_match(
    vhost: VirtualHost,
) -> None:
    """Row 123."""
    queue = vhost.declare_queue("q", ME)
    for arguments in ({}, {}, {"a": 1}):
        vhost.bind_queue("q", "amq.direct", "k", arguments, ME)

    assert vhost.publish(a_message(key="k", exchange="amq.direct"), "guest")
    assert not vhost.publish(a_message(key="K", exchange="amq.direct"), "guest")

    assert queue.message_count == 1
    assert len(vhost.exchanges["amq.direct"].outgoing) == 2


def test_unbinding_is_about_the_binding_with_these_arguments(vhost: VirtualHost) -> None:
    """Row 124."""
    vhost.declare_queue("q", ME)
    vhost.bind_queue("q", "amq.direct", "k", {"b": [1, {"c": b"x"}], "a": 2}, ME)

    different: list[dict[str, FieldValue]] = [
        {},
        {"a": 2},
        {"b": [1, {"c": b"x"}], "a": "2"},
        {"b": [1, {"c": "x"}], "a": 2},
    ]
    for others in different:
        vhost.unbind_queue("q", "amq.direct", "k", others, ME)
    assert vhost.publish(a_message(key="k", exchange="amq.direct"), "guest")

    vhost.unbind_queue("q", "amq.direct", "k", {"a": 2, "b": [1, {"c": b"x"}]}, ME)
    assert not vhost.publish(a_message(key="k", exchange="amq.direct"), "guest")


def test_messages_go_through_bound_exchanges_even_in_a_circle(vhost: VirtualHost) -> None:
    """Row 133."""
    vhost.declare_exchange("x", "direct")
    vhost.declare_exchange("y", "direct", internal=True)
    queue = vhost.declare_queue("q", ME)
    vhost.bind_exchange("y", "x", "k", {})
    vhost.bind_exchange("x", "y", "k", {})
    vhost.bind_queue("q", "x", "k", {}, ME)
    vhost.bind_queue("q", "y", "k", {}, ME)

    vhost.publish(a_message(key="k", exchange="x"), "guest")

    assert [message.exchange for message in queue.messages] == ["x"]


def test_unbinding_and_deleting_what_is_not_there_is_no_mistake(vhost: VirtualHost) -> None:
    """Row 85."""
    vhost.declare_queue("q", ME)

    vhost.unbind_queue("none", "amq.direct", "k", {}, ME)
    vhost.unbind_queue("q", "none", "k", {}, ME)
    vhost.unbind_queue("q", "amq.direct", "k", {}, ME)
    vhost.unbind_exchange("amq.fanout", "amq.direct", "k", {})
    vhost.delete_exchange("none")

    assert vhost.delete_queue("none", ME) == 0


def test_a_missing_exchange_is_named_before_a_missing_queue(vhost: VirtualHost) -> None:
    """Row 84."""
    assert refusal(lambda: vhost.bind_queue("none", "none", "k", {}, ME)) == (
        404,
        "no exchange 'none' in vhost '/'",
    )
    assert refusal(lambda: vhost.bind_queue("none", "amq.direct", "k", {}, ME)) == (
        404,
        "no queue 'none' in vhost '/'",
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda vhost: vhost.declare_exchange("", "direct"),
        lambda vhost: vhost.check_exchange(""),
        lambda vhost: vhost.delete_exchange(""),
        lambda vhost: vhost.bind_queue("q", "", "k", {}, ME),
        lambda vhost: vhost.unbind_queue("q", "", "k", {}, ME),
        lambda vhost: vhost.bind_exchange("amq.fanout", "", "k", {}),
        lambda vhost: vhost.bind_exchange("", "amq.fanout", "k", {}),
        lambda vhost: vhost.unbind_exchange("", "amq.fanout", "k", {}),
    ],
)
def test_the_default_exchange_is_left_alone(
    vhost: VirtualHost, call: Callable[[VirtualHost], object]
) -> None:
    """Row 94."""
    assert refusal(lambda: call(vhost)) == (
        403,
        "operation not permitted on the default exchange",
    )


def test_names_that_begin_with_amq_are_reserved(vhost: VirtualHost) -> None:
    """Rows 91-93."""
    assert refusal(lambda: vhost.declare_queue("amq.q", ME)) == (
        403,
        "queue name 'amq.q' contains reserved prefix 'amq.*'",
    )
    assert refusal(lambda: vhost.declare_exchange("amq.x", "direct")) == (
        403,
        "exchange name 'amq.x' contains reserved prefix 'amq.*'",
    )
    assert refusal(lambda: vhost.delete_exchange("amq.none")) == (
        403,
        "deletion of system exchange 'amq.none' in vhost '/' not allowed",
    )
    vhost.declare_exchange("amq.direct", "direct", durable=True)


def test_an_exchange_is_compared_by_type_durability_auto_delete_and_internal_in_that_order(
    vhost: VirtualHost,
) -> None:
    """Row 109."""
    vhost.declare_exchange("x", "direct")

    for name, options in (
        ("type", {"exchange_type": "fanout", "durable": True}),
        ("durable", {"durable": True, "auto_delete": True}),
        ("auto_delete", {"auto_delete": True, "internal": True}),
        ("internal", {"internal": True}),
    ):
        arguments: dict[str, Any] = {"exchange_type": "direct", **options}
        code, text = refusal(partial(vhost.declare_exchange, "x", **arguments))
        assert (code, text.split(":")[0]) == (
            406,
            f"inequivalent arg '{name}' for exchange 'x' in vhost '/'",
        )
    vhost.declare_exchange("x", "direct", arguments={"foo": 1})


@pytest.mark.parametrize(("kind", "word"), [("nosuch", "unknown"), ("true", "invalid")])
def test_an_unknown_type_of_exchange_ends_the_connection(
    vhost: VirtualHost, kind: str, word: str
) -> None:
    """Row 110."""
    assert refusal(lambda: vhost.declare_exchange("amq.x", kind)) == (
        503,
        f"{word} exchange type '{kind}'",
    )


def test_an_exchange_in_use_is_not_deleted_if_unused(vhost: VirtualHost) -> None:
    """Row 112."""
    vhost.declare_exchange("x", "direct")
    vhost.declare_queue("q", ME)
    vhost.bind_queue("q", "x", "k", {}, ME)

    assert refusal(lambda: vhost.delete_exchange("x", if_unused=True)) == (
        406,
        "exchange 'x' in vhost '/' in use",
    )
    vhost.delete_queue("q", ME)
    vhost.delete_exchange("x", if_unused=True)
    assert "x" not in vhost.exchanges


def test_an_auto_delete_exchange_goes_with_the_last_binding_away_from_it(
    vhost: VirtualHost,
) -> None:
    """Row 119."""
    vhost.declare_exchange("a", "direct", auto_delete=True)
    vhost.declare_exchange("b", "direct", auto_delete=True)
    vhost.declare_queue("q", ME)
    vhost.bind_exchange("b", "a", "k", {})
    vhost.bind_queue("q", "b", "k", {}, ME)

    vhost.delete_queue("q", ME)

    # b is deleted, and with it the last binding of a
    assert "b" not in vhost.exchanges
    assert "a" not in vhost.exchanges


def test_an_exclusive_queue_is_for_its_owner_only(vhost: VirtualHost) -> None:
    queue = vhost.declare_queue("q", ME, exclusive=True, durable=True)
    vhost.bind_queue("q", "amq.direct", "k", {}, ME)
    assert not queue.durable

    calls: list[Callable[[], object]] = [
        lambda: vhost.check_queue("q", YOU),
        lambda: vhost.declare_queue("q", YOU, exclusive=True),
        lambda: vhost.declare_queue("q", YOU),
        lambda: vhost.declare_queue("q", ME),
        lambda: vhost.queue("q", YOU),
        lambda: vhost.bind_queue("q", "amq.direct", "k", {}, YOU),
        lambda: vhost.unbind_queue("q", "amq.direct", "k", {}, YOU),
        lambda: vhost.delete_queue("q", YOU),
    ]
    for call in calls:
        code, text = refusal(call)
        assert code == 405
        assert text.startswith("cannot obtain exclusive access to locked queue 'q' in vhost '/'.")

    vhost.unbind_queue("q", "amq.direct", "no such binding", {}, YOU)
    assert vhost.publish(a_message(key="q"), "guest")
    vhost.declare_queue("q", ME, exclusive=True)


def test_exclusive_queues_end_with_their_connection(vhost: VirtualHost) -> None:
    vhost.declare_queue("mine", ME, exclusive=True)
    vhost.declare_queue("yours", YOU, exclusive=True)
    vhost.declare_queue("anyone's", ME)

    vhost.remove_exclusive_queues(ME)

    assert list(vhost.queues) == ["yours", "anyone's"]


def test_a_queue_is_compared_by_exclusiveness_durability_auto_delete_and_arguments(
    vhost: VirtualHost,
) -> None:
    vhost.declare_queue("q", ME, arguments={"x-queue-mode": "lazy"})

    assert refusal(lambda: vhost.declare_queue("q", ME, exclusive=True, durable=True))[0] == 405
    different: list[tuple[dict[str, Any], str]] = [
        (
            {"durable": True, "auto_delete": True},
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {},
            "'x-queue-mode' for queue 'q' in vhost '/': received none but current is the value 'lazy' of type 'longstr'",
        ),
    ]
    for options, text in different:
        assert refusal(partial(vhost.declare_queue, "q", ME, **options)) == (
            406,
            f"inequivalent arg {text}",
        )


def test_a_queue_that_is_not_empty_or_in_use_is_not_deleted_if_so_asked(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row 111."""
    queue = vhost.declare_queue("q", ME)
    noting.consume(queue, prefetch_count=1)
    vhost.publish(a_message(key="q"), "guest")
    vhost.publish(a_message(key="q"), "guest")
    vhost.agenda.run_pending()

    assert refusal(lambda: vhost.delete_queue("q", ME, if_unused=True, if_empty=True)) == (
        406,
        "queue 'q' in vhost '/' not empty",
    )
    assert refusal(lambda: vhost.delete_queue("q", ME, if_unused=True)) == (
        406,
        "queue 'q' in vhost '/' in use",
    )
    assert vhost.delete_queue("q", ME) == 1


def test_a_queue_without_a_name_gets_one(vhost: VirtualHost) -> None:
    """Row 90."""
    one, other = vhost.declare_queue("", ME), vhost.declare_queue("", ME)

    assert one.name.startswith("amq.gen-")
    assert len(one.name) == len("amq.gen-") + 22
    assert one.name != other.name


def test_names_lose_their_line_breaks(vhost: VirtualHost) -> None:
    vhost.declare_queue("a\r\nb", ME)
    vhost.declare_exchange("x\ny", "direct")

    assert vhost.check_queue("a\nb", ME).name == "ab"
    assert "xy" in vhost.exchanges
    assert refusal(lambda: vhost.queue("a\nb", ME))[0] == 404


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"user_id": "bob"}, "user_id property set to 'bob' but authenticated user was 'guest'"),
        ({"expiration": ""}, "invalid expiration '': no_integer"),
        ({"expiration": " 5"}, "invalid expiration ' 5': no_integer"),
        ({"expiration": "-1"}, "invalid expiration '-1': {value_negative,-1}"),
        ({"expiration": "1.5"}, "invalid expiration '1.5': {leftover_string,\".5\"}"),
        ({"expiration": "5\x07é"}, "invalid expiration '5\x07é': {leftover_string,[7,195,169]}"),
        ({"expiration": str(2**40)}, f"invalid expiration '{2**40}': {{value_too_large,{2**40}}}"),
        ({"delivery_mode": 9}, "invalid message: {delivery_mode_unknown,9}"),
        ({"headers": {"CC": "q"}}, 'invalid message: {unacceptable_type_in_header,"CC",longstr}'),
        ({"headers": {"BCC": 5}}, 'invalid message: {unacceptable_type_in_header,"BCC",byte}'),
        ({"reply_to": "amq.rabbitmq.reply-to"}, "fast reply consumer does not exist"),
    ],
)
def test_a_message_with_bad_properties_is_refused_in_rabbitmqs_words(
    vhost: VirtualHost, properties: dict[str, Any], text: str
) -> None:
    """Rows 143-145."""
    message = a_message(**properties)

    assert refusal(lambda: vhost.publish(message, "guest")) == (406, text)


def test_an_internal_exchange_takes_nothing_from_clients(vhost: VirtualHost) -> None:
    """Row 134."""
    message = a_message(exchange="amq.rabbitmq.trace")

    assert refusal(lambda: vhost.publish(message, "guest")) == (
        403,
        "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
    )


def test_queues_receive_a_message_by_type_and_classic_ones_by_descending_name(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    """Row F5."""
    kinds = {"a": "stream", "b": "classic", "c": "quorum", "d": "classic", "e": "quorum"}
    for name, kind in kinds.items():
        queue = vhost.declare_queue(name, ME, durable=True, arguments={"x-queue-type": kind})
        vhost.bind_queue(name, "amq.fanout", "", {}, ME)
        noting.consume(queue, name, prefetch_count=1)
    vhost.agenda.run_pending()

    vhost.publish(a_message(b"m", exchange="amq.fanout"))

    assert [tag for tag, _ in noting.taken()] == ["d", "b", "c", "e", "a"]
