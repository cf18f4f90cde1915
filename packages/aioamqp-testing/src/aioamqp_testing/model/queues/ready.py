"""Ready messages: those of a queue that wait for a consumer."""

import heapq
from collections.abc import Callable

from ..messages.message import Message, QueuedMessage


class ReadyMessages:
    """The ready messages of a queue, by level, and by position within one level."""

    __slots__ = ("_body_bytes", "_heap")

    def __init__(self) -> None:
        self._body_bytes = 0
        self._heap: list[tuple[int, int, QueuedMessage]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def head(self) -> QueuedMessage | None:
        """The next message, or None."""
        return self._heap[0][2] if self._heap else None

    @property
    def messages(self) -> list[Message]:
        """All messages, the next one first."""
        return [queued.message for _, _, queued in sorted(self._heap)]

    def exceeds(
        self,
        max_messages: int | None,
        max_bytes: int | None,
        more_messages: int = 0,
        more_bytes: int = 0,
    ) -> bool:
        """Return whether there are too many messages, or too many bytes in their bodies.

        Args:
            max_messages: the limit for messages, if there is one.
            max_bytes: the limit for bytes, if there is one.
            more_messages: messages that count as if they were here.
            more_bytes: the bytes in their bodies.
        """
        count, size = len(self._heap) + more_messages, self._body_bytes + more_bytes
        return (max_messages is not None and count > max_messages) or (
            max_bytes is not None and size > max_bytes
        )

    def push(self, queued: QueuedMessage) -> None:
        """Add a message at its position."""
        self._body_bytes += len(queued.message.body)
        heapq.heappush(self._heap, (queued.level, queued.position, queued))

    def pop(self) -> QueuedMessage:
        """Remove and return the next message."""
        queued = heapq.heappop(self._heap)[2]
        self._body_bytes -= len(queued.message.body)
        return queued

    def keep(self, is_kept: Callable[[QueuedMessage], bool]) -> list[Message]:
        """Drop all messages but some, and return the dropped ones."""
        queued = [item[2] for item in self._heap]
        self.clear()
        for each in filter(is_kept, queued):
            self.push(each)
        return [each.message for each in queued if not is_kept(each)]

    def clear(self) -> int:
        """Drop all messages, and return how many there were."""
        count = len(self._heap)
        self._heap.clear()
        self._body_bytes = 0
        return count
