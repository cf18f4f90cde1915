"""Deferred work of a virtual host: cancel notices, dead letters, acknowledgements.

RabbitMQ's queues and channels are processes that send messages to each other, so what a queue does
because of a command comes after the reply to that command. The model is synchronous: it puts such
work on the agenda of its virtual host, and the session runs the agenda when it has replied.
"""

from collections import deque
from collections.abc import Callable

from .clock import Clock, Timer


class Agenda:
    """Pending work of one virtual host, in order, and its timers.

    Attributes:
        clock: the time that everything in the virtual host goes by.
    """

    __slots__ = ("_pending", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._pending: deque[Callable[[], object]] = deque()

    def call_soon(self, action: Callable[[], object]) -> None:
        """Add an action to the end of the agenda; ``run_pending`` calls it."""
        self._pending.append(action)

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call an action once after a number of seconds, and then the work that it has deferred."""

        def run() -> None:
            action()
            self.run_pending()

        return self.clock.call_later(seconds, run)

    def run_pending(self) -> None:
        """Run all pending work, including what is added meanwhile."""
        pending = self._pending
        while pending:
            pending.popleft()()
