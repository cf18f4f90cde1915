"""Field values as RabbitMQ sees them, as Erlang terms: which are equal, and how they print.

To Erlang a string is a binary like any other, a moment is a number of seconds, and numbers are
equal whatever their types; a boolean is no number. In arrays and tables each value has its type
beside it, and that has to be equal too.
"""

from collections.abc import Hashable, Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Final

from amqp_codec import FieldTable, FieldValue, LongStr, field_type

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
"""RabbitMQ's names of the types of field values, as its texts have them."""

_INTEGERS: Final = "bBsuIil"


def kind_of(value: FieldValue) -> str:
    """Return RabbitMQ's name of the type of a value."""
    return TYPE_NAMES[field_type(value)]


def is_integer(value: FieldValue) -> bool:
    """Tell whether it travels as an integer, of any width."""
    return field_type(value) in _INTEGERS


def is_text(value: FieldValue) -> bool:
    """Tell whether it is a string or octets, which to Erlang are the same."""
    return isinstance(value, str | bytes | bytearray | memoryview)


def is_readable(value: FieldValue) -> bool:
    """Tell whether Erlang has a term for it: for a number that is infinite or none it has not."""
    if isinstance(value, Mapping):
        return all(map(is_readable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_readable, value))
    return not isinstance(value, float) or isfinite(value)


def with_text(table: FieldTable) -> FieldTable:
    """Return a table in which every long string is a str, also one that is not UTF-8."""
    if not any(isinstance(value, LongStr) for value in table.values()):
        return table
    return {
        key: value.decode("utf-8", "surrogateescape") if isinstance(value, LongStr) else value
        for key, value in table.items()
    }


def identity(value: FieldValue) -> Hashable:
    """Return something that is equal for equal values of equal types."""
    if isinstance(value, Mapping):
        return tuple((key, identity(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(identity(item) for item in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (field_type(value), bytes(value))
    return (field_type(value), value)


def same(one: FieldValue, other: FieldValue) -> bool:
    """Return whether Erlang's ``==`` holds between two values."""
    return _term(one) == _term(other)


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
        return _decimal(value)
    if isinstance(value, Mapping):
        return tuple((key, kind_of(each), _term(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple((kind_of(each), _term(each)) for each in value)
    return value


def _decimal(value: Decimal) -> tuple[int, int]:
    """Return scale and unscaled value. RabbitMQ: it reads the latter without a sign."""
    sign, digits, exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits)))
    return -int(exponent), (-unscaled if sign else unscaled) & 0xFFFFFFFF


def told(value: FieldValue) -> str:
    """Return a value as RabbitMQ's texts quote it: a string as it is, anything else printed."""
    if isinstance(value, str):
        return value
    term = _term(value)
    return term.decode("utf-8", "surrogateescape") if isinstance(term, bytes) else shown(value)


def shown(value: FieldValue) -> str:
    """Print a value as Erlang's ``~p`` does, for RabbitMQ's texts."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        scale, unscaled = _decimal(value)
        return f"{{{scale},{unscaled}}}"
    if isinstance(value, float):
        return erlang.float_(value)
    if isinstance(value, Mapping):
        items = (f"{{{shown(key)},{_typed(each)}}}" for key, each in value.items())
        return f"[{','.join(items)}]"
    if isinstance(value, list | tuple):
        return f"[{','.join(f'{{{_typed(each)}}}' for each in value)}]"
    term = _term(value)
    return erlang.binary(term) if isinstance(term, bytes) else str(term)


def _typed(value: FieldValue) -> str:
    return f"{kind_of(value)},{shown(value)}"
