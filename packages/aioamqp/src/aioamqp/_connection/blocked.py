"""Whether the server has blocked the connection. RabbitMQ: connection-blocked.html."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from .._arguments import OF_BLOCKED, check_callable
from .._loggers import protocol_logger
from .callback_queue import CallbackQueue
from .read_flow import ReadFlow
from .waiters import Waiters

_BlockedCallback: TypeAlias = Callable[[str | None], object]  # as in callbacks.py


class Blocked:
    """State of connection.blocked and connection.unblocked, and the tasks that wait for it.

    RabbitMQ, short of memory or disk, blocks a connection when it publishes. From then on it reads
    nothing from it, neither acknowledgements nor requests. Messages are not written while the
    connection is blocked, so that they are not lost if it ends: publishers wait.

    Args:
        callbacks: runs ``on_change``.
        check_open: raises AmqpClosedConnection if the connection has ended.

    Attributes:
        reason: why the server has blocked the connection; None while it has not.
    """

    def __init__(self, callbacks: CallbackQueue, check_open: Callable[[], None]) -> None:
        self.reason: str | None = None
        self._on_change: _BlockedCallback | None = None
        self._callbacks = callbacks
        self._check_open = check_open
        self._read_flow: ReadFlow | None = None
        self._until_blocked = Waiters()
        self._until_unblocked = Waiters()

    def __bool__(self) -> bool:
        return self.reason is not None

    @property
    def on_change(self) -> _BlockedCallback | None:
        """The callback for connection.blocked and connection.unblocked.

        It is called with the ``reason`` whenever the server blocks the connection, and with None
        when it unblocks it; a coroutine function or a plain one.
        """
        return self._on_change

    @on_change.setter
    def on_change(self, callback: _BlockedCallback | None) -> None:
        check_callable("on_change", callback, OF_BLOCKED)
        self._on_change = callback

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until the connection is blocked.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, or has ended.
            TimeoutError: ``timeout`` seconds have passed.
        """
        self._check_open()
        if not self:
            await _wait(self._until_blocked, timeout, "blocked")

    async def wait_over(self, timeout: float | None = None) -> None:
        """Wait until the connection is not blocked; return at once if it is not.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, or has ended.
            TimeoutError: ``timeout`` seconds have passed.
        """
        self._check_open()
        if self and self._read_flow is not None:
            self._read_flow.begin_call()  # it may be a consumer's callback that waits here
            try:
                await _wait(self._until_unblocked, timeout, "unblocked")
            finally:
                self._read_flow.end_call()

    @property
    def pending(self) -> int:
        """The number of tasks that wait."""
        return len(self._until_blocked) + len(self._until_unblocked)

    def change(self, reason: str | None, read_flow: ReadFlow) -> None:
        """Apply a connection.blocked, or a connection.unblocked if ``reason`` is None.

        Args:
            reason: of the server.
            read_flow: counts the calls of ``on_change`` that wait.
        """
        self._read_flow = read_flow
        if reason is None:
            if self:
                protocol_logger.info("The server no longer blocks the connection (%s)", self.reason)
        elif reason != self.reason:
            protocol_logger.warning("The server blocks the connection, publishers wait: %s", reason)
        self.reason = reason
        (self._until_unblocked if reason is None else self._until_blocked).wake()
        if self._on_change is not None:
            size = len(reason or "")
            read_flow.add(size)
            self._callbacks.put(
                "on_change", self._on_change, reason, on_start=lambda: read_flow.remove(size)
            )

    def fail(self, error: Exception) -> None:
        """Raise an error in every task that waits: the connection has ended."""
        self._until_blocked.fail(error)
        self._until_unblocked.fail(error)


async def _wait(waiters: Waiters, timeout: float | None, event: str) -> None:
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            await waiters.wait()
    except TimeoutError:
        if deadline.expired():
            text = f"The server has not {event} the connection within {timeout} seconds"
            raise TimeoutError(text) from None
        raise
