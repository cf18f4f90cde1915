"""Headers that are nested deeper than the codec decodes.

RabbitMQ: tables and arrays may be nested to any depth, and the codec decodes a hundred levels. So a
header that is nested deeper stays encoded, while the broker reads, adds and removes others.
"""

from collections.abc import Iterator
from typing import Final

from amqp_codec import DecodeError, FieldValue, Properties, decode_table, encode_table

_TABLE: Final = ord("F")
_NESTED: Final = b"AF"
_LONG: Final = b"AFSx"  # types whose values begin with their length
_SIZES: Final = {
    octet: size
    for size, octets in {0: b"V", 1: b"tbB", 2: b"su", 4: b"Iif", 5: b"D", 8: b"ldTL"}.items()
    for octet in octets
}


class _EncodedTable(dict[str, FieldValue]):
    """A table that is nested too deep; it looks empty.

    Attributes:
        encoded: its type octet and its encoding.
    """

    encoded: bytes


class _EncodedArray(list[FieldValue]):
    """An array that is nested too deep; it looks empty.

    Attributes:
        encoded: its type octet and its encoding.
    """

    encoded: bytes


class DeepProperties(Properties):
    """Properties with headers that are nested too deep.

    The codec encodes what ``encodable`` returns.
    """

    def encodable(self) -> Properties:
        """Return properties with the same values, whose headers are encoded already."""
        names = (name for name, _ in Properties.FIELDS if name != "headers")
        others = Properties(**{name: getattr(self, name) for name in names})
        entries = b"".join(_encode(name, value) for name, value in (self.headers or {}).items())
        data = others.encode()
        start = _headers_offset(data)
        flags = bytes([data[0] | 0x20, data[1]])
        headers = len(entries).to_bytes(4, "big") + entries
        data = flags + data[2:start] + headers + data[start:]
        return Properties.decode(data, 0, len(data))


def with_deep_headers(properties: Properties) -> DeepProperties:
    """Return received properties whose headers the codec cannot decode, with headers.

    Raises:
        DecodeError: the headers are damaged.
    """
    data = properties.encode()
    start = _headers_offset(data)
    headers = _decode(data, start, start + 4 + _length(data, start))
    names = (name for name, _ in Properties.FIELDS if name != "headers")
    return DeepProperties(headers=headers, **{name: getattr(properties, name) for name in names})


def _encode(name: str, value: FieldValue) -> bytes:
    """Encode an entry of a table."""
    if isinstance(value, _EncodedTable | _EncodedArray):
        without_type = encode_table({name: None})[4:-1]
        return without_type + value.encoded
    return encode_table({name: value})[4:]


def _headers_offset(data: bytes) -> int:
    """Return where the headers begin in encoded properties."""
    offset = 2
    for flag in (0x80, 0x40):
        if data[0] & flag:
            offset += 1 + data[offset]
    return offset


def _length(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def _decode(data: bytes, start: int, end: int) -> dict[str, FieldValue]:
    """Decode a table, except values that are nested too deep."""
    headers: dict[str, FieldValue] = {}
    for entry, value, behind in _values(data, start + 4, end, has_names=True):
        alone = (behind - entry).to_bytes(4, "big") + data[entry:behind]
        try:
            headers.update(decode_table(alone)[0])
        except DecodeError:
            _check_nested(data, value, behind)
            name = data[entry + 1 : value].decode("utf-8", "surrogateescape")
            encoded = _EncodedTable() if data[value] == _TABLE else _EncodedArray()
            encoded.encoded = data[value:behind]
            headers[name] = encoded
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
