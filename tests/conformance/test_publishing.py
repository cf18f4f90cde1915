"""What a broker looks at when something is published, and what it changes."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from amqp_codec import (
    Command,
    Float32,
    Int16,
    Int32,
    Int64,
    Properties,
    UInt8,
    UInt16,
    UInt32,
    basic,
    confirm,
    encode_method,
    encode_table,
    exchange,
    queue,
)
from tests.conformance.scenario import NewName, scenario
from tests.conformance.wire import OpenWire, publish

REFUSED = "PRECONDITION_FAILED - {}"


def begin(method: basic.Publish) -> bytes:
    """Return the first frame of a publish on channel 1."""
    return encode_method(1, method.encode())


@scenario
async def test_copies_go_to_further_keys_and_blind_ones_are_hidden(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 135. What is no string among the keys does not count; the other headers stay in order."""
    wire = await open_wire()
    names = [new_name() for _ in range(3)]
    await wire.say(*(queue.Declare(name, exclusive=True) for name in names))
    copies: list[Any] = [names[1], names[1], 5, names[0]]

    await wire.say(
        publish(names[0], headers={"z": 1, "BCC": [names[2]], "CC": copies, "a": UInt8(2)})
    )

    for name in names:
        message = await wire.get(name)
        assert message is not None
        assert isinstance(message.method, basic.GetOk)
        assert message.method.routing_key == names[0]
        assert message.properties is not None
        assert encode_table(message.properties.headers or {}) == encode_table(
            {"z": 1, "CC": copies, "a": UInt8(2)}
        )
        assert await wire.bodies(name) == []


@scenario
async def test_a_table_of_headers_stays_when_nothing_but_blind_copies_was_in_it(
    open_wire: OpenWire, name: str
) -> None:
    """Row 135."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), publish("-", headers={"BCC": [name]}))

    message = await wire.get(name)

    assert message is not None
    assert message.properties == Properties(headers={})


@scenario
async def test_every_type_of_exchange_routes_by_further_keys(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 135."""
    wire = await open_wire()
    for kind, pattern in (("direct", "k.1"), ("topic", "k.*")):
        source, name = new_name(), new_name()
        await wire.say(
            exchange.Declare(source, kind),
            queue.Declare(name, exclusive=True),
            queue.Bind(name, source, pattern),
            publish("-", source, headers={"CC": ["k.2", "k.1"]}),
        )
        assert await wire.bodies(name) == [b"m"]


@pytest.mark.parametrize("header", ["CC", "BCC"])
@scenario
async def test_further_keys_come_in_an_array(open_wire: OpenWire, header: str) -> None:
    """Row 136. This comes before a wrong delivery mode."""
    wire = await open_wire()

    for value, kind in (("q", "longstr"), (5, "byte"), (None, "void"), ({}, "table")):
        assert await wire.refusal(publish("q", headers={header: value}, delivery_mode=9)) == (
            406,
            REFUSED.format(f'invalid message: {{unacceptable_type_in_header,"{header}",{kind}}}'),
        )


@scenario
async def test_a_mandatory_message_is_content_with_any_of_its_keys(
    open_wire: OpenWire, name: str
) -> None:
    """Row 137. What is returned has no blind copies in it."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    for header in ("CC", "BCC"):
        assert await wire.say(publish("-", mandatory=True, headers={header: [name]})) == []
    (returned,) = await wire.say(
        publish("-", mandatory=True, headers={"BCC": ["--"], "k": "v", "CC": ["---"]})
    )

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", "", "-")
    assert returned.properties == Properties(headers={"k": "v", "CC": ["---"]})


@scenario
async def test_mistakes_are_found_in_a_certain_order(open_wire: OpenWire, name: str) -> None:
    """Rows 139 and 142: each publish makes all the mistakes that were not named yet."""
    wire = await open_wire()
    later: dict[str, Any] = {"delivery_mode": 9}

    assert (await wire.refusal(publish("q", **later)))[1] == REFUSED.format(
        "invalid message: {delivery_mode_unknown,9}"
    )
    later["headers"] = {"CC": 1}
    assert "unacceptable_type_in_header" in (await wire.refusal(publish("q", **later)))[1]
    later["expiration"] = "soon"
    assert "invalid expiration" in (await wire.refusal(publish("q", **later)))[1]
    later["user_id"] = "bob"
    assert "user_id property" in (await wire.refusal(publish("q", **later)))[1]
    later["reply_to"] = "amq.rabbitmq.reply-to"
    assert "fast reply consumer" in (await wire.refusal(publish("q", **later)))[1]
    trace = "amq.rabbitmq.trace"
    assert "cannot publish to internal" in (await wire.refusal(publish("q", trace, **later)))[1]
    assert "no exchange" in (await wire.refusal(publish("q", name, **later)))[1]
    assert await wire.refusal(publish("q", name, immediate=True, **later)) == (
        540,
        "NOT_IMPLEMENTED - immediate=true",
    )


@scenario
async def test_what_no_queue_takes_is_dropped_and_confirmed(open_wire: OpenWire, name: str) -> None:
    """Rows 140 and 141. A mandatory message comes back as it was published, and then its ack."""
    wire = await open_wire()
    await wire.say(confirm.Select())

    said = await wire.say(
        publish(name),
        publish(name, "amq.topic", b"back", mandatory=True, message_id="7", headers={"a": [1]}),
    )

    assert said == [
        basic.Ack(1),
        Command(
            1,
            basic.Return(312, "NO_ROUTE", "amq.topic", name),
            Properties(message_id="7", headers={"a": [1]}),
            b"back",
        ),
        basic.Ack(2),
    ]


@scenario
async def test_the_name_of_the_user_has_to_be_true(open_wire: OpenWire, name: str) -> None:
    """Row 143."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    assert await wire.say(publish(name, user_id="guest")) == []
    assert await wire.refusal(publish(name, user_id="bob")) == (
        406,
        REFUSED.format("user_id property set to 'bob' but authenticated user was 'guest'"),
    )


