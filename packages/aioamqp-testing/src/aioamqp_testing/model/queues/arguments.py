"""The arguments of queue.declare and basic.consume: what each type of queue knows and refuses."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from ..erlang import printing as erlang
from ..erlang import terms as values
from ..erlang.arguments import compare, refused, wrong_type
from ..erlang.terms import is_integer, kind_of, told
from ..errors import BrokerError, NotSupported
from ..messages.message import LONGEST_TTL

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"

_MODULES: Final = {
    CLASSIC: "rabbit_classic_queue",
    QUORUM: "rabbit_quorum_queue",
    STREAM: "rabbit_stream_queue",
}
"""What RabbitMQ's texts call the types."""

_OF_QUEUES: Final = {
    CLASSIC: (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-master-locator",
    ),
    QUORUM: (
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-queue-type",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
    STREAM: (
        "x-max-length-bytes",
        "x-queue-type",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}
"""What counts when a queue is declared again, in the order in which it is compared."""

_OF_CONSUMERS: Final = {
    CLASSIC: ("x-cancel-on-ha-failover", "x-priority", "x-credit"),
    QUORUM: ("x-priority", "x-credit"),
    STREAM: ("x-stream-offset", "x-credit"),
}

OFFSETS: Final = ("first", "last", "next")
"""Where a consumer of a stream may begin, in words."""

_LARGEST_SEGMENT: Final = 3_000_000_000
_SECONDS: Final = {
    "Y": 365 * 86400,
    "M": 30 * 86400,
    "D": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
}

_DIGITS: Final = tuple("0123456789")

Check = Callable[[FieldValue, FieldTable], str | None]
"""Says what is wrong with an argument, in RabbitMQ's words, or None. The table is all arguments."""


def _non_negative(value: FieldValue, _: FieldTable) -> str | None:
    if not is_integer(value) or not isinstance(value, int):
        return f'"expected integer, got {kind_of(value)}"'
    return f"{{value_negative,{int(value)}}}" if value < 0 else None


def _ttl(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and isinstance(value, int) and value > LONGEST_TTL:
        return f"{{value_too_large,{int(value)}}}"
    return wrong


def _expires(value: FieldValue, arguments: FieldTable) -> str | None:
    if value == 0 and is_integer(value):
        return "{value_zero,0}"
    return _ttl(value, arguments)


def _positive(value: FieldValue, arguments: FieldTable) -> str | None:
    if value == 0 and is_integer(value):
        return "{value_zero,0}"
    return _non_negative(value, arguments)


def _priority(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and isinstance(value, int) and value > 255:
        return f"{{max_value_exceeded,{int(value)}}}"
    return wrong


def _dead_letter_routing_key(value: FieldValue, arguments: FieldTable) -> str | None:
    if not isinstance(value, str):
        return f"{{unacceptable_type,{kind_of(value)}}}"
    return None if "x-dead-letter-exchange" in arguments else "routing_key_but_no_dlx_defined"


def _boolean(value: FieldValue, _: FieldTable) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{kind_of(value)}}}"


def _one_of(*allowed: str, otherwise: str) -> Check:
    def check(value: FieldValue, _: FieldTable) -> str | None:
        if not isinstance(value, str):
            return f"{{unacceptable_type,{kind_of(value)}}}"
        if value in allowed:
            return None
        return _unsupported(otherwise, value) if " " in otherwise else otherwise

    return check


def _unsupported(what: str, value: str) -> str:
    text = f"unsupported {what} '{value}'"
    return erlang.string(text.encode("utf-8", "surrogateescape"))


def _version(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and value not in (1, 2):
        return _unsupported("queue version", told(value))
    return wrong


def _max_age(value: FieldValue, _: FieldTable) -> str | None:
    if not isinstance(value, str):
        return f"{{unacceptable_type,{kind_of(value)}}}"
    _check_has_number(value)
    return None if age(value) is not None else "invalid_max_age"


_TYPE_CHECK: Final = _one_of(*_MODULES, otherwise="queue type")

_CHECKS: Final[Mapping[str, Check]] = {
    "x-expires": _expires,
    "x-message-ttl": _ttl,
    "x-dead-letter-routing-key": _dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of(
        "at-most-once", "at-least-once", otherwise="invalid_dlx_strategy"
    ),
    "x-max-length": _non_negative,
    "x-max-length-bytes": _non_negative,
    "x-max-in-memory-length": _non_negative,
    "x-max-in-memory-bytes": _non_negative,
    "x-max-priority": _priority,
    "x-overflow": _one_of(
        "drop-head", "reject-publish", "reject-publish-dlx", otherwise="invalid_overflow"
    ),
    "x-queue-mode": _one_of("default", "lazy", otherwise="queue mode"),
    "x-queue-version": _version,
    "x-single-active-consumer": _boolean,
    "x-quorum-initial-group-size": _positive,
    "x-max-age": _max_age,
    "x-stream-max-segment-size-bytes": _non_negative,
    "x-initial-cluster-size": _positive,
    "x-queue-leader-locator": _one_of(
        "client-local", "balanced", "least-leaders", "random", otherwise="invalid_queue_locator_arg"
    ),
}
"""In the order in which RabbitMQ checks them; each type of queue checks those that it knows."""

_MASTER_LOCATORS: Final = ("client-local", "min-masters", "random")


def queue_type(arguments: FieldTable) -> str:
    """Return which type of queue they ask for."""
    value = arguments.get("x-queue-type", CLASSIC)
    return value if isinstance(value, str) and value in _MODULES else CLASSIC


def check_unnamed(arguments: FieldTable) -> None:
    """Refuse a queue without a name that the broker cannot make one up for.

    Raises:
        BrokerError: 406 for a type whose queues have to be named; 541 for one that there is not:
            RabbitMQ asks for its rules before it asks whether there is such a type.
    """
    kind = told(arguments.get("x-queue-type", CLASSIC))
    if kind not in _MODULES:
        raise BrokerError(ReplyCode.INTERNAL_ERROR)
    if kind != CLASSIC:
        raise refused(f"Cannot declare a server-named queue for type {_MODULES[kind]}")


def check_queue(arguments: FieldTable, described: str) -> None:
    """Refuse what a new queue of its type must not have.

    Args:
        arguments: of queue.declare.
        described: the queue as RabbitMQ's texts name it, with its virtual host.

    Raises:
        BrokerError: 406, or 541 without a text for a queue master that there is not.
        NotSupported: RabbitMQ would act on an argument.
    """
    exchange = arguments.get("x-dead-letter-exchange", "")
    if not isinstance(exchange, str):
        raise wrong_type(exchange, "x-dead-letter-exchange", described)
    if "x-queue-type" in arguments:
        _check("x-queue-type", _TYPE_CHECK, arguments, described)
    kind = queue_type(arguments)
    for name, check in _CHECKS.items():
        if name in arguments and name in _OF_QUEUES[kind]:
            _check(name, check, arguments, described)
    _check_known(arguments, _OF_QUEUES, kind, described)
    if kind == CLASSIC:
        if arguments.get("x-queue-master-locator", "random") not in _MASTER_LOCATORS:
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
    elif kind == STREAM:
        largest = arguments.get("x-stream-max-segment-size-bytes", 0)
        if isinstance(largest, int) and largest > _LARGEST_SEGMENT:
            raise refused("Exceeded max value for x-stream-max-segment-size-bytes")
    elif (
        # RabbitMQ: without the other one it is at-most-once all the same
        arguments.get("x-dead-letter-strategy") == "at-least-once"
        and arguments.get("x-overflow") == "reject-publish"
    ):
        raise NotSupported("a queue with x-dead-letter-strategy at-least-once")


def compare_queue(received: FieldTable, current: FieldTable, described: str) -> None:
    """Refuse to declare a queue again with other arguments.

    Raises:
        BrokerError: 406 for the first argument that differs.
    """
    kind = queue_type(current)
    for name in _OF_QUEUES[kind]:
        # no type is the classic type, said or not
        type_received = told(received.get("x-queue-type", CLASSIC))
        if name != "x-queue-type" or type_received != CLASSIC or kind != CLASSIC:
            compare(name, received, current, described)


def check_consumer(arguments: FieldTable, kind: str, described: str) -> None:
    """Refuse what a consumer must not have.

    Args:
        arguments: of basic.consume.
        kind: the type of the queue.
        described: the queue as RabbitMQ's texts name it.

    Raises:
        BrokerError: 406, or 541 without a text for an offset or a credit that is none.
    """
    priority = arguments.get("x-priority", 0)
    if kind != STREAM and not is_integer(priority):
        raise refused(
            f"invalid arg 'x-priority' for {described}:"
            f' "expected integer, got {kind_of(priority)}"'
        )
    if kind == CLASSIC and "x-cancel-on-ha-failover" in arguments:
        _check("x-cancel-on-ha-failover", _boolean, arguments, described)
    if kind == STREAM and "x-stream-offset" in arguments:
        _check_offset(values.with_text(arguments)["x-stream-offset"], described)
    _check_known(arguments, _OF_CONSUMERS, kind, described)
    if kind != STREAM and not isinstance(arguments.get("x-credit", {}), Mapping):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: the queue crashes


def _check_offset(offset: FieldValue, described: str) -> None:
    if offset in (*OFFSETS, *map(str.encode, OFFSETS)):
        return
    if isinstance(offset, str):
        _check_has_number(offset)
        if age(offset) is None:
            text = erlang.binary(offset.encode("utf-8", "surrogateescape"))
            raise refused(
                f"invalid arg 'x-stream-offset' for {described}:"
                f" {{invalid_stream_offset_arg,{{longstr,{text}}}}}"
            )
    elif not is_integer(offset) and field_type(offset) != "T":
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ stumbles over other types


def _check_has_number(text: str) -> None:
    if not text.startswith(_DIGITS):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ stumbles over a missing number


def age(text: str) -> int | None:
    """Return the seconds of an age such as 7D, None when it is none."""
    number = text.rstrip("YMDhms") if text[-1:] in _SECONDS else ""
    if not number.isdigit() or len(text) - len(number) != 1 or not int(number):
        return None
    return int(number) * _SECONDS[text[-1]]


def _check(name: str, check: Check, arguments: FieldTable, described: str) -> None:
    wrong = check(arguments[name], arguments)
    if wrong is not None:
        raise refused(f"invalid arg '{name}' for {described}: {wrong}")


def _check_known(
    arguments: FieldTable, known: Mapping[str, Iterable[str]], kind: str, described: str
) -> None:
    """Refuse arguments that only other types of queues know."""
    of_others = {name for names in known.values() for name in names}.difference(known[kind])
    for name in arguments:
        if name in of_others:
            raise refused(f"invalid arg '{name}' for {described} of queue type {_MODULES[kind]}")
