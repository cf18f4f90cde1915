"""Checks and changes that a broker makes to published messages."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from amqp_codec import (
    Command,
    FieldTable,
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
from tests.conformance.client import OpenClient, publish
from tests.conformance.raw_client import close_channel
from tests.conformance.scenario import ByVersion, NewName, scenario

REFUSED = "PRECONDITION_FAILED - {}"


def publish_frame(method: basic.Publish) -> bytes:
    """Return the first frame of a publish on channel 1."""
    return encode_method(1, method.encode())


@scenario
async def test_messages_are_routed_to_cc_and_bcc_keys_and_bcc_is_removed(
    open_client: OpenClient, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 135. Keys that are not strings are ignored; RabbitMQ 4.0 sorts the other headers."""
    client = await open_client()
    names = [new_name() for _ in range(3)]
    await client.call(*(queue.Declare(name, exclusive=True) for name in names))
    copies: list[Any] = [names[1], names[1], 5, names[0]]

    await client.call(
        publish(names[0], headers={"z": 1, "BCC": [names[2]], "CC": copies, "a": UInt8(2)})
    )

    for name in names:
        message = await client.get(name)
        assert message is not None
        assert isinstance(message.method, basic.GetOk)
        assert message.method.routing_key == names[0]
        assert message.properties is not None
        kept: FieldTable = {"z": 1, "CC": copies, "a": UInt8(2)}
        kept = by_version({"3.10": kept, "4.0": dict(sorted(kept.items()))})
        assert encode_table(message.properties.headers or {}) == encode_table(kept)
        assert await client.bodies(name) == []


@scenario
async def test_an_empty_headers_table_stays_after_bcc_is_removed(
    open_client: OpenClient, name: str
) -> None:
    """Row 135."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), publish("-", headers={"BCC": [name]}))

    message = await client.get(name)

    assert message is not None
    assert message.properties == Properties(headers={})


@scenario
async def test_direct_and_topic_exchanges_route_by_cc_keys(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 135."""
    client = await open_client()
    for kind, pattern in (("direct", "k.1"), ("topic", "k.*")):
        source, name = new_name(), new_name()
        await client.call(
            exchange.Declare(source, kind),
            queue.Declare(name, exclusive=True),
            queue.Bind(name, source, pattern),
            publish("-", source, headers={"CC": ["k.2", "k.1"]}),
        )
        assert await client.bodies(name) == [b"m"]


@pytest.mark.parametrize("header", ["CC", "BCC"])
@scenario
async def test_cc_and_bcc_must_be_arrays(open_client: OpenClient, header: str) -> None:
    """Row 136. It is checked before the delivery mode."""
    client = await open_client()

    for value, kind in (("q", "longstr"), (5, "byte"), (None, "void"), ({}, "table")):
        assert await client.refusal(publish("q", headers={header: value}, delivery_mode=9)) == (
            406,
            REFUSED.format(f'invalid message: {{unacceptable_type_in_header,"{header}",{kind}}}'),
        )


@scenario
async def test_a_mandatory_message_is_routed_if_any_of_its_keys_matches(
    open_client: OpenClient, name: str
) -> None:
    """Row 137. A returned message has no BCC header."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

    for header in ("CC", "BCC"):
        assert await client.call(publish("-", mandatory=True, headers={header: [name]})) == []
    (returned,) = await client.call(
        publish("-", mandatory=True, headers={"BCC": ["--"], "k": "v", "CC": ["---"]})
    )

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", "", "-")
    assert returned.properties == Properties(headers={"k": "v", "CC": ["---"]})


@scenario
async def test_publishing_errors_are_checked_in_a_fixed_order(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Rows 139 and 142: each publish has one more error, which is reported."""
    client = await open_client()
    errors: dict[str, tuple[Any, str]] = {
        "delivery_mode": (9, "invalid message: {delivery_mode_unknown,9}"),
        "headers": ({"CC": 1}, "unacceptable_type_in_header"),
        "expiration": ("soon", "invalid expiration"),
        "user_id": ("bob", "user_id property"),
        "reply_to": ("amq.rabbitmq.reply-to", "fast reply consumer"),
    }
    order = by_version(
        {
            "3.10": ("delivery_mode", "headers", "expiration", "user_id", "reply_to"),
            "4.0": ("user_id", "headers", "expiration", "reply_to"),
        }
    )
    wrong: dict[str, Any] = {}
    for key in order:
        wrong[key], text = errors[key]
        assert text in (await client.refusal(publish("q", **wrong)))[1]
    trace = publish("q", "amq.rabbitmq.trace", **wrong)
    assert "cannot publish to internal" in (await client.refusal(trace))[1]
    assert "no exchange" in (await client.refusal(publish("q", name, **wrong)))[1]
    assert await client.refusal(publish("q", name, immediate=True, **wrong)) == (
        540,
        "NOT_IMPLEMENTED - immediate=true",
    )


