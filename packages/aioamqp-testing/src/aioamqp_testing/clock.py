"""Clocks of a broker: LoopClock for real time, ManualClock for time that a test advances."""

import asyncio
import heapq
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple

from .model import Clock, ManualClock, Timer
from .threads import BrokerLock, call_in, running_loop

__all__ = ["Clock", "LoopClock", "ManualClock", "Timer"]


class _LoopTimer:
    """A timer of a LoopClock; without an action it is cancelled or was called."""

    __slots__ = ("action", "clock")

    def __init__(self, clock: "LoopClock", action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action
        self.clock = clock

    def cancel(self) -> None:
        """Cancel the call; nothing happens if it was made already."""
        self.action = None
        self.clock.timer_cancelled(self)


class _WakeUp(NamedTuple):
    """When a loop wakes up, and the handle for it unless that is of an earlier request."""

    when: float
    handle: asyncio.TimerHandle | None


class LoopClock:
    """A clock that shows the time of the running event loop.

    Its timers belong to no loop: every loop that has worked in the broker wakes up for the next
    timer, and the first one runs it. So timers survive the loop that began them. What is overdue
    because no loop was running is run when a thread without a loop enters the broker.

    Args:
        lock: of the broker, which is held while timers run.
    """

    is_real = True

    def __init__(self, lock: BrokerLock) -> None:
        self._lock = lock
        self._order = count()
        self._timers: list[tuple[float, int, _LoopTimer]] = []
        self._wake_ups: dict[asyncio.AbstractEventLoop, _WakeUp | None] = {}
        self._watchers: dict[Callable[[], object], None] = {}

    def time(self) -> float:
        """Return the time of the running loop, or what it would be, in seconds."""
        loop = running_loop()
        return time.monotonic() if loop is None else loop.time()

    def now(self) -> float:
        """Return the current date, in seconds since 1970 in UTC."""
        return time.time()

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call ``action`` from any loop after so many seconds."""
        timer = _LoopTimer(self, action)
        with self._lock:
            entry = (self.time() + seconds, next(self._order), timer)
            heapq.heappush(self._timers, entry)
            if self._timers[0] is entry:
                self._plan()
        return timer

    def timer_cancelled(self, timer: _LoopTimer) -> None:
        """Wake up later if this was the next timer."""
        with self._lock:
            if self._timers and self._timers[0][2] is timer:
                self._plan()

    @property
    def loops(self) -> list[asyncio.AbstractEventLoop]:
        """The loops that wake up for the next timer."""
        return list(self._wake_ups)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake up this loop too, from now on, and no longer those that are closed."""
        self._wake_ups = {each: at for each, at in self._wake_ups.items() if not each.is_closed()}
        if loop not in self._wake_ups:
            self._wake_ups[loop] = None
            self._plan()

    def detach(self) -> None:
        """Wake up no loop until it works in the broker again."""
        here = running_loop()
        for loop, wake_up in self._wake_ups.items():
            if loop is here and wake_up is not None and wake_up.handle is not None:
                wake_up.handle.cancel()
        self._wake_ups.clear()

    def run_due(self) -> None:
        """Run the timers that are due, and then the watchers."""
        now = self.time()
        has_run = False
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            action, timer.action = timer.action, None
            if action is not None:
                has_run = True
                action()
        if has_run:
            self._plan()
            for watcher in list(self._watchers):
                watcher()

    def _plan(self) -> None:
        """Make every loop wake up for the next timer."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        when = self._timers[0][0] if self._timers else None
        here = running_loop()
        for loop, wake_up in list(self._wake_ups.items()):
            if loop is here:
                self._plan_here(loop, wake_up, when)
            elif when is not None and (wake_up is None or when < wake_up.when):
                handle = None if wake_up is None else wake_up.handle
                self._wake_ups[loop] = _WakeUp(when, handle)
                if not call_in(loop, partial(self._plan_there, loop)):
                    del self._wake_ups[loop]  # it is closed

    def _plan_here(
        self, loop: asyncio.AbstractEventLoop, wake_up: _WakeUp | None, when: float | None
    ) -> None:
        if wake_up is not None and wake_up.handle is not None:
            if wake_up.handle.when() == when:
                return
            wake_up.handle.cancel()
        self._wake_ups[loop] = (
            None if when is None else _WakeUp(when, loop.call_at(when, self._wake, loop))
        )

    def _plan_there(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if loop in self._wake_ups:
                when = self._timers[0][0] if self._timers else None
                self._plan_here(loop, self._wake_ups[loop], when)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if loop in self._wake_ups:
                self._wake_ups[loop] = None
                self.run_due()
                self._plan()

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
