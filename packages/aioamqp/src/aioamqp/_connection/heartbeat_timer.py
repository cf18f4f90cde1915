"""Sending heartbeats, and ending the connection when the server sends none: one timer."""

import asyncio
import errno
import math
from collections.abc import Callable

from ..exceptions import ConnectionLost, failed_link
from .heartbeat import SILENCE, Heartbeat, Verdict


class HeartbeatTimer:
    """Checks a connection's heartbeat whenever something may be due.

    Args:
        heartbeat: decides what must be done.
        loop: has the clock.
        send: sends a heartbeat.
        on_missed: called once with an error when the server has been silent for too long.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[], None],
        on_missed: Callable[[ConnectionLost], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._loop = loop
        self._send = send
        self._on_missed = on_missed
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval: float) -> None:
        """Send and expect heartbeats at an interval of so many seconds; 0 for none."""
        self._heartbeat.interval = interval
        self._check()

    def stop(self) -> None:
        """Stop sending and expecting heartbeats."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        heartbeat = self._heartbeat
        now = self._loop.time()
        match heartbeat.check(now):
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
    """Make the error that ends a connection whose server was silent for so many seconds."""
    text = f"The server sent nothing, not even a heartbeat, for {seconds:g} seconds"
    return failed_link(ConnectionLost, TimeoutError(errno.ETIMEDOUT, text), text)