@scenario
async def test_unroutable_messages_are_confirmed_and_mandatory_ones_returned_first(
    open_client: OpenClient, name: str
) -> None:
    """Rows 140 and 141. A mandatory message is returned unchanged, then its ack is sent."""
    client = await open_client()
    await client.call(confirm.Select())

    received = await client.call(
        publish(name),
        publish(name, "amq.topic", b"back", mandatory=True, message_id="7", headers={"a": [1]}),
    )

    assert received == [
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
async def test_user_id_must_be_the_authenticated_user(open_client: OpenClient, name: str) -> None:
    """Row 143."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

    assert await client.call(publish(name, user_id="guest")) == []
    assert await client.refusal(publish(name, user_id="bob")) == (
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
async def test_an_expiration_must_be_a_number(
    open_client: OpenClient, name: str, expiration: str, why: str, by_version: ByVersion
) -> None:
    """Row 144. RabbitMQ 4.0 fails to shorten its text if that is not ASCII."""
    client = await open_client()

    refusal = (406, REFUSED.format(f"invalid expiration '{expiration}': {why}"))
    if len(refusal[1]) > 150 and not expiration.isascii():
        refusal = by_version({"3.10": refusal, "4.0": (541, "INTERNAL_ERROR")})
    assert await client.refusal(publish(name, expiration=expiration)) == refusal


@scenario
async def test_delivery_mode_must_be_1_or_2(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 145. RabbitMQ 4.0 accepts all."""
    client = await open_client()
    for mode in (0, 3, 9):
        text = REFUSED.format(f"invalid message: {{delivery_mode_unknown,{mode}}}")
        assert await client.call(publish(name, delivery_mode=mode)) == by_version(
            {"3.10": [close_channel(406, text, basic.Publish)], "4.0": []}
        )
    assert await client.call(publish(name, delivery_mode=1), publish(name, delivery_mode=2)) == []


@scenario
async def test_properties_and_headers_arrive_as_they_were_sent(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Rows 147 and 148."""
    client = await open_client()
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
        "x": b"bytes",
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
    await client.call(queue.Declare(name, exclusive=True))
    await client.call(Command(1, basic.Publish("", name), properties, b"m"))

    message = await client.get(name)

    assert message is not None
    assert message.properties == properties
    # RabbitMQ: 4.0 sorts headers.
    headers = by_version({"3.10": headers, "4.0": dict(sorted(headers.items()))})
    assert encode_table(message.properties.headers or {}) == encode_table(headers)


@scenario
async def test_a_second_confirm_select_does_not_reset_delivery_tags(
    open_client: OpenClient, name: str
) -> None:
    """Row 151. Only publishes after the first select are counted."""
    client = await open_client()
    await client.call(publish(name), confirm.Select())

    assert await client.call(publish(name), confirm.Select(), confirm.Select(no_wait=True)) == [
        basic.Ack(1),
        confirm.SelectOk(),
    ]
    assert await client.call(publish(name)) == [basic.Ack(2)]


@scenario
async def test_publishing_to_a_missing_exchange_ends_confirm_mode_with_the_channel(
    open_client: OpenClient, name: str
) -> None:
    """Row 157. Later methods in the same write are ignored."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), confirm.Select())

    reply = await client.refusal(publish("k", f"{name}-missing"), publish(name))

    assert reply == (404, f"NOT_FOUND - no exchange '{name}-missing' in vhost '/'")
    assert await client.bodies(name) == []
    assert await client.call(publish(name)) == []


@scenario
async def test_a_header_of_an_unknown_type_is_an_internal_error(
    open_client: OpenClient, name: str
) -> None:
    """Row 149. A missing exchange is reported first."""
    table = b"\x01kZ"
    properties = b"\x20\x00" + len(table).to_bytes(4, "big") + table
    header = (60).to_bytes(2, "big") + bytes(2) + bytes(8) + properties
    frame = b"\x02\x00\x01" + len(header).to_bytes(4, "big") + header + b"\xce"
    client = await open_client()

    assert await client.refusal(publish_frame(basic.Publish(name, "k")), frame) == (
        404,
        f"NOT_FOUND - no exchange '{name}' in vhost '/'",
    )
    assert await client.refusal(publish_frame(basic.Publish("", "k")), frame) == (
        541,
        "INTERNAL_ERROR",
    )


@scenario
async def test_a_body_may_be_split_into_frames_of_any_size(
    open_client: OpenClient, name: str
) -> None:
    """Row 150."""
    body = bytes(range(256)) * 1200
    header = (60).to_bytes(2, "big") + bytes(2) + len(body).to_bytes(8, "big") + bytes(2)
    frames = [b"\x02\x00\x01" + len(header).to_bytes(4, "big") + header + b"\xce"]
    for start, end in pairwise((0, 1, 8, 100_008, 100_008, 231_072, 231_073, len(body))):
        part = body[start:end]
        frames.append(b"\x03\x00\x01" + len(part).to_bytes(4, "big") + part + b"\xce")
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

    assert await client.call(publish_frame(basic.Publish("", name)), *frames) == []

    assert await client.bodies(name) == [body]
