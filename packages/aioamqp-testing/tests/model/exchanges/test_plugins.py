"""Exchanges of RabbitMQ's plugins, as far as no RabbitMQ is needed to know what is right."""

from decimal import Decimal
from typing import Any

import pytest

from aioamqp_testing.model import (
    BrokerError,
    EventType,
    ManualClock,
    Message,
    Node,
    Outcome,
    VirtualHost,
)
from aioamqp_testing.model.exchanges.plugins import PLUGINS
from amqp_codec import Int32, LongStr, UInt32, field_type
from fake_broker_support import RABBITMQ_3_10, a_message

ME = object()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def vhost(clock: ManualClock) -> VirtualHost:
    """A virtual host with all plugins, a queue ``q``, and the delayed exchange ``x`` bound to it."""
    vhost = Node(clock, PLUGINS, profile=RABBITMQ_3_10).vhosts["/"]
    vhost.declare_queue("q", ME, durable=True)
    declare_delayed(vhost, "x", "direct")
    vhost.bind_queue("q", "x", "key", {}, ME)
    return vhost


def declare_delayed(vhost: VirtualHost, name: str, kind: object, **options: Any) -> None:
    arguments: Any = {"x-delayed-type": kind} if kind is not None else {}
    arguments |= options.pop("arguments", {})
    vhost.declare_exchange(name, "x-delayed-message", durable=True, arguments=arguments, **options)


def publish(vhost: VirtualHost, exchange: str = "x", key: str = "key", **headers: Any) -> Outcome:
    table = {name.replace("_", "-"): value for name, value in headers.items()}
    return vhost.publish(a_message(exchange=exchange, key=key, headers=table))


def messages(vhost: VirtualHost, name: str = "q") -> list[Message]:
    return vhost.queues[name].messages


# ---------------------------------------------------------------------------------- delays


