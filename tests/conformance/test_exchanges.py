"""How each type of exchange routes, over bindings, exchanges and alternate exchanges."""

from typing import Any

import pytest

from amqp_codec import Command, Float32, Int64, LongStr, Timestamp, basic, exchange, queue
from tests.conformance.scenario import NewName, scenario
from tests.conformance.wire import OpenWire, Wire, publish


async def bound(wire: Wire, name: str, source: str, key: str = "", **arguments: Any) -> None:
    """Declare a queue of the connection's own and bind it."""
    await wire.say(
        queue.Declare(name, exclusive=True), queue.Bind(name, source, key, arguments=arguments)
    )


@scenario
async def test_a_queue_gets_one_copy_however_many_bindings_match(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 123."""
    wire = await open_wire()
    name, source = new_name(), new_name()
    await wire.say(exchange.Declare(source, "topic", auto_delete=True))
    for key in ("a.*", "a.*", "#", "a.b"):
        await bound(wire, name, source, key)

    await wire.say(publish("a.b", source))

    assert await wire.bodies(name) == [b"m"]


@scenario
async def test_a_binding_is_told_apart_by_its_arguments(open_wire: OpenWire, name: str) -> None:
    """Row 124."""
    wire = await open_wire()
    await bound(wire, name, "amq.direct", name)
    await bound(wire, name, "amq.direct", name, a=1, b="x")

    await wire.say(queue.Unbind(name, "amq.direct", name))
    await wire.say(queue.Unbind(name, "amq.direct", name, {"a": Int64(1), "b": "x"}))
    await wire.say(queue.Unbind(name, "amq.direct", name, {"a": 1}))
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == [b"m"]

    await wire.say(queue.Unbind(name, "amq.direct", name, {"b": "x", "a": 1}))
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == []


@scenario
async def test_the_order_of_arguments_counts_in_a_table_among_them(
    open_wire: OpenWire, name: str
) -> None:
    """Row 124."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))
    await wire.say(queue.Bind(name, "amq.direct", name, arguments={"t": {"a": 1, "b": 2}}))

    await wire.say(queue.Unbind(name, "amq.direct", name, {"t": {"b": 2, "a": 1}}))
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == [b"m"]

    await wire.say(queue.Unbind(name, "amq.direct", name, {"t": {"a": 1, "b": 2}}))
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == []


@scenario
async def test_the_default_exchange_has_no_name_for_the_consumer_either(
    open_wire: OpenWire, name: str
) -> None:
    """Row 125."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), publish(name))

    message = await wire.get(name)

    assert message is not None
    assert message.method == basic.GetOk(1, False, "", name, 0)


@scenario
async def test_a_fanout_exchange_does_not_look_at_keys(
    open_wire: OpenWire, new_name: NewName
) -> None:
    wire = await open_wire()
    source, queues = new_name(), [new_name(), new_name()]
    await wire.say(exchange.Declare(source, "fanout", auto_delete=True))
    for name in queues:
        await bound(wire, name, source, name)

    await wire.say(publish("any key", source, b"1"), publish("", source, b"2"))

    assert [await wire.bodies(name) for name in queues] == [[b"1", b"2"]] * 2


KEYS = [
    "",
    "a",
    ".",
    "a.",
    ".a",
    "a.b",
    "a..b",
    "a.c.b",
    "b.a",
    "a.b.c",
    "A",
    "A.B",
    "*",
    "#",
    "a*",
    "ab",
    "a.#b",
    "a.xb",
    "..",
    "a.b.b",
    "x.a.y.a.b",
]

MATCHES = {
    "": [""],
    "*": ["a", "A", "*", "#", "a*", "ab"],
    "#": KEYS,
    "*.*": [".", "a.", ".a", "a.b", "b.a", "A.B", "a.#b", "a.xb"],
    "a": ["a"],
    "a.*": ["a.", "a.b", "a.#b", "a.xb"],
    "*.a": [".a", "b.a"],
    "a.#": ["a", "a.", "a.b", "a..b", "a.c.b", "a.b.c", "a.#b", "a.xb", "a.b.b"],
    "#.a": ["a", ".a", "b.a"],
    "a.#.b": ["a.b", "a..b", "a.c.b", "a.b.b"],
    "*.#": [key for key in KEYS if key],
    "#.*": [key for key in KEYS if key],
    "#.#": KEYS,
    "a*": ["a*"],
    "a.#b": ["a.#b"],
    "#.*.#": [key for key in KEYS if key],
    "a.b": ["a.b"],
    "#.a.#.b": ["a.b", "a..b", "a.c.b", "a.b.b", "x.a.y.a.b"],
    "*.#.*": [key for key in KEYS if "." in key],
    ".": ["."],
}


@scenario
async def test_a_topic_is_matched_word_by_word(open_wire: OpenWire, new_name: NewName) -> None:
    """Row 126: each key beside each pattern, as the catalogue has it and some more."""
    wire = await open_wire()
    source = new_name()
    await wire.say(exchange.Declare(source, "topic", auto_delete=True))
    queues = {pattern: new_name() for pattern in MATCHES}
    for pattern, name in queues.items():
        await bound(wire, name, source, pattern)

    await wire.say(*(publish(key, source, key.encode()) for key in KEYS))

    matched = {pattern: await wire.bodies(name) for pattern, name in queues.items()}
    assert matched == {
        pattern: [key.encode() for key in KEYS if key in keys] for pattern, keys in MATCHES.items()
    }


BINDINGS: list[dict[str, Any]] = [
    {},
    {"x-match": "all"},
    {"x-match": "any"},
    {"a": 1},
    {"a": 1, "b": "x"},
    {"x-match": "any", "a": 1, "b": "x"},
    {"a": "1"},
    {"a": True},
    {"a": None},
    {"a": Float32(1.0)},
    {"a": [1]},
    {"a": {"k": "v"}},
    {"a": Timestamp(60)},
    {"a": b"x"},
    {"x-match": "any", "x-k": 1},
    {"x-match": "all", "x-k": 1, "a": 1},
    {"x-match": "all-with-x", "x-k": 1, "a": 1},
    {"x-match": "any-with-x", "x-k": 1, "a": 1},
]
HEADERS: list[dict[str, Any] | None] = [
    None,
    {},
    {"a": 1},
    {"A": 1},
    {"a": 1.0},
    {"a": Int64(1)},
    {"a": "1"},
    {"a": True},
    {"a": "x"},
    {"a": LongStr(b"x")},
    {"a": b"x"},
    {"a": None},
    {"a": [1]},
    {"a": [1.0]},
    {"a": [Int64(1)]},
    {"a": {"k": "v"}},
    {"a": {"k": b"v"}},
    {"a": 60},
    {"b": "x"},
    {"a": 2, "b": "x"},
    {"a": 1, "b": "x", "c": 1},
    {"x-k": 1},
    {"x-k": 1, "a": 1},
]
MATCHING = [
    "11111111111111111111111",
    "11111111111111111111111",
    "00000000000000000000000",
    "00101100000000000000101",
    "00000000000000000000100",
    "00101100000000000011101",
    "00000010000000000000000",
    "00000001000000000000000",
    "00101111111111111101101",
    "00101100000000000000101",
    "00000000000010000000000",
    "00000000000000010000000",
    "00000000000000000100000",
    "00000000111000000000000",
    "00000000000000000000000",
    "00101100000000000000101",
    "00000000000000000000001",
    "00101100000000000000111",
]


@scenario
async def test_headers_are_matched_by_value(open_wire: OpenWire, new_name: NewName) -> None:
    """Rows 127-130: each message beside each binding."""
    wire = await open_wire()
    source = new_name()
    await wire.say(exchange.Declare(source, "headers", auto_delete=True))
    queues = [new_name() for _ in BINDINGS]
    for name, arguments in zip(queues, BINDINGS, strict=True):
        await wire.say(
            queue.Declare(name, exclusive=True),
            queue.Bind(name, source, "ignored", arguments=arguments),
        )

    bodies = [b"%d" % position for position in range(len(HEADERS))]
    for body, headers in zip(bodies, HEADERS, strict=True):
        await wire.say(publish("", source, body, headers=headers))

    matched = []
    for name in queues:
        got = await wire.bodies(name)
        matched.append("".join("1" if body in got else "0" for body in bodies))
    assert matched == MATCHING


@pytest.mark.parametrize(
    ("value", "how"),
    [
        ("foo", 'value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        (5, "type byte (value 5); expected longstr"),
        (True, "type bool (value true); expected longstr"),
        (None, "type void (value undefined); expected longstr"),
        (["all"], 'type array (value [{longstr,<<"all">>}]); expected longstr'),
        ({"k": 1}, 'type table (value [{<<"k">>,byte,1}]); expected longstr'),
        (b"\x01\x02", "type binary (value <<1,2>>); expected longstr"),
    ],
)
@scenario
async def test_an_x_match_that_says_nothing_is_refused(
    open_wire: OpenWire, name: str, value: Any, how: str
) -> None:
    """Row 131. It comes before the question whose the queue is, and unbinding does not mind."""
    owner, wire = await open_wire(), await open_wire()
    await owner.say(queue.Declare(name, exclusive=True))
    arguments = {"x-match": value}

    refusal = (406, f"PRECONDITION_FAILED - Invalid x-match field {how}")
    assert await wire.refusal(queue.Bind(name, "amq.match", arguments=arguments)) == refusal
    bind = exchange.Bind("amq.fanout", "amq.headers", arguments=arguments)
    assert await wire.refusal(bind) == refusal
    assert await wire.say(queue.Unbind(name, "amq.match", "", arguments)) == [queue.UnbindOk()]


@scenario
async def test_an_alternate_exchange_takes_what_an_exchange_routes_nowhere(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 132. Consumers see the exchange and the key that were published to."""
    wire = await open_wire()
    main, alternate, known, other = (new_name() for _ in range(4))
    await wire.say(
        exchange.Declare(alternate, "fanout"),
        exchange.Declare(main, "direct", arguments={"alternate-exchange": alternate}),
    )
    await bound(wire, known, main, "known")
    await bound(wire, other, alternate)

    assert await wire.say(publish("known", main), publish("k", main, mandatory=True)) == []

    assert await wire.bodies(known) == [b"m"]
    message = await wire.get(other)
    assert message is not None
    assert message.method == basic.GetOk(2, False, main, "k", 0)
    assert await wire.bodies(other) == []


@scenario
async def test_every_exchange_on_the_way_has_its_own_alternate(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 132. An exchange that leads to another one has routed the message."""
    wire = await open_wire()
    first, second, name, never = (new_name() for _ in range(4))
    await wire.say(
        exchange.Declare(first, "fanout", arguments={"alternate-exchange": "amq.direct"}),
        exchange.Declare(second, "direct", arguments={"alternate-exchange": "amq.fanout"}),
        exchange.Bind(second, first),
    )
    await bound(wire, never, "amq.direct", "k")
    await bound(wire, name, "amq.fanout")

    assert await wire.say(publish("k", first, mandatory=True)) == []

    assert await wire.bodies(name) == [b"m"]
    assert await wire.bodies(never) == []


@pytest.mark.parametrize("alternate", ["missing", "itself", "default"])
@scenario
async def test_an_alternate_exchange_that_leads_nowhere_leaves_a_message_unroutable(
    open_wire: OpenWire, new_name: NewName, alternate: str
) -> None:
    """Row 132. The default exchange does not lead to queues by their names here."""
    wire = await open_wire()
    main, name = new_name(), new_name()
    other = {"missing": new_name(), "itself": main, "default": ""}[alternate]
    await wire.say(
        exchange.Declare(main, "direct", arguments={"alternate-exchange": other}),
        queue.Declare(name, exclusive=True),
    )

    (returned,) = await wire.say(publish(name, main, mandatory=True))

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", main, name)


@scenario
async def test_bound_exchanges_may_form_circles(open_wire: OpenWire, new_name: NewName) -> None:
    """Row 133. There is one copy a queue, whatever the paths, and it names the first exchange."""
    wire = await open_wire()
    name, *exchanges = (new_name() for _ in range(4))
    for each in exchanges:
        await wire.say(exchange.Declare(each, "fanout"))
        await bound(wire, name, each)
    for destination in exchanges:
        for source in exchanges:
            await wire.say(exchange.Bind(destination, source))

    await wire.say(publish("k", exchanges[1]))

    message = await wire.get(name)
    assert message is not None
    assert message.method == basic.GetOk(1, False, exchanges[1], "k", 0)
    assert await wire.bodies(name) == []


@scenario
async def test_an_internal_exchange_takes_messages_from_exchanges_only(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 134."""
    wire = await open_wire()
    internal, name = new_name(), new_name()
    await wire.say(
        exchange.Declare(internal, "direct", internal=True),
        exchange.Bind(internal, "amq.direct", name),
    )
    await bound(wire, name, internal, name)

    for refusing in (internal, "amq.rabbitmq.trace"):
        assert await wire.refusal(publish(name, refusing)) == (
            403,
            f"ACCESS_REFUSED - cannot publish to internal exchange '{refusing}' in vhost '/'",
        )
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == [b"m"]


@scenario
async def test_some_exchanges_are_always_there(open_wire: OpenWire) -> None:
    """Row 138."""
    wire = await open_wire()
    types = {
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
    }
    for name, kind in types.items():
        assert await wire.say(exchange.Declare(name, kind, durable=True)) == [exchange.DeclareOk()]
    trace = exchange.Declare("amq.rabbitmq.trace", "topic", durable=True, internal=True)
    assert await wire.say(trace) == [exchange.DeclareOk()]
