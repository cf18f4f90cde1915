"""Arguments of queue.declare and basic.consume: which queue types know and refuse them.

Each argument is one row of a table. The checks of a declaration, its equivalence to an earlier one,
what a policy can define, and the settings that are in force are all derived from the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from ..erlang import printing as erlang
from ..erlang.arguments import (
    Argument,
    Check,
    Integer,
    Received,
    Text,
    boolean,
    exchange_name,
    refused,
)
from ..erlang.terms import decode_long_strings, is_integer, quote
from ..errors import BrokerError
from ..messages.message import LONGEST_TTL
from ..profile import Arguments

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"
_TYPES: Final = (CLASSIC, QUORUM, STREAM)

DROP_HEAD: Final = "drop-head"
REJECT_PUBLISH: Final = "reject-publish"


@dataclass(frozen=True, slots=True)
class DeliveryLimit(Integer):
    """A delivery limit, of which a negative one is unlimited."""

    @staticmethod
    def merge(argument: FieldValue, policy: FieldValue) -> int | None:
        """Return the lower one of two numbers, but the higher one if one is negative."""
        limits = [each for each in (argument, policy) if isinstance(each, int)]
        return max(limits) if min(limits, default=0) < 0 else min(limits, default=None)


# ----------------------------------------------------------------------------- checks

_COUNT: Final = Integer()
_POSITIVE: Final = Integer(1)
_TTL: Final = Integer(maximum=LONGEST_TTL)
_EXPIRES: Final = Integer(1, LONGEST_TTL)
_TEXT: Final = Text()
_PRIORITY: Final = Integer(0, 255, "max_value_exceeded")
_TYPE: Final = Text(_TYPES, unsupported="queue type")
_TYPE_OR_EMPTY: Final = Text((*_TYPES, ""), unsupported="queue type")
_RETRY: Final = Text(("disabled", "all", "failed", "returned"))
_DELIVERY_LIMIT: Final = DeliveryLimit(minimum=None)
_MODE: Final = Text(("default", "lazy"), unsupported="queue mode")
_OVERFLOW: Final = Text((DROP_HEAD, REJECT_PUBLISH, "reject-publish-dlx"), "invalid_overflow")
_STRATEGY: Final = Text(("at-most-once", "at-least-once"), "invalid_dlx_strategy")
_LEADER_LOCATOR: Final = Text(
    ("client-local", "balanced", "least-leaders", "random"), "invalid_queue_locator_arg"
)

_MASTER_LOCATORS: Final = ("client-local", "min-masters", "random")
_LARGEST_SEGMENT: Final = 3_000_000_000
_SMALLEST_FILTER: Final = 16
_OFFSETS: Final = ("first", "last", "next", b"first", b"last", b"next")
_DIGITS: Final = tuple("0123456789")
_SECONDS: Final = {
    "Y": 365 * 86400,
    "M": 30 * 86400,
    "D": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
}


def _dead_letter_routing_key(received: Received) -> None:
    _TEXT(received)
    if "x-dead-letter-exchange" not in received.arguments:
        raise received.invalid("routing_key_but_no_dlx_defined")


def _queue_version(received: Received) -> None:
    _COUNT(received)
    if received.value not in (1, 2):
        raise received.not_supported("queue version")


def _master_locator(received: Received) -> None:
    if received.value not in _MASTER_LOCATORS:
        raise BrokerError(ReplyCode.INTERNAL_ERROR)


def _segment_size(received: Received) -> None:
    if isinstance(received.value, int) and received.value > _LARGEST_SEGMENT:
        raise refused("Exceeded max value for x-stream-max-segment-size-bytes")


def _max_age(received: Received) -> None:
    _TEXT(received)
    if _age(received) is None:
        raise received.invalid("invalid_max_age")


def _invalid_offset(received: Received, value: str) -> BrokerError:
    text = erlang.binary(value.encode("utf-8", "surrogateescape"))
    return received.invalid(f"{{invalid_stream_offset_arg,{{longstr,{text}}}}}")


def _offset(received: Received) -> None:
    value = received.value
    if value in _OFFSETS:
        return
    if isinstance(value, str):
        if _age(received) is None:
            raise _invalid_offset(received, value)
    elif not is_integer(value) and field_type(value) != "T":
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: it crashes over other types


def _filter_size(received: Received) -> None:
    if not isinstance(received.value, int) or not _SMALLEST_FILTER <= received.value <= 255:
        raise refused("Invalid value for x-stream-filter-size-bytes")


def _second_queue_version(received: Received) -> None:
    _COUNT(received)
    if received.value != 2:
        raise received.not_supported("queue version")


def _max_age_or_refused(received: Received) -> None:
    _TEXT(received)
    if age(str(received.value)) is None:
        raise received.invalid("invalid_max_age")


def _milliseconds(value: FieldValue) -> FieldValue:
    return str((age(str(value)) or 0) * 1000)


def _offset_or_refused(received: Received) -> None:
    value = received.value
    if not isinstance(value, str) or value in _OFFSETS:
        _offset(received)
    elif age(value) is None:
        raise _invalid_offset(received, value)


def _credit(received: Received) -> None:
    if not isinstance(received.value, Mapping):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: the queue crashes


def _age(received: Received) -> int | None:
    text = str(received.value)
    if not text.startswith(_DIGITS):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: it crashes without a number
    return age(text)


def age(text: str) -> int | None:
    """Return the seconds of an age such as ``7D``, or None if the text is no age."""
    number = text.rstrip("YMDhms") if text[-1:] in _SECONDS else ""
    if not number.isdigit() or len(text) - len(number) != 1 or not int(number):
        return None
    return int(number) * _SECONDS[text[-1]]


# ----------------------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueArgument(Argument):
    """An argument that some types of queues know.

    Attributes:
        classic: the place at which RabbitMQ compares the argument when a classic queue is declared
            again, counted from 1; 0 if classic queues refuse the argument.
        quorum: the same for quorum queues.
        stream: the same for streams.
        is_free: whether all types take any value of it, although they do not compare it.
        type_check: refuses values, but only after arguments that the type does not know.
    """

    classic: int = 0
    quorum: int = 0
    stream: int = 0
    is_free: bool = False
    type_check: Check | None = None

    def place(self, queue_type: str) -> int:
        """Return the place of the argument for a type of queue, or 0."""
        return {CLASSIC: self.classic, QUORUM: self.quorum, STREAM: self.stream}[queue_type]

    @property
    def setting(self) -> str:
        """The name of the argument among the settings, such as ``message_ttl``."""
        return self.policy_key.replace("-", "_")


class ArgumentTable:
    """The arguments of one method, a row each.

    Attributes:
        rows: in the order in which RabbitMQ checks them.
    """

    def __init__(self, *rows: QueueArgument) -> None:
        self.rows = rows
        names = {row.name for row in rows if not row.is_free}
        self._known = {kind: [row for row in rows if row.place(kind)] for kind in _TYPES}
        self._refused = {
            kind: names.difference(row.name for row in known) for kind, known in self._known.items()
        }

    def changed(self, *rows: QueueArgument, without: tuple[str, ...] = ()) -> "ArgumentTable":
        """Return a table with other rows in the places of those of their names, and new ones."""
        by_name = {row.name: row for row in self.rows if row.name not in without}
        return ArgumentTable(*(by_name | {row.name: row for row in rows}).values())

    def check(self, kind: str, arguments: FieldTable, described: str) -> None:
        """Refuse arguments that a type of queue does not accept, or does not know.

        Raises:
            BrokerError: 406, or 541 without a text where RabbitMQ crashes.
        """
        if not arguments:
            return
        for row in self._known[kind]:
            row.check_value(arguments, described)
        for name in arguments:
            if name in self._refused[kind]:
                raise refused(f"invalid arg '{name}' for {described} of queue type {_module(kind)}")
        for row in self._known[kind]:
            if row.type_check is not None and row.name in arguments:
                row.type_check(Received(row.name, arguments[row.name], arguments, described))

    def compare(self, kind: str, received: FieldTable, current: FieldTable, described: str) -> None:
        """Refuse arguments that are not equivalent, in the order of a type of queue.

        Raises:
            BrokerError: 406 for the first argument that is not equivalent.
        """
        for row in sorted(self._known[kind], key=lambda row: row.place(kind)):
            row.compare(received, current, described)


_Row = QueueArgument

DEAD_LETTER_EXCHANGE: Final = _Row(
    "x-dead-letter-exchange", exchange_name, policy=_TEXT, classic=3, quorum=1
)
QUEUE_ARGUMENTS: Final = ArgumentTable(
    DEAD_LETTER_EXCHANGE,
    _Row("x-queue-type", _TYPE, default=CLASSIC, classic=12, quorum=11, stream=2),
    _Row("x-expires", _EXPIRES, policy=_EXPIRES, classic=1, quorum=4),
    _Row("x-message-ttl", _TTL, policy=_TTL, classic=2, quorum=14),
    _Row("x-dead-letter-routing-key", _dead_letter_routing_key, policy=_TEXT, classic=4, quorum=2),
    _Row("x-dead-letter-strategy", _STRATEGY, policy=_STRATEGY, quorum=3),
    _Row("x-max-length", _COUNT, policy=_COUNT, classic=5, quorum=5),
    _Row("x-max-length-bytes", _COUNT, policy=_COUNT, classic=6, quorum=6, stream=1),
    _Row("x-max-in-memory-length", _COUNT, quorum=7),
    _Row("x-max-in-memory-bytes", _COUNT, quorum=8),
    _Row("x-max-priority", _PRIORITY, classic=7),
    _Row("x-overflow", _OVERFLOW, policy=_OVERFLOW, classic=8, quorum=9),
    _Row("x-queue-mode", _MODE, classic=9),
    _Row("x-queue-version", _queue_version, classic=10),
    _Row("x-single-active-consumer", boolean, classic=11, quorum=10),
    _Row("x-quorum-initial-group-size", _POSITIVE, quorum=12),
    _Row("x-delivery-limit", policy=_COUNT, quorum=13),
    _Row("x-max-age", _max_age, policy=_TEXT, stream=3),
    _Row("x-stream-max-segment-size-bytes", _COUNT, stream=4, type_check=_segment_size),
    _Row("x-initial-cluster-size", _POSITIVE, stream=5),
    _Row("x-queue-leader-locator", _LEADER_LOCATOR, quorum=15, stream=6),
    _Row("x-queue-master-locator", classic=13, type_check=_master_locator),
)
"""The arguments of queue.declare."""

_UNMIRRORED: Final = QUEUE_ARGUMENTS.changed(
    _Row("x-queue-mode", replace(_MODE, shows_characters=True), classic=9),
    _Row("x-queue-type", _TYPE, default=CLASSIC, is_filled=True, classic=12, quorum=11, stream=2),
    _Row("x-queue-leader-locator", _LEADER_LOCATOR, classic=14, quorum=15, stream=6),
    _Row("x-queue-master-locator", classic=13),
    _Row("x-delivery-limit", policy=_DELIVERY_LIMIT, quorum=13),
    _Row("x-consumer-timeout", policy=_COUNT, is_free=True),
    _Row("x-stream-filter-size-bytes", _COUNT, stream=7, type_check=_filter_size),
)
TABLES: Final[Mapping[Arguments, ArgumentTable]] = {
    Arguments.MIRRORED: QUEUE_ARGUMENTS,
    Arguments.UNMIRRORED: _UNMIRRORED,
    Arguments.STRICT: _UNMIRRORED.changed(
        _Row(
            "x-queue-type",
            _TYPE_OR_EMPTY,
            default=CLASSIC,
            is_filled=True,
            classic=12,
            quorum=11,
            stream=2,
        ),
        _Row("x-queue-version", _second_queue_version, classic=10),
        _Row("x-queue-mode", classic=9),
        _Row("x-consumer-timeout", _COUNT, policy=_COUNT, quorum=16),
        _Row("x-max-age", _max_age_or_refused, policy=_TEXT, normal=_milliseconds, stream=3),
        _Row("x-delayed-retry-type", policy=_RETRY, quorum=17),
        _Row("x-delayed-retry-min", policy=_COUNT, quorum=18),
        _Row("x-delayed-retry-max", policy=_COUNT, quorum=19),
    ),
}
"""The arguments of queue.declare, by the name in a profile."""

_TABLES_WITH_EMPTY_TYPE: Final = (Arguments.STRICT,)  # an empty x-queue-type is the default one

_CONSUMER_ARGUMENTS: Final = ArgumentTable(
    _Row("x-priority", Integer(minimum=None), classic=1, quorum=1),
    _Row("x-cancel-on-ha-failover", boolean, classic=1),
    _Row("x-stream-offset", _offset, stream=1),
    _Row("x-credit", classic=1, quorum=1, type_check=_credit),
    _Row("x-credit", stream=1),
)
"""The arguments of basic.consume, which are never compared."""

_UNMIRRORED_CONSUMER: Final = _CONSUMER_ARGUMENTS.changed(
    _Row("x-stream-filter", stream=2),
    _Row("x-stream-match-unfiltered", stream=3),
    without=("x-cancel-on-ha-failover", "x-credit"),
)
_CONSUMER_TABLES: Final[Mapping[Arguments, ArgumentTable]] = {
    Arguments.MIRRORED: _CONSUMER_ARGUMENTS,
    Arguments.UNMIRRORED: _UNMIRRORED_CONSUMER,
    Arguments.STRICT: _UNMIRRORED_CONSUMER.changed(
        _Row("x-stream-offset", _offset_or_refused, stream=1),
        _Row("x-consumer-timeout", _COUNT, quorum=2),
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force for a queue: its arguments, and its policy; None is unlimited.

    Attributes:
        message_ttl: milliseconds that a message may be ready.
        expires: milliseconds that the queue may be unused.
        max_length: the number of messages that may be ready.
        max_length_bytes: the bytes that their bodies may have together.
        max_age: how old the messages of a stream may be.
        overflow: drop-head, reject-publish or reject-publish-dlx.
        dead_letter_exchange: the exchange that rejected and dropped messages are published to.
        dead_letter_routing_key: the routing key for that; None keeps the keys of a message.
        dead_letter_strategy: at-most-once or at-least-once.
        delivery_limit: how often a quorum queue requeues a message.
        consumer_timeout: milliseconds within which a consumer must acknowledge.
        delayed_retry_type: which requeued messages are hidden for some time.
        delayed_retry_min: milliseconds of that for each delivery.
        delayed_retry_max: milliseconds of that at most.
    """

    message_ttl: int | None = None
    expires: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    max_age: str | None = None
    overflow: str = DROP_HEAD
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: str | None = None
    delivery_limit: int | None = None
    consumer_timeout: int | None = None
    delayed_retry_type: str | None = None
    delayed_retry_min: int | None = None
    delayed_retry_max: int | None = None

    @property
    def dead_letters_at_least_once(self) -> bool:
        """Whether a queue keeps dead letters. RabbitMQ: only if it never drops messages itself."""
        return (
            self.dead_letter_strategy == "at-least-once"
            and self.dead_letter_exchange is not None
            and self.overflow == REJECT_PUBLISH
        )

    @classmethod
    def of(
        cls,
        arguments: FieldTable,
        policy: Mapping[str, FieldValue],
        table: Arguments = Arguments.MIRRORED,
    ) -> Self:
        """Merge the arguments of a queue with its policy.

        Args:
            arguments: the arguments of queue.declare, which are checked.
            policy: the definition, with keys such as ``max-length``; empty without a policy.
            table: names the arguments that the version of RabbitMQ knows.
        """
        if not arguments and not policy:
            return cls()
        merged: dict[str, Any] = {
            row.setting: row.in_force(arguments, policy)
            for row in TABLES[table].rows
            if row.policy is not None
        }
        return cls(**{name: value for name, value in merged.items() if value is not None})


