"""Network trouble between a session and its transport: delayed, split, cut and lost bytes.

A connection has a link only when a fault needs one. Without it the bytes of the session go straight
into the transport.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from ..model import Clock


class Direction:
    """Traffic in one direction: passed on unchanged, or delayed, split, cut or dropped.

    Args:
        clock: for delays.
        call_soon: calls a function in the next iteration of the event loop of the connection.
        deliver: called with the bytes that arrive at the other end.
        on_cut: called when the last byte before a cut has been delivered.

    Attributes:
        is_blackholed: whether every byte is dropped.
    """

    def __init__(
        self,
        clock: Clock,
        call_soon: Callable[[Callable[[], None]], None],
        deliver: Callable[[bytes], None],
        on_cut: Callable[[], None],
    ) -> None:
        self.is_blackholed = False
        self._clock = clock
        self._call_soon = call_soon
        self._deliver = deliver
        self._on_cut = on_cut
        self._latency = 0.0
        self._piece_size = 0  # 0: pieces stay as they are
        self._interval = 0.0
        self._remaining: int | None = None  # bytes before the cut
        self._last_due = 0.0
        self._pending: deque[Callable[[], None]] = deque()

    def delay(self, seconds: float) -> None:
        """Deliver everything that is sent from now on so much later."""
        self._latency = seconds

    def split(self, size: int, interval: float) -> None:
        """Deliver what is sent from now on in pieces of ``size`` bytes, ``interval`` apart."""
        self._piece_size, self._interval = size, interval

    def cut(self, after: int) -> None:
        """Deliver ``after`` more bytes and then cut the connection."""
        self._remaining = after
        if not after:
            self.after_pending(self._on_cut)

    def send(self, data: bytes) -> None:
        """Send bytes to the other end."""
        if self._remaining is not None:
            data = data[: self._remaining]
            self._remaining -= len(data)
        if not data:
            return
        size = self._piece_size or len(data)
        for start in range(0, len(data), size):
            self._schedule(partial(self._arrive, data[start : start + size]))
        if self._remaining == 0:
            self.after_pending(self._on_cut)

    def after_pending(self, action: Callable[[], None]) -> None:
        """Run ``action`` after everything that was sent so far has been delivered."""
        if self._pending:
            self._schedule(action)
        else:
            action()

    def _arrive(self, data: bytes) -> None:
        if not self.is_blackholed:
            self._deliver(data)

    def _schedule(self, action: Callable[[], None]) -> None:
        now = self._clock.time()
        due = max(now + self._latency, self._last_due)
        if self._pending:
            due = max(due, self._last_due + self._interval)
        self._last_due = due
        if due > now:
            self._pending.append(action)
            self._clock.call_later(due - now, self._run_next)
        elif self._piece_size or self._pending:
            self._pending.append(action)
            self._call_soon(self._run_next)
        else:
            action()

    def _run_next(self) -> None:
        self._pending[0]()
        self._pending.popleft()


class Link:
    """Both directions between a session and its client.

    Attributes:
        outgoing: from the session to the client.
        incoming: from the client to the session.
    """

    def __init__(self, outgoing: Direction, incoming: Direction) -> None:
        self.outgoing = outgoing
        self.incoming = incoming

    @property
    def is_blackholed(self) -> bool:
        """Whether every byte in both directions is dropped."""
        return self.outgoing.is_blackholed and self.incoming.is_blackholed

    def direction(self, *, reading: bool) -> Direction:
        """Return the direction of what the broker reads, or else of what it writes."""
        return self.incoming if reading else self.outgoing

    def blackhole(self) -> None:
        """Drop every byte from now on. Neither side is notified."""
        self.outgoing.is_blackholed = self.incoming.is_blackholed = True
