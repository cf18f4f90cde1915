"""Encoding of many contents with the same method, and of properties by name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from amqp_codec import (
    ContentEncoder,
    EncodeError,
    Properties,
    basic,
    decode_table,
    encode_content,
    encode_properties,
    encode_table,
)

PUBLISH = basic.Publish("x", "k").encode()
PROPERTIES = Properties("text/plain", headers={"a": 1}, delivery_mode=2)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", bytes(4088), bytes(4089), bytearray(b"abc"), memoryview(b"abcd").cast("H")],
)
@pytest.mark.parametrize("frame_max", [4096, 0])
def test_contents_are_those_of_encode_content(body: Any, frame_max: int) -> None:
    encoder = ContentEncoder(7, PUBLISH, frame_max)

    for properties in (PROPERTIES, Properties()):
        expected = encode_content(7, PUBLISH, properties, body, frame_max)
        assert encoder.encode(properties.encode(), body) == expected


def test_a_content_in_pieces_is_that_of_encode() -> None:
    properties, body = Properties(priority=3).encode(), b"a" * 300_000
    encoder = ContentEncoder(1, PUBLISH, 131072)

    pieces = encoder.encode_in_pieces(properties, body)

    assert len(pieces) == 3
    assert b"".join(pieces) == encoder.encode(properties, body)


def test_what_does_not_fit_or_is_no_body_is_refused() -> None:
    encoder = ContentEncoder(1, PUBLISH, 4096)
    text: Any = "text"

    with pytest.raises(EncodeError, match="the properties take 5"):
        encoder.encode(Properties(headers={"a": "x" * 5000}).encode(), b"body")
    with pytest.raises(EncodeError, match="body: must be bytes"):
        encoder.encode(b"\0\0", text)


@pytest.mark.parametrize(
    ("channel", "method", "says"),
    [
        (70000, PUBLISH, "channel: must be an int from 0 to 65535"),
        (1, basic.Publish("x", "k" * 200).encode(), "the method with its arguments take"),
    ],
)
def test_a_method_that_cannot_be_sent_is_refused_at_once(
    channel: int, method: bytes, says: str
) -> None:
    with pytest.raises(EncodeError, match=says):
        ContentEncoder(channel, method, 100)


RECEIVED = decode_table(encode_table({"a": 1, "b": [1, 2]}))[0]

USUAL: list[dict[str, Any]] = [
    {},
    {"content_type": "text/plain"},
    {"message_id": "7", "headers": {"a": 1}, "content_type": "ä", "priority": 0},
    {"content_type": None, "delivery_mode": 2, "app_id": None},
    {"headers": RECEIVED, "cluster_id": "c", "type": "t", "user_id": "u"},
    {"timestamp": datetime(2026, 1, 1, tzinfo=UTC), "expiration": "60000", "reply_to": "q"},
    {"correlation_id": "x" * 255, "content_encoding": "gzip"},
]


@pytest.mark.parametrize("values", USUAL)
def test_properties_by_name_are_encoded_as_the_object_is(values: dict[str, Any]) -> None:
    assert encode_properties(values) == Properties(**values).encode()


UNUSUAL: list[dict[Any, Any]] = [
    {"content-type": "text/plain"},
    {7: "text"},
    {"content_type": b"text/plain"},
    {"content_type": type("Text", (str,), {})("text/plain")},
    {"content_type": "\udc80"},
    {"content_type": "x" * 256},
    {"headers": [("a", 1)]},
    {"headers": {"a": object()}},
    {"delivery_mode": True},
    {"delivery_mode": "2"},
    {"priority": 256},
    {"priority": -1},
    {"timestamp": 7},
    {"timestamp": datetime(2026, 1, 1)},
    {"timestamp": "now"},
]


@pytest.mark.parametrize("values", UNUSUAL)
def test_unusual_properties_are_left_to_the_object(values: dict[Any, Any]) -> None:
    assert encode_properties(values) is None
