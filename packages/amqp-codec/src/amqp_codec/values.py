"""Field tables, field arrays and the types of their values, as RabbitMQ encodes them.

An encoded value is a type octet and its data. Where the specification (4.2.1) and RabbitMQ differ
about a type octet, this is RabbitMQ's meaning, because brokers and clients follow RabbitMQ:

    ====== ============================== ==========================================
    octet  meaning                        Python
    ====== ============================== ==========================================
    t      boolean                        bool
    b  B   8 bits, signed and unsigned    Int8, UInt8    (an int of b's range)
    s  u   16 bits, signed and unsigned   Int16, UInt16  (an int)
    I  i   32 bits, signed and unsigned   Int32, UInt32  (an int)
    l  L   64 bits, signed                Int64          (an int; decoded only, L is the same)
    f  d   IEEE 754, 32 and 64 bits       Float32, float
    D      decimal                        decimal.Decimal
    S      long string                    str; LongStr where it is not UTF-8
    x      bytes                          bytes (bytearray, memoryview)
    T      seconds since 1970             an aware datetime; Timestamp past the year 9999
    V      void                           None
    F      table                          dict (any Mapping)
    A      array                          list (tuple)
    ====== ============================== ==========================================

A plain int is encoded with the narrowest type that holds it, in the order b s u I i l; a float is
encoded as d. The other widths are small subclasses of int, float and bytes. They let a caller
choose, and decoding returns them for a value that would be encoded with another type otherwise. So
every value keeps its type octet in a program that passes it on, and ``Int64(1) == 1`` still holds.
json, pickle and other programs that accept subclasses handle them as the builtin type; for those
that look at the exact class there is ``to_builtins``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from operator import index
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias, TypeVar

from .compiling import Unchecked, mypyc_attr
from .errors import REFUSED, DecodeError, EncodeError, encode_error, shown, type_name

Scalar: TypeAlias = (
    bool | int | float | Decimal | str | bytes | bytearray | memoryview | datetime | None
)
"""The types of the values of a field table, except tables and arrays."""

FieldValue: TypeAlias = (
    "Scalar | list[FieldValue] | tuple[FieldValue, ...] | Mapping[str, FieldValue]"
)
"""The types of the values of a field table."""

FieldTable: TypeAlias = Mapping[str, FieldValue]
"""The type of a field table that a caller passes."""

MAX_DEPTH: Final = 100
"""The default limit for the nesting of tables and arrays.

Headers are never nested so deep on purpose, and Python's own recursion limit is far away."""

DEPTH_LIMIT: Final = 200
"""The largest limit that a caller can choose.

A level takes two or three calls. Python allows 1,000 calls by default, and the stack of a thread
has room for as many calls of compiled code, which no limit of Python's protects."""

MAX_TABLE_SIZE: Final = 4 * 1024 * 1024
"""The size of the largest table or array that is encoded, in bytes.

RabbitMQ accepts frames of 128 KiB, and a table is always in one frame. Without a limit, a list that
contains one other list several times, and so on in turn, would fill the memory."""

_LONG: Final = Struct(">I").pack

_Class = TypeVar("_Class", bound=type)
_EXPLICIT: Final[dict[type, "tuple[bytes, Callable[..., bytes], Any]"]] = {}
"""The type octet, the encoding function and the builtin class of each of the classes below."""


def _travels_as(octet: bytes, pack: Callable[..., bytes]) -> Callable[[_Class], _Class]:
    """Register the type octet and the encoding function of a class.

    The decorator also keeps mypyc from compiling the class, which it cannot do for a subclass of
    int, float or bytes. ``str`` and formatting remain those of the builtin type.
    """

    def register(cls: _Class) -> _Class:
        builtin: Any = cls.__base__
        named: Any = cls
        named.__str__ = builtin.__repr__
        named.__repr__ = lambda self: f"{cls.__name__}({builtin.__repr__(self)})"
        _EXPLICIT[cls] = (octet, pack, builtin)
        return cls

    return register


def _pack_octets(octet: bytes, value: bytes) -> bytes:
    return octet + _LONG(len(value)) + value


@_travels_as(b"b", Struct(">cb").pack)
class Int8(int):
    """A signed integer of 8 bits, type octet b."""


