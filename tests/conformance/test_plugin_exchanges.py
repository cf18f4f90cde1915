"""Types of exchanges that RabbitMQ has in plugins, which the node of the tests has enabled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from aioamqp_testing import FakeBroker
from amqp_codec import Float32, Int64, Timestamp, UInt8, basic, exchange, queue
from tests.conformance.client import OpenClient, ScriptedClient, method_of, publish
from tests.conformance.scenario import FAKES, ByVersion, NewName, scenario
from tests.rabbitmq import PLUGINS

KEYS = [f"key-{number}" for number in range(40)]


@pytest_asyncio.fixture
async def fake(broker: str) -> AsyncIterator[FakeBroker | None]:
    """The fake broker with the plugins, or None if the broker is RabbitMQ."""
    if broker in FAKES:
        async with FakeBroker(rabbitmq=FAKES[broker], plugins=PLUGINS) as fake:
            yield fake
    else:
        yield None


async def bound(client: ScriptedClient, source: str, queues: dict[str, str]) -> None:
    """Declare exclusive queues and bind them, each with its key."""
    for name, key in queues.items():
        await client.call(queue.Declare(name, exclusive=True), queue.Bind(name, source, key))


async def whose(client: ScriptedClient, queues: list[str]) -> dict[bytes, str]:
    """Get all messages of queues; return the place of its queue in the list for each body."""
    return {
        body: str(place) for place, name in enumerate(queues) for body in await client.bodies(name)
    }


async def is_unroutable(client: ScriptedClient, source: str) -> bool:
    """Return whether an exchange routes a message to no queue."""
    replies = await client.call(publish("key", source, mandatory=True))
    return [method_of(reply) for reply in replies] == [basic.Return(312, "NO_ROUTE", source, "key")]


@scenario
async def test_a_consistent_hash_selects_the_same_queue_as_in_rabbitmq(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row U20."""
    client = await open_client()
    source, names = new_name(), [new_name() for _ in range(4)]
    await client.call(exchange.Declare(source, "x-consistent-hash", auto_delete=True))
    await bound(client, source, dict(zip(names, ["1", "3", "2", "+04"], strict=True)))

    await client.call(*(publish(key, source, key.encode()) for key in KEYS))

    found = await whose(client, names)
    assert "".join(found[key.encode()] for key in KEYS) == CONSISTENT

    await client.call(queue.Delete(names[1]))
    await client.call(*(publish(key, source, key.encode()) for key in KEYS))

    found = await whose(client, names)
    assert "".join(found[key.encode()] for key in KEYS) == CONSISTENT_WITHOUT_THE_SECOND


HEADERS = [
    "text",
    b"bytes",
    1,
    -1,
    Int64(5),
    UInt8(200),
    2**40,
    -(2**62),
    1.5,
    Float32(0.5),
    True,
    None,
    Decimal("1.25"),
    Timestamp(1577836800),
    {"a": 1, "b": "x"},
    [1, "x", []],
    {},
]


@scenario
async def test_a_consistent_hash_may_be_that_of_a_header_of_any_type(
    open_client: OpenClient, new_name: NewName, by_version: ByVersion
) -> None:
    """Row U20. A message without the header has the hash of the atom undefined.

    RabbitMQ: 4.0 ends the connection with 541 for an empty table.
    """
    client = await open_client()
    values = by_version({"3.10": HEADERS, "4.0": HEADERS[:-1], "4.3": HEADERS})
    source, names = new_name(), [new_name() for _ in range(2)]
    arguments = {"hash-header": "h"}
    await client.call(
        exchange.Declare(source, "x-consistent-hash", auto_delete=True, arguments=arguments)
    )
    await bound(client, source, dict.fromkeys(names, "8"))

    bodies = [str(number).encode() for number in range(len(values) + 2)]
    tables: list[Any] = [*({"h": value} for value in values), {"other": 1}, None]
    await client.call(
        *(
            publish("", source, body, headers=headers)
            for body, headers in zip(bodies, tables, strict=True)
        )
    )

    found = await whose(client, names)
    assert "".join(found[body] for body in bodies) == by_version(OF_HEADERS)


@pytest.mark.parametrize("name", ["correlation_id", "message_id", "timestamp"])
@scenario
async def test_a_consistent_hash_may_be_that_of_a_property(
    open_client: OpenClient, new_name: NewName, name: str
) -> None:
    """Row U20."""
    client = await open_client()
    source, names = new_name(), [new_name() for _ in range(10)]
    arguments = {"hash-property": name}
    await client.call(
        exchange.Declare(source, "x-consistent-hash", auto_delete=True, arguments=arguments)
    )
    await bound(client, source, dict.fromkeys(names, "1"))

    def value(number: int) -> Any:
        return datetime.fromtimestamp(number, UTC) if name == "timestamp" else str(number)

    await client.call(
        *(publish("", source, b"%d" % each, **{name: value(each)}) for each in range(30)),
        publish("", source, b"none"),
    )

    found = await whose(client, names)
    bodies = [*(b"%d" % each for each in range(30)), b"none"]
    assert "".join(found[body] for body in bodies) == OF_PROPERTIES


