"""Whether the server takes messages. RabbitMQ: connection-blocked.html."""

import asyncio

from ..callbacks import BlockedCallback, CallbackQueue
from ..exceptions import AmqpClosedConnection, reason


class Blocked:
    """Knows whether the server, short of memory or disk, has stopped reading from the connection.

    RabbitMQ says so only when something is published, and reads nothing more until it says that it
    does again: neither acknowledgements nor calls. Meanwhile messages are not written, so that they
    are not lost if the connection ends: whoever publishes waits.

    Args:
        callbacks: runs the callbacks.

    Attributes:
        reason: why the server takes nothing; None while it does.
        on_change: called with the ``reason`` whenever the server blocks the connection, and with
            None when it goes on; a coroutine function or a plain one.
    """

    def __init__(self, callbacks: CallbackQueue) -> None:
        self.reason: str | None = None
        self.on_change: BlockedCallback | None = None
        self._callbacks = callbacks
        self._waiters: dict[asyncio.Future[None], bool] = {}
        self._failure: Exception | None = None

    def __bool__(self) -> bool:
        return self.reason is not None

    async def wait(self) -> None:
        """Wait until the connection is blocked.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, or has ended.
        """
        await self._wait_until(True)

    async def wait_over(self) -> None:
        """Wait until the connection is not blocked; that is at once if it is not.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, or has ended.
        """
        await self._wait_until(False)

    def change(self, reason: str | None) -> None:
        """Take what the server says."""
        self.reason = reason
        for waiter, wanted in self._waiters.items():
            if wanted == bool(self) and not waiter.done():
                waiter.set_result(None)
        if self.on_change is not None:
            self._callbacks.put("on_change", self.on_change, reason)

    def fail(self, error: Exception) -> None:
        """Let all who wait end with an error."""
        self._failure = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()

    async def _wait_until(self, wanted: bool) -> None:
        if self._failure is not None:
            raise AmqpClosedConnection(
                f"The connection is closed: {reason(self._failure)}"
            ) from self._failure
        if wanted != bool(self):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = wanted
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)