@_travels_as(b"B", Struct(">cB").pack)
class UInt8(int):
    """An unsigned integer of 8 bits, type octet B."""


@_travels_as(b"s", Struct(">ch").pack)
class Int16(int):
    """A signed integer of 16 bits, type octet s."""


@_travels_as(b"u", Struct(">cH").pack)
class UInt16(int):
    """An unsigned integer of 16 bits, type octet u."""


@_travels_as(b"I", Struct(">ci").pack)
class Int32(int):
    """A signed integer of 32 bits, type octet I."""


@_travels_as(b"i", Struct(">cI").pack)
class UInt32(int):
    """An unsigned integer of 32 bits, type octet i."""


@_travels_as(b"l", Struct(">cq").pack)
class Int64(int):
    """A signed integer of 64 bits, type octet l."""


@_travels_as(b"f", Struct(">cf").pack)
class Float32(float):
    """A floating point number of 32 bits, type octet f."""


@_travels_as(b"S", _pack_octets)
class LongStr(bytes):
    """A long string, type octet S, whose bytes need not be UTF-8."""


@_travels_as(b"T", Struct(">cQ").pack)
class Timestamp(int):
    """Seconds since 1970 as an integer of 64 bits, type octet T.

    For times that ``datetime`` cannot hold, such as milliseconds that were sent as seconds.
    """


@mypyc_attr(native_class=False)
class Table(dict[str, "FieldValue"]):
    """A decoded field table, which keeps the bytes that it was decoded from.

    While its content is unchanged it is encoded to these same bytes, even if they contain repeated
    keys, unusual booleans or unusual NaNs. One that a program makes is like any dict.
    """

    __slots__ = ("_octets",)
    _octets: bytes

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (), getattr(self, "_octets", None), None, iter(self.items())

    def __setstate__(self, octets: bytes) -> None:
        self._octets = octets


# --------------------------------------------------------------------------------- encoding

OCTETS: Final = tuple(bytes((n,)) for n in range(256))
"""Each octet as bytes; a number that is not an octet raises IndexError."""

UTF8: Final[Callable[[str], bytes]] = str.encode
"""Encodes a str, whatever its class overrides; what is no UTF-8 raises UnicodeEncodeError."""

_INT8: Final = Struct(">cb").pack
_INT16: Final = Struct(">ch").pack
_UINT16: Final = Struct(">cH").pack
_INT32: Final = Struct(">ci").pack
_UINT32: Final = Struct(">cI").pack
_INT64: Final = Struct(">cq").pack
_TIMESTAMP: Final = Struct(">cQ").pack
_DOUBLE: Final = Struct(">cd").pack
_DECIMAL: Final = Struct(">cBi").pack

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_LAST_DATETIME: Final = 253402300799  # 9999-12-31T23:59:59Z
_LARGEST_TIMESTAMP: Final = (1 << 64) - 1
_DECIMAL_DIGITS: Final = 10  # as many as 32 bits hold


def encode_table(table: FieldTable | Unchecked, max_depth: int | Unchecked = MAX_DEPTH) -> bytes:
    """Encode a field table, including the four bytes of its length. Spec: 4.2.5.5.

    Keys keep their order. An unchanged table from ``decode_table`` is encoded to the bytes that it
    was decoded from.

    Args:
        table: the table, with keys of at most 255 bytes of UTF-8.
        max_depth: the limit for the nesting of tables and arrays, at most DEPTH_LIMIT.

    Raises:
        EncodeError: a key or value cannot be encoded, or the table is larger than MAX_TABLE_SIZE;
            the message begins with the path.
    """
    if type(max_depth) is not int or max_depth > DEPTH_LIMIT:
        raise EncodeError(_bad_depth(max_depth))
    try:
        encoded = _encode_table(table, max_depth)
        if type(table) is Table:
            octets: bytes = getattr(table, "_octets", encoded)
            if octets != encoded:
                # It was changed, or it has more than one encoding.
                untouched, _ = decode_table(octets, 0, max_depth)
                if _encode_table(untouched, max_depth) == encoded:
                    return octets
    except REFUSED as error:
        raise encode_error(error) from None
    return encoded


