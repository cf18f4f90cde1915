"""Explanation of routes, as text and as data."""

import pytest

from aioamqp_testing.model import BrokerError, Message, VirtualHost
from aioamqp_testing.model.exchanges.explain import Route
from amqp_codec import FieldTable, Properties


def explained(vhost: VirtualHost, exchange: str, key: str, **headers: object) -> Route:
    properties = Properties(headers=headers or None)  # type: ignore[arg-type]
    return vhost.explain(Message(exchange, key, properties, b""))


def bind(vhost: VirtualHost, exchange: str, queue: str, key: str, **arguments: object) -> None:
    vhost.declare_queue(queue, None)
    table: FieldTable = {name.replace("_", "-"): value for name, value in arguments.items()}  # type: ignore[misc]
    vhost.bind_queue(queue, exchange, key, table, None)


def test_the_default_exchange_leads_to_the_queue_of_that_name(vhost: VirtualHost) -> None:
    vhost.declare_queue("q", None)

    route = explained(vhost, "", "q")

    assert route
    assert route.queues == ["q"]
    assert str(route) == (
        "a message to exchange '' with key 'q' goes to 'q'\n"
        "  direct exchange '':\n"
        "    routes to the queue with the name 'q'"
    )
    assert "with the name 'none', which does not exist" in str(explained(vhost, "", "none"))


def test_direct_keys_are_compared(vhost: VirtualHost) -> None:
    bind(vhost, "amq.direct", "a", "one")
    bind(vhost, "amq.direct", "b", "two")

    route = explained(vhost, "amq.direct", "one")

    assert [binding.destination.name for binding in route.matched] == ["a"]
    assert str(route) == (
        "a message to exchange 'amq.direct' with key 'one' goes to 'a'\n"
        "  direct exchange 'amq.direct':\n"
        "    -> queue 'a': the binding key is 'one'\n"
        "       queue 'b': the binding key is 'two', not 'one'"
    )


def test_topic_patterns_are_matched(vhost: VirtualHost) -> None:
    bind(vhost, "amq.topic", "a", "order.*")
    bind(vhost, "amq.topic", "b", "order.*.paid")

    lines = str(explained(vhost, "amq.topic", "order.new")).split("\n")

    assert lines[2:] == [
        "    -> queue 'a': 'order.new' matches the pattern 'order.*'",
        "       queue 'b': 'order.new' does not match the pattern 'order.*.paid'",
    ]


def test_of_two_bindings_to_one_queue_each_is_judged_by_itself(vhost: VirtualHost) -> None:
    bind(vhost, "amq.topic", "a", "x")
    bind(vhost, "amq.topic", "a", "#")

    route = explained(vhost, "amq.topic", "y")

    assert [tried.matches for tried in route.stops[0].tried] == [False, True]


def test_headers_are_compared_one_by_one(vhost: VirtualHost) -> None:
    bind(vhost, "amq.headers", "a", "", x_match="all", kind="new", size=3, extra=None)
    bind(vhost, "amq.headers", "b", "", x_match="any", kind="old", x_own=1)

    lines = str(explained(vhost, "amq.headers", "", kind="new", size=4)).split("\n")

    assert lines[2:] == [
        "       queue 'a': x-match is all; the header 'kind' is 'new'; the header 'size' is 4, not"
        " 3; there is no header 'extra'",
        "       queue 'b': x-match is any; the header 'kind' is 'new', not 'old'",
        "    no binding matches",
    ]


def test_a_route_goes_on_over_other_exchanges(vhost: VirtualHost) -> None:
    vhost.declare_exchange("events", "fanout")
    vhost.bind_exchange("amq.topic", "events", "", {})
    vhost.bind_exchange("events", "amq.topic", "#", {})  # and back
    bind(vhost, "amq.topic", "q", "a.*")

    route = explained(vhost, "events", "a.b")

    assert route.queues == ["q"]
    assert [stop.exchange.name for stop in route.stops] == ["events", "amq.topic"]
    assert "-> exchange 'amq.topic': a fanout exchange routes to all" in str(route)


def test_an_alternate_exchange_is_named(vhost: VirtualHost) -> None:
    vhost.declare_exchange("first", "direct", arguments={"alternate-exchange": "second"})
    assert "its alternate exchange 'second' does not exist" in str(explained(vhost, "first", "k"))

    vhost.declare_exchange("second", "fanout")
    bind(vhost, "second", "rest", "")
    route = explained(vhost, "first", "k")

    assert route.queues == ["rest"]
    assert route.stops[0].alternate == "second"
    assert "nothing is bound to it, so it routes to its alternate exchange 'second'" in str(route)


def test_asking_changes_nothing(vhost: VirtualHost) -> None:
    bind(vhost, "amq.topic", "a", "order.*")
    explained(vhost, "amq.topic", "order.new")

    assert len(vhost.bindings_to(vhost.queues["a"])) == 1
    assert len(vhost.exchanges["amq.topic"].outgoing) == 1
    assert len(vhost.history) == 0


def test_an_exchange_that_is_not_there_is_named(vhost: VirtualHost) -> None:
    with pytest.raises(BrokerError, match="no exchange 'none'"):
        explained(vhost, "none", "")
    assert "nothing is bound to it" in str(explained(vhost, "amq.topic", ""))
