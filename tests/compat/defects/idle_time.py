"""An event loop with real sockets and a clock that advances only while the loop is idle.

All peers run in the same process, so sent data arrives at once. When no data has arrived for a moment,
nothing happens until the next timer, and the clock is advanced to it. So a heartbeat or a timeout takes
almost no time and does not depend on the speed of the machine.
"""

import asyncio
import selectors

MOMENT = 0.005
"""Seconds of real time without data after which the loop is idle."""

MAX_BUSY_ITERATIONS = 10_000
"""Iterations without a pause after which a loop is considered busy forever."""


class Deadlock(BaseException):
    """All tasks wait, but there is no data and no timer."""


class BusyLoop(BaseException):
    """The loop is always busy, so that its clock cannot advance."""


class _Selector(selectors.DefaultSelector):
    now = 0.0
    busy_iterations = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        must_wait = timeout is None or timeout > 0
        ready = super().select(MOMENT if must_wait else 0)
        self.busy_iterations = 0 if must_wait else self.busy_iterations + 1
        if self.busy_iterations > MAX_BUSY_ITERATIONS:
            self.busy_iterations = 0
            raise BusyLoop
        if not ready and must_wait:
            if timeout is None:
                raise Deadlock
            self.now += timeout
        return ready


class IdleTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with its own clock, which starts at 0."""

    def __init__(self) -> None:
        self._idle = _Selector()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now
