"""Where callers wait in line while the connection cannot take what they want to write.

A caller that finds the gate closed, or others in the line, joins its end. Callers are woken from
the front, as many as there is room for: so messages leave in the order of the calls, and each
caller is woken about once, however many wait.
"""

import asyncio
from collections import OrderedDict
from enum import Enum
from typing import Final

ROOM: Final = 64 * 1024
"""Bytes for which callers are woken in one turn of the event loop."""

LEAST_SIZE: Final = 1024
"""Bytes that a caller counts for at least: so many small messages give others their turns, too."""


class Reason(Enum):
    """Why callers must wait; the value completes an error text."""

    FULL = "the write buffer is full, because the server does not read"
    BLOCKED = "the server has blocked the connection"
    FLOW = "the server has stopped the channel with channel.flow"
    CONTENT = "a large message is being written on the channel"
    WINDOW = "too many messages are unconfirmed"
    TURN = "so much else was to be written first"


class GateTimeout(TimeoutError):
    """A caller has not had its turn in time; the text says why, and completes another."""


class _Waiter:
    __slots__ = ("deadline", "error", "future", "owner", "size")

    def __init__(self, size: int, owner: object, deadline: float | None) -> None:
        self.size = size
        self.owner = owner
        self.deadline = deadline
        self.error: Exception | None = None
        self.future: asyncio.Future[None]

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Gate:
    """A line of callers that want to write.

    Args:
        loop: of the connection.

    Attributes:
        is_busy: whether a caller must wait: the gate is closed, or others wait.
    """

    __slots__ = ("_is_scheduled", "_loop", "_reasons", "_waiters", "is_busy")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_busy: bool = False
        self._loop = loop
        self._reasons: tuple[Reason, ...] = ()
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self._is_scheduled = False

    @property
    def is_blocked(self) -> bool:
        """Whether callers wait because the server has blocked the connection."""
        return Reason.BLOCKED in self._reasons

    @property
    def pending(self) -> int:
        """The number of callers that wait."""
        return len(self._waiters)

    def close(self, reason: Reason) -> None:
        """Stop callers for a reason; there may be others."""
        if reason not in self._reasons:
            self._reasons = (*self._reasons, reason)
        self.is_busy = True

    def open(self, reason: Reason) -> None:
        """Remove a reason to wait; when there is none left, wake callers."""
        self._reasons = tuple(each for each in self._reasons if each is not reason)
        if not self._reasons:
            self.is_busy = bool(self._waiters)
            self._wake()

    async def wait(
        self, size: int = 0, owner: object = None, deadline: float | None = None
    ) -> None:
        """Wait in line; write before anything else is awaited.

        Args:
            size: bytes to write.
            owner: what ``fail`` knows the caller by.
            deadline: the time of the event loop at which to give up.

        Raises:
            GateTimeout: the caller has not had its turn by the deadline.
            Exception: the error that ``fail`` was called with in the meantime.
        """
        waiter = _Waiter(size, owner, deadline)
        self._waiters[waiter] = None
        self.is_busy = True
        timer = None
        try:
            # Woken, and the gate was closed again before this task ran: it keeps its place.
            while True:
                waiter.future = self._loop.create_future()
                if timer is None and deadline is not None:
                    timer = self._loop.call_at(deadline, self._expire, waiter)
                await waiter.future
                if not self._reasons:
                    return
                if waiter.error is not None:
                    raise waiter.error
                if deadline is not None and deadline <= self._loop.time():
                    raise self._too_late()
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(waiter)

    def fail(self, error: Exception, owner: object = None) -> None:
        """Raise an error in every caller that waits, or in those of one owner."""
        for waiter in self._waiters:
            if owner is None or waiter.owner is owner:
                waiter.error = error
                if not waiter.future.done():
                    waiter.future.set_exception(error)

    def _wake(self) -> None:
        """Wake as many callers as there is room for. Those woken before have not left yet."""
        self._is_scheduled = False
        if self._reasons:
            return
        room = ROOM
        for waiter in self._waiters:
            waiter.wake()
            room -= max(waiter.size, LEAST_SIZE)
            if room <= 0:
                return

    def _leave(self, waiter: _Waiter) -> None:
        del self._waiters[waiter]
        if self._reasons:
            return
        if not self._waiters:
            self.is_busy = False
        elif not self._is_scheduled and not next(iter(self._waiters)).future.done():
            # The last of those that were woken: the event loop gets a turn before the next.
            self._is_scheduled = True
            self._loop.call_soon(self._wake)

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(self._too_late())

    def _too_late(self) -> GateTimeout:
        reason = next((each for each in Reason if each in self._reasons), Reason.TURN)
        return GateTimeout(reason.value)
