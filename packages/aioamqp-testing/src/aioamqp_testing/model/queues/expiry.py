"""Timers of a queue: the expiry of messages, and of a queue that nobody uses."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from ..agenda import Agenda
from ..clock import Timer

ROUNDING: Final = 1e-6
"""Seconds by which a timer may be early: sums of floats are not exact."""


class Reminder:
    """One timer that calls an action, however often the time changes.

    The timer is never postponed. It may fire too early, so the action checks by itself; that is
    cheaper than a new timer each time that another message becomes the head of a queue.
    """

    __slots__ = ("_action", "_agenda", "_time", "_timer")

    def __init__(self, agenda: Agenda, action: Callable[[], None]) -> None:
        self._agenda = agenda
        self._action = action
        self._time = 0.0
        self._timer: Timer | None = None

    def schedule(self, time: float) -> None:
        """Call the action at a time of the clock, or earlier."""
        if self._timer is not None:
            if self._time <= time:
                return
            self._timer.cancel()
        self._time = time
        seconds = max(0.0, time - self._agenda.clock.time())
        self._timer = self._agenda.call_later(seconds, self._fire)

    def run_if_due(self) -> None:
        """Call the action if it is time, and the timer only has not been run yet."""
        if self._timer is not None and self._time <= self._agenda.clock.time() + ROUNDING:
            self._timer.cancel()
            self._fire()

    def cancel(self) -> None:
        """Cancel the timer; ``schedule`` starts it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._action()


class Checks(NamedTuple):
    """When a queue is checked whether it has expired: seconds after its declaration.

    Attributes:
        first: until the first check.
        period: between two checks.
    """

    first: float
    period: float

    def next(self, seconds: float) -> float:
        """Return the time of the first check that is not before a time."""
        return self.first + self.period * max(0, math.ceil((seconds - self.first) / self.period))


class Lease:
    """The time that a queue may be unused: ``x-expires``.

    RabbitMQ: a declaration of the queue, passive or not, and basic.get renew it. It is suspended
    while the queue has consumers, and starts again when the last one is removed.

    Args:
        agenda: the clock and the timers.
        is_in_use: returns whether the queue has consumers.
        on_expired: called when the time is over.
        checks: when it is checked; without them the queue expires at the exact time.
    """

    __slots__ = (
        "_agenda",
        "_checks",
        "_is_in_use",
        "_milliseconds",
        "_on_expired",
        "_reminder",
        "_renewed_at",
        "_started_at",
    )

    def __init__(
        self,
        agenda: Agenda,
        *,
        is_in_use: Callable[[], bool],
        on_expired: Callable[[], object],
        checks: Checks | None = None,
    ) -> None:
        self._agenda = agenda
        self._is_in_use = is_in_use
        self._on_expired = on_expired
        self._checks = checks
        self._milliseconds: int | None = None
        self._started_at: float | None = None
        self._renewed_at = 0.0
        self._reminder = Reminder(agenda, self._check)

    def set(self, milliseconds: int | None) -> None:
        """Change the time, and start again; None never expires."""
        self._milliseconds = milliseconds
        self._reminder.cancel()
        self.renew()

    def renew(self) -> None:
        """Start again."""
        if self._milliseconds is not None:
            self._renewed_at = self._agenda.clock.time()
            if self._started_at is None:
                self._started_at = self._renewed_at
            self._reminder.schedule(self._expires_at(self._milliseconds))

    def cancel(self) -> None:
        """Never expire, because the queue is deleted."""
        self._milliseconds = None
        self._reminder.cancel()

    def _expires_at(self, milliseconds: int) -> float:
        """Return when the queue expires unless the lease is renewed."""
        time = self._renewed_at + milliseconds / 1000
        if self._checks is None or self._started_at is None:
            return time
        return self._started_at + self._checks.next(time - self._started_at)

    def _check(self) -> None:
        if self._milliseconds is None or self._is_in_use():
            return
        time = self._expires_at(self._milliseconds)
        if self._agenda.clock.time() + ROUNDING < time:
            self._reminder.schedule(time)
        else:
            self._on_expired()
