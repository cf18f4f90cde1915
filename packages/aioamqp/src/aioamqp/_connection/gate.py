"""Where publishers wait while the connection cannot take messages."""

from .waiters import Waiters


class Gate:
    """State of the write buffer and of the server, and the publishers that wait because of it.

    Attributes:
        is_full: whether the transport's write buffer is full: acknowledgements wait as well.
        is_paused: whether publishers wait: the write buffer is full, or the server has blocked the
            connection.
        owes_turn: whether the next publisher must give the event loop a turn, because so much was
            written in this one. A fast link never pauses writing, and a program that publishes in
            a loop would delay heartbeats, replies and timers.
    """

    __slots__ = ("_is_blocked", "_waiters", "is_full", "is_paused", "owes_turn")

    def __init__(self) -> None:
        self.is_full: bool = False
        self.is_paused: bool = False
        self.owes_turn: bool = False
        self._is_blocked = False
        self._waiters = Waiters()

    @property
    def pending(self) -> int:
        """The number of tasks that wait."""
        return len(self._waiters)

    def set_full(self, is_full: bool) -> None:
        """Stop publishers and acknowledgements while the transport's write buffer is full."""
        self.is_full = is_full
        self._apply()

    def set_blocked(self, is_blocked: bool) -> None:
        """Stop publishers while the server has blocked the connection."""
        self._is_blocked = is_blocked
        self._apply()

    async def wait(self) -> None:
        """Wait until publishers may go on; those woken first may fill the write buffer again.

        Raises:
            Exception: the error that ended the connection in the meantime.
        """
        if self.is_paused:
            await self._waiters.wait()

    def fail(self, error: Exception) -> None:
        """Raise an error in every task that waits: the connection has ended."""
        self._waiters.fail(error)

    def _apply(self) -> None:
        self.is_paused = self.is_full or self._is_blocked
        if not self.is_paused:
            self._waiters.wake()
