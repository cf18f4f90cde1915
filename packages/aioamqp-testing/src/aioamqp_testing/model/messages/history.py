"""The history of a virtual host: the messages that were published to it."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from .message import Message

_MAX_MESSAGES: Final = 10_000
_MAX_BYTES: Final = 64 * 2**20  # of bodies


class History:
    """The published messages, the oldest first; it drops old ones if there are too many.

    Attributes:
        forgotten: the number of messages that were dropped.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        self._messages: deque[Message] = deque()
        self._bytes = 0

    def add(self, message: Message) -> None:
        """Add a message that is published."""
        self._messages.append(message)
        self._bytes += len(message.body)
        while self._bytes > _MAX_BYTES or len(self._messages) > _MAX_MESSAGES:
            self._bytes -= len(self._messages.popleft().body)
            self.forgotten += 1

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)
