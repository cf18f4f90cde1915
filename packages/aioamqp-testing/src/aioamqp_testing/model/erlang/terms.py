"""Field values as Erlang terms: their type names, equality, and how RabbitMQ's texts print them.

In Erlang a string is a binary, a timestamp is a number of seconds, and numbers are equal whatever
their types; a boolean is no number. In arrays and tables each value is stored with its type, which
has to be equal too.
"""

import re
from collections.abc import Hashable, Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Final

from amqp_codec import FieldTable, FieldValue, LongStr, Timestamp, field_type

from . import printing as erlang

TYPE_NAMES: Final = {
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "S": "longstr",
    "x": "binary",
    "T": "timestamp",
    "V": "void",
    "F": "table",
    "A": "array",
}
"""RabbitMQ's names of the types of field values."""

_INTEGERS: Final = "bBsuIil"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,4000}")  # Python parses no more than 4,300 digits


def type_name(value: FieldValue) -> str:
    """Return RabbitMQ's name of the type of a value."""
    return TYPE_NAMES[field_type(value)]


def is_integer(value: FieldValue) -> bool:
    """Return whether a value is encoded as an integer, of any width."""
    return field_type(value) in _INTEGERS


def is_text(value: FieldValue) -> bool:
    """Return whether a value is a string or a byte array, which are the same in Erlang."""
    return isinstance(value, str | bytes | bytearray | memoryview)


def is_representable(value: FieldValue) -> bool:
    """Return whether Erlang has a term for a value: it has none for infinite numbers and NaN."""
    if isinstance(value, Mapping):
        return all(map(is_representable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_representable, value))
    return not isinstance(value, float) or isfinite(value)


def decode_long_strings(table: FieldTable) -> FieldTable:
    """Return a table with every long string as a str, even if it is not UTF-8."""
    if not any(isinstance(value, LongStr) for value in table.values()):
        return table
    return {
        key: value.decode("utf-8", "surrogateescape") if isinstance(value, LongStr) else value
        for key, value in table.items()
    }


def identity(value: FieldValue) -> Hashable:
    """Return a key that is equal for equal values of equal types."""
    if isinstance(value, Mapping):
        return tuple((key, identity(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(identity(item) for item in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (field_type(value), bytes(value))
    return (field_type(value), value)


def equal(one: FieldValue, other: FieldValue) -> bool:
    """Return whether two values are equal by Erlang's ``==``."""
    return _term(one) == _term(other)


def identical(argument: FieldValue, header: FieldValue) -> bool:
    """Return whether an argument is equal to a header by Erlang's ``=:=``.

    RabbitMQ: a timestamp is a number of seconds as an argument, and of milliseconds as a header.
    """
    if isinstance(argument, float) is not isinstance(header, float):
        return False
    term = _term(header)
    if isinstance(header, datetime | Timestamp) and isinstance(term, int):
        term *= 1000
    return _term(argument) == term


def _term(value: FieldValue) -> Hashable:
    if value is None or isinstance(value, bool):
        return ("atom", value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, Decimal):
        return decimal_pair(value)
    if isinstance(value, Mapping):
        return tuple((key, type_name(each), _term(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple((type_name(each), _term(each)) for each in value)
    return value


def decimal_pair(value: Decimal) -> tuple[int, int]:
    """Return the scale and the unscaled value. RabbitMQ: it decodes the latter without a sign."""
    sign, digits, exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits)))
    return -int(exponent), (-unscaled if sign else unscaled) & 0xFFFFFFFF


def parse_integer(text: str) -> int | None:
    """Return the number that a text is for Erlang: digits, with a sign or without; else None."""
    return int(text) if _INTEGER.fullmatch(text) else None


def quote(value: FieldValue) -> str:
    """Return a value as RabbitMQ's texts quote it: strings as they are, others formatted."""
    if isinstance(value, str):
        return value
    term = _term(value)
    return (
        term.decode("utf-8", "surrogateescape") if isinstance(term, bytes) else format_term(value)
    )


def format_term(value: FieldValue) -> str:
    """Format a value as Erlang's ``~p`` does."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        scale, unscaled = decimal_pair(value)
        return f"{{{scale},{unscaled}}}"
    if isinstance(value, float):
        return erlang.float_(value)
    if isinstance(value, Mapping):
        items = (f"{{{format_term(key)},{_typed(each)}}}" for key, each in value.items())
        return f"[{','.join(items)}]"
    if isinstance(value, list | tuple):
        return f"[{','.join(f'{{{_typed(each)}}}' for each in value)}]"
    term = _term(value)
    return erlang.binary(term) if isinstance(term, bytes) else str(term)


def _typed(value: FieldValue) -> str:
    return f"{type_name(value)},{format_term(value)}"
