"""Arguments of declarations: which are wrong, and which are not what they were.

RabbitMQ ignores arguments that it does not know. Those that it knows are checked when something is
declared for the first time, and compared when it is declared again.
"""

from decimal import Decimal

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from ..errors import BrokerError
from . import terms as values
from .terms import is_integer, kind_of


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
    elif isinstance(received[name], Decimal):
        # RabbitMQ: it takes the pair that a decimal is to Erlang for a value with its type
        raise BrokerError(ReplyCode.INTERNAL_ERROR)
    else:
        text = f"received {_quoted(received[name])} but current is {_quoted(current[name])}"
    raise refused(f"inequivalent arg '{name}' for {described}: {text}")


def compare_property(name: str, received: bool | str, current: bool | str, described: str) -> None:
    """Refuse a property, such as durable, that is not what it was at the first declaration.

    Raises:
        BrokerError: 406.
    """
    if received != current:
        raise refused(
            f"inequivalent arg '{name}' for {described}:"
            f" received '{values.told(received)}' but current is '{values.told(current)}'"
        )


def _same(received: FieldValue, current: FieldValue) -> bool:
    same_type = field_type(received) == field_type(current)
    if same_type or (is_integer(received) and is_integer(current)):
        return received == current
    # RabbitMQ: octets are as good as a string
    return values.is_text(received) and values.is_text(current) and values.same(received, current)


def _with_type(value: FieldValue) -> str:
    return f"the value '{values.told(value)}' of type '{kind_of(value)}'"


def _quoted(value: FieldValue) -> str:
    return "none" if value is None else f"'{values.told(value)}'"


def refused(text: str) -> BrokerError:
    """Return the refusal of a declaration."""
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def wrong_type(value: FieldValue, name: str, described: str) -> BrokerError:
    """Return the refusal of an exchange's name that is none."""
    return refused(f"invalid type '{kind_of(value)}' for arg '{name}' in {described}")
