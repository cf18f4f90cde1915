"""The end of the event loop, which no connection outlives."""

import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..exceptions import AmqpClosedConnection


class LoopGuard:
    """Ends a connection that the program has not closed when its event loop ends.

    ``asyncio.run`` cancels tasks in the end, but closes no transport: the socket would stay open
    until it is collected. It closes asynchronous generators, so one waits here.

    Args:
        end: called with the reason; must not wait.
    """

    def __init__(self, end: Callable[[Exception], None]) -> None:
        self._end: Callable[[Exception], None] | None = end
        self._was_open = False
        self._generator = self._wait()
        _run_to_end(self._generator.__anext__())

    def connection_lost(self) -> None:
        """Stop guarding: the connection has ended before its loop."""
        if self._end is not None:
            self._end = None
            _run_to_end(self._generator.aclose())

    async def _wait(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            end, self._end = self._end, None
            if end is not None:
                self._was_open = True
                end(AmqpClosedConnection("The event loop ended"))

    def __del__(self) -> None:
        if self._was_open:
            text = "a connection was open when its event loop ended: await protocol.close() before"
            warnings.warn(text, ResourceWarning, stacklevel=2)


def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        coroutine.send(None)
