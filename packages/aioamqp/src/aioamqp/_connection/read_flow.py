"""Pausing and resuming the reading from the server, by what waits for the program's callbacks."""

import sys
from collections.abc import Callable
from typing import Final

READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of messages that may wait for callbacks while the connection is read from."""

HARD_FACTOR: Final = 4
"""How many times the limit may wait while calls wait for replies: 64 MiB."""

LEAST_COUNT: Final = 16
"""Bodies that may wait then, however large they are: their number is limited by basic.qos."""

OVERHEAD: Final = 600
"""Bytes that a delivery with an empty body takes, about: the objects that make it up."""


class ReadFlow:
    """Pauses reading when too many bytes wait for callbacks, and resumes it when they are handled.

    While a call waits for its reply, reading goes on up to HARD_FACTOR times the limit, or
    LEAST_COUNT bodies: the call
    may be made by the very callback that everything else waits for, and its reply comes on the same
    connection. Above that reading is paused in any case, since a peer must not fill the memory.

    Args:
        limit: bytes above which reading is paused; it is resumed below half of them.
        pause: called to pause reading.
        resume: called to resume reading.
        on_stopped: called when it is paused although calls wait for their replies.

    Attributes:
        size: bytes that wait, with their overhead.
        is_paused: whether reading is paused.
        added: how many bodies have had to wait, since the beginning.
        handled: how many of them no longer wait.
    """

    __slots__ = (
        "_calls",
        "_hard_limit",
        "_limit",
        "_on_stopped",
        "_pause",
        "_resume",
        "added",
        "handled",
        "is_paused",
        "size",
    )

    def __init__(
        self,
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_stopped: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._hard_limit = limit * HARD_FACTOR
        self._on_stopped = on_stopped
        self.handled: int = 0
        self._pause = pause
        self._resume = resume
        self._calls = 0
        self.size: int = 0
        self.is_paused: bool = False
        self.added: int = 0

    def add(self, size: int) -> None:
        """Count a body that waits for a callback from now on."""
        self.added += 1
        self.size += size + OVERHEAD
        if self.size > self._limit:
            self._pause_or_resume()

    def remove(self, size: int) -> None:
        """Count a body that no longer waits."""
        self.size -= size + OVERHEAD
        self.handled += 1
        if self.is_paused:
            self._pause_or_resume()

    def begin_call(self) -> None:
        """Read up to the higher limit until ``end_call``: a call waits for its reply."""
        self._calls += 1
        if self.is_paused:
            self._pause_or_resume()

    def end_call(self) -> None:
        """Pause reading again if only the call kept it going."""
        self._calls -= 1
        if self.size > self._limit:
            self._pause_or_resume()

    @property
    def is_stopped(self) -> bool:
        """Whether reading is paused although calls wait for their replies."""
        return self.is_paused and self._calls > 0

    def lift(self) -> None:
        """Read however much waits: the connection has failed, and nothing is added any longer."""
        self._limit = self._hard_limit = sys.maxsize
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        if not self.is_paused:
            if self._is_too_much() if self._calls else self.size > self._limit:
                self.is_paused = True
                self._pause()
        elif not self._is_too_much() if self._calls else self.size < self._limit // 2:
            self.is_paused = False
            self._resume()
        if self.is_stopped:
            self._on_stopped()

    def _is_too_much(self) -> bool:
        return self.size > self._hard_limit and self.added - self.handled > LEAST_COUNT
