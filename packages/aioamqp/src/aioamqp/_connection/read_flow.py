"""How much of what the server sent still waits for the user's callbacks."""

from collections.abc import Callable
from typing import Final

OVERHEAD: Final = 600
"""Octets that a delivery with an empty body takes, about: the objects that make it up."""


class ReadFlow:
    """Stops reading from the server when too much is waiting, and goes on when it is handled.

    While a call waits for its reply, reading goes on however much is waiting: the call may be made
    by the very callback that everything else waits for, and its reply comes over the same link.

    Args:
        limit: octets above which reading stops; it goes on below half of them.
        pause: called to stop reading.
        resume: called to go on.
    """

    __slots__ = ("_calls", "_limit", "_pause", "_resume", "is_paused", "size")

    def __init__(self, limit: int, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self._calls = 0
        self.size: int = 0
        self.is_paused: bool = False

    def add(self, octets: int) -> None:
        """Count a body that starts to wait."""
        self.size += octets + OVERHEAD
        if self.size > self._limit:
            self._settle()

    def remove(self, octets: int) -> None:
        """Count a body that waits no longer."""
        self.size -= octets + OVERHEAD
        if self.is_paused:
            self._settle()

    def call_begins(self) -> None:
        """Read on until ``call_ends``: somebody waits for a reply."""
        self._calls += 1
        if self.is_paused:
            self._settle()

    def call_ends(self) -> None:
        """Stop reading if that is only put off by this call."""
        self._calls -= 1
        if self.size > self._limit:
            self._settle()

    def _settle(self) -> None:
        if not self.is_paused and self.size > self._limit and not self._calls:
            self.is_paused = True
            self._pause()
        elif self.is_paused and (self._calls or self.size < self._limit // 2):
            self.is_paused = False
            self._resume()
