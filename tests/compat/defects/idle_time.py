"""An event loop with real sockets, whose time passes only while nobody has anything to say.

All peers live in the loop's own process, so what one sends the other has at once, and when nothing
has come for a moment, nothing will until some timer fires. So a heartbeat, a timeout or a wait for
ever takes no time to speak of, and none of them depends on how fast the machine is.
"""

import asyncio
import selectors

MOMENT = 0.005
"""Seconds of real time after which nothing is on its way any more."""

PATIENCE = 10_000
"""Turns without a pause after which a loop is taken to spin for ever."""


class NothingWillEverHappen(BaseException):
    """All tasks wait, and for nothing that is on its way."""


class SpinsForEver(BaseException):
    """Something keeps the loop busy without ever getting anywhere."""


class _Selector(selectors.DefaultSelector):
    now = 0.0
    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        must_wait = timeout is None or timeout > 0
        ready = super().select(MOMENT if must_wait else 0)
        self.turns = 0 if must_wait else self.turns + 1
        if self.turns > PATIENCE:
            self.turns = 0
            raise SpinsForEver
        if not ready and must_wait:
            if timeout is None:
                raise NothingWillEverHappen
            self.now += timeout
        return ready


class IdleTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which begins at 0."""

    def __init__(self) -> None:
        self._idle = _Selector()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now
