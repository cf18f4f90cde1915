"""Dead letters: what a queue writes on a message that goes to its dead-letter exchange."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from amqp_codec import FieldValue, Int64

from ..erlang.terms import is_integer
from ..messages.headers import further_keys, sorted_table, with_headers
from ..messages.message import Message
from ..profile import Deaths

_X_DEATH: Final = "x-death"
_WHICH: Final = ("reason", "queue", "exchange")
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
    death = _death(message, reason, queue, now, further_keys(headers))
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


def dead_lettered_apart(
    message: Message,
    reason: Reason,
    *,
    queue: str,
    exchange: str,
    routing_key: str | None,
    now: float,
) -> Message:
    """Return a message as its dead-letter exchange receives it, with deaths apart from headers.

    RabbitMQ: headers such as x-death of a publisher are replaced, and never read.

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
    copies = further_keys(headers) if message.further_keys else []
    death: dict[str, FieldValue] = {}
    if properties.expiration is not None:
        death["original-expiration"] = properties.expiration
    death |= _death(message, reason, queue, now, copies)
    is_same = _like(death)
    others = [each for each in message.deaths if not is_same(each)]
    same = next(filter(is_same, message.deaths), None)
    if same is not None:
        count = same["count"]
        assert isinstance(count, int)
        death = {**same, "count": Int64(count + 1)}
    deaths = (death, *others)
    first = deaths[-1] if not message.deaths else None
    if first is not None:
        headers |= {f"x-first-death-{name}": first[name] for name in _WHICH}
    headers |= {f"x-last-death-{name}": death[name] for name in _WHICH}
    headers[_X_DEATH] = list(deaths)
    changed = with_headers(properties, headers)
    changed.expiration = None
    dead = replace(message, exchange=exchange, properties=changed, deaths=deaths)
    return dead if routing_key is None else replace(dead, routing_key=routing_key, further_keys=())


def _death(
    message: Message, reason: Reason, queue: str, now: float, copies: Iterable[str]
) -> dict[str, FieldValue]:
    """Return a new entry of ``x-death``; ``copies`` are the routing keys besides the message's."""
    return {
        "count": Int64(1),
        "reason": str(reason),
        "queue": queue,
        "time": datetime.fromtimestamp(int(now), UTC),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key, *copies],
    }


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


def is_cycle(deaths: Iterable[_Death], queue: str) -> bool:
    """Return whether a dead letter was in a queue before, and no consumer has rejected it since."""
    for death in deaths:
        if death.get("reason") == Reason.REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False


def _is_always_countable(message: Message, queue: str, reason: Reason) -> bool:
    del message, queue, reason
    return True


class AddDeath(Protocol):
    """Returns a message as its dead-letter exchange receives it, as ``dead_lettered`` does."""

    def __call__(
        self,
        message: Message,
        reason: Reason,
        *,
        queue: str,
        exchange: str,
        routing_key: str | None,
        now: float,
    ) -> Message:
        """Add a death to a message."""
        ...


@dataclass(frozen=True, slots=True)
class Keeper:
    """A place where deaths are kept.

    Attributes:
        accepts: whether one more death can be added.
        add: returns a message with one more death.
        deaths: the deaths of a message, the last first.
    """

    accepts: Callable[[Message, str, Reason], bool]
    add: AddDeath
    deaths: Callable[[Message], Iterable[_Death]]


KEEPERS: Final[Mapping[Deaths, Keeper]] = {
    Deaths.IN_HEADERS: Keeper(
        is_countable,
        dead_lettered,
        lambda message: _deaths((message.properties.headers or {}).get(_X_DEATH)),
    ),
    Deaths.APART: Keeper(_is_always_countable, dead_lettered_apart, lambda message: message.deaths),
}
"""The places, by the name in a profile."""


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
