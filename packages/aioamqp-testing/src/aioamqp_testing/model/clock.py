"""Time, which the broker never reads by itself: it asks the clock it was given."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol


class Timer(Protocol):
    """Something that will happen, unless it is cancelled."""

    def cancel(self) -> None:
        """Make it not happen; without effect when it has happened."""


class Clock(Protocol):
    """What the broker needs of time."""

    def time(self) -> float:
        """Return the seconds since some fixed moment; it only goes forward."""
        ...

    def now(self) -> float:
        """Return what the date is, in seconds since 1970 in UTC."""
        ...

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call the action once after so many seconds."""
        ...


class _ManualTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class ManualClock:
    """A clock that stands still until it is told to advance.

    Args:
        start: the date at first, in seconds since 1970 in UTC; the start of 2000 unless it matters.
    """

    def __init__(self, start: float = 946684800.0) -> None:
        self._start = start
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []
        self._watchers: dict[Callable[[], object], None] = {}

    def time(self) -> float:
        """Return the seconds it has been advanced so far."""
        return self._now

    def now(self) -> float:
        """Return the date it started at, and as many seconds later as it has been advanced."""
        return self._start + self._now

    @property
    def next_due(self) -> float | None:
        """Seconds to advance until something is due; None when nothing ever will be."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] - self._now if self._timers else None

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call the action when the clock is advanced past that moment."""
        timer = _ManualTimer(action)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass: everything due happens in its order, each thing at its own moment.

        Args:
            seconds: not negative. 0 lets happen what is due now.
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
        """Call something whenever time has passed, behind all that happened meanwhile."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call it no more."""
        self._watchers.pop(watcher, None)
