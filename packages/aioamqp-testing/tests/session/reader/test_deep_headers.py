"""Headers that are nested deeper than the codec decodes."""

import pytest

from aioamqp_testing.model.messages.headers import edited, with_header
from aioamqp_testing.session.reader.deep_headers import DeepProperties, with_deep_headers
from amqp_codec import DecodeError, LongStr, Properties, encode_table, field_type

DEPTH = 2000


def nested(octet: bytes) -> bytes:
    """Return a table or an array in many others of its kind, without its type octet."""
    name = b"\x01k" if octet == b"F" else b""
    value = b"\0\0\0\0"
    for _ in range(DEPTH):
        value = (len(name) + 1 + len(value)).to_bytes(4, "big") + name + octet + value
    return value


def received(
    *entries: bytes, before: bytes = b"", behind: bytes = b"", flags: int = 0
) -> Properties:
    """Return properties with encoded headers, and with what is encoded before and behind them."""
    table = b"".join(entries)
    data = (0x2000 | flags).to_bytes(2, "big") + before + len(table).to_bytes(4, "big") + table
    return Properties.decode(data + behind, 0, len(data + behind))


DEEP_TABLE = b"\x05table" + b"F" + nested(b"F")
DEEP_ARRAY = b"\x05array" + b"A" + nested(b"A")
TEXT = b"\x04text" + b"S\0\0\0\1\xff"


def test_other_headers_are_decoded() -> None:
    """Row F8."""
    headers = with_deep_headers(received(DEEP_TABLE, TEXT, DEEP_ARRAY)).headers

    assert headers is not None
    assert list(headers) == ["table", "text", "array"]
    assert headers["text"] == LongStr(b"\xff")
    assert [field_type(value) for value in headers.values()] == ["F", "S", "A"]


def test_properties_around_deep_headers_can_be_edited() -> None:
    """Row F8."""
    properties = received(DEEP_TABLE, flags=0xC001, before=b"\x01t\x01e", behind=b"")
    properties.app_id = "app"

    changed = edited(with_deep_headers(properties), priority=3)

    expected = received(DEEP_TABLE, flags=0xC808, before=b"\x01t\x01e", behind=b"\x03\x03app")
    assert isinstance(changed, DeepProperties)
    assert changed.encodable().encode() == expected.encode()


def test_a_header_can_be_added_to_deep_ones() -> None:
    """Row F8."""
    changed = with_header(with_deep_headers(received(DEEP_TABLE, DEEP_ARRAY)), "new", True)

    added = encode_table({"new": True})[4:]
    assert isinstance(changed, DeepProperties)
    assert changed.encodable().encode() == received(DEEP_ARRAY, added, DEEP_TABLE).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x01",
        b"\x01x",
        b"\x01x?",
        b"\x01xI\0",
        b"\x01xS\0\0\0\1",
        b"\x01xF\0\0\0\2\1",
        b"\x01xA\0",
    ],
)
def test_damaged_headers_are_refused_beside_deep_ones(damaged: bytes) -> None:
    """Row F8."""
    with pytest.raises(DecodeError):
        with_deep_headers(received(DEEP_TABLE, damaged))


@pytest.mark.parametrize("octet", [b"F", b"A"])
def test_damage_in_the_depth_is_found(octet: bytes) -> None:
    """Row F8."""
    value = nested(octet)
    sound = received(b"\x01k" + octet + value)
    damaged = received(b"\x01k" + octet + value[:-1] + b"\1")

    assert with_deep_headers(sound).encodable().encode() == sound.encode()
    with pytest.raises(DecodeError):
        with_deep_headers(damaged)
