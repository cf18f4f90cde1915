"""An event loop in virtual time, which passes only when nothing else can happen.

A test with deadlines of an hour takes no time at all, and one that would wait forever fails at
once: nothing is ready, and no timer is set.
"""

import asyncio
import selectors


class NothingWillEverHappen(BaseException):
    """All tasks wait, and nothing will wake them."""


class _Selector(selectors.SelectSelector):
    """A selector that waits for no input, but moves the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillEverHappen
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def advance(self, seconds: float) -> None:
        """Move the time on at once, as while a callback blocks the loop."""
        self._virtual.now += seconds
