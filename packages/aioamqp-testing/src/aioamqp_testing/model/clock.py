"""Clocks: the broker reads the time only from the clock that it was given."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol


class Timer(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> None:
        """Cancel the call; nothing happens if it was made already."""


class Clock(Protocol):
    """What the broker needs from a clock."""

    @property
    def is_real(self) -> bool:
        """Whether its time passes by itself."""
        ...

    def time(self) -> float:
        """Return the seconds since a fixed time; they never decrease."""
        ...

    def now(self) -> float:
        """Return the date in seconds since 1970 in UTC."""
        ...

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call an action once after a number of seconds."""
        ...


class _ManualTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class ManualClock:
    """A clock that stands still until ``advance`` is called.

    Args:
        start: the date at the start, in seconds since 1970 in UTC; the default is the year 2000.
    """

    is_real = False

    def __init__(self, start: float = 946684800.0) -> None:
        self._start = start
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []
        self._watchers: dict[Callable[[], object], None] = {}

    def time(self) -> float:
        """Return the seconds that the clock was advanced by so far."""
        return self._now

    def now(self) -> float:
        """Return the date at the start plus the seconds that the clock was advanced by."""
        return self._start + self._now

    @property
    def next_due(self) -> float | None:
        """The seconds until the next timer; None without timers."""
        pending = (when for when, _, timer in list(self._timers) if timer.action is not None)
        when = min(pending, default=None)
        return None if when is None else when - self._now

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call an action when the clock is advanced by that many seconds or more."""
        timer = _ManualTimer(action)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Advance the clock, and call all timers on the way, in order, each at its own time.

        Args:
            seconds: not negative; 0 calls the timers of the present time.
        """
        if seconds < 0:
            raise ValueError(f"time only goes forward: advance by 0 or more seconds, not {seconds}")
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.action is not None:
                timer.action()
        self._now = end
        for watcher in list(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call a function after each ``advance``, when all timers were called."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Stop calling the function."""
        self._watchers.pop(watcher, None)
