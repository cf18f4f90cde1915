"""Dead letters: what a queue writes on a message that goes to its dead-letter exchange."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from amqp_codec import FieldValue, Int64

from ..erlang.terms import is_integer
from ..messages.headers import further_keys, sorted_table, with_headers
from ..messages.message import Message

_X_DEATH: Final = "x-death"
_Death: TypeAlias = Mapping[str, FieldValue]


class Reason(StrEnum):
    """Why a queue dead-lettered a message, in the words of ``x-death``."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    DELIVERY_LIMIT = "delivery_limit"


def dead_lettered(
    message: Message,
    reason: Reason,
    *,
    queue: str,
    exchange: str,
    routing_key: str | None,
    now: float,
) -> Message:
    """Return a message as its dead-letter exchange receives it.

    Args:
        message: the message in the queue.
        reason: why the queue dead-letters it.
        queue: the name of the queue.
        exchange: the name of the dead-letter exchange.
        routing_key: the dead-letter routing key; None keeps all routing keys of the message.
        now: seconds since 1970.
    """
    properties = message.properties
    headers: dict[str, FieldValue] = dict(properties.headers or {})
    death: dict[str, FieldValue] = {
        "count": Int64(1),
        "reason": str(reason),
        "queue": queue,
        "time": datetime.fromtimestamp(int(now), UTC),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key, *further_keys(headers)],
    }
    if properties.expiration is not None:
        death["original-expiration"] = properties.expiration
    earlier = headers.get(_X_DEATH)
    if isinstance(earlier, list | tuple):
        headers[_X_DEATH] = _with_death(death, _deaths(earlier))
    else:
        if _X_DEATH not in headers:
            headers["x-first-death-reason"] = death["reason"]
            headers["x-first-death-queue"] = death["queue"]
            headers["x-first-death-exchange"] = death["exchange"]
        headers[_X_DEATH] = [death]
    if routing_key is not None:
        headers.pop("CC", None)
    changed = with_headers(properties, headers)
    changed.expiration = None
    if routing_key is None:
        return replace(message, exchange=exchange, properties=changed)
    return replace(
        message, exchange=exchange, routing_key=routing_key, properties=changed, further_keys=()
    )


def is_countable(message: Message, queue: str, reason: Reason) -> bool:
    """Return whether one more death can be added to the ``x-death`` header of a message.

    RabbitMQ: its queue crashes over an x-death header of a publisher that contains anything but
    tables, or a count for this queue and reason that is no integer.
    """
    deaths = (message.properties.headers or {}).get(_X_DEATH)
    if not isinstance(deaths, list | tuple):
        return True
    return all(
        isinstance(death, Mapping)
        and (
            (death.get("queue"), death.get("reason")) != (queue, reason)
            or is_integer(death.get("count", 0))
        )
        for death in deaths
    )


def is_cycle(message: Message, queue: str) -> bool:
    """Return whether a dead letter was in a queue before, and no consumer has rejected it since."""
    for death in _deaths((message.properties.headers or {}).get(_X_DEATH)):
        if death.get("reason") == Reason.REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False


def _deaths(value: FieldValue) -> list[_Death]:
    if not isinstance(value, list | tuple):
        return []
    return [death for death in value if isinstance(death, Mapping)]


def _with_death(death: dict[str, FieldValue], earlier: list[_Death]) -> list[FieldValue]:
    """Add a death before the earlier ones, or increment the count of the same death."""
    grouped = _grouped(earlier)
    is_same = _like(death)
    others: list[FieldValue] = [each for each in grouped if not is_same(each)]
    same = next((each for each in grouped if is_same(each)), None)
    if same is None:
        return [sorted_table(death), *others]
    count = same.get("count")
    assert count is None or isinstance(count, int)
    return [sorted_table({**same, "count": Int64(1 if count is None else count + 1)}), *others]


def _grouped(deaths: list[_Death]) -> list[_Death]:
    """Keep one death for each queue and reason.

    RabbitMQ: the order is reversed if there are several deaths; a single one stays as it is.
    """
    if len(deaths) == 1:
        return deaths
    groups: list[_Death] = []
    for death in deaths:
        is_same = _like(death)
        if not any(is_same(group) for group in groups):
            if "count" not in death:
                times = sum(is_same(other) for other in deaths)
                death = {"count": Int64(times), **death}
            groups.insert(0, death)
    return groups


def _like(death: _Death) -> Callable[[_Death], bool]:
    key = (death.get("queue"), death.get("reason"))
    return lambda other: (other.get("queue"), other.get("reason")) == key
