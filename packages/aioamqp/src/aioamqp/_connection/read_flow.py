"""Pausing and resuming the reading from the server, by what waits for the program's callbacks."""

from collections.abc import Callable
from typing import Final

READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of messages that may wait for callbacks while the connection is read from."""

OVERHEAD: Final = 600
"""Bytes that a delivery with an empty body takes, about: the objects that make it up."""


class ReadFlow:
    """Pauses reading when too many bytes wait for callbacks, and resumes it when they are handled.

    While a call waits for its reply, reading goes on however much is waiting: the call may be made
    by the very callback that everything else waits for, and its reply comes on the same connection.

    Args:
        limit: bytes above which reading is paused; it is resumed below half of them.
        pause: called to pause reading.
        resume: called to resume reading.

    Attributes:
        size: bytes that wait, with their overhead.
        is_paused: whether reading is paused.
        has_deliveries: whether anything has ever waited for a callback.
    """

    __slots__ = ("_calls", "_limit", "_pause", "_resume", "has_deliveries", "is_paused", "size")

    def __init__(self, limit: int, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self._calls = 0
        self.size: int = 0
        self.is_paused: bool = False
        self.has_deliveries: bool = False

    def add(self, size: int) -> None:
        """Count a body that waits for a callback from now on."""
        self.has_deliveries = True
        self.size += size + OVERHEAD
        if self.size > self._limit:
            self._pause_or_resume()

    def remove(self, size: int) -> None:
        """Count a body that no longer waits."""
        self.size -= size + OVERHEAD
        if self.is_paused:
            self._pause_or_resume()

    def begin_call(self) -> None:
        """Read until ``end_call``, however much waits: a call waits for its reply."""
        self._calls += 1
        if self.is_paused:
            self._pause_or_resume()

    def end_call(self) -> None:
        """Pause reading again if only the call kept it going."""
        self._calls -= 1
        if self.size > self._limit:
            self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        if not self.is_paused and self.size > self._limit and not self._calls:
            self.is_paused = True
            self._pause()
        elif self.is_paused and (self._calls or self.size < self._limit // 2):
            self.is_paused = False
            self._resume()
