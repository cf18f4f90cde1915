"""Arguments of declarations: which are wrong, and which are not what they were.

RabbitMQ ignores arguments that it does not know. Those that it knows are checked when something is
declared for the first time, and compared when it is declared again.
"""

from collections.abc import Hashable, Mapping
from typing import Final

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from .errors import BrokerError

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


def check_exchange(arguments: FieldTable, described: str) -> None:
    """Refuse what a new exchange must not have.

    Raises:
        BrokerError: 406.
    """
    alternate = arguments.get("alternate-exchange", "")
    if not isinstance(alternate, str):
        raise wrong_type(alternate, "alternate-exchange", described)


def compare(name: str, received: FieldTable, current: FieldTable, described: str) -> None:
    """Refuse an argument that is not what it was at the first declaration.

    Integers are compared by value, whatever their width.

    Raises:
        BrokerError: 406.
    """
    if name not in received and name not in current:
        return
    if name not in received:
        text = f"received none but current is {_with_type(current[name])}"
    elif name not in current:
        text = f"received {_with_type(received[name])} but current is none"
    elif _same(received[name], current[name]):
        return
    else:
        text = f"received '{shown(received[name])}' but current is '{shown(current[name])}'"
    raise refused(f"inequivalent arg '{name}' for {described}: {text}")


def compare_property(name: str, received: object, current: object, described: str) -> None:
    """Refuse a property, such as durable, that is not what it was at the first declaration.

    Raises:
        BrokerError: 406.
    """
    if received != current:
        raise refused(
            f"inequivalent arg '{name}' for {described}:"
            f" received '{shown(received)}' but current is '{shown(current)}'"
        )


def identity(value: FieldValue) -> Hashable:
    """Return something that is equal for equal values of equal types, in equal order."""
    if isinstance(value, Mapping):
        return tuple((key, identity(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(identity(item) for item in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (field_type(value), bytes(value))
    return (field_type(value), value)


def kind_of(value: FieldValue) -> str:
    """Return RabbitMQ's name of the type of a value."""
    return TYPE_NAMES[field_type(value)]


def is_integer(value: FieldValue) -> bool:
    """Tell whether it travels as an integer, of any width."""
    return field_type(value) in _INTEGERS


def _same(received: FieldValue, current: FieldValue) -> bool:
    same_type = field_type(received) == field_type(current)
    return received == current and (same_type or (is_integer(received) and is_integer(current)))


def _with_type(value: FieldValue) -> str:
    return f"the value '{shown(value)}' of type '{kind_of(value)}'"


def shown(value: object) -> str:
    """Return a value as RabbitMQ's texts show it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def refused(text: str) -> BrokerError:
    """Return the refusal of a declaration."""
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def wrong_type(value: FieldValue, name: str, described: str) -> BrokerError:
    """Return the refusal of an exchange's name that is none."""
    return refused(f"invalid type '{kind_of(value)}' for arg '{name}' in {described}")