@scenario
async def test_a_second_binding_has_no_buckets_and_takes_those_of_the_first_away(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row U20."""
    client = await open_client()
    source, names = new_name(), [new_name(), new_name()]
    await client.call(exchange.Declare(source, "x-consistent-hash", auto_delete=True))
    await bound(client, source, dict.fromkeys(names, "1"))
    await client.call(queue.Bind(names[1], source, "50"))

    await client.call(*(publish(key, source, key.encode()) for key in KEYS))
    found = await whose(client, names)
    assert "".join(found[key.encode()] for key in KEYS) == OF_TWO

    await client.call(queue.Unbind(names[1], source, "50"))
    await client.call(*(publish(key, source, key.encode()) for key in KEYS))
    assert set((await whose(client, names)).values()) == {"0"}

    await client.call(queue.Unbind(names[0], source, "1"))
    assert await is_unroutable(client, source)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            {"hash-header": "a", "hash-property": "message_id"},
            406,
            "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-property": "no"}, 406, "PRECONDITION_FAILED - Unsupported property: no"),
        ({"hash-property": 1}, 541, "INTERNAL_ERROR"),
        ({"hash-header": b"bytes"}, 541, "INTERNAL_ERROR"),
    ],
)
@scenario
async def test_a_consistent_hash_exchange_refuses_arguments(
    open_client: OpenClient, name: str, arguments: dict[str, Any], code: int, text: str
) -> None:
    """Row U20."""
    client = await open_client()

    method = exchange.Declare(name, "x-consistent-hash", auto_delete=True, arguments=arguments)
    assert await client.refusal(method) == (code, text)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("abc", 'must be an integer: <<"abc">>'),
        ("", "must be an integer: <<>>"),
        (" 1", 'must be an integer: <<" 1">>'),
        ("1.5", 'must be an integer: <<"1.5">>'),
        ("0", "must be greater than 0"),
        ("-1", "must be greater than 0"),
    ],
)
@scenario
async def test_a_weight_is_a_positive_integer(
    open_client: OpenClient, new_name: NewName, key: str, reason: str
) -> None:
    """Row U20."""
    client = await open_client()
    source, name = new_name(), new_name()
    await client.call(
        exchange.Declare(source, "x-consistent-hash"), queue.Declare(name, exclusive=True)
    )

    refused = 406, f"PRECONDITION_FAILED - The binding key {reason}"
    assert await client.refusal(queue.Bind(name, source, key)) == refused
    assert await client.refusal(exchange.Bind("amq.fanout", source, key)) == refused


@scenario
async def test_a_modulus_hash_selects_among_the_bindings_in_the_order_of_their_keys(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row U20. Exchanges are before queues with the same key."""
    client = await open_client()
    source, other = new_name(), new_name()
    names = sorted([new_name() for _ in range(4)], reverse=True)
    await client.call(
        exchange.Declare(source, "x-modulus-hash", auto_delete=True),
        exchange.Declare(other, "fanout", auto_delete=True),
    )
    await bound(client, source, dict(zip(names[:3], ["b", "a", "a"], strict=True)))
    await bound(client, other, {names[3]: ""})
    await client.call(exchange.Bind(other, source, "a"), queue.Bind(names[0], source, "c"))

    await client.call(
        *(publish(key, source, key.encode()) for key in KEYS),
        *(publish(key, source, b"cc" + key.encode(), headers={"CC": ["x"]}) for key in KEYS),
    )

    found = await whose(client, names)
    assert "".join(found[key.encode()] for key in KEYS) == MODULUS
    assert "".join(found[b"cc" + key.encode()] for key in KEYS) == MODULUS_WITH_CC


@pytest.mark.parametrize("kind", ["x-random", "x-modulus-hash", "x-consistent-hash"])
@scenario
async def test_a_message_reaches_one_queue_or_is_unroutable_without_any(
    open_client: OpenClient, new_name: NewName, kind: str
) -> None:
    """Row U20."""
    client = await open_client()
    source, names = new_name(), [new_name(), new_name()]
    await client.call(exchange.Declare(source, kind))
    assert await is_unroutable(client, source)
    await bound(client, source, dict.fromkeys(names, "1"))

    await client.call(*(publish(key, source, key.encode()) for key in KEYS))

    bodies = [await client.bodies(name) for name in names]
    assert sorted(bodies[0] + bodies[1]) == sorted(key.encode() for key in KEYS)
    assert bodies[0]
    assert bodies[1]


@scenario
async def test_a_recent_history_is_sent_to_new_bindings(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row U20. The newest message comes first if an exchange is bound."""
    client = await open_client()
    source, other = new_name(), new_name()
    first, second, third = new_name(), new_name(), new_name()
    arguments = {"x-recent-history-length": 3}
    await client.call(
        exchange.Declare(source, "x-recent-history", arguments=arguments),
        exchange.Declare(other, "direct"),
    )
    await bound(client, source, {first: ""})
    await client.call(
        *(publish("key", source, b"%d" % each) for each in range(5)),
        publish("key", source, b"not stored", headers={"x-recent-history-no-store": True}),
        publish("key", source, b"stored", headers={"x-recent-history-no-store": 1}),
    )

    await bound(client, source, {second: "other key"})
    assert await client.bodies(second) == [b"3", b"4", b"stored"]
    await client.call(queue.Bind(second, source, "other key"))
    assert await client.bodies(second) == []
    await client.call(queue.Bind(second, source, "one more key"))
    assert await client.bodies(second) == [b"3", b"4", b"stored"]

    await bound(client, other, {third: "key"})
    await client.call(exchange.Bind(other, source))
    assert await client.bodies(third) == [b"stored", b"4", b"3"]
    assert len(await client.bodies(first)) == 7

    await client.call(queue.Unbind(third, other, "key"), exchange.Unbind(other, source))
    code, text = await client.refusal(exchange.Bind(other, source))
    assert (code, text.partition(" - ")[0]) == (541, "INTERNAL_ERROR")  # 4.3 adds a reason


@scenario
async def test_twenty_messages_are_kept_without_a_length(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row U20."""
    client = await open_client()
    source, name = new_name(), new_name()
    await client.call(
        exchange.Declare(source, "x-recent-history", auto_delete=True),
        *(publish("", source, b"%d" % each) for each in range(25)),
    )

    await bound(client, source, {name: ""})

    assert await client.bodies(name) == [b"%d" % each for each in range(5, 25)]


@pytest.mark.parametrize(
    ("length", "shown"),
    [(0, "0"), (-1, "-1"), (UInt8(5), "5"), ("x", '<<"x">>'), (2.5, "2.5"), (None, "undefined")],
)
@scenario
async def test_the_length_of_a_recent_history_is_a_positive_integer(
    open_client: OpenClient, name: str, length: Any, shown: str
) -> None:
    """Row U20."""
    client = await open_client()

    arguments = {"x-recent-history-length": length}
    assert await client.refusal(
        exchange.Declare(name, "x-recent-history", arguments=arguments)
    ) == (
        406,
        f"PRECONDITION_FAILED - Invalid argument {shown}, 'x-recent-history-length' must be a"
        " positive integer",
    )


@scenario
async def test_arguments_of_an_exchange_that_exists_are_not_checked(
    open_client: OpenClient, name: str
) -> None:
    """Row U20."""
    client = await open_client()
    await client.call(exchange.Declare(name, "x-recent-history"))

    arguments = {"x-recent-history-length": 0}
    again = exchange.Declare(name, "x-recent-history", arguments=arguments)
    assert await client.call(again) == [exchange.DeclareOk()]


@scenario
async def test_a_type_of_a_plugin_that_is_not_enabled_is_unknown(
    open_client: OpenClient, by_version: ByVersion
) -> None:
    """Row U20."""
    client = await open_client()

    code, reason = by_version(
        {"3.10": (503, "COMMAND_INVALID"), "4.0": (406, "PRECONDITION_FAILED")}
    )
    assert await client.refusal(exchange.Declare("x", "x-delayed-message")) == (
        code,
        f"{reason} - unknown exchange type 'x-delayed-message'",
    )


# Which queue RabbitMQ 3.10.8 selects for each message.
CONSISTENT = "3133331230320133303232123332331201333102"
CONSISTENT_WITHOUT_THE_SECOND = "3233333330030222303333333333333302233303"
OF_HEADERS = {
    "3.10": "1101010010001000100",
    "4.0": "100101110100001000",
    "4.3": "1001011101000010100",
}
OF_PROPERTIES = "3852007267231695029710773353521"
OF_TWO = "1111111000000001001111110100110101010001"
MODULUS = "2300012312011020030303001131321011010310"
MODULUS_WITH_CC = "3023222200111103321001001002130100120330"
