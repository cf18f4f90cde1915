"""A thread that names the callback which blocks the event loop, while it does."""

import asyncio
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Final

from .._loggers import protocol_logger

LATE: Final = 0.5
"""Heartbeat intervals for which the event loop may be blocked before the log says so.

RabbitMQ closes a connection after about three without a heartbeat.
"""

_CHECKS: Final = 8  # in one interval

_OWN: Final = (str(Path(__file__).parents[1]), str(Path(asyncio.__file__).parent))
"""Folders of the code that only calls what a program has written."""


class LoopWatch:
    """Watches an event loop that must send heartbeats, from a thread.

    A blocked loop cannot tell who blocks it, and when it runs again, it is too late to see. Only
    the log is written from the thread.

    Args:
        loop: that runs in this thread.
        interval: seconds between heartbeats.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self._interval = interval
        self._thread_of_loop = threading.get_ident()
        self._last_turn = loop.time()
        self._stopped = threading.Event()
        self._timer: asyncio.Handle = loop.call_soon(self._note_turn)
        threading.Thread(target=self._watch, name="aioamqp loop watch", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        self._stopped.set()

    def _note_turn(self) -> None:
        self._last_turn = self._loop.time()
        self._timer = self._loop.call_later(self._interval / _CHECKS, self._note_turn)

    def _watch(self) -> None:
        named: float | None = None  # the turn of the loop that the log has a line about
        while not self._stopped.wait(self._interval / _CHECKS) and not self._loop.is_closed():
            seconds, turn = self._loop.time() - self._last_turn, self._last_turn
            if seconds < LATE * self._interval or turn == named:
                continue
            frame = sys._current_frames().get(self._thread_of_loop)
            if frame is None or not self._loop.is_running():
                continue
            named = turn
            protocol_logger.warning(
                "The event loop has been blocked for %.1f seconds by %s: no heartbeat can be sent,"
                " and the server closes the connection after about %g seconds. Use"
                " asyncio.to_thread() for work that blocks",
                seconds,
                culprit(frame),
                3 * self._interval,
            )


def culprit(frame: FrameType) -> str:
    """Return which function of the program runs, and where it is now.

    Args:
        frame: the innermost one of a thread that runs an event loop.
    """
    frames: list[FrameType] = []
    current: FrameType | None = frame
    while current is not None and not current.f_code.co_filename.startswith(_OWN[1]):
        frames.append(current)
        current = current.f_back
    # From the event loop inwards: what it has called, without the code that only passes calls on.
    called = [each for each in reversed(frames) if not each.f_code.co_filename.startswith(_OWN[0])]
    if not called:
        return _place(frame)
    return _place(called[0]) + ("" if called[0] is frame else f", in {_place(frame)}")


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})"