def test_a_message_is_routed_after_its_delay(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U20. Until then it is unroutable."""
    assert publish(vhost, x_delay=5000, a=1) is Outcome.UNROUTED
    clock.advance(4.999)
    assert messages(vhost) == []

    clock.advance(0.001)

    (message,) = messages(vhost)
    headers = message.properties.headers
    assert headers == {"a": 1, "x-delay": -5000}
    assert field_type(headers["x-delay"]) == field_type(Int32(1))


def test_messages_are_routed_in_the_order_in_which_their_delays_end(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U20."""
    for number, delay in enumerate((300, 100, 200, 100)):
        publish(vhost, x_delay=delay, number=number)

    clock.advance(1)

    numbers = [(each.properties.headers or {})["number"] for each in messages(vhost)]
    assert numbers == [1, 3, 2, 0]


@pytest.mark.parametrize("delay", [None, 0, -1, 2**32, True, {}])
def test_a_message_without_a_valid_delay_is_routed_at_once(
    vhost: VirtualHost, delay: object
) -> None:
    """Row U20."""
    assert publish(vhost, x_delay=delay) is Outcome.ACCEPTED
    assert publish(vhost) is Outcome.ACCEPTED

    assert [each.properties.headers for each in messages(vhost)] == [{"x-delay": delay}, {}]


@pytest.mark.parametrize("delay", ["1500", "+1500", 1500.9, UInt32(1500)])
def test_a_delay_may_be_a_string_or_a_float(
    vhost: VirtualHost, clock: ManualClock, delay: object
) -> None:
    """Row U20."""
    publish(vhost, x_delay=delay)

    clock.advance(1.5)

    (message,) = messages(vhost)
    assert message.properties.headers == {"x-delay": -1500}


@pytest.mark.parametrize("delay", ["soon", "", "1" * 5000, LongStr(b"\xff"), Decimal("1.5")])
def test_another_delay_is_an_internal_error(vhost: VirtualHost, delay: object) -> None:
    """Row U20."""
    with pytest.raises(BrokerError) as refused:
        publish(vhost, x_delay=delay)

    assert (refused.value.code, refused.value.text) == (541, "")


def test_a_delay_of_weeks_fits_into_the_header(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U20."""
    publish(vhost, x_delay=2**32 - 1)

    clock.advance(2**32 / 1000)

    (message,) = messages(vhost)
    assert message.properties.headers == {"x-delay": 1 - 2**32}


def test_bindings_are_those_at_the_end_of_the_delay(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U20."""
    publish(vhost, x_delay=1000)
    vhost.unbind_queue("q", "x", "key", {}, ME)
    vhost.declare_queue("other", ME)
    vhost.bind_queue("other", "x", "key", {}, ME)

    clock.advance(1)

    assert [messages(vhost), len(messages(vhost, "other"))] == [[], 1]


def test_a_delayed_message_survives_a_restart_even_if_it_is_transient(
    vhost: VirtualHost, clock: ManualClock
) -> None:
    """Row U20."""
    publish(vhost, x_delay=1000)

    vhost.restart()
    clock.advance(1)

    assert len(messages(vhost)) == 1


def test_a_deleted_exchange_drops_its_messages(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U20."""
    publish(vhost, x_delay=1000)
    vhost.delete_exchange("x")

    clock.advance(1)

    assert messages(vhost) == []


def test_the_history_of_a_message_shows_its_delay(vhost: VirtualHost, clock: ManualClock) -> None:
    """Row U20."""
    publish(vhost, x_delay=1000)
    clock.advance(1)

    (message,) = vhost.history
    assert [event.what for event in message.history] == [
        EventType.PUBLISHED,
        EventType.DELAYED,
        EventType.ROUTED,
    ]
    assert "delayed by exchange 'x' for 1000 ms" in str(message)


@pytest.mark.parametrize(
    ("kind", "key", "matching", "other"),
    [
        ("fanout", "", "any", None),
        ("topic", "a.*", "a.b", "b"),
        ("x-consistent-hash", "1", "any", None),
        ("x-recent-history", "", "any", None),
    ],
)
def test_the_exchange_routes_like_its_type(
    vhost: VirtualHost, clock: ManualClock, kind: str, key: str, matching: str, other: str | None
) -> None:
    """Row U20."""
    declare_delayed(vhost, "y", kind)
    vhost.bind_queue("q", "y", key, {}, ME)

    publish(vhost, "y", matching, x_delay=1)
    if other is not None:
        publish(vhost, "y", other, x_delay=1)
    clock.advance(1)
    assert len(messages(vhost)) == 1

    vhost.declare_queue("new", ME)
    vhost.bind_queue("new", "y", key, {}, ME)
    vhost.agenda.run_pending()
    assert len(messages(vhost, "new")) == (kind == "x-recent-history")

    vhost.unbind_queue("q", "y", key, {}, ME)
    assert publish(vhost, "y", matching) is Outcome.ACCEPTED
    assert len(messages(vhost)) == 1


def test_bindings_are_checked_by_the_type(vhost: VirtualHost) -> None:
    """Row U20."""
    declare_delayed(vhost, "y", "headers")

    with pytest.raises(BrokerError, match="Invalid x-match field"):
        vhost.bind_queue("q", "y", "", {"x-match": "some"}, ME)


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        (None, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (1, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            "x-delayed-message",
            406,
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        ("no-type", 503, "unknown exchange type 'no-type'"),
    ],
)
def test_the_type_must_exist(vhost: VirtualHost, kind: object, code: int, text: str) -> None:
    """Row U20."""
    with pytest.raises(BrokerError) as refused:
        declare_delayed(vhost, "y", kind)

    assert (refused.value.code, refused.value.text) == (code, text)
    assert "y" not in vhost.exchanges


def test_arguments_are_checked_by_the_type(vhost: VirtualHost) -> None:
    """Row U20."""
    with pytest.raises(BrokerError, match="Unsupported property: body"):
        declare_delayed(vhost, "y", b"x-consistent-hash", arguments={"hash-property": "body"})


# ---------------------------------------------------------------------------------- others


def test_a_weight_may_be_of_any_size(vhost: VirtualHost) -> None:
    """Row U20."""
    vhost.declare_exchange("h", "x-consistent-hash")
    vhost.declare_queue("light", ME)
    vhost.bind_queue("light", "h", "1", {}, ME)
    vhost.bind_queue("q", "h", "9" * 200, {}, ME)

    assert all(publish(vhost, "h", str(number)) for number in range(50))

    assert len(messages(vhost)) == 50


def test_random_choices_are_the_same_in_every_run() -> None:
    """Row U20."""
    runs = []
    for _ in range(2):
        vhost = Node(plugins=PLUGINS, profile=RABBITMQ_3_10).vhosts["/"]
        vhost.declare_exchange("x", "x-random")
        for name in "abc":
            vhost.declare_queue(name, ME)
            vhost.bind_queue(name, "x", "", {}, ME)
        for _ in range(30):
            publish(vhost, "x")
        runs.append([len(messages(vhost, name)) for name in "abc"])

    assert runs[0] == runs[1]
    assert all(0 < count < 30 for count in runs[0])


def test_a_recent_history_does_not_survive_a_restart(vhost: VirtualHost) -> None:
    """Row U20."""
    vhost.declare_exchange("h", "x-recent-history", durable=True)
    declare_delayed(vhost, "d", "x-recent-history")
    for name in "hd":
        publish(vhost, name)

    vhost.restart()
    for name in "hd":
        vhost.bind_queue("q", name, "", {}, ME)
    vhost.agenda.run_pending()

    assert messages(vhost) == []


def test_a_route_through_exchanges_of_plugins_is_explained(vhost: VirtualHost) -> None:
    """Row U20. An explanation publishes nothing: it delays, stores and chooses nothing."""
    for kind in ("x-random", "x-recent-history", "x-consistent-hash", "x-modulus-hash"):
        vhost.declare_exchange(kind, kind)
        for name in ("q", "r"):
            vhost.declare_queue(name, ME, durable=name == "q")
            vhost.bind_queue(name, kind, "1", {}, ME)

    def explained(exchange: str, **headers: Any) -> list[str]:
        message = a_message(exchange=exchange, key="key", headers=headers)
        route = vhost.explain(message)
        assert route
        return str(route).splitlines()[2:]

    assert explained("x-random") == [
        "    -> queue 'q': an x-random exchange routes to one of its bindings",
        "    -> queue 'r': an x-random exchange routes to one of its bindings",
    ]
    assert explained("x-recent-history") == [
        "    -> queue 'q': an x-recent-history exchange routes to all its bindings",
        "    -> queue 'r': an x-recent-history exchange routes to all its bindings",
    ]
    for kind in ("x-consistent-hash", "x-modulus-hash"):
        assert sorted(line.partition(": ")[2] for line in explained(kind)) == [
            "the hash does not select this binding",
            "the hash selects this binding",
        ]
    assert explained("x", **{"x-delay": 10}) == [
        "    -> queue 'q': the binding key is 'key'",
        "    it delays the message by 10 ms",
    ]
    assert explained("x") == ["    -> queue 'q': the binding key is 'key'"]
    assert len(vhost.history) == 0
    assert messages(vhost) == []


# ---------------------------------------------------------------------------------- plugins


@pytest.mark.parametrize(("plugin", "exchange"), PLUGINS.items())
def test_a_type_is_unknown_without_its_plugin(plugin: str, exchange: Any) -> None:
    """Row U20."""
    node = Node(plugins=[name for name in PLUGINS if name != plugin], profile=RABBITMQ_3_10)

    with pytest.raises(BrokerError) as refused:
        node.vhosts["/"].declare_exchange("x", exchange.TYPE)

    assert refused.value.code == 503
    assert refused.value.text == f"unknown exchange type '{exchange.TYPE}'"
    assert node.exchange_types.missing == {exchange.TYPE: plugin}


def test_a_plugin_applies_to_all_virtual_hosts() -> None:
    """Row U20."""
    node = Node(plugins=["rabbitmq_random_exchange"], profile=RABBITMQ_3_10)

    node.add_vhost("other").declare_exchange("x", "x-random")

    assert node.exchange_types.missing == {}


@pytest.mark.parametrize("plugins", ["rabbitmq_sharding", ["rabbitmq_management"]])
def test_an_unknown_plugin_is_refused_with_those_that_are_known(plugins: Any) -> None:
    """Row U20."""
    with pytest.raises(ValueError, match=r"rabbitmq_consistent_hash_exchange, .*; not '?rabbitmq_"):
        Node(plugins=plugins, profile=RABBITMQ_3_10)
