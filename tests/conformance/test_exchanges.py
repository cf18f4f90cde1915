"""Routing by each exchange type, through exchange bindings and alternate exchanges."""

from typing import Any

import pytest

from amqp_codec import Command, Float32, Int64, LongStr, Timestamp, basic, channel, exchange, queue
from tests.conformance.client import OpenClient, ScriptedClient, publish
from tests.conformance.scenario import ByVersion, NewName, scenario


async def bound(
    client: ScriptedClient, name: str, source: str, key: str = "", **arguments: Any
) -> None:
    """Declare an exclusive queue and bind it."""
    await client.call(
        queue.Declare(name, exclusive=True), queue.Bind(name, source, key, arguments=arguments)
    )


@scenario
async def test_a_queue_gets_one_copy_however_many_bindings_match(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 123."""
    client = await open_client()
    name, source = new_name(), new_name()
    await client.call(exchange.Declare(source, "topic", auto_delete=True))
    for key in ("a.*", "a.*", "#", "a.b"):
        await bound(client, name, source, key)

    await client.call(publish("a.b", source))

    assert await client.bodies(name) == [b"m"]


@scenario
async def test_bindings_with_different_arguments_are_different(
    open_client: OpenClient, name: str
) -> None:
    """Row 124."""
    client = await open_client()
    await bound(client, name, "amq.direct", name)
    await bound(client, name, "amq.direct", name, a=1, b="x")

    await client.call(queue.Unbind(name, "amq.direct", name))
    await client.call(queue.Unbind(name, "amq.direct", name, {"a": Int64(1), "b": "x"}))
    await client.call(queue.Unbind(name, "amq.direct", name, {"a": 1}))
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == [b"m"]

    await client.call(queue.Unbind(name, "amq.direct", name, {"b": "x", "a": 1}))
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == []


@scenario
async def test_the_order_inside_a_table_argument_distinguishes_bindings(
    open_client: OpenClient, name: str
) -> None:
    """Row 124."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))
    await client.call(queue.Bind(name, "amq.direct", name, arguments={"t": {"a": 1, "b": 2}}))

    await client.call(queue.Unbind(name, "amq.direct", name, {"t": {"b": 2, "a": 1}}))
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == [b"m"]

    await client.call(queue.Unbind(name, "amq.direct", name, {"t": {"a": 1, "b": 2}}))
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == []


@scenario
async def test_the_exchange_of_a_delivery_is_empty_for_the_default_exchange(
    open_client: OpenClient, name: str
) -> None:
    """Row 125."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), publish(name))

    message = await client.get(name)

    assert message is not None
    assert message.method == basic.GetOk(1, False, "", name, 0)


@scenario
async def test_a_fanout_exchange_ignores_routing_keys(
    open_client: OpenClient, new_name: NewName
) -> None:
    client = await open_client()
    source, queues = new_name(), [new_name(), new_name()]
    await client.call(exchange.Declare(source, "fanout", auto_delete=True))
    for name in queues:
        await bound(client, name, source, name)

    await client.call(publish("any key", source, b"1"), publish("", source, b"2"))

    assert [await client.bodies(name) for name in queues] == [[b"1", b"2"]] * 2


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
async def test_a_topic_exchange_matches_word_by_word(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 126: each routing key with each pattern."""
    client = await open_client()
    source = new_name()
    await client.call(exchange.Declare(source, "topic", auto_delete=True))
    queues = {pattern: new_name() for pattern in MATCHES}
    for pattern, name in queues.items():
        await bound(client, name, source, pattern)

    await client.call(*(publish(key, source, key.encode()) for key in KEYS))

    matched = {pattern: await client.bodies(name) for pattern, name in queues.items()}
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
# RabbitMQ: from 4.0 on, an integer is not equal to a float.
INTEGERS_APART = {
    3: "00100100000000000000101",
    5: "00100100000000000011101",
    9: "00001000000000000000000",
    15: "00100100000000000000101",
    17: "00100100000000000000111",
}


@scenario
async def test_a_headers_exchange_matches_by_value(
    open_client: OpenClient, new_name: NewName, by_version: ByVersion
) -> None:
    """Rows 127-130: each message with each binding."""
    client = await open_client()
    source = new_name()
    await client.call(exchange.Declare(source, "headers", auto_delete=True))
    queues = [new_name() for _ in BINDINGS]
    for name, arguments in zip(queues, BINDINGS, strict=True):
        await client.call(
            queue.Declare(name, exclusive=True),
            queue.Bind(name, source, "ignored", arguments=arguments),
        )

    bodies = [b"%d" % position for position in range(len(HEADERS))]
    for body, headers in zip(bodies, HEADERS, strict=True):
        await client.call(publish("", source, body, headers=headers))

    matched = []
    for name in queues:
        got = await client.bodies(name)
        matched.append("".join("1" if body in got else "0" for body in bodies))
    changed: dict[int, str] = by_version({"3.10": {}, "4.0": INTEGERS_APART})
    assert matched == [changed.get(row, matching) for row, matching in enumerate(MATCHING)]


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
async def test_an_invalid_x_match_is_refused(
    open_client: OpenClient, name: str, value: Any, how: str
) -> None:
    """Row 131. It is checked before exclusive access, and not when unbinding."""
    owner, client = await open_client(), await open_client()
    await owner.call(queue.Declare(name, exclusive=True))
    arguments = {"x-match": value}

    refusal = (406, f"PRECONDITION_FAILED - Invalid x-match field {how}")
    assert await client.refusal(queue.Bind(name, "amq.match", arguments=arguments)) == refusal
    bind = exchange.Bind("amq.fanout", "amq.headers", arguments=arguments)
    assert await client.refusal(bind) == refusal
    assert await client.call(queue.Unbind(name, "amq.match", "", arguments)) == [queue.UnbindOk()]


@scenario
async def test_unroutable_messages_go_to_the_alternate_exchange(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 132. Deliveries have the exchange and the routing key of the publish."""
    client = await open_client()
    main, alternate, known, other = (new_name() for _ in range(4))
    await client.call(
        exchange.Declare(alternate, "fanout"),
        exchange.Declare(main, "direct", arguments={"alternate-exchange": alternate}),
    )
    await bound(client, known, main, "known")
    await bound(client, other, alternate)

    assert await client.call(publish("known", main), publish("k", main, mandatory=True)) == []

    assert await client.bodies(known) == [b"m"]
    message = await client.get(other)
    assert message is not None
    assert message.method == basic.GetOk(2, False, main, "k", 0)
    assert await client.bodies(other) == []


@scenario
async def test_every_exchange_on_a_route_uses_its_own_alternate_exchange(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 132. A binding to another exchange counts as a route."""
    client = await open_client()
    first, second, name, never = (new_name() for _ in range(4))
    await client.call(
        exchange.Declare(first, "fanout", arguments={"alternate-exchange": "amq.direct"}),
        exchange.Declare(second, "direct", arguments={"alternate-exchange": "amq.fanout"}),
        exchange.Bind(second, first),
    )
    await bound(client, never, "amq.direct", "k")
    await bound(client, name, "amq.fanout")

    assert await client.call(publish("k", first, mandatory=True)) == []

    assert await client.bodies(name) == [b"m"]
    assert await client.bodies(never) == []


@pytest.mark.parametrize("alternate", ["missing", "itself", "default"])
@scenario
async def test_a_message_stays_unroutable_if_the_alternate_exchange_routes_nowhere(
    open_client: OpenClient, new_name: NewName, alternate: str
) -> None:
    """Row 132. As an alternate exchange, the default exchange does not route to queue names."""
    client = await open_client()
    main, name = new_name(), new_name()
    other = {"missing": new_name(), "itself": main, "default": ""}[alternate]
    await client.call(
        exchange.Declare(main, "direct", arguments={"alternate-exchange": other}),
        queue.Declare(name, exclusive=True),
    )

    (returned,) = await client.call(publish(name, main, mandatory=True))

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", main, name)


@scenario
async def test_exchange_bindings_may_form_cycles(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 133. Each queue gets one copy, which has the exchange of the publish."""
    client = await open_client()
    name, *exchanges = (new_name() for _ in range(4))
    for each in exchanges:
        await client.call(exchange.Declare(each, "fanout"))
        await bound(client, name, each)
    for destination in exchanges:
        for source in exchanges:
            await client.call(exchange.Bind(destination, source))

    await client.call(publish("k", exchanges[1]))

    message = await client.get(name)
    assert message is not None
    assert message.method == basic.GetOk(1, False, exchanges[1], "k", 0)
    assert await client.bodies(name) == []


@scenario
async def test_an_internal_exchange_takes_messages_from_exchanges_only(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 134."""
    client = await open_client()
    internal, name = new_name(), new_name()
    await client.call(
        exchange.Declare(internal, "direct", internal=True),
        exchange.Bind(internal, "amq.direct", name),
    )
    await bound(client, name, internal, name)

    for refusing in (internal, "amq.rabbitmq.trace"):
        assert await client.refusal(publish(name, refusing)) == (
            403,
            f"ACCESS_REFUSED - cannot publish to internal exchange '{refusing}' in vhost '/'",
        )
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == [b"m"]


@scenario
async def test_predeclared_exchanges_exist(open_client: OpenClient) -> None:
    """Row 138."""
    client = await open_client()
    types = {
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
    }
    for name, kind in types.items():
        assert await client.call(exchange.Declare(name, kind, durable=True)) == [
            exchange.DeclareOk()
        ]
    trace = exchange.Declare("amq.rabbitmq.trace", "topic", durable=True, internal=True)
    assert await client.call(trace) == [exchange.DeclareOk()]


@scenario
async def test_the_exchange_for_the_log_exists(
    open_client: OpenClient, by_version: ByVersion
) -> None:
    client = await open_client()

    replies = await client.call(exchange.Declare("amq.rabbitmq.log", passive=True))

    missing = "NOT_FOUND - no exchange 'amq.rabbitmq.log' in vhost '/'"
    close = channel.Close(404, missing, 40, 10)
    assert replies == [by_version({"3.10": close, "4.3": exchange.DeclareOk()})]


@scenario
async def test_a_local_random_exchange_routes_only_to_classic_queues_without_keys(
    open_client: OpenClient, new_name: NewName, by_version: ByVersion
) -> None:
    if by_version({"3.10": True, "4.0": False}):
        pytest.skip("RabbitMQ has local random exchanges since 4.0")
    client = await open_client()
    local, classic, quorum, fanout = (new_name() for _ in range(4))
    await client.call(
        exchange.Declare(local, "x-local-random"),
        exchange.Declare(fanout, "fanout"),
        queue.Declare(classic, exclusive=True),
        queue.Declare(quorum, durable=True, arguments={"x-queue-type": "quorum"}),
    )
    start = "PRECONDITION_FAILED - "

    assert await client.call(queue.Bind(classic, local)) == [queue.BindOk()]
    assert await client.refusal(queue.Bind(classic, local, "k")) == (
        406,
        start + "Non empty binding 'k' key not permitted",
    )
    assert await client.refusal(queue.Bind(quorum, local)) == (
        406,
        start + "Queue type rabbit_quorum_queue not valid for this exchange type",
    )
    assert await client.refusal(exchange.Bind(fanout, local)) == (
        406,
        start + "Destination not found",
    )
