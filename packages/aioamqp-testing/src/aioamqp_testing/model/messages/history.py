"""The history of a virtual host: the messages that were published to it."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from .message import Message

_MAX_MESSAGES: Final = 10_000
_MAX_BYTES: Final = 64 * 2**20  # of bodies, and of copies in queues
_COPY: Final = 64  # bytes that a copy counts: its events are kept


class History:
    """The published messages, the oldest first; it drops old ones if there are too many.

    Attributes:
        forgotten: the number of messages that were dropped.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        self._messages: deque[Message] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def add(self, message: Message, copies: int = 0) -> None:
        """Add a message that is published.

        Args:
            message: the message.
            copies: the number of queues that it is routed to.
        """
        size = len(message.body) + copies * _COPY
        self._messages.append(message)
        self._sizes.append(size)
        self._bytes += size
        while self._bytes > _MAX_BYTES or len(self._messages) > _MAX_MESSAGES:
            self._messages.popleft()
            self._bytes -= self._sizes.popleft()
            self.forgotten += 1

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)
