"""An event loop whose time passes only when nothing else can happen.

A test with deadlines of an hour takes no time at all, and one that waits for what never comes
fails at once: nothing is ready and no timer is set.
"""

import asyncio
import selectors


class NothingWillEverHappen(BaseException):
    """All tasks wait, and for nothing that is on its way."""


class _Selector(selectors.SelectSelector):
    """Does not wait for input, of which there is none, but lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillEverHappen
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which begins at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now
