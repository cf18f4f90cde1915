"""Field values as RabbitMQ sees them, as Erlang terms: which are equal, and how they print.

To Erlang a string is a binary like any other, a moment is a number of seconds, and numbers are
equal whatever their types; a boolean is no number. In arrays and tables each value has its type
beside it, and that has to be equal too.
"""

from collections.abc import Hashable, Mapping
from datetime import datetime
from decimal import Decimal

from amqp_codec import FieldValue

from . import erlang
from .arguments import kind_of


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
        return value.as_tuple()
    if isinstance(value, Mapping):
        return tuple((key, kind_of(each), _term(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple((kind_of(each), _term(each)) for each in value)
    return value


def shown(value: FieldValue) -> str:
    """Print a value as Erlang's ``~p`` does, for RabbitMQ's texts."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        sign = "-" if value < 0 else ""
        return f"{{{-int(exponent)},{sign}{''.join(map(str, digits))}}}"
    if isinstance(value, Mapping):
        items = (f"{{{shown(key)},{_typed(each)}}}" for key, each in value.items())
        return f"[{','.join(items)}]"
    if isinstance(value, list | tuple):
        return f"[{','.join(f'{{{_typed(each)}}}' for each in value)}]"
    term = _term(value)
    return erlang.binary(term) if isinstance(term, bytes) else str(term)


def _typed(value: FieldValue) -> str:
    return f"{kind_of(value)},{shown(value)}"
