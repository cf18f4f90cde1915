"""The arguments of queue.declare, exchange.declare and basic.consume: which count, which are wrong.

RabbitMQ ignores arguments that it does not know. Those that it knows are checked when something is
declared for the first time, and compared when it is declared again.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from amqp_codec import FieldTable, FieldValue, ReplyCode, field_type

from .errors import BrokerError, NotSupported

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
_LONGEST_TTL: Final = 2**32 - 1

Check = Callable[[FieldValue, FieldTable], str | None]
"""Says what is wrong with an argument, in RabbitMQ's words, or None. The table is all arguments."""


def _kind(value: FieldValue) -> str:
    return TYPE_NAMES[field_type(value)]


def _non_negative(value: FieldValue, _: FieldTable) -> str | None:
    if field_type(value) not in _INTEGERS or not isinstance(value, int):
        return f'"expected integer, got {_kind(value)}"'
    return f"{{value_negative,{int(value)}}}" if value < 0 else None


def _ttl(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and isinstance(value, int) and value > _LONGEST_TTL:
        return f"{{value_too_large,{int(value)}}}"
    return wrong


def _expires(value: FieldValue, arguments: FieldTable) -> str | None:
    return (
        "{value_zero,0}" if value == 0 and _is_integer(value) else _non_negative(value, arguments)
    )


def _priority(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and isinstance(value, int) and value > 255:
        return f"{{max_value_exceeded,{int(value)}}}"
    return wrong


def _dead_letter_routing_key(value: FieldValue, arguments: FieldTable) -> str | None:
    if not isinstance(value, str):
        return f"{{unacceptable_type,{_kind(value)}}}"
    return None if "x-dead-letter-exchange" in arguments else "routing_key_but_no_dlx_defined"


def _boolean(value: FieldValue, _: FieldTable) -> str | None:
    return None if isinstance(value, bool) else f"{{unacceptable_type,{_kind(value)}}}"


def _one_of(*allowed: str, otherwise: str) -> Check:
    def check(value: FieldValue, _: FieldTable) -> str | None:
        if not isinstance(value, str):
            return f"{{unacceptable_type,{_kind(value)}}}"
        return None if value in allowed else otherwise.format(value)

    return check


def _version(value: FieldValue, arguments: FieldTable) -> str | None:
    wrong = _non_negative(value, arguments)
    if wrong is None and value not in (1, 2):
        return f"\"unsupported queue version '{_shown(value)}'\""
    return wrong


_OVERFLOWS: Final = ("drop-head", "reject-publish", "reject-publish-dlx")

_CHECKS: Final[Mapping[str, Check]] = {
    "x-expires": _expires,
    "x-message-ttl": _ttl,
    "x-dead-letter-routing-key": _dead_letter_routing_key,
    "x-max-length": _non_negative,
    "x-max-length-bytes": _non_negative,
    "x-max-priority": _priority,
    "x-overflow": _one_of(*_OVERFLOWS, otherwise="invalid_overflow"),
    "x-queue-mode": _one_of("default", "lazy", otherwise="\"unsupported queue mode '{}'\""),
    "x-queue-version": _version,
    "x-single-active-consumer": _boolean,
    "x-queue-type": _one_of(
        "classic", "quorum", "stream", otherwise="\"unsupported queue type '{}'\""
    ),
}
"""In the order in which RabbitMQ checks them."""

_OF_OTHER_TYPES: Final = (
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
)
"""Arguments of quorum queues and streams, which a classic queue refuses."""

_COMPARED: Final = (
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
)
"""What counts when a classic queue is declared again, in the order in which it is compared."""

_NO_EFFECT: Final[Mapping[str, Sequence[FieldValue]]] = {
    "x-max-priority": (0,),
    "x-overflow": _OVERFLOWS,  # without a limit there is no overflow
    "x-queue-mode": ("default", "lazy"),
    "x-queue-version": (1, 2),
    "x-single-active-consumer": (False,),
    "x-queue-type": ("classic",),
    "x-queue-master-locator": ("client-local", "min-masters", "random"),
}
"""Values that a client cannot tell from none; any other value of these arguments is refused."""


def check_queue(arguments: FieldTable, described: str) -> None:
    """Refuse what a new classic queue must not have.

    Args:
        arguments: of queue.declare.
        described: the queue as RabbitMQ's texts name it, with its virtual host.

    Raises:
        BrokerError: 406, or 541 without a text for a queue master that there is not.
        NotSupported: RabbitMQ would act on an argument.
    """
    dead_letter_exchange = arguments.get("x-dead-letter-exchange", "")
    if not isinstance(dead_letter_exchange, str):
        raise _wrong_type(dead_letter_exchange, "x-dead-letter-exchange", described)
    for name, check in _CHECKS.items():
        wrong = check(arguments[name], arguments) if name in arguments else None
        if wrong is not None:
            raise _refused(f"invalid arg '{name}' for {described}: {wrong}")
    queue_type = arguments.get("x-queue-type", "classic")
    if queue_type != "classic":
        raise NotSupported(f"a queue with x-queue-type {_shown(queue_type)}")
    for name in _OF_OTHER_TYPES:
        if name in arguments:
            raise _refused(
                f"invalid arg '{name}' for {described} of queue type rabbit_classic_queue"
            )
    locator = arguments.get("x-queue-master-locator", "random")
    if locator not in _NO_EFFECT["x-queue-master-locator"]:
        raise BrokerError(ReplyCode.INTERNAL_ERROR)
    for name in _COMPARED:
        if name in arguments and arguments[name] not in _NO_EFFECT.get(name, ()):
            raise NotSupported(f"a queue with {name}")


def compare_queue(received: FieldTable, current: FieldTable, described: str) -> None:
    """Refuse to declare a classic queue again with other arguments.

    Raises:
        BrokerError: 406 for the first argument that differs.
    """
    for name in _COMPARED:
        if name == "x-queue-type" and _is_classic(received) and _is_classic(current):
            continue
        compare(name, received, current, described)


def check_exchange(arguments: FieldTable, described: str) -> None:
    """Refuse what a new exchange must not have.

    Raises:
        BrokerError: 406.
        NotSupported: it has an alternate exchange.
    """
    if "alternate-exchange" in arguments:
        if not isinstance(arguments["alternate-exchange"], str):
            raise _wrong_type(arguments["alternate-exchange"], "alternate-exchange", described)
        raise NotSupported("an exchange with alternate-exchange")


def check_consumer(arguments: FieldTable, described: str) -> None:
    """Refuse what a consumer of a classic queue must not have.

    Raises:
        BrokerError: 406.
        NotSupported: it has a priority, or credit of its own.
    """
    priority = arguments.get("x-priority", 0)
    if not _is_integer(priority):
        raise _refused(
            f"invalid arg 'x-priority' for {described}: \"expected integer, got {_kind(priority)}\""
        )
    if priority != 0:
        raise NotSupported("a consumer with x-priority")
    if "x-credit" in arguments:
        raise NotSupported("a consumer with x-credit")


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
        text = f"received '{_shown(received[name])}' but current is '{_shown(current[name])}'"
    raise _refused(f"inequivalent arg '{name}' for {described}: {text}")


def compare_property(name: str, received: object, current: object, described: str) -> None:
    """Refuse a property, such as durable, that is not what it was at the first declaration.

    Raises:
        BrokerError: 406.
    """
    if received != current:
        raise _refused(
            f"inequivalent arg '{name}' for {described}:"
            f" received '{_shown(received)}' but current is '{_shown(current)}'"
        )


def identity(value: FieldValue) -> Hashable:
    """Return something that is equal for equal values of equal types, tables in any order."""
    if isinstance(value, Mapping):
        return tuple((key, identity(value[key])) for key in sorted(value))
    if isinstance(value, list | tuple):
        return tuple(identity(item) for item in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (field_type(value), bytes(value))
    return (field_type(value), value)


def _is_integer(value: FieldValue) -> bool:
    return field_type(value) in _INTEGERS


def _is_classic(arguments: FieldTable) -> bool:
    return arguments.get("x-queue-type", "classic") == "classic"


def _same(received: FieldValue, current: FieldValue) -> bool:
    same_type = field_type(received) == field_type(current)
    return received == current and (same_type or (_is_integer(received) and _is_integer(current)))


def _with_type(value: FieldValue) -> str:
    return f"the value '{_shown(value)}' of type '{_kind(value)}'"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def _wrong_type(value: FieldValue, name: str, described: str) -> BrokerError:
    return _refused(f"invalid type '{_kind(value)}' for arg '{name}' in {described}")
