"""Heartbeat arithmetic. Spec: 4.2.7. Nothing here reads a clock: the time is passed in."""

from enum import Enum
from math import inf

SILENCE = 2
"""Intervals without an octet from the peer after which it is dead. Spec: 4.2.7."""


class Verdict(Enum):
    """What is to be done now."""

    WAIT = "nothing"
    SEND = "send a heartbeat"
    DEAD = "the peer is dead"


class Heartbeat:
    """Knows when to send a heartbeat, and when the peer has been silent for too long.

    Attributes:
        interval: seconds as negotiated; 0 is no heartbeats in either direction.
        last_sent: when octets were last written.
        last_received: when octets last came. Both are the caller's to set.
    """

    __slots__ = ("_is_deaf", "interval", "last_received", "last_sent")

    def __init__(self, interval: float, now: float) -> None:
        self.interval: float = interval
        self.last_sent: float = now
        self.last_received: float = now
        self._is_deaf = False

    def stop_listening(self) -> None:
        """Do not count silence: we read nothing, so we hear nothing from a healthy peer either."""
        self._is_deaf = True

    def listen(self, now: float) -> None:
        """Count silence again, from now on."""
        self._is_deaf = False
        self.last_received = now

    def check(self, now: float) -> Verdict:
        """Tell what is to be done now."""
        if now >= self._death():
            return Verdict.DEAD
        if self.interval and now >= self.last_sent + self.interval:
            return Verdict.SEND
        return Verdict.WAIT

    def next_check(self) -> float:
        """Return when to check next, if nothing is sent or received before; ``inf`` for never."""
        if not self.interval:
            return inf
        return min(self.last_sent + self.interval, self._death())

    def _death(self) -> float:
        if not self.interval or self._is_deaf:
            return inf
        return self.last_received + SILENCE * self.interval