def _bad_depth(max_depth: object) -> str:
    return f"max_depth must be an int of at most {DEPTH_LIMIT}, not {shown(max_depth)}"


def _encode_table(table: FieldTable | Unchecked, depth: int) -> bytes:
    if depth <= 0:
        raise EncodeError("is nested too deep, or contains itself")
    entries: dict[Any, Any]
    entries = table if type(table) is dict or type(table) is Table else _as_dict(table)
    parts: list[bytes] = []
    for key, value in entries.items():
        try:
            try:
                name = UTF8(key)
            except UnicodeEncodeError:
                name = escaped(key)
            parts += (OCTETS[len(name)], name, _encode_value(value, depth))
        except REFUSED as error:
            raise _entry_error(key, error) from None
    content = b"".join(parts)
    if len(content) > MAX_TABLE_SIZE:
        raise _too_large(len(content))
    return _LONG(len(content)) + content


def _as_dict(table: object) -> dict[Any, Any]:
    """Copy a mapping that is no plain dict; its methods may do anything."""
    if not isinstance(table, Mapping):
        raise EncodeError(f"must be a dict, not {type_name(table)}")
    entries: dict[Any, Any] = {}
    for key in _counted(table, len(table)):
        entries[key] = table[key]
    return entries


def _counted(items: Iterable[Any], size: int) -> Iterator[Any]:
    """Iterate over a container that has a size, and do not trust it to end there."""
    if size > MAX_TABLE_SIZE:
        raise _too_large(size)
    for count, item in enumerate(items):
        if count >= size:
            raise EncodeError("changes while it is encoded, or has a wrong length")
        yield item


def _too_large(size: int) -> EncodeError:
    return EncodeError(f"takes at least {size} bytes, but at most {MAX_TABLE_SIZE} are encoded")


def _entry_error(key: object, error: Exception) -> EncodeError:
    """Return the error for an entry that could not be encoded: for its key, or for its value."""
    if not isinstance(key, str):
        return EncodeError(f"has the key {shown(key)}, but keys must be str")
    try:
        OCTETS[len(escaped(key))]
    except REFUSED:
        return EncodeError(f"has the key {shown(key)}, but keys must be at most 255 bytes of UTF-8")
    return encode_error(error).under(str.__str__(key))


def _encode_array(values: "list[FieldValue] | tuple[FieldValue, ...]", depth: int) -> bytes:
    if depth <= 0:
        raise EncodeError("is nested too deep, or contains itself")
    items: tuple[Any, ...]  # a copy, as encoding an item may change the list
    if type(values) is list or type(values) is tuple:
        items = tuple(values)
    else:
        items = tuple(_counted(values, len(values)))
    parts: list[bytes] = []
    for position, value in enumerate(items):
        try:
            parts.append(_encode_value(value, depth))
        except REFUSED as error:
            raise encode_error(error).under(f"[{position}]") from None
    content = b"".join(parts)
    if len(content) > MAX_TABLE_SIZE:
        raise _too_large(len(content))
    return _LONG(len(content)) + content


def _encode_value(value: FieldValue | Unchecked, depth: int) -> bytes:
    if type(value) is str:
        try:
            octets = value.encode()
        except UnicodeEncodeError:
            octets = escaped(value)
        return b"S" + _LONG(len(octets)) + octets
    if type(value) is int:
        return _encode_narrowest(value)
    if type(value) is bool:
        return b"t\x01" if value else b"t\x00"
    if type(value) in _EXPLICIT:
        octet, pack, _ = _EXPLICIT[type(value)]
        try:
            return pack(octet, value)
        except (StructError, OverflowError):
            kind = type_name(value)
            raise EncodeError(f"{shown(value)} is out of the range of {kind}") from None
    if value is None:
        return b"V"
    if type(value) is dict or type(value) is Table:
        return b"F" + _encode_table(value, depth - 1)
    if type(value) is list:
        return b"A" + _encode_array(value, depth - 1)
    return _encode_other(value, depth)


