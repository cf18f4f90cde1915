"""The end of the event loop, which a connection may not outlive."""

import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..exceptions import AmqpClosedConnection


class LoopGuard:
    """Ends a connection together with its event loop if the program has not closed it.

    Tasks are cancelled when ``asyncio.run`` ends, but nobody closes a transport, whose socket would
    stay open until it is collected. Asynchronous generators are closed, so one waits here.

    Args:
        cut: called with the reason; must not wait.
    """

    def __init__(self, cut: Callable[[Exception], None]) -> None:
        self._cut: Callable[[Exception], None] | None = cut
        self._was_open = False
        self._generator = self._wait()
        _step(self._generator.__anext__())

    def forget(self) -> None:
        """Do nothing when the loop ends: the connection has ended before."""
        if self._cut is not None:
            self._cut = None
            _step(self._generator.aclose())

    async def _wait(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            cut, self._cut = self._cut, None
            if cut is not None:
                self._was_open = True
                cut(AmqpClosedConnection("The event loop ended"))

    def __del__(self) -> None:
        if self._was_open:
            text = "a connection was open when its event loop ended: await protocol.close() before"
            warnings.warn(text, ResourceWarning, stacklevel=2)


def _step(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what does not wait for anything."""
    with suppress(StopIteration):
        coroutine.send(None)