@pytest.mark.parametrize(
    ("expiration", "why"),
    [
        ("abc", "no_integer"),
        (" 5", "no_integer"),
        ("-", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", '{leftover_string,".5"}'),
        ("5\x01é", "{leftover_string,[1,195,169]}"),
        ("1099511627776", "{value_too_large,1099511627776}"),
        (20 * "9", f"{{value_too_large,\n{44 * ' '}{20 * '9'}}}"),
        (
            "1" + 24 * "é",
            f'{{leftover_string,\n{73 * " "}"{24 * "é"}"}}',
        ),
    ],
)
@scenario
async def test_an_expiration_is_a_number(
    open_wire: OpenWire, name: str, expiration: str, why: str
) -> None:
    """Row 144."""
    wire = await open_wire()

    assert await wire.refusal(publish(name, expiration=expiration)) == (
        406,
        REFUSED.format(f"invalid expiration '{expiration}': {why}"),
    )


@scenario
async def test_there_are_two_delivery_modes(open_wire: OpenWire, name: str) -> None:
    """Row 145."""
    wire = await open_wire()
    for mode in (0, 3, 9):
        assert await wire.refusal(publish(name, delivery_mode=mode)) == (
            406,
            REFUSED.format(f"invalid message: {{delivery_mode_unknown,{mode}}}"),
        )
    assert await wire.say(publish(name, delivery_mode=1), publish(name, delivery_mode=2)) == []


@scenario
async def test_properties_and_headers_arrive_as_they_were_sent(
    open_wire: OpenWire, name: str
) -> None:
    """Rows 147 and 148."""
    wire = await open_wire()
    headers: dict[str, Any] = {
        "z": True,
        "b": 1,
        "B": UInt8(1),
        "s": Int16(1),
        "u": UInt16(1),
        "I": Int32(1),
        "i": UInt32(1),
        "l": Int64(1),
        "f": Float32(0.5),
        "d": 0.5,
        "D": Decimal("1.50"),
        "S": "text",
        "x": b"octets",
        "T": datetime(2001, 2, 3, tzinfo=UTC),
        "V": None,
        "F": {"k": {"k": []}},
        "A": [1, "2", [3]],
    }
    properties = Properties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=3,
        correlation_id="4",
        reply_to="5",
        expiration="60000",
        message_id="6",
        timestamp=datetime(2001, 2, 3, tzinfo=UTC),
        type="7",
        user_id="guest",
        app_id="8",
        cluster_id="9",
    )
    await wire.say(queue.Declare(name, exclusive=True))
    await wire.say(Command(1, basic.Publish("", name), properties, b"m"))

    message = await wire.get(name)

    assert message is not None
    assert message.properties == properties
    assert encode_table(message.properties.headers or {}) == encode_table(headers)


@scenario
async def test_a_second_select_does_not_begin_to_count_again(
    open_wire: OpenWire, name: str
) -> None:
    """Row 151. Only publishes after the first select count."""
    wire = await open_wire()
    await wire.say(publish(name), confirm.Select())

    assert await wire.say(publish(name), confirm.Select(), confirm.Select(no_wait=True)) == [
        basic.Ack(1),
        confirm.SelectOk(),
    ]
    assert await wire.say(publish(name)) == [basic.Ack(2)]


@scenario
async def test_publishing_to_a_missing_exchange_ends_all_confirms(
    open_wire: OpenWire, name: str
) -> None:
    """Row 157. What comes behind it is dropped."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), confirm.Select())

    answer = await wire.refusal(publish("k", f"{name}-missing"), publish(name))

    assert answer == (404, f"NOT_FOUND - no exchange '{name}-missing' in vhost '/'")
    assert await wire.bodies(name) == []
    assert await wire.say(publish(name)) == []


@scenario
async def test_headers_of_an_unknown_type_end_the_connection_without_a_word(
    open_wire: OpenWire, name: str
) -> None:
    """Row 149. A missing exchange is noticed before them."""
    table = b"\x01kZ"
    properties = b"\x20\x00" + len(table).to_bytes(4, "big") + table
    header = (60).to_bytes(2, "big") + bytes(2) + bytes(8) + properties
    frame = b"\x02\x00\x01" + len(header).to_bytes(4, "big") + header + b"\xce"
    wire = await open_wire()

    assert await wire.refusal(begin(basic.Publish(name, "k")), frame) == (
        404,
        f"NOT_FOUND - no exchange '{name}' in vhost '/'",
    )
    assert await wire.refusal(begin(basic.Publish("", "k")), frame) == (541, "INTERNAL_ERROR")


@scenario
async def test_a_body_may_come_in_frames_of_any_size(open_wire: OpenWire, name: str) -> None:
    """Row 150."""
    body = bytes(range(256)) * 1200
    header = (60).to_bytes(2, "big") + bytes(2) + len(body).to_bytes(8, "big") + bytes(2)
    frames = [b"\x02\x00\x01" + len(header).to_bytes(4, "big") + header + b"\xce"]
    for start, end in pairwise((0, 1, 8, 100_008, 100_008, 231_072, 231_073, len(body))):
        part = body[start:end]
        frames.append(b"\x03\x00\x01" + len(part).to_bytes(4, "big") + part + b"\xce")
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    assert await wire.say(begin(basic.Publish("", name)), *frames) == []

    assert await wire.bodies(name) == [body]
