"""Ready messages: those of a queue that wait for a consumer."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

from ..messages.message import Message, QueuedMessage
from ..profile import Priorities

_HIGH: Final = -1  # the level of messages of a high priority, if there are two classes
_USUAL: Final = 4  # higher priorities are high ones
_HIGHEST: Final = 31  # higher priorities are the same as this one
_TURNS: Final = 3  # of which the last one is that of the lower class


class ReadyMessages:
    """The ready messages of a queue, by level, and by position within one level.

    A message at the tail is stored as it is if nothing else has to be known of it, and gets its
    position when it is removed: a message in a thousand queues is one object in all of them.

    Args:
        new: makes the record of a message that is removed.
        size_of: returns the bytes of a message that count for a limit; else those of its body.
    """

    __slots__ = ("_bytes", "_first", "_new", "_size_of", "_tail")

    def __init__(
        self,
        new: Callable[[Message], QueuedMessage],
        size_of: Callable[[QueuedMessage | Message], int] | None = None,
    ) -> None:
        self._new = new
        self._size_of = size_of or _body_size
        self._bytes = 0
        # before the tail: lower levels, and messages that were removed from the tail and put back
        self._first: list[tuple[int, int, QueuedMessage]] = []
        self._tail: deque[QueuedMessage | Message] = deque()

    def __len__(self) -> int:
        return len(self._first) + len(self._tail)

    @property
    def expires_at(self) -> float | None:
        """The time at which the next message expires; None if it does not, or there is none."""
        if self._first:
            return self._first[0][2].expires_at
        if self._tail:
            head = self._tail[0]
            return head.expires_at if isinstance(head, QueuedMessage) else None
        return None

    def __iter__(self) -> Iterator[QueuedMessage | Message]:
        for _, _, queued in sorted(self._first):
            yield queued
        yield from self._tail

    @property
    def messages(self) -> list[Message]:
        """All messages, the next one first."""
        return [_message_of(each) for each in self]

    def measure(self) -> None:
        """Count the bytes again, because other ones count now."""
        self._bytes = sum(map(self._size_of, self))

    def exceeds(
        self,
        max_messages: int | None,
        max_bytes: int | None,
        more_messages: int = 0,
        more_bytes: int = 0,
    ) -> bool:
        """Return whether there are too many messages, or too many bytes.

        Args:
            max_messages: the limit for messages, if there is one.
            max_bytes: the limit for bytes, if there is one.
            more_messages: messages that count as if they were here.
            more_bytes: their bytes.
        """
        return (max_messages is not None and len(self) + more_messages > max_messages) or (
            max_bytes is not None and self._bytes + more_bytes > max_bytes
        )

    def append(self, message: Message) -> None:
        """Add a message of level 0 that does not expire, at the tail."""
        self._bytes += self._size_of(message)
        self._tail.append(message)

    def append_queued(self, queued: QueuedMessage) -> None:
        """Add a message at the tail of its level."""
        if queued.level:
            self.put_back(queued)
        else:
            self._bytes += self._size_of(queued)
            self._tail.append(queued)

    def put_back(self, queued: QueuedMessage) -> None:
        """Add a message at its position, before all messages at the tail."""
        self._bytes += self._size_of(queued)
        heapq.heappush(self._first, (queued.level, queued.position, queued))

    def pop(self) -> QueuedMessage:
        """Remove and return the next message."""
        if self._first:
            queued = heapq.heappop(self._first)[2]
        else:
            head = self._tail.popleft()
            queued = self._new(_message_of(head))
            if isinstance(head, QueuedMessage):
                head.position = queued.position
                queued = head
        self._bytes -= self._size_of(queued)
        return queued

    def pop_expiring(self) -> QueuedMessage:
        """Remove and return the message whose time is ``expires_at``."""
        return self.pop()

    def count_removal(self) -> None:
        """Count a message that leaves, or that a consumer gets at once without being ready."""

    def is_only(self, level: int) -> bool:
        """Return whether there is one message, of those whose expiry depends on one another."""
        del level
        return len(self) == 1

    def keep(self, is_kept: Callable[[Message], bool]) -> list[Message]:
        """Drop all messages but some, and return the dropped ones."""
        dropped = [message for message in self.messages if not is_kept(message)]
        self._first = [each for each in self._first if is_kept(each[2].message)]
        heapq.heapify(self._first)
        self._tail = deque(each for each in self._tail if is_kept(_message_of(each)))
        self.measure()
        return dropped

    def mark_redelivered(self) -> None:
        """Mark all messages as redelivered."""
        self._tail = deque(
            each if isinstance(each, QueuedMessage) else self._new(each) for each in self._tail
        )
        for queued in self:
            assert isinstance(queued, QueuedMessage)
            queued.redelivered = True

    def clear(self) -> int:
        """Drop all messages, and return how many there were."""
        count = len(self)
        self._first.clear()
        self._tail.clear()
        self._bytes = 0
        return count


class TwoClasses(ReadyMessages):
    """Ready messages of two priorities, of which the higher one is delivered twice as often."""

    __slots__ = ("_turn",)

    def __init__(
        self,
        new: Callable[[Message], QueuedMessage],
        size_of: Callable[[QueuedMessage | Message], int] | None = None,
    ) -> None:
        super().__init__(new, size_of)
        self._turn = 0

    @property
    def expires_at(self) -> float | None:
        """The time at which the next message expires; None if it does not, or there is none."""
        if self._is_turn_of_tail():
            head = self._tail[0]
            return head.expires_at if isinstance(head, QueuedMessage) else None
        return super().expires_at

    def pop(self) -> QueuedMessage:
        """Remove and return the next message."""
        is_returned = bool(self._first) and self._first[0][0] < _HIGH
        first: list[tuple[int, int, QueuedMessage]] = []
        if self._is_turn_of_tail():
            first, self._first = self._first, first
        popped = super().pop()
        self._first = first or self._first
        if not is_returned:
            self.count_removal()
        return popped

    def count_removal(self) -> None:
        """Count a message that leaves, or that a consumer gets at once: the classes take turns."""
        self._turn = (self._turn + 1) % _TURNS

    def _is_turn_of_tail(self) -> bool:
        is_high = bool(self._first) and self._first[0][0] == _HIGH
        return is_high and bool(self._tail) and self._turn == _TURNS - 1


class StrictPriorities(ReadyMessages):
    """Ready messages of many priorities: those of the highest one are delivered first.

    RabbitMQ: the first message of each priority expires, whatever is before it.
    """

    __slots__ = ("_levels",)

    def __init__(
        self,
        new: Callable[[Message], QueuedMessage],
        size_of: Callable[[QueuedMessage | Message], int] | None = None,
    ) -> None:
        super().__init__(new, size_of)
        self._levels: dict[int, deque[QueuedMessage]] = {}  # without empty ones, and the tail

    def __len__(self) -> int:
        return sum(map(len, self._levels.values())) + len(self._tail)

    def __iter__(self) -> Iterator[QueuedMessage | Message]:
        for level in sorted(self._levels):
            yield from self._levels[level]
        yield from self._tail

    @property
    def expires_at(self) -> float | None:
        """The time at which the next of the first messages expires; None if none of them does."""
        times = [level[0].expires_at for level in self._levels.values()]
        times.append(super().expires_at)
        return min((time for time in times if time is not None), default=None)

    def pop_expiring(self) -> QueuedMessage:
        """Remove and return the message whose time is ``expires_at``."""
        expires_at = self.expires_at
        for level, messages in self._levels.items():
            if messages[0].expires_at == expires_at:
                return self._pop_from(level)
        return super().pop()

    def is_only(self, level: int) -> bool:
        """Return whether there is one message of a level."""
        return len(self._levels.get(level, ()) if level else self._tail) == 1

    def put_back(self, queued: QueuedMessage) -> None:
        """Add a message behind those of its level."""
        self._bytes += self._size_of(queued)
        self._levels.setdefault(queued.level, deque()).append(queued)

    def pop(self) -> QueuedMessage:
        """Remove and return the next message."""
        return self._pop_from(min(self._levels)) if self._levels else super().pop()

    def _pop_from(self, level: int) -> QueuedMessage:
        messages = self._levels[level]
        queued = messages.popleft()
        if not messages:
            del self._levels[level]
        self._bytes -= self._size_of(queued)
        return queued

    def keep(self, is_kept: Callable[[Message], bool]) -> list[Message]:
        """Drop all messages but some, and return the dropped ones."""
        kept = {
            level: deque(each for each in messages if is_kept(each.message))
            for level, messages in self._levels.items()
        }
        dropped = [each.message for each in self._all_queued() if not is_kept(each.message)]
        self._levels = {level: messages for level, messages in kept.items() if messages}
        return dropped + super().keep(is_kept)

    def _all_queued(self) -> Iterator[QueuedMessage]:
        return chain.from_iterable(self._levels[level] for level in sorted(self._levels))

    def clear(self) -> int:
        """Drop all messages, and return how many there were."""
        count = len(self)
        self._levels.clear()
        super().clear()
        return count


READY: Final[Mapping[Priorities, type[ReadyMessages]]] = {
    Priorities.NONE: ReadyMessages,
    Priorities.TWO_CLASSES: TwoClasses,
    Priorities.STRICT: StrictPriorities,
}
"""The ready messages of quorum queues, by the name in a profile."""

LEVELS: Final[Mapping[Priorities, Callable[[int], int]]] = {
    Priorities.NONE: lambda priority: 0 * priority,
    Priorities.TWO_CLASSES: lambda priority: _HIGH if priority > _USUAL else 0,
    Priorities.STRICT: lambda priority: -min(priority, _HIGHEST),
}
"""The level of a message in a quorum queue, by the name in a profile."""


def _body_size(entry: QueuedMessage | Message) -> int:
    return len(_message_of(entry).body)


def _message_of(entry: QueuedMessage | Message) -> Message:
    return entry.message if isinstance(entry, QueuedMessage) else entry
