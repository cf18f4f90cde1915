"""Optional arguments of declarations: how RabbitMQ checks, compares and merges their values.

RabbitMQ ignores arguments that it does not know. It checks those that it knows when something is
declared for the first time, and compares them when it is declared again. An administrator can set
some of them by a policy, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from ..errors import BrokerError
from . import printing as erlang
from . import terms
from .terms import is_integer, quote, type_name


class Received(NamedTuple):
    """An argument that a client has sent.

    Attributes:
        name: such as ``x-expires``.
        value: the value of the argument.
        arguments: all arguments of the method.
        described: what is declared, as RabbitMQ's texts name it.
    """

    name: str
    value: FieldValue
    arguments: FieldTable
    described: str

    def invalid(self, reason: str) -> BrokerError:
        """Return the refusal of the value."""
        return refused(f"invalid arg '{self.name}' for {self.described}: {reason}")

    def wrong_type(self) -> BrokerError:
        """Return the refusal of a value of another type."""
        return self.invalid(f"{{unacceptable_type,{type_name(self.value)}}}")

    def not_supported(self, what: str, show: Callable[[bytes], str] = erlang.string) -> BrokerError:
        """Return the refusal of a value that RabbitMQ does not know."""
        text = f"unsupported {what} '{quote(self.value)}'"
        return self.invalid(show(text.encode("utf-8", "surrogateescape")))


Check: TypeAlias = Callable[[Received], None]
"""Raises a BrokerError with RabbitMQ's text if it refuses an argument."""


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of any width. Called with a received argument, it checks the value.

    Attributes:
        minimum: the lowest value that is allowed, 0 or 1; None allows negative numbers.
        maximum: the highest value that is allowed.
        too_large: RabbitMQ's name of the mistake if it is higher.
    """

    minimum: int | None = 0
    maximum: int | None = None
    too_large: str = "value_too_large"

    def __call__(self, received: Received) -> None:
        """Refuse a value that is no integer, or out of range."""
        value = received.value
        if not is_integer(value) or not isinstance(value, int):
            raise received.invalid(f'"expected integer, got {type_name(value)}"')
        if self.minimum == 1 and value == 0:
            raise received.invalid("{value_zero,0}")
        if self.minimum is not None and value < 0:
            raise received.invalid(f"{{value_negative,{int(value)}}}")
        if self.maximum is not None and value > self.maximum:
            raise received.invalid(f"{{{self.too_large},{int(value)}}}")

    def check_policy(self, key: str, value: FieldValue) -> None:
        """Refuse a value that a policy cannot have.

        Raises:
            ValueError: the value has another type, or is too low.
        """
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{key!r} must be of type int, not {value!r}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{key!r} must be {self.minimum} or more, not {value}")

    @staticmethod
    def merge(argument: FieldValue, policy: FieldValue) -> int | None:
        """Return the lower one of two numbers. RabbitMQ: the stricter limit is in force."""
        return min((each for each in (argument, policy) if isinstance(each, int)), default=None)


@dataclass(frozen=True, slots=True)
class Text:
    """A string. Called with a received argument, it checks the value.

    Attributes:
        choices: the strings that are allowed; empty allows all.
        mistake: the reason in RabbitMQ's text if a string is not allowed.
        unsupported: or what RabbitMQ says that it does not support then.
        shows_characters: whether it shows the characters of the string, and not their bytes.
    """

    choices: tuple[str, ...] = ()
    mistake: str = ""
    unsupported: str = ""
    shows_characters: bool = False

    def __call__(self, received: Received) -> None:
        """Refuse a value that is no string, or not allowed."""
        value = received.value
        if not isinstance(value, str):
            raise received.wrong_type()
        if self.choices and value not in self.choices:
            if self.unsupported:
                show = erlang.characters if self.shows_characters else erlang.string
                raise received.not_supported(self.unsupported, show)
            raise received.invalid(self.mistake)

    def check_policy(self, key: str, value: FieldValue) -> None:
        """Refuse a value that a policy cannot have.

        Raises:
            ValueError: the value has another type, or is not allowed.
        """
        if not isinstance(value, str):
            raise ValueError(f"{key!r} must be of type str, not {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{key!r} must be one of {', '.join(self.choices)}, not {value!r}")

    @staticmethod
    def merge(argument: FieldValue, policy: FieldValue) -> str | None:
        """Return the argument, or the policy if there is none."""
        value = policy if argument is None else argument
        return value if isinstance(value, str) else None


def boolean(received: Received) -> None:
    """Refuse a value that is no boolean."""
    if not isinstance(received.value, bool):
        raise received.wrong_type()


def exchange_name(received: Received) -> None:
    """Refuse a value that is no string, and so cannot name an exchange."""
    if not isinstance(received.value, str):
        raise refused(
            f"invalid type '{type_name(received.value)}' for arg '{received.name}'"
            f" in {received.described}"
        )


@dataclass(frozen=True, slots=True)
class Argument:
    """One optional argument: a row of a table.

    Attributes:
        name: such as ``x-expires``.
        check: refuses values when something is declared; None accepts all.
        policy: what a policy can set the argument to; None if it cannot.
        default: a value that is equivalent to none.
        is_filled: whether reply texts show the default in place of none.
        normal: makes the value that is compared.
    """

    name: str
    check: Check | None = None
    policy: Integer | Text | None = None
    default: FieldValue = None
    is_filled: bool = False
    normal: Callable[[FieldValue], FieldValue] | None = None

    @property
    def policy_key(self) -> str:
        """The name of the argument in a policy, such as ``expires``."""
        return self.name.removeprefix("x-")

    def check_value(self, arguments: FieldTable, described: str) -> None:
        """Check the argument if it is among those that were received.

        Raises:
            BrokerError: 406 or 541.
        """
        if self.check is not None and self.name in arguments:
            self.check(Received(self.name, arguments[self.name], arguments, described))

    def in_force(self, arguments: FieldTable, policy: Mapping[str, FieldValue]) -> int | str | None:
        """Return what the argument and a policy come to together, or None."""
        if self.policy is None:
            return None
        return self.policy.merge(arguments.get(self.name), policy.get(self.policy_key))

    def compare(self, received: FieldTable, current: FieldTable, described: str) -> None:
        """Refuse an argument that is not equivalent to that of the first declaration.

        Integers are compared by value, whatever their width.

        Raises:
            BrokerError: 406.
        """
        name = self.name
        if self._is_default(received) and self._is_default(current):
            return
        received, current = self._compared(received), self._compared(current)
        if name not in received:
            text = f"received none but current is {_with_type(current[name])}"
        elif name not in current:
            text = f"received {_with_type(received[name])} but current is none"
        elif _is_equivalent(received[name], current[name]):
            return
        elif isinstance(received[name], Decimal):
            # RabbitMQ: it takes the pair that a decimal is in Erlang for a value with its type
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
        else:
            text = f"received {_quoted(received[name])} but current is {_quoted(current[name])}"
        raise refused(f"inequivalent arg '{name}' for {described}: {text}")

    def _compared(self, arguments: FieldTable) -> FieldTable:
        if self.name not in arguments:
            return {self.name: self.default} if self.is_filled else arguments
        return {self.name: self.normal(arguments[self.name])} if self.normal else arguments

    def _is_default(self, arguments: FieldTable) -> bool:
        return self.name not in arguments or (
            self.default is not None and quote(arguments[self.name]) == self.default
        )


def compare_property(name: str, received: bool | str, current: bool | str, described: str) -> None:
    """Refuse a property, such as durable, that is not that of the first declaration.

    Raises:
        BrokerError: 406.
    """
    if received != current:
        raise refused(
            f"inequivalent arg '{name}' for {described}:"
            f" received '{quote(received)}' but current is '{quote(current)}'"
        )


def refused(text: str) -> BrokerError:
    """Return the refusal of a declaration."""
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def _is_equivalent(received: FieldValue, current: FieldValue) -> bool:
    same_type = field_type(received) == field_type(current)
    if same_type or (is_integer(received) and is_integer(current)):
        return received == current
    # RabbitMQ: a byte array is equivalent to a string
    return terms.is_text(received) and terms.is_text(current) and terms.equal(received, current)


def _with_type(value: FieldValue) -> str:
    return f"the value '{quote(value)}' of type '{type_name(value)}'"


def _quoted(value: FieldValue) -> str:
    return "none" if value is None else f"'{quote(value)}'"
