"""Scheduler: which session reads next when there is more to do than in one turn of the event loop.

RabbitMQ: connections, channels and queues are processes, which Erlang suspends after a number of
reductions. So a message for a thousand queues does not keep other connections waiting.
"""

import asyncio
from collections import deque
from typing import Final

from ..model.agenda import SLICE
from ..session import Session
from ..threads import BrokerLock, running_loop

_LIGHT: Final = SLICE // 10


class _Line:
    """Sessions that wait for a turn, and the steps that the present turn has left for them."""

    def __init__(self) -> None:
        self.sessions: deque[Session] = deque()
        self.left = SLICE


class Scheduler:
    """The sessions of a broker that have something to read, and their order.

    A session reads at once while the present turn of the event loop has steps left, and else in one
    of the next turns. Half of the steps are for the sessions whose last read took few, so that
    commands that are answered quickly do not wait for those that publish to many queues.

    Args:
        lock: of the broker, which callers hold.
    """

    def __init__(self, lock: BrokerLock) -> None:
        self._lock = lock
        self._is_reading = False
        self._light = _Line()
        self._heavy = _Line()
        self._waiting: set[Session] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # in which a turn is due

    def schedule(self, session: Session) -> None:
        """Call ``read`` of a session that has something to read, until it has not."""
        if session in self._waiting:
            return
        line = self._line_of(session)
        if running_loop() is None:  # no turn will come
            line.left = SLICE
        if line.left > 0:
            self._read(session, line)
        else:
            self._wait(session)
        if running_loop() is None:
            self.finish()

    def finish(self) -> None:
        """Read all that sessions have, now; nothing while one reads."""
        while self._waiting and not self._is_reading:
            self._take_turn()

    def _line_of(self, session: Session) -> _Line:
        return self._light if session.steps < _LIGHT else self._heavy

    def _read(self, session: Session, line: _Line) -> None:
        # that a session is not light any more shows when it reads, so it must not read all then
        is_short = self._waiting and line is self._light
        self._is_reading = True
        try:
            session.read(min(line.left, _LIGHT) if is_short else line.left)
        finally:
            self._is_reading = False
        line.left -= session.steps
        if session.has_more:
            self._wait(session)
        elif line.left <= 0 or self._waiting:
            self._await_turn()

    def _wait(self, session: Session) -> None:
        self._waiting.add(session)
        self._line_of(session).sessions.append(session)
        self._await_turn()

    def _await_turn(self) -> None:
        loop = running_loop()
        if loop is not None and loop is not self._loop:  # the last may have ended before the turn
            self._loop = loop
            loop.call_soon(self._run_turn)

    def _run_turn(self) -> None:
        with self._lock:
            self._take_turn()

    def _take_turn(self) -> None:
        self._loop = None
        for line in (self._light, self._heavy):
            line.left = SLICE
            while line.sessions and line.left > 0:
                session = line.sessions.popleft()
                self._waiting.discard(session)
                self._read(session, line)
        if self._waiting:
            self._await_turn()
