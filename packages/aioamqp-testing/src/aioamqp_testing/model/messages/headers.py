"""Headers that the broker reads or edits; all others are passed on byte for byte.

RabbitMQ: tables and arrays may be nested to any depth, and the codec decodes a hundred levels. So a
header that is nested deeper stays encoded.
"""

from collections.abc import Iterator
from typing import Any, Final

from amqp_codec import (
    DecodeError,
    FieldTable,
    FieldValue,
    LongStr,
    Properties,
    decode_table,
    encode_table,
    field_type,
)

_TABLE: Final = ord("F")
_NESTED: Final = b"AF"
_LONG: Final = b"AFSx"  # types whose values begin with their length
_SIZES: Final = {
    octet: size
    for size, octets in {0: b"V", 1: b"tbB", 2: b"su", 4: b"Iif", 5: b"D", 8: b"ldTL"}.items()
    for octet in octets
}


class Undecoded(bytes):
    """A value that is nested deeper than the codec decodes: its type octet and its encoding."""

    __slots__ = ()


def headers_of(properties: Properties) -> FieldTable | None:
    """Return the headers, or None if there are none; some may be ``Undecoded``.

    Raises:
        DecodeError: the headers are damaged.
    """
    try:
        return properties.headers
    except DecodeError:
        data = properties.encode()
        start = _headers_offset(data)
        return _top_level(data, start, start + 4 + _length(data, start))


def octet_of(value: FieldValue) -> str:
    """Return the type octet of the value of a header."""
    return chr(value[0]) if isinstance(value, Undecoded) else field_type(value)


def edited(properties: Properties, **changes: Any) -> Properties:
    """Return a copy of properties with changes, or the properties themselves without any."""
    if not changes:
        return properties
    names = (name for name, _ in Properties.FIELDS if name != "headers")
    current = {name: getattr(properties, name) for name in names}
    if "headers" not in changes:
        changes["headers"] = headers_of(properties)
    headers: FieldTable | None = changes["headers"]
    if headers and any(isinstance(value, Undecoded) for value in headers.values()):
        changes["headers"] = None
        return _with_undecoded(Properties(**(current | changes)), headers)
    return Properties(**(current | changes))


def _with_undecoded(properties: Properties, headers: FieldTable) -> Properties:
    entries = b"".join(
        # the name of an entry, without the type octet of its value, and the value
        encode_table({name: None})[4:-1] + value
        if isinstance(value, Undecoded)
        else encode_table({name: value})[4:]
        for name, value in headers.items()
    )
    data = properties.encode()
    start = _headers_offset(data)
    table = len(entries).to_bytes(4, "big") + entries
    data = bytes([data[0] | 0x20]) + data[1:start] + table + data[start:]
    return Properties.decode(data, 0, len(data))


def _headers_offset(data: bytes) -> int:
    """Return where the headers begin in encoded properties. Spec: 4.2.6.1."""
    offset = 2
    for flag in (0x80, 0x40):
        if data[0] & flag:
            offset += 1 + data[offset]
    return offset


def _length(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def _top_level(data: bytes, start: int, end: int) -> FieldTable:
    """Decode a table whose values may be nested too deep."""
    headers: dict[str, FieldValue] = {}
    for entry, value, behind in _values(data, start + 4, end, has_names=True):
        alone = (behind - entry).to_bytes(4, "big") + data[entry:behind]
        try:
            headers.update(decode_table(alone)[0])
        except DecodeError:
            _check_nested(data, value, behind)
            name = data[entry + 1 : value].decode("utf-8", "surrogateescape")
            headers[name] = Undecoded(data[value:behind])
    return headers


def _check_nested(data: bytes, start: int, end: int) -> None:
    """Refuse a damaged table or array; it may be nested deeper than functions can be."""
    nested = [(start, end)]
    while nested:
        start, end = nested.pop()
        values = _values(data, start + 5, end, has_names=data[start] == _TABLE)
        nested += [(value, behind) for _, value, behind in values if data[value] in _NESTED]


def _values(
    data: bytes, offset: int, end: int, *, has_names: bool
) -> Iterator[tuple[int, int, int]]:
    """Yield where each entry of a table or array begins, where its value begins, and its end.

    Raises:
        DecodeError: an entry is cut short, or of an unknown type.
    """
    while offset < end:
        entry = offset
        if has_names:
            offset += 1 + data[offset]
        if offset >= end:
            raise DecodeError("an entry of a table has no value")
        octet, value = data[offset], offset
        if octet in _LONG:
            offset += 5 + _length(data, offset + 1)
        elif octet in _SIZES:
            offset += 1 + _SIZES[octet]
        else:
            raise DecodeError(f"a field value has the unknown type octet {octet:#04x}")
        if offset > end:
            raise DecodeError("a field value is longer than the table or array that contains it")
        yield entry, value, offset


def with_headers(properties: Properties, headers: FieldTable) -> Properties:
    """Return properties with other headers. RabbitMQ: if it adds some, it sorts all by key."""
    return edited(properties, headers=sorted_table(headers))


def with_header(properties: Properties, name: str, value: FieldValue) -> Properties:
    """Return properties with one more header."""
    return with_headers(properties, {**(headers_of(properties) or {}), name: value})


def sorted_table(table: FieldTable) -> dict[str, FieldValue]:
    """Return a table sorted by the bytes of its keys."""
    keys = sorted(table, key=lambda key: key.encode("utf-8", "surrogateescape"))
    return {key: table[key] for key in keys}


def further_keys(headers: FieldTable) -> list[str]:
    """Return the routing keys in the headers CC and BCC. RabbitMQ: it ignores other types."""
    keys: list[str] = []
    for name in ("CC", "BCC"):
        value = headers.get(name)
        if isinstance(value, list | tuple):
            keys += [_text(key) for key in value if isinstance(key, str | LongStr)]
    return keys


def _text(key: str | LongStr) -> str:
    return key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")
