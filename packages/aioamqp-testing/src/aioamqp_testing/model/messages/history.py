"""What became of messages: from publishing to whatever settled them."""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .message import Message

_MOST_MESSAGES: Final = 10_000
_MOST_OCTETS: Final = 64 * 2**20  # of bodies
_MOST_EVENTS: Final = 100  # of a message; one that is requeued for ever has no end of them


class Happened(Enum):
    """What can happen to a message; the value says it, given where and to whom."""

    PUBLISHED = "published by {who}"
    ROUTED = "routed to queue {where}"
    UNROUTED = "routed nowhere"
    REFUSED = "refused by queue {where!r}, which is full"
    DELIVERED = "delivered from queue {where!r} to {who}"
    CONSUMED = "delivered from queue {where!r} to {who}, who need not acknowledge it"
    FETCHED = "fetched from queue {where!r} by {who}"
    TAKEN = "fetched from queue {where!r} by {who}, who need not acknowledge it"
    ACKED = "acknowledged to queue {where!r}"
    REJECTED = "rejected to queue {where!r}"
    REQUEUED = "back in queue {where!r}"
    DROPPED = "dropped from queue {where!r}: {who}"
    DEAD_LETTERED = "dead-lettered from queue {where!r}: {who}"
    PURGED = "purged from queue {where!r}"
    LOST = "lost with queue {where!r}"


Noted: TypeAlias = "tuple[Happened, str | list[str], str]"
"""An event as the model notes it, which is cheaper than an ``Event``."""


class Event(NamedTuple):
    """Something that happened to a message.

    Attributes:
        what: happened.
        where: the name of the queue; for PUBLISHED the exchange, for ROUTED the queues.
        who: a consumer, a channel or a user, or why.
    """

    what: Happened
    where: str | list[str]
    who: str = ""

    def __str__(self) -> str:
        where = self.where if isinstance(self.where, str) else ", ".join(map(repr, self.where))
        return self.what.value.format(where=where, who=self.who)


def trim(events: list[Noted]) -> None:
    """Keep of very many events the first ones and the last ones."""
    if len(events) > _MOST_EVENTS:
        del events[_MOST_EVENTS // 2 : -_MOST_EVENTS // 2]


def routed(names: list[str]) -> Noted:
    """Return to be noted to which queues a message was routed."""
    return (Happened.ROUTED, names, "") if names else (Happened.UNROUTED, "", "")


class History:
    """The messages that were published, the last ones if there are many or large ones.

    Attributes:
        forgotten: how many earlier ones there were.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        self._messages: deque[Message] = deque()
        self._octets = 0

    def add(self, message: "Message") -> None:
        """Remember a message that was published."""
        self._messages.append(message)
        self._octets += len(message.body)
        if self._octets > _MOST_OCTETS or len(self._messages) > _MOST_MESSAGES:
            self._forget()

    def _forget(self) -> None:
        while self._octets > _MOST_OCTETS or len(self._messages) > _MOST_MESSAGES:
            self._octets -= len(self._messages.popleft().body)
            self.forgotten += 1

    def __iter__(self) -> "Iterator[Message]":
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)
