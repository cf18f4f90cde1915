"""Dead-lettering: what a queue gives up goes to another exchange, with a record of its deaths."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from amqp_codec import FieldValue, Int64

from ..erlang.terms import is_integer
from ..errors import BrokerError
from ..messages.headers import further_keys, sorted_table, with_headers
from ..messages.history import routed, trim
from ..messages.message import Message

if TYPE_CHECKING:
    from ..vhost import VirtualHost
    from .queue import Queue

_DEATHS: Final = "x-death"


class Reason(StrEnum):
    """Why a queue gave a message up, in the words of x-death."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    DELIVERY_LIMIT = "delivery_limit"


def publish(vhost: "VirtualHost", queue: "Queue", message: Message, reason: Reason) -> None:
    """Publish what a queue gives up to its dead-letter exchange, if it has one.

    RabbitMQ: nobody hears of it when that exchange is not there, or leads nowhere. A queue that
    the message has already died in does not get it again, unless a consumer had a hand in it.
    """
    settings = queue.settings
    exchange = vhost.exchanges.get(settings.dead_letter_exchange or "")
    if settings.dead_letter_exchange is None or exchange is None:
        return
    if not _is_countable(message, queue.name, reason):
        return
    dead = letter(
        message,
        reason,
        queue=queue.name,
        exchange=settings.dead_letter_exchange,
        routing_key=settings.dead_letter_routing_key,
        now=vhost.clock.now(),
    )
    if not exchange.name:
        try:
            vhost.reply(dead)
        except BrokerError:
            return  # RabbitMQ: its queue stumbles over an address that cannot be one
    deaths = _deaths((dead.properties.headers or {}).get(_DEATHS))
    destinations = [
        destination
        for destination in vhost.route(exchange, dead)
        if destination.takes_dead_letters
        and (reason is Reason.REJECTED or not _is_cycle(destination.name, deaths))
    ]
    trim(dead.events)
    dead.events.append(routed([destination.name for destination in destinations]))
    for destination in destinations:
        destination.bury(dead)


def letter(
    message: Message,
    reason: Reason,
    *,
    queue: str,
    exchange: str,
    routing_key: str | None,
    now: float,
) -> Message:
    """Return the message as the dead-letter exchange gets it.

    Args:
        message: as it was in the queue.
        reason: why it was given up.
        queue: the name of the queue.
        exchange: the name of the dead-letter exchange.
        routing_key: another routing key; None keeps all that the message has.
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
    earlier = headers.get(_DEATHS)
    if isinstance(earlier, list | tuple):
        headers[_DEATHS] = _recorded(death, _deaths(earlier))
    else:
        if _DEATHS not in headers:
            headers["x-first-death-reason"] = death["reason"]
            headers["x-first-death-queue"] = death["queue"]
            headers["x-first-death-exchange"] = death["exchange"]
        headers[_DEATHS] = [death]
    if routing_key is not None:
        headers.pop("CC", None)
    changed = with_headers(properties, headers)
    changed.expiration = None
    if routing_key is None:
        return replace(message, exchange=exchange, properties=changed)
    return replace(
        message, exchange=exchange, routing_key=routing_key, properties=changed, further_keys=()
    )


def _recorded(
    death: dict[str, FieldValue], earlier: list[Mapping[str, FieldValue]]
) -> list[FieldValue]:
    """Put a death in front of the earlier ones, or count it where there was one like it."""
    grouped = _grouped(earlier)
    is_same = _like(death)
    others: list[FieldValue] = [each for each in grouped if not is_same(each)]
    same = next((each for each in grouped if is_same(each)), None)
    if same is None:
        return [sorted_table(death), *others]
    count = same.get("count")
    assert count is None or isinstance(count, int)
    return [sorted_table({**same, "count": Int64(1 if count is None else count + 1)}), *others]


def _grouped(deaths: list[Mapping[str, FieldValue]]) -> list[Mapping[str, FieldValue]]:
    """Leave one death for each queue and reason.

    RabbitMQ: the order comes out reversed when there are several, and a single one stays as it is.
    """
    if len(deaths) == 1:
        return deaths
    groups: list[Mapping[str, FieldValue]] = []
    for death in deaths:
        is_same = _like(death)
        if not any(is_same(group) for group in groups):
            if "count" not in death:
                times = sum(is_same(other) for other in deaths)
                death = {"count": Int64(times), **death}
            groups.insert(0, death)
    return groups


def _like(death: Mapping[str, FieldValue]) -> Callable[[Mapping[str, FieldValue]], bool]:
    key = (death.get("queue"), death.get("reason"))
    return lambda other: (other.get("queue"), other.get("reason")) == key


def _is_countable(message: Message, queue: str, reason: Reason) -> bool:
    """Tell whether one more death can be written down.

    RabbitMQ: its queue stumbles over deaths that a publisher made up from anything but tables, and
    over a count of its own deaths that is no integer.
    """
    deaths = (message.properties.headers or {}).get(_DEATHS)
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


def _is_cycle(queue: str, deaths: Iterable[Mapping[str, FieldValue]]) -> bool:
    """Tell whether a message was in a queue before, and no consumer has rejected it since."""
    for death in deaths:
        if death.get("reason") == Reason.REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False


def _deaths(value: FieldValue) -> list[Mapping[str, FieldValue]]:
    if not isinstance(value, list | tuple):
        return []
    return [death for death in value if isinstance(death, Mapping)]
