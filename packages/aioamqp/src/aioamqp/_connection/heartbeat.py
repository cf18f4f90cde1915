"""Heartbeat arithmetic. Spec: 4.2.7. Nothing here reads a clock: the time is passed in."""

from enum import Enum
from math import inf
from typing import Final

SILENCE: Final = 2
"""Intervals without a byte from the peer after which it is dead. Spec: 4.2.7."""


class Verdict(Enum):
    """What must be done now."""

    WAIT = "nothing"
    SEND = "send a heartbeat"
    DEAD = "the peer is dead"


class Heartbeat:
    """Decides when to send a heartbeat, and when the peer has been silent for too long.

    Attributes:
        interval: seconds as negotiated; 0 is no heartbeats in either direction.
        last_sent: when bytes were last written; set by the caller.
        last_received: when bytes were last received; set by the caller.
    """

    __slots__ = ("_ignores_silence", "interval", "last_received", "last_sent")

    def __init__(self, interval: float, now: float) -> None:
        self.interval: float = interval
        self.last_sent: float = now
        self.last_received: float = now
        self._ignores_silence = False

    def pause_reading(self) -> None:
        """Ignore silence: while nothing is read, a healthy peer seems silent too."""
        self._ignores_silence = True

    def resume_reading(self, now: float) -> None:
        """Count silence again, from now on."""
        self._ignores_silence = False
        self.last_received = now

    def excuse_silence(self, now: float) -> None:
        """Expect bytes within one more interval: those that came have not been read yet."""
        self.last_received = max(self.last_received, now - (SILENCE - 1) * self.interval)

    def check(self, now: float) -> Verdict:
        """Return what must be done now."""
        if now >= self._death():
            return Verdict.DEAD
        if self.interval and now >= self.last_sent + self.interval:
            return Verdict.SEND
        return Verdict.WAIT

    def next_check(self) -> float:
        """Return when to check next if no bytes are sent or received before; ``inf`` for never."""
        if not self.interval:
            return inf
        return min(self.last_sent + self.interval, self._death())

    def _death(self) -> float:
        if not self.interval or self._ignores_silence:
            return inf
        return self.last_received + SILENCE * self.interval