# ----------------------------------------------------------------------------- methods


def queue_type(arguments: FieldTable) -> str:
    """Return the type of queue that ``x-queue-type`` asks for."""
    value = arguments.get("x-queue-type", CLASSIC)
    return value if isinstance(value, str) and value in _TYPES else CLASSIC


def check_unnamed(arguments: FieldTable, table: Arguments = Arguments.MIRRORED) -> None:
    """Refuse a queue without a name if the broker cannot name it.

    Raises:
        BrokerError: 406 for a type whose queues must be named; 541 for a type that does not exist:
            RabbitMQ looks for the rules of the type before it checks whether there is such a type.
    """
    value = arguments.get("x-queue-type", CLASSIC)
    if value is None and table in _TABLES_WITH_EMPTY_TYPE:
        return  # the check of its value refuses it
    wanted = quote(value)
    if not wanted and table in _TABLES_WITH_EMPTY_TYPE:
        wanted = CLASSIC
    if wanted not in _TYPES:
        if table in _TABLES_WITH_EMPTY_TYPE and isinstance(value, str | bool):
            raise refused(f"unknown queue type '{wanted}'")
        raise BrokerError(ReplyCode.INTERNAL_ERROR)
    if wanted != CLASSIC:
        raise refused(f"Cannot declare a server-named queue for type {_module(wanted)}")


