"""Whose turn it is among the consumers of a queue."""

from collections import deque

from .consumer import Consumer


class RoundRobin:
    """The consumers that are ready for more: high priorities first, equal ones in strict turns."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: dict[int, deque[Consumer]] = {}  # by priority, the highest one first

    def __bool__(self) -> bool:
        return any(self._levels.values())

    def append(self, consumer: Consumer) -> None:
        """Let a consumer have a turn after all others of its priority."""
        level = self._levels.get(consumer.priority)
        if level is None:
            level = self._levels[consumer.priority] = deque()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        level.append(consumer)

    def popleft(self) -> Consumer:
        """Return the next one; its turn is over then."""
        for level in self._levels.values():
            if level:
                return level.popleft()
        raise IndexError("nobody is ready for more")

    def remove(self, consumer: Consumer) -> None:
        """Take a consumer out, if it is there."""
        level = self._levels.get(consumer.priority, deque())
        if consumer in level:
            level.remove(consumer)

    def clear(self) -> None:
        """Take all of them out."""
        self._levels.clear()
