"""Sending heartbeats, and ending the connection when the server sends none: one timer."""

import asyncio
import errno
import math
from collections.abc import Callable
from typing import Final

from .._loggers import protocol_logger
from ..exceptions import ConnectionLost
from .heartbeat import SILENCE, Heartbeat, Verdict

LATE: Final = 0.5
"""Intervals after which a timer that has not fired means that the event loop was blocked."""


class HeartbeatTimer:
    """Checks a connection's heartbeat whenever something may be due.

    Args:
        heartbeat: decides what must be done.
        loop: has the clock.
        send: sends a heartbeat.
        on_missed: called once with an error when the server has been silent for too long.
        is_needed: whether silence means that the link is broken.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[], None],
        on_missed: Callable[[ConnectionLost], None],
        is_needed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._heartbeat = heartbeat
        self._loop = loop
        self._send = send
        self._on_missed = on_missed
        self._is_needed = is_needed
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval: float) -> None:
        """Send and expect heartbeats at an interval of so many seconds; 0 for none."""
        self._heartbeat.interval = interval
        self._check()

    def stop(self) -> None:
        """Stop sending and expecting heartbeats."""
        if self._timer is not None:
            # The server may have ended the connection because no heartbeat could be sent.
            self._is_late(self._loop.time())
            self._timer.cancel()
            self._timer = None

    def _is_late(self, now: float) -> bool:
        """Return whether the timer should have fired long ago; log that the loop was blocked."""
        if self._timer is None:
            return False
        lateness = now - self._timer.when()
        if lateness < LATE * self._heartbeat.interval or not self._is_needed():
            return False
        protocol_logger.warning(
            "The event loop was blocked for at least %.1f seconds, so no heartbeat could be sent or"
            " read: find the callback that blocks it, for example with asyncio's debug mode",
            lateness,
        )
        return True

    def _check(self) -> None:
        heartbeat = self._heartbeat
        now = self._loop.time()
        if self._is_late(now):
            heartbeat.excuse_silence(now)
        self._timer = None
        match heartbeat.check(now):
            case Verdict.DEAD if not self._is_needed():
                heartbeat.excuse_silence(now)
            case Verdict.DEAD:
                self._on_missed(heartbeats_missed(SILENCE * heartbeat.interval))
                return
            case Verdict.SEND:
                self._send()
                heartbeat.last_sent = now  # also if the transport is closing and took nothing
            case Verdict.WAIT:
                pass
        when = heartbeat.next_check()
        if not math.isinf(when):
            self._timer = self._loop.call_at(when, self._check)


def heartbeats_missed(seconds: float) -> ConnectionLost:
    """Make the error that ends a connection whose server was silent for so many seconds.

    It is no TimeoutError: that is what a call raises whose ``timeout`` is over.
    """
    text = f"The server sent nothing, not even a heartbeat, for {seconds:g} seconds"
    error = ConnectionLost(errno.ETIMEDOUT, text)
    error.sentence = text
    return error
