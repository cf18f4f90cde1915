"""The clocks a broker can have: real time, or a time that a test moves."""

import asyncio
import time
from collections.abc import Callable

from .model import Clock, ManualClock, Timer

__all__ = ["Clock", "LoopClock", "ManualClock", "Timer"]


class LoopClock:
    """The time of the running event loop."""

    def __init__(self) -> None:
        self._watchers: dict[Callable[[], object], None] = {}

    def time(self) -> float:
        """Return the loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        """Return what the machine takes for the date, in seconds since 1970 in UTC."""
        return time.time()

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call the action from the loop."""
        return asyncio.get_running_loop().call_later(seconds, self._act, action)

    def _act(self, action: Callable[[], object]) -> None:
        action()
        for watcher in list(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call something whenever a timer was due, behind what happened then."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call it no more."""
        self._watchers.pop(watcher, None)

    def advance(self, seconds: float) -> None:
        """Refuse: this clock goes by itself.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            f"only a manual clock can be advanced by {seconds} s:"
            " make the broker with FakeBroker(clock='manual')"
        )
