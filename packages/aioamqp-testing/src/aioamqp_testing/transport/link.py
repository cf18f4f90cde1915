"""The octets between a session and its transport, when something is to befall them.

Most connections have no line: what the session says goes straight into the transport.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from ..model import Clock


class Direction:
    """Octets going one way: passed on whole, in pieces, late, only so many, or not at all.

    Args:
        clock: for what is late.
        pass_on: takes octets at the other end.
        is_cut: called when the last octet that may pass has passed.

    Attributes:
        delay: seconds that everything takes.
        size: octets of a piece; 0 for leaving them as they come.
        pause: seconds between two pieces.
        is_silent: whether nothing passes.
    """

    def __init__(
        self, clock: Clock, pass_on: Callable[[bytes], None], is_cut: Callable[[], None]
    ) -> None:
        self.delay = 0.0
        self.size = 0
        self.pause = 0.0
        self.is_silent = False
        self._clock = clock
        self._pass_on = pass_on
        self._is_cut = is_cut
        self._left: int | None = None
        self._last_due = 0.0
        self._waiting: deque[Callable[[], None]] = deque()

    def cut(self, after: int) -> None:
        """Let so many more octets in, and be cut when they have passed."""
        self._left = after
        if not after:
            self.then(self._is_cut)

    def send(self, octets: bytes) -> None:
        """Take octets in."""
        if self._left is not None:
            octets = octets[: self._left]
            self._left -= len(octets)
        if not octets:
            return
        size = self.size or len(octets)
        for start in range(0, len(octets), size):
            self._later(partial(self._arrive, octets[start : start + size]))
        if self._left == 0:
            self.then(self._is_cut)

    def then(self, action: Callable[[], None]) -> None:
        """Do something when all that was taken in has passed."""
        if self._waiting:
            self._later(action)
        else:
            action()

    def _arrive(self, octets: bytes) -> None:
        if not self.is_silent:
            self._pass_on(octets)

    def _later(self, action: Callable[[], None]) -> None:
        now = self._clock.time()
        due = max(now + self.delay, self._last_due)
        if self._waiting:
            due = max(due, self._last_due + self.pause)
        self._last_due = due
        if due > now:
            self._waiting.append(action)
            self._clock.call_later(due - now, self._next)
        elif self.size or self._waiting:
            self._waiting.append(action)
            asyncio.get_running_loop().call_soon(self._next)
        else:
            action()

    def _next(self) -> None:
        self._waiting[0]()
        self._waiting.popleft()


class Link:
    """Both ways between a session and its client.

    Attributes:
        out: from the session to the client.
        into: from the client to the session.
    """

    def __init__(self, out: Direction, into: Direction) -> None:
        self.out = out
        self.into = into

    @property
    def is_dead(self) -> bool:
        """Whether nothing passes."""
        return self.out.is_silent and self.into.is_silent

    def way(self, *, reading: bool) -> Direction:
        """Return the way of what the broker reads, or of what it writes."""
        return self.into if reading else self.out

    def die(self) -> None:
        """Let nothing pass any more, and nobody know."""
        self.out.is_silent = self.into.is_silent = True
