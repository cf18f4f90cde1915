"""Deferred work of a virtual host: cancel notices, dead letters, acknowledgements.

RabbitMQ's queues and channels are processes that send messages to each other, so what a queue does
because of a command comes after the reply to that command. The model is synchronous: it puts such
work on the agenda of its virtual host, and the session runs the agenda when it has replied.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from .clock import Clock, Timer

SLICE: Final = 2000
"""Steps that are done at most before others get their turn."""


class Agenda:
    """Pending work of one virtual host, in order, and its timers.

    RabbitMQ: Erlang suspends a process after a number of reductions, so a queue or channel with a
    lot of work does not keep the others waiting. Here steps are counted: commands, actions of the
    agenda, and messages that are put into a queue, expire there or are delivered.

    Attributes:
        clock: the time that everything in the virtual host goes by.
        steps: the number of steps done so far.
    """

    __slots__ = ("_is_continued", "_pending", "clock", "steps")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.steps = 0
        self._is_continued = False
        self._pending: deque[Callable[[], object]] = deque()

    def call_soon(self, action: Callable[[], object]) -> None:
        """Add an action to the end of the agenda; ``run_pending`` calls it."""
        self._pending.append(action)

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call an action once after a number of seconds, and then the work that it has deferred."""

        def run() -> None:
            self.call_soon(action)
            if not self._is_continued:
                self.run_slices()

        return self.clock.call_later(seconds, run)

    def run_pending(self, until: float = inf) -> None:
        """Run all pending work, including what is added meanwhile.

        Args:
            until: the number of ``steps`` from which on the rest stays pending.
        """
        pending = self._pending
        while pending and self.steps < until:
            self.steps += 1
            pending.popleft()()
        if not pending:
            self._is_continued = False

    def clear(self) -> None:
        """Drop all pending work, because the broker is dropped."""
        self._pending.clear()

    def run_slices(self) -> None:
        """Run all pending work in slices, between which the clock calls other timers."""
        self.run_pending(self.steps + SLICE)
        self._is_continued = bool(self._pending)
        if self._is_continued:
            self.clock.call_later(0, self.run_slices)
