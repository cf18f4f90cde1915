"""Types of exchanges: how each routes, and which bindings it refuses."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from aioamqp_testing.model import BrokerError, VirtualHost
from amqp_codec import Float32, Int16, Int64, LongStr, Timestamp, UInt8
from fake_broker_support import a_message

ME = object()


def is_routed(vhost: VirtualHost, exchange: str, key: str = "", **properties: Any) -> bool:
    return bool(vhost.publish(a_message(exchange=exchange, key=key, **properties), "guest"))


def test_a_fanout_exchange_routes_everything_to_all_its_bindings(vhost: VirtualHost) -> None:
    """Row 123. A queue that is bound twice gets one copy."""
    for name in ("p", "q"):
        vhost.declare_queue(name, ME)
        for key in ("", "ignored"):
            vhost.bind_queue(name, "amq.fanout", key, {}, ME)

    assert is_routed(vhost, "amq.fanout", "any key")

    assert [queue.message_count for queue in vhost.queues.values()] == [1, 1]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a.b", ["a.b"], ["a", "a.b.c", "A.b", ""]),
        ("", [""], [".", "a"]),
        ("*", ["a", "*", "#", "a*"], ["", ".", "a.b"]),
        ("#", ["", "a", ".", "a.b.c"], []),
        ("*.*", [".", "a.", ".a", "a.b"], ["", "a", "a.b.c"]),
        ("a.*", ["a.", "a.b"], ["a", "a.b.c", "b.a"]),
        ("*.a", [".a", "b.a"], ["a"]),
        ("a.#", ["a", "a.", "a.b", "a.b.c"], ["", "b.a", "ab"]),
        ("#.a", ["a", ".a", "b.c.a"], ["", "a.b"]),
        ("a.#.b", ["a.b", "a..b", "a.c.b", "a.b.b"], ["a", "b", "a.b.c"]),
        ("*.#", ["a", ".", "a.b"], [""]),
        ("#.*", ["a", ".", "a.b"], [""]),
        ("#.#", ["", "a", "a.b.c"], []),
        ("#.*.#", ["a", "."], [""]),
        ("#.a.#.b", ["a.b", "x.a.y.a.b", "a.x.b"], ["b.a", "a.b.c"]),
        ("a*", ["a*"], ["ab", "a"]),
        ("a.#b", ["a.#b"], ["a.b", "a.xb"]),
    ],
)
def test_a_topic_is_matched_word_by_word(
    vhost: VirtualHost, pattern: str, matching: list[str], others: list[str]
) -> None:
    """Row 126."""
    vhost.declare_queue("q", ME)
    vhost.bind_queue("q", "amq.topic", pattern, {}, ME)

    assert [key for key in matching if not is_routed(vhost, "amq.topic", key)] == []
    assert [key for key in others if is_routed(vhost, "amq.topic", key)] == []


def test_a_topic_with_many_wildcards_is_matched_without_trying_all_ways(vhost: VirtualHost) -> None:
    vhost.declare_queue("q", ME)
    vhost.bind_queue("q", "amq.topic", ".".join(["#.a"] * 30), {}, ME)

    assert not is_routed(vhost, "amq.topic", ".".join(["a"] * 29 + ["b"] * 30))
    assert is_routed(vhost, "amq.topic", ".".join(["a", "b"] * 30 + ["a"]))


@pytest.mark.parametrize(
    ("arguments", "matching", "others"),
    [
        # Row 127: x-match missing is all; without arguments everything matches
        ({}, [None, {}, {"a": 1}], []),
        ({"x-match": "all"}, [None, {"a": 1}], []),
        ({"a": 1, "b": 2}, [{"a": 1, "b": 2, "c": 3}], [None, {}, {"a": 1}, {"a": 1, "b": 3}]),
        ({"x-match": "all", "a": 1}, [{"a": 1}], [{"a": 2}]),
        # Row 128
        ({"x-match": "any"}, [], [None, {}, {"a": 1}]),
        ({"x-match": "any", "a": 1, "b": 2}, [{"a": 1}, {"a": 2, "b": 2}], [None, {"a": 2}]),
        # Row 129: values are compared as Erlang does
        ({"a": 1}, [{"a": 1.0}, {"a": Int64(1)}, {"a": UInt8(1)}], [{"a": "1"}, {"a": True}]),
        ({"a": Float32(0.5)}, [{"a": 0.5}], [{"a": 0}]),
        ({"a": True}, [{"a": True}], [{"a": 1}, {"a": "true"}, {"a": False}]),
        ({"a": "x"}, [{"a": b"x"}, {"a": LongStr(b"x")}], [{"a": "X"}, {"A": "x"}]),
        ({"a": Timestamp(60)}, [{"a": datetime(1970, 1, 1, 0, 1, tzinfo=UTC)}, {"a": 60}], []),
        ({"a": Decimal("1.0")}, [{"a": Decimal("1.0")}], [{"a": Decimal(1)}, {"a": 1}]),
        ({"a": [1]}, [{"a": [1]}], [{"a": [Int16(1)]}, {"a": [1.0]}, {"a": 1}]),
        ({"a": {"b": "c"}}, [{"a": {"b": "c"}}], [{"a": {"b": b"c"}}, {"a": {}}]),
        ({"a": None}, [{"a": 1}, {"a": None}, {"a": ""}], [None, {"b": 1}]),
        # Row 130: names with x- do not count, unless asked for
        ({"x-match": "any", "x-k": 1}, [], [{"x-k": 1}]),
        ({"x-match": "all", "x-k": 1, "a": 1}, [{"a": 1}], [{"x-k": 1}]),
        ({"x-match": "all-with-x", "x-k": 1, "a": 1}, [{"a": 1, "x-k": 1}], [{"a": 1}]),
        ({"x-match": "any-with-x", "x-k": 1, "a": 1}, [{"x-k": 1}, {"a": 1}], [{}]),
        ({"x-match": "all-with-x"}, [None, {"a": 1}], []),
    ],
)
def test_headers_are_matched_by_value(
    vhost: VirtualHost, arguments: Any, matching: list[Any], others: list[Any]
) -> None:
    """Rows 127-130."""
    vhost.declare_queue("q", ME)
    vhost.bind_queue("q", "amq.match", "ignored", arguments, ME)

    assert [h for h in matching if not is_routed(vhost, "amq.match", headers=h)] == []
    assert [h for h in others if is_routed(vhost, "amq.match", headers=h)] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("foo", 'value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        ("", "value <<>>; expected all, any, all-with-x, or any-with-x"),
        (5, "type byte (value 5); expected longstr"),
        (True, "type bool (value true); expected longstr"),
        (None, "type void (value undefined); expected longstr"),
        (b"\x01", "type binary (value <<1>>); expected longstr"),
        (Decimal("-1.25"), "type decimal (value {2,4294967171}); expected longstr"),
        (["all", 1], 'type array (value [{longstr,<<"all">>},{byte,1}]); expected longstr'),
        ({"k": 1}, 'type table (value [{<<"k">>,byte,1}]); expected longstr'),
    ],
)
def test_an_x_match_that_says_nothing_is_refused(vhost: VirtualHost, value: Any, text: str) -> None:
    """Row 131."""
    vhost.declare_queue("q", ME)

    with pytest.raises(BrokerError) as caught:
        vhost.bind_queue("q", "amq.headers", "", {"x-match": value}, ME)

    assert caught.value.reply_text == f"PRECONDITION_FAILED - Invalid x-match field {text}"
    assert not is_routed(vhost, "amq.headers")


def test_bindings_of_every_type_can_be_undone(vhost: VirtualHost) -> None:
    vhost.declare_queue("q", ME)
    for kind in ("direct", "fanout", "topic", "headers"):
        vhost.bind_queue("q", f"amq.{kind}", "k", {}, ME)
        assert is_routed(vhost, f"amq.{kind}", "k")

        vhost.unbind_queue("q", f"amq.{kind}", "k", {}, ME)

        assert not is_routed(vhost, f"amq.{kind}", "k")


def test_the_predeclared_exchanges_are_there(vhost: VirtualHost) -> None:
    """Row 138."""
    assert {name: exchange.TYPE for name, exchange in vhost.exchanges.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.rabbitmq.trace": "topic",
        "amq.topic": "topic",
    }
    assert all(exchange.durable for exchange in vhost.exchanges.values())
    assert [name for name, each in vhost.exchanges.items() if each.internal] == [
        "amq.rabbitmq.trace"
    ]


def test_an_alternate_exchange_is_a_name(vhost: VirtualHost) -> None:
    """Row 106."""
    with pytest.raises(BrokerError) as caught:
        vhost.declare_exchange("x", "direct", arguments={"alternate-exchange": 5})

    assert caught.value.text == (
        "invalid type 'byte' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    )
    vhost.declare_exchange("x", "direct", arguments={"alternate-exchange": "y"})