def _encode_other(value: object, depth: int) -> bytes:
    """Encode a value of a rarer type or of a subclass, without calling what it overrides."""
    if isinstance(value, float):
        return _DOUBLE(b"d", value)
    if isinstance(value, datetime):
        return _TIMESTAMP(b"T", encode_timestamp(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        octets = as_bytes(value)
        return b"x" + _LONG(len(octets)) + octets
    if isinstance(value, str):
        return _encode_value(str.__str__(value), depth)
    if isinstance(value, int):
        return _encode_narrowest(index(value))
    if isinstance(value, Decimal):
        return _encode_decimal(value)
    if isinstance(value, Mapping):
        return b"F" + _encode_table(value, depth - 1)
    if isinstance(value, (list, tuple)):
        return b"A" + _encode_array(value, depth - 1)
    raise EncodeError(f"is of type {type_name(value)}, which no field type of AMQP can hold")


def field_type(value: FieldValue | Unchecked) -> str:
    """Return the type octet with which a value is encoded, such as ``"S"`` for a str.

    Raises:
        EncodeError: the value cannot be encoded.
    """
    try:
        return chr(_encode_value(value, MAX_DEPTH)[0])
    except REFUSED as error:
        raise encode_error(error) from None


def escaped(text: str) -> bytes:
    """Encode a str as UTF-8, with its surrogate escapes as the bytes that they stand for.

    Raises:
        EncodeError: it contains other surrogates.
    """
    try:
        return str.encode(text, "utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise EncodeError(f"cannot be encoded as UTF-8: {shown(text)}") from None


def as_bytes(value: object) -> bytes:
    """Return the content of bytes, a bytearray or a memoryview of any layout.

    Raises:
        EncodeError: it is something else.
    """
    if type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return memoryview(value).tobytes()
    raise EncodeError(f"must be bytes, bytearray or memoryview, not {type_name(value)}")


def as_long_string(value: Any) -> Any:
    """Return a str as bytes of UTF-8 if it can be encoded, anything else as it is."""
    try:
        if isinstance(value, str):
            return escaped(value)
    except REFUSED:
        pass  # encode() refuses it
    return value


def encode_long_string(value: object) -> bytes:
    """Encode a long string, including the four bytes of its length. Spec: 4.2.5.3.

    Raises:
        EncodeError: it is not bytes.
    """
    octets = as_bytes(value)
    return _LONG(len(octets)) + octets


def _encode_narrowest(value: int) -> bytes:
    if -0x80 <= value <= 0x7F:
        return _INT8(b"b", value)
    if -0x8000 <= value <= 0x7FFF:
        return _INT16(b"s", value)
    if 0 <= value <= 0xFFFF:
        return _UINT16(b"u", value)
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return _INT32(b"I", value)
    if 0 <= value <= 0xFFFFFFFF:
        return _UINT32(b"i", value)
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return _INT64(b"l", value)
    raise EncodeError(f"{shown(value)} does not fit into 64 bits with a sign")


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = Decimal.as_tuple(value)
    if not isinstance(exponent, int):
        raise EncodeError(f"{shown(value)} has no digits to send")
    zeros = max(exponent, 0) if any(digits) else 0
    if len(digits) + zeros <= _DECIMAL_DIGITS:
        unscaled = int("".join(map(str, digits)) + "0" * zeros)
        try:
            return _DECIMAL(b"D", max(-exponent, 0), -unscaled if sign else unscaled)
        except StructError:
            pass
    raise EncodeError(
        f"{shown(value)} does not fit: a decimal has 32 bits for its digits and at most 255 places"
    )


def encode_timestamp(value: object) -> int:
    """Return an aware datetime, or an integer, as whole seconds since 1970.

    Raises:
        EncodeError: the value is a naive datetime, before 1970, or of another type.
    """
    if isinstance(value, datetime):
        if datetime.utcoffset(value) is None:
            raise EncodeError(
                "is a datetime without a time zone; add one, for example with datetime.now(UTC) or"
                " value.replace(tzinfo=UTC)"
            )
        seconds = datetime.__sub__(value, _EPOCH) // _SECOND
    elif isinstance(value, int):
        seconds = index(value)
    else:
        raise EncodeError(f"must be an aware datetime, not {type_name(value)}")
    if not 0 <= seconds <= _LARGEST_TIMESTAMP:
        raise EncodeError(
            f"is {shown(seconds)} seconds from 1970, but must be 0 to {_LARGEST_TIMESTAMP}"
        )
    return seconds


# --------------------------------------------------------------------------------- decoding

_READ_LONG: Final = Struct(">I").unpack_from
_READ_INT8: Final = Struct(">b").unpack_from
_READ_INT16: Final = Struct(">h").unpack_from
_READ_UINT16: Final = Struct(">H").unpack_from
_READ_INT32: Final = Struct(">i").unpack_from
_READ_INT64: Final = Struct(">q").unpack_from
_READ_UINT64: Final = Struct(">Q").unpack_from
_READ_FLOAT: Final = Struct(">f").unpack_from
_READ_DOUBLE: Final = Struct(">d").unpack_from
_READ_DECIMAL: Final = Struct(">Bi").unpack_from
_EXACT: Final = Context(prec=_DECIMAL_DIGITS)  # whatever the caller's context is


def decode_table(
    data: bytes, offset: int = 0, max_depth: int | Unchecked = MAX_DEPTH
) -> "tuple[dict[str, FieldValue], int]":
    """Decode the field table, with its length, at an offset. Spec: 4.2.5.5.

    If a key is repeated, its last value is returned.

    Args:
        data: bytes that contain the table.
        offset: where its length begins.
        max_depth: the limit for the nesting of tables and arrays, at most DEPTH_LIMIT.

    Returns:
        The table and the offset after it.

    Raises:
        DecodeError: a type octet is unknown, a length is too large, or the nesting is too deep.
        ValueError: ``max_depth`` is no int or too large.
    """
    if type(max_depth) is not int or max_depth > DEPTH_LIMIT:
        raise ValueError(_bad_depth(max_depth))
    try:
        return read_table(data, offset, len(data), max_depth)
    except (ValueError, StructError):
        raise DecodeError("a field table is cut short") from None


def text_of(octets: bytes) -> str:
    """Decode UTF-8; bytes that are none become surrogate escapes, which ``escaped`` encodes."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("utf-8", "surrogateescape")


def read_table(
    data: bytes, offset: int, limit: int, max_depth: int = MAX_DEPTH
) -> "tuple[dict[str, FieldValue], int]":
    """Decode a field table as ``decode_table`` does, but no further than an offset.

    Raises:
        ValueError, struct.error: the table extends beyond ``limit``.
        DecodeError: the content of the table is invalid.
    """
    end: int = offset + 4 + _READ_LONG(data, offset)[0]
    if end > limit:
        raise ValueError
    table = Table()
    try:
        _decode_table(table, data, offset, end, max_depth)
    except (IndexError, StructError):
        raise DecodeError("a value in a field table is cut short") from None
    except RecursionError:
        raise DecodeError("tables and arrays are nested too deep for the stack") from None
    table._octets = data[offset:end]
    return table, end


def _decode_table(
    table: "dict[str, FieldValue]", data: bytes, offset: int, limit: int, depth: int
) -> int:
    end = _decode_end(data, offset, limit, depth)
    offset += 4
    while offset < end:
        start = offset + 1
        offset = start + data[offset]
        key = text_of(data[start:offset])
        table[key], offset = _decode_value(data, offset, end, depth)
    if offset != end:
        raise DecodeError("the entries of a field table do not end where the table ends")
    return end


def _decode_array(data: bytes, offset: int, limit: int, depth: int) -> "tuple[FieldValue, int]":
    end = _decode_end(data, offset, limit, depth)
    offset += 4
    values: list[FieldValue] = []
    while offset < end:
        value, offset = _decode_value(data, offset, end, depth)
        values.append(value)
    if offset != end:
        raise DecodeError("the values of a field array do not end where the array ends")
    return values, end


def _decode_end(data: bytes, offset: int, limit: int, depth: int) -> int:
    (size,) = _READ_LONG(data, offset)
    end: int = offset + 4 + size
    if end > limit:
        raise DecodeError("a field value is longer than the table or array that contains it")
    if depth <= 0:
        raise DecodeError("tables and arrays are nested too deep")
    return end


def _decode_value(data: bytes, offset: int, limit: int, depth: int) -> "tuple[FieldValue, int]":
    octet = data[offset]
    offset += 1
    if octet == 0x53:  # S
        octets, end = _decode_octets(data, offset, limit)
        try:
            return octets.decode(), end
        except UnicodeDecodeError:
            return LongStr(octets), end
    if octet == 0x49:  # I
        return _int_as_sent(_READ_INT32(data, offset)[0], Int32, -0x8000, 0xFFFF), offset + 4
    if octet == 0x6C:  # l
        wide = _int_as_sent(_READ_INT64(data, offset)[0], Int64, -0x80000000, 0xFFFFFFFF)
        return wide, offset + 8
    if octet == 0x74:  # t
        return data[offset] != 0, offset + 1
    if octet == 0x54:  # T
        return decode_timestamp(_READ_UINT64(data, offset)[0]), offset + 8
    if octet == 0x46:  # F
        table: dict[str, FieldValue] = {}
        end = _decode_table(table, data, offset, limit, depth - 1)
        return table, end
    if octet == 0x41:  # A
        return _decode_array(data, offset, limit, depth - 1)
    if octet == 0x62:  # b
        return _READ_INT8(data, offset)[0], offset + 1
    if octet == 0x64:  # d
        return _READ_DOUBLE(data, offset)[0], offset + 8
    if octet == 0x56:  # V
        return None, offset
    if octet == 0x78:  # x
        return _decode_octets(data, offset, limit)
    if octet == 0x73:  # s
        return _int_as_sent(_READ_INT16(data, offset)[0], Int16, -0x80, 0x7F), offset + 2
    if octet == 0x75:  # u
        return _int_as_sent(_READ_UINT16(data, offset)[0], UInt16, 0, 0x7FFF), offset + 2
    if octet == 0x69:  # i
        return _int_as_sent(_READ_LONG(data, offset)[0], UInt32, 0, 0x7FFFFFFF), offset + 4
    if octet == 0x42:  # B
        return UInt8(data[offset]), offset + 1
    if octet == 0x66:  # f
        return Float32(_READ_FLOAT(data, offset)[0]), offset + 4
    if octet == 0x4C:  # L
        return Int64(_READ_INT64(data, offset)[0]), offset + 8
    if octet == 0x44:  # D
        scale, unscaled = _READ_DECIMAL(data, offset)
        return Decimal(unscaled).scaleb(-scale, _EXACT), offset + 5
    raise DecodeError(f"a field value has the unknown type octet {octet:#04x}")


def _decode_octets(data: bytes, offset: int, limit: int) -> tuple[bytes, int]:
    (size,) = _READ_LONG(data, offset)
    start = offset + 4
    end: int = start + size
    if end > limit:
        raise DecodeError("a field value is longer than the table or array that contains it")
    return data[start:end], end


def decode_timestamp(seconds: int) -> "datetime | Timestamp":
    """Return seconds since 1970 as an aware datetime, or as a Timestamp past the year 9999."""
    if seconds <= _LAST_DATETIME:
        return datetime.fromtimestamp(seconds, UTC)
    return Timestamp(seconds)


def to_builtins(value: FieldValue) -> FieldValue:
    """Return a value with every table, array, number and string of a builtin class itself.

    It is for programs that look at the exact class of a value, as PyYAML's ``safe_dump`` does. The
    result does not keep the type octets that were received.

    Raises:
        EncodeError: a value of the program is nested deeper than DEPTH_LIMIT, or contains itself.
    """
    return _to_builtins(value, DEPTH_LIMIT)


def _to_builtins(value: FieldValue, depth: int) -> FieldValue:
    if depth < 0:
        raise EncodeError("is nested too deep, or contains itself")
    if isinstance(value, Mapping):
        return {key: _to_builtins(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_builtins(item, depth - 1) for item in value]
    for cls, (_, _, builtin) in _EXPLICIT.items():
        if isinstance(value, cls):
            converted: FieldValue = builtin(value)
            return converted
    return value


def _int_as_sent(
    value: int, keeping: Callable[[int], FieldValue], narrow_from: int, narrow_to: int
) -> FieldValue:
    """Return a plain int if it would be encoded with the same type, else a ``keeping``.

    Args:
        value: the decoded value.
        keeping: the class that keeps the type octet.
        narrow_from: the smallest value that a narrower type can hold.
        narrow_to: the largest value that a narrower type can hold.
    """
    return keeping(value) if narrow_from <= value <= narrow_to else value
