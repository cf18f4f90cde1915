"""When a queue has to look at the clock: messages that are due, and a queue that nobody uses."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..clock import Timer

if TYPE_CHECKING:
    from ..vhost import VirtualHost

ROUNDING: Final = 1e-6
"""Seconds by which a moment may be missed: sums of floats are not exact."""


class Reminder:
    """Calls an action at a moment: one timer, however often the moment changes.

    The timer is never put off. It may go off when nothing is due any more, so the action looks for
    itself; that is cheaper than a new timer each time the first message of a queue is another one.
    """

    __slots__ = ("_action", "_moment", "_timer", "_vhost")

    def __init__(self, vhost: "VirtualHost", action: Callable[[], None]) -> None:
        self._vhost = vhost
        self._action = action
        self._moment = 0.0
        self._timer: Timer | None = None

    def at(self, moment: float) -> None:
        """Make sure that the action is called at a moment of the clock, or earlier."""
        if self._timer is not None:
            if self._moment <= moment:
                return
            self._timer.cancel()
        self._moment = moment
        seconds = max(0.0, moment - self._vhost.clock.time())
        self._timer = self._vhost.call_later(seconds, self._ring)

    def cancel(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._action()


class Lease:
    """How long a queue may go unused: x-expires.

    RabbitMQ: declaring the queue, passively too, and basic.get renew it; while there are consumers
    it does not run, and it starts again when the last one goes.

    Args:
        vhost: has the clock.
        is_in_use: says whether there are consumers.
        end: called when it is over.
        tick: seconds between the looks at it; None ends it to the moment.
    """

    __slots__ = (
        "_begin",
        "_end",
        "_is_in_use",
        "_milliseconds",
        "_reminder",
        "_since",
        "_tick",
        "_vhost",
    )

    def __init__(
        self,
        vhost: "VirtualHost",
        is_in_use: Callable[[], bool],
        end: Callable[[], object],
        tick: float | None = None,
    ) -> None:
        self._begin: float | None = None
        self._tick = tick
        self._vhost = vhost
        self._is_in_use = is_in_use
        self._end = end
        self._milliseconds: int | None = None
        self._since = 0.0
        self._reminder = Reminder(vhost, self._look)

    def set(self, milliseconds: int | None) -> None:
        """Change how long it is, and begin anew; None is for ever."""
        self._milliseconds = milliseconds
        self._reminder.cancel()
        self.renew()

    def renew(self) -> None:
        """Begin anew."""
        if self._milliseconds is not None:
            self._since = self._vhost.clock.time()
            if self._begin is None:
                self._begin = self._since
            self._reminder.at(self._moment(self._milliseconds))

    def cancel(self) -> None:
        """Let it never end: the queue has."""
        self._milliseconds = None
        self._reminder.cancel()

    def _moment(self, milliseconds: int) -> float:
        """Return when it ends if nobody renews it."""
        moment = self._since + milliseconds / 1000
        if self._tick is None or self._begin is None:
            return moment
        ticks = math.ceil((moment - self._begin) / self._tick)
        return self._begin + ticks * self._tick

    def _look(self) -> None:
        if self._milliseconds is None or self._is_in_use():
            return
        moment = self._moment(self._milliseconds)
        if self._vhost.clock.time() + ROUNDING < moment:
            self._reminder.at(moment)
        else:
            self._end()