def check_queue(
    arguments: FieldTable, described: str, table: Arguments = Arguments.MIRRORED
) -> None:
    """Refuse arguments that a new queue of its type must not have.

    Args:
        arguments: the arguments of queue.declare.
        described: the queue as RabbitMQ's texts name it, with its virtual host.
        table: names the arguments that the version of RabbitMQ knows.

    Raises:
        BrokerError: 406, or 541 without a text where RabbitMQ crashes.
    """
    TABLES[table].check(queue_type(arguments), arguments, described)


def compare_queue(
    received: FieldTable,
    current: FieldTable,
    described: str,
    table: Arguments = Arguments.MIRRORED,
) -> None:
    """Refuse to declare a queue again with other arguments.

    Raises:
        BrokerError: 406 for the first argument that is not equivalent.
    """
    TABLES[table].compare(queue_type(current), received, current, described)


def check_consumer(
    arguments: FieldTable, kind: str, described: str, table: Arguments = Arguments.MIRRORED
) -> None:
    """Refuse arguments that a consumer must not have.

    Args:
        arguments: the arguments of basic.consume.
        kind: the type of the queue.
        described: the queue as RabbitMQ's texts name it.
        table: names the arguments that the version of RabbitMQ knows.

    Raises:
        BrokerError: 406, or 541 without a text where RabbitMQ crashes.
    """
    _CONSUMER_TABLES[table].check(kind, decode_long_strings(arguments), described)


def _module(kind: str) -> str:
    """Return RabbitMQ's module of a queue type, as its texts name it."""
    return f"rabbit_{kind}_queue"
