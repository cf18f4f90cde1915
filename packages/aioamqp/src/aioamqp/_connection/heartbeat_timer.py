"""Puts heartbeat arithmetic on the clock of the event loop, with one timer."""

import asyncio
import errno
import math
from collections.abc import Callable

from ..exceptions import ConnectionLost, failed_link
from .heartbeat import SILENCE, Heartbeat, Verdict
from .writer import Writer


class HeartbeatTimer:
    """Sends heartbeats and notices that the server is dead.

    Args:
        wire: to send on.
        heartbeat: says when.
        when_dead: called once with what to tell those who wait.
    """

    def __init__(
        self,
        wire: Writer,
        heartbeat: Heartbeat,
        when_dead: Callable[[ConnectionLost], None],
    ) -> None:
        self._wire = wire
        self._heartbeat = heartbeat
        self._when_dead = when_dead
        self._timer: asyncio.TimerHandle | None = None

    def start(self, interval: float) -> None:
        """Keep an interval of so many seconds; 0 is no heartbeats in either direction."""
        self._heartbeat.interval = interval
        self._look()

    def stop(self) -> None:
        """Do nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Do what is due now, and look again when something may be."""
        loop, heartbeat = self._wire.loop, self._heartbeat
        now = loop.time()
        match heartbeat.check(now):
            case Verdict.DEAD:
                self._when_dead(silence(SILENCE * heartbeat.interval))
                return
            case Verdict.SEND:
                self._wire.send_heartbeat()
                heartbeat.last_sent = now  # also where a closing transport took nothing
            case Verdict.WAIT:
                pass
        when = heartbeat.next_check()
        if not math.isinf(when):
            self._timer = loop.call_at(when, self._look)


def silence(seconds: float) -> ConnectionLost:
    """Say that the server is dead, since it sent nothing for so long."""
    text = f"The server sent nothing, not even a heartbeat, for {seconds:g} seconds"
    return failed_link(ConnectionLost, TimeoutError(errno.ETIMEDOUT, text), text)
