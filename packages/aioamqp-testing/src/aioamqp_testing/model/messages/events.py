"""Events in the life of a message, from publish to acknowledgement."""

from enum import Enum
from typing import Final, NamedTuple, TypeAlias

_MAX_EVENTS: Final = 100  # of a message; a message that is requeued in a loop has no end of them


class EventType(Enum):
    """What can happen to a message; the value describes it, with a place and a subject."""

    PUBLISHED = "published by {who}"
    ROUTED = "routed to queue {where}"
    UNROUTED = "routed nowhere"
    DELAYED = "delayed by exchange {where!r} for {who}"
    REFUSED = "refused by queue {where!r}, which is full"
    DELIVERED = "delivered from queue {where!r} to {who}"
    DELIVERED_NO_ACK = "delivered from queue {where!r} to {who}, with no_ack"
    GOT = "fetched from queue {where!r} by {who}"
    GOT_NO_ACK = "fetched from queue {where!r} by {who}, with no_ack"
    ACKED = "acknowledged to queue {where!r}"
    REJECTED = "rejected to queue {where!r}"
    REQUEUED = "requeued to queue {where!r}"
    DROPPED = "dropped from queue {where!r}: {who}"
    DEAD_LETTERED = "dead-lettered from queue {where!r}: {who}"
    PURGED = "purged from queue {where!r}"
    LOST = "lost with queue {where!r}"


RawEvent: TypeAlias = "tuple[EventType, str | list[str], str]"
"""An event as the model stores it, which is cheaper than an ``Event``."""


class Event(NamedTuple):
    """Something that happened to a message; ``str(event)`` describes it.

    Attributes:
        what: the type of the event.
        where: the name of the queue; for PUBLISHED and DELAYED the exchange, for ROUTED the queues.
        who: a consumer, a channel or a user, the reason or the delay.
    """

    what: EventType
    where: str | list[str]
    who: str = ""

    def __str__(self) -> str:
        where = self.where if isinstance(self.where, str) else ", ".join(map(repr, self.where))
        return self.what.value.format(where=where, who=self.who)


def routed_event(queues: list[str]) -> RawEvent:
    """Return the event for a message that is routed to queues, or to none."""
    return (EventType.ROUTED, queues, "") if queues else (EventType.UNROUTED, "", "")


def trim_events(events: list[RawEvent]) -> None:
    """Drop events from the middle of a long list."""
    if len(events) > _MAX_EVENTS:
        del events[_MAX_EVENTS // 2 : -_MAX_EVENTS // 2]
