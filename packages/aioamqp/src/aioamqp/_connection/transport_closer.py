"""The end of a link: politely, and by force when the server lets it hang."""

import asyncio


class TransportCloser:
    """Ends the link of one connection.

    Args:
        transport: of the link.

    Attributes:
        was_forced: whether the link was cut because the time for a polite end was over.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.was_forced: bool = False
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def close_within(self, seconds: float) -> None:
        """Cut the link if it has not ended by then; the first one who sets a time has set it."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._force)

    def now(self, seconds: float) -> None:
        """Close the link once what is written has left, or else cut it after so many seconds."""
        self._transport.close()
        self.close_within(seconds)

    def cut(self) -> None:
        """Cut the link; what is written and has not left is lost."""
        self._transport.abort()

    def is_over(self) -> None:
        """Do nothing any more: the link has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _force(self) -> None:
        self.was_forced = True
        self.cut()
