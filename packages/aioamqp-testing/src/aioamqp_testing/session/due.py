"""What a connection puts off until it has dealt with all that came in one piece.

RabbitMQ reads all frames that it has before it hears what its channels made of them. So a channel
that its client closes is there to the end of the input: what follows on it is dropped, and it cannot
be opened again before close-ok.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .channel import Channel


class Due:
    """Channels with something to say at the end of the input."""

    def __init__(self) -> None:
        self._unconfirmed: dict[Channel, None] = {}
        self._closed: dict[Channel, None] = {}

    def confirm(self, channel: "Channel") -> None:
        """Remember to confirm what was published on a channel."""
        self._unconfirmed[channel] = None

    def close(self, channel: "Channel") -> None:
        """Remember that a client has closed a channel."""
        self._closed[channel] = None

    def forget(self) -> None:
        """Say nothing: the connection ends."""
        self._unconfirmed.clear()
        self._closed.clear()

    def do(self) -> None:
        """Say everything that is due."""
        if self._unconfirmed:
            unconfirmed, self._unconfirmed = self._unconfirmed, {}
            for channel in unconfirmed:
                channel.publishing.confirm_all()
        if self._closed:
            closed, self._closed = self._closed, {}
            for channel in closed:
                channel.confirm_close()
