"""Acknowledgement timeout of a channel: how long a client may keep a delivery unacknowledged."""

from collections.abc import Callable
from typing import Final

from amqp_codec import ReplyCode

from ...model import BrokerError, Delivery, Timer, VirtualHost

_PERIOD: Final = 60.0  # seconds; RabbitMQ checks once in as many, counted from channel.open


class AckTimeout:
    """Timer that checks the age of the oldest delivery of a channel, while there is one.

    Args:
        number: the number of the channel.
        vhost: whose clock is used.
        seconds: how old a delivery may be; None is any age.
        oldest: returns the oldest delivery, None when there is none.
        fail: called with the error when it is too old.

    Attributes:
        is_running: whether the timer is running.
    """

    __slots__ = (
        "_fail",
        "_number",
        "_oldest",
        "_opened",
        "_seconds",
        "_timer",
        "_vhost",
        "is_running",
    )

    def __init__(
        self,
        number: int,
        vhost: VirtualHost,
        seconds: float | None,
        oldest: Callable[[], Delivery | None],
        fail: Callable[[BrokerError], None],
    ) -> None:
        self.is_running = False
        self._number = number
        self._vhost = vhost
        self._seconds = seconds
        self._oldest = oldest
        self._fail = fail
        self._opened = vhost.clock.time()
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start the timer, unless it is running: there is a delivery."""
        oldest = self._oldest()
        if oldest is not None and not self.is_running and self._limit_of(oldest) is not None:
            since = self._vhost.clock.time() - self._opened
            self._timer = self._vhost.agenda.call_later(_PERIOD - since % _PERIOD, self._check)
            self.is_running = True

    def _limit_of(self, delivery: Delivery) -> float | None:
        """Return the seconds for a delivery: those of its queue, if that has some."""
        milliseconds = delivery.queue.settings.consumer_timeout
        return self._seconds if milliseconds is None else milliseconds / 1000

    def cancel(self) -> None:
        """Stop the timer: the channel is closed."""
        self.is_running = False
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self.is_running = False
        oldest = self._oldest()
        seconds = None if oldest is None else self._limit_of(oldest)
        if oldest is None or seconds is None:
            return
        if self._vhost.clock.time() - oldest.sent_at <= seconds:
            self.start()
            return
        self._fail(timed_out(self._number, round(seconds * 1000)))


def timed_out(number: int, milliseconds: int) -> BrokerError:
    """Return the error that closes a channel whose client has not acknowledged in time.

    Args:
        number: the number of the channel.
        milliseconds: the timeout. RabbitMQ: it is -1 if a queue has noticed it.
    """
    text = (
        f"delivery acknowledgement on channel {number} timed out."
        f" Timeout value used: {milliseconds} ms."
        " This timeout value can be configured, see consumers doc guide to learn more"
    )
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)
