"""What a connection puts off until it has dealt with all that came in one piece.

RabbitMQ reads all frames that it has before it hears what its channels made of them. So a channel
that its client closes is there to the end of the input: what follows on it is dropped, and it
cannot be opened again before close-ok. And when a mistake on a channel ends the connection, the
other channels still do what they are told in that input.
"""

from typing import TYPE_CHECKING

from ..model import BrokerError

if TYPE_CHECKING:
    from .channel.channel import Channel
    from .connection import Session


class Deferred:
    """What there is to be said at the end of the input of a session.

    Attributes:
        is_busy: whether the session is doing what its client has sent.
    """

    def __init__(self, session: "Session") -> None:
        self.is_busy = False
        self._session = session
        self._in_arrears: dict[Channel, None] = {}
        self._closed: dict[Channel, None] = {}
        self._mistake: tuple[BrokerError, int] | None = None

    def catch_up(self, channel: "Channel") -> None:
        """Remember that a channel has to hear its queues, or to confirm what was published."""
        self._in_arrears[channel] = None

    def close(self, channel: "Channel") -> None:
        """Remember that a client has closed a channel."""
        self._closed[channel] = None

    def end(self, channel: "Channel", error: BrokerError, index: int) -> None:
        """Remember to end the connection for a mistake on a channel, which does no more.

        Args:
            channel: which one.
            error: the mistake; only the first one counts.
            index: the class and method id that connection.close names.
        """
        channel.stop()
        self._mistake = self._mistake or (error, index)

    def close_connection(self) -> bool:
        """End the connection now, if that is due; return whether it is.

        RabbitMQ: what a channel gives back goes to the other channels before they end, too.
        """
        if self._mistake is None:
            return False
        mistake, self._mistake = self._mistake, None
        self._session.run_later()
        for channel in self._session.channels:
            channel.catch_up()
        self._session.close(*mistake)
        return True

    def forget(self) -> None:
        """Say nothing: the connection ends."""
        self._in_arrears.clear()
        self._closed.clear()
        self._mistake = None

    def do(self) -> None:
        """Say everything that is due: the input is at its end."""
        self.is_busy = False
        if self._in_arrears:
            in_arrears, self._in_arrears = self._in_arrears, {}
            for channel in in_arrears:
                channel.catch_up()
        self.close_connection()
        if self._closed:
            closed, self._closed = self._closed, {}
            for channel in closed:
                channel.confirm_close()
