"""The messages of a queue that wait for a consumer."""

import heapq
from collections.abc import Callable

from ..messages.message import Message, QueuedMessage


class ReadyMessages:
    """Messages that are ready: by level, and in the order of their positions within one.

    Attributes:
        octets: what their bodies have together.
    """

    __slots__ = ("_heap", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self._heap: list[tuple[int, int, QueuedMessage]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def head(self) -> QueuedMessage | None:
        """The next message, None when there is none."""
        return self._heap[0][2] if self._heap else None

    @property
    def messages(self) -> list[Message]:
        """All of them, the next one first."""
        return [queued.message for _, _, queued in sorted(self._heap)]

    def push(self, queued: QueuedMessage) -> None:
        """Put a message to its place."""
        self.octets += len(queued.message.body)
        heapq.heappush(self._heap, (queued.level, queued.position, queued))

    def pop(self) -> QueuedMessage:
        """Take the next one out."""
        queued = heapq.heappop(self._heap)[2]
        self.octets -= len(queued.message.body)
        return queued

    def keep(self, is_kept: Callable[[QueuedMessage], bool]) -> list[Message]:
        """Drop all but some, and return what was dropped."""
        queued = [item[2] for item in self._heap]
        self.clear()
        for each in filter(is_kept, queued):
            self.push(each)
        return [each.message for each in queued if not is_kept(each)]

    def clear(self) -> int:
        """Drop all, and return how many there were."""
        count = len(self._heap)
        self._heap.clear()
        self.octets = 0
        return count
