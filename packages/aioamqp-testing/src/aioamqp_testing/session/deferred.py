"""Work deferred until the current read is processed: queue notices, close-ok, connection.close.

RabbitMQ reads all the frames that it has received before its channels answer. So a channel that its
client closes stays until the end of the read: what follows on it is dropped, and it is not opened
again before close-ok. And when an error on one channel ends the connection, the other channels
still process their commands in that read.
"""

from ..model import BrokerError


class Deferred:
    """Deferred work of one connection. ``Session`` does it.

    Attributes:
        is_reading: whether received bytes are being processed, so that work has to be deferred.
        notices: the numbers of the channels with queue notices or publisher confirms to send.
        closed: the numbers of the channels that the client has closed, to send close-ok on.
        error: the error that closes the connection, and the class and method id that
            connection.close names.
    """

    __slots__ = ("closed", "error", "is_reading", "notices")

    def __init__(self) -> None:
        self.is_reading = False
        self.notices: dict[int, None] = {}
        self.closed: dict[int, None] = {}
        self.error: tuple[BrokerError, int] | None = None

    def clear(self) -> None:
        """Drop all deferred work, because the connection ends."""
        self.notices.clear()
        self.closed.clear()
        self.error = None
