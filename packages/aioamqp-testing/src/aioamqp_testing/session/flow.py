"""What a session has to send, when it stops reading, and when its consumers get nothing more."""

from typing import TYPE_CHECKING, Final

from amqp_codec import Command, connection

if TYPE_CHECKING:
    from .connection import Session

_HIGH_WATER: Final = 256 * 1024  # octets that a session has ready to be sent


class Flow:
    """Keeps what waits for a client, and what waits for the broker, from growing without end.

    A client that does not read is not read from either, and gets no more deliveries until it has
    taken what is on its way: RabbitMQ's processes wait for each other in the same way. A client
    that publishes during an alarm is told so, and not read from until the alarm is over.

    Args:
        session: whose.

    Attributes:
        is_blocked: whether the client has published during an alarm that is not over.
        is_congested: whether the client has to read before anything else happens.
        is_reading: whether the session takes what its client sends: neither of the two.
    """

    def __init__(self, session: "Session") -> None:
        self.is_blocked = False
        self.is_congested = False
        self.is_reading = True
        self._session = session
        self._is_paused = False
        self._output: list[bytes] = []
        self._size = 0

    def put(self, octets: bytes) -> None:
        """Take octets that are to be sent."""
        if not self._output:
            self._session.wake()
        self._output.append(octets)
        self._size += len(octets)
        if self._size > _HIGH_WATER and not self.is_congested:
            self._congest()

    def take(self) -> bytes:
        """Return what is to be sent; from here on that is the transport's business."""
        output = b"".join(self._output)
        self._output.clear()
        self._size = 0
        if self.is_congested and not self._is_paused:
            self.resume()
        return output

    def drop(self) -> None:
        """Forget what is to be sent."""
        self._output.clear()
        self._size = 0

    def pause(self) -> None:
        """Take notice that the transport wants no more."""
        self._is_paused = True
        self._congest()

    def resume(self) -> None:
        """Take notice that the transport has room again."""
        self._is_paused = False
        if self._size > _HIGH_WATER or not self.is_congested:
            return
        self.is_congested = False
        self._watch_client()
        for channel in self._session.channels:
            channel.consuming.prefetch.resume()
        self._session.run_later()
        self._session.read_on()

    def block(self, reason: str) -> None:
        """Stop reading because of an alarm. RabbitMQ: it says so to clients that want to know."""
        if self.is_blocked:
            return
        self.is_blocked = True
        self._watch_client()
        if self._session.wants_blocked_notices:
            self._session.send(Command(0, connection.Blocked(reason)))

    def unblock(self) -> None:
        """Read again, and first of all say so."""
        if not self.is_blocked:
            return
        self.is_blocked = False
        self._watch_client()
        if self._session.wants_blocked_notices:
            self._session.send(Command(0, connection.Unblocked()))
        self._session.read_on()

    def _congest(self) -> None:
        self.is_congested = True
        self._watch_client()
        for channel in self._session.channels:
            channel.consuming.prefetch.pause()

    def _watch_client(self) -> None:
        self.is_reading = not (self.is_blocked or self.is_congested)
        self._session.watch_client(self.is_reading)
