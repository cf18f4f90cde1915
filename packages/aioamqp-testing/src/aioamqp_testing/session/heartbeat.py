"""Heartbeats, both ways. Spec: 4.2.7; RabbitMQ: heartbeats."""

from collections.abc import Callable

from ..model import Clock, Timer

_MISSES = 2  # intervals without an octet after which RabbitMQ takes a client for dead


class Heartbeat:
    """Beats when the broker has been quiet for half an interval, and watches the client.

    RabbitMQ: it looks once in an interval whether anything came, and gives up when nothing did
    twice in a row, so a silent client lives for two to three intervals.

    Args:
        clock: for the timers.
        seconds: the interval agreed on; not 0.
        beat: sends a heartbeat.
        dead: ends the connection.

    Attributes:
        is_watching: whether a silent client is taken for dead. RabbitMQ: not while it reads
            nothing from the connection itself.
    """

    def __init__(
        self, clock: Clock, seconds: int, beat: Callable[[], None], dead: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._beat = beat
        self._dead = dead
        self._sent_at = clock.time()
        self.is_watching = True
        self._has_received = False
        self._misses = 0
        self._beat_timer: Timer = clock.call_later(seconds / 2, self._beat_if_quiet)
        self._watch_timer: Timer = clock.call_later(seconds, self._watch)

    def sent(self) -> None:
        """Take notice that the broker has sent something."""
        self._sent_at = self._clock.time()

    def received(self) -> None:
        """Take notice that the client has sent something."""
        self._has_received = True

    def stop(self) -> None:
        """Neither beat nor watch any more."""
        self._beat_timer.cancel()
        self._watch_timer.cancel()

    def _beat_if_quiet(self) -> None:
        due = self._sent_at + self._seconds / 2 - self._clock.time()
        if due <= 0:
            self._beat()
            self._sent_at = self._clock.time()
            due = self._seconds / 2
        self._beat_timer = self._clock.call_later(due, self._beat_if_quiet)

    def _watch(self) -> None:
        is_alive = self._has_received or not self.is_watching
        self._misses = 0 if is_alive else self._misses + 1
        self._has_received = False
        if self._misses == _MISSES:
            self.stop()
            self._dead()
        else:
            self._watch_timer = self._clock.call_later(self._seconds, self._watch)
