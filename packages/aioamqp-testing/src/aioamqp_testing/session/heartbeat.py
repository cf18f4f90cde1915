"""Heartbeats, both ways. Spec: 4.2.7; RabbitMQ: heartbeats."""

from collections.abc import Callable
from typing import Final

from ..model import Clock, Timer

_MISSES: Final = 2  # intervals without a byte after which RabbitMQ takes a client for dead


class Heartbeat:
    """Timers that send heartbeats and notice a client that sends nothing, from ``start`` on.

    The broker sends a heartbeat when it has sent nothing for half an interval. RabbitMQ: it checks
    once in an interval whether it has received anything, and gives up when it has not twice in a
    row, so a silent client lives for two to three intervals.

    Args:
        clock: for the timers.
        send: sends a heartbeat.
        on_dead: called when the client is taken for dead.

    Attributes:
        is_expected: whether a silent client is taken for dead at all; not in memory, where no
            connection breaks without notice.
        is_watching: whether it is now. RabbitMQ: not while it does not read from the connection
            itself.
        is_missed: whether what the client sends does not count.
    """

    def __init__(self, clock: Clock, send: Callable[[], None], on_dead: Callable[[], None]) -> None:
        self.is_expected = True
        self.is_watching = True
        self.is_missed = False
        self._clock = clock
        self._seconds = 0
        self._send = send
        self._on_dead = on_dead
        self._sent_at = 0.0
        self._has_received = True  # RabbitMQ: the handshake counts for the first interval
        self._misses = 0
        self._send_timer: Timer | None = None
        self._watch_timer: Timer | None = None

    def start(self, seconds: int) -> None:
        """Start both timers.

        Args:
            seconds: the interval agreed on; not 0.
        """
        self._seconds = seconds
        self._sent_at = self._clock.time()
        self._send_timer = self._clock.call_later(seconds / 2, self._send_if_quiet)
        self._watch_timer = self._clock.call_later(seconds, self._watch)

    def data_sent(self) -> None:
        """Note that the broker has sent something."""
        self._sent_at = self._clock.time()

    def data_received(self) -> None:
        """Note that the client has sent something."""
        self._has_received = self._has_received or not self.is_missed

    def stop(self) -> None:
        """Stop both timers."""
        for timer in (self._send_timer, self._watch_timer):
            if timer is not None:
                timer.cancel()

    def _send_if_quiet(self) -> None:
        delay = self._sent_at + self._seconds / 2 - self._clock.time()
        if delay <= 0:
            self._send()
            self._sent_at = self._clock.time()
            delay = self._seconds / 2
        self._send_timer = self._clock.call_later(delay, self._send_if_quiet)

    def _watch(self) -> None:
        is_alive = self._has_received or not (self.is_watching and self.is_expected)
        self._misses = 0 if is_alive else self._misses + 1
        self._has_received = False
        if self._misses == _MISSES:
            self.stop()
            self._on_dead()
        else:
            self._watch_timer = self._clock.call_later(self._seconds, self._watch)
