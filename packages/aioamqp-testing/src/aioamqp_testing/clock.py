"""Clocks of a broker: LoopClock for real time, ManualClock for time that a test advances."""

import asyncio
import time
from collections.abc import Callable

from .model import Clock, ManualClock, Timer

__all__ = ["Clock", "LoopClock", "ManualClock", "Timer"]


class LoopClock:
    """A clock that shows the time of the running event loop."""

    is_real = True

    def __init__(self) -> None:
        self._watchers: dict[Callable[[], object], None] = {}

    def time(self) -> float:
        """Return the time of the loop in seconds."""
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        """Return the current date, in seconds since 1970 in UTC."""
        return time.time()

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call ``action`` from the loop after so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, self._run, action)

    def _run(self, action: Callable[[], object]) -> None:
        action()
        for watcher in list(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call ``watcher`` after the action of every timer."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Stop calling ``watcher``."""
        self._watchers.pop(watcher, None)

    def advance(self, seconds: float) -> None:
        """Fail: only a manual clock can be advanced.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            f"the clock cannot be advanced by {seconds} s, because it shows real time:"
            " create the broker with FakeBroker(clock='manual')"
        )
