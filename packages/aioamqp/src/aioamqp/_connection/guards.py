"""Guards of a connection against two ends that no transport reports: of its loop, and by a fork."""

import asyncio
import os
import socket
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from ..exceptions import AmqpClosedConnection


class LoopGuard:
    """Ends a connection that the program has not closed when its event loop ends.

    ``asyncio.run`` cancels tasks in the end, but closes no transport: the socket would stay open
    until it is collected. It closes asynchronous generators, so one waits here.

    Args:
        end: called with the reason; must not wait.
    """

    def __init__(self, end: Callable[[Exception], None]) -> None:
        self._end: Callable[[Exception], None] | None = end
        self._was_open = False
        self._generator = self._wait()
        _run_to_end(self._generator.__anext__())

    def connection_lost(self) -> None:
        """Stop guarding: the connection has ended before its loop."""
        if self._end is not None:
            self._end = None
            _run_to_end(self._generator.aclose())

    async def _wait(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            end, self._end = self._end, None
            if end is not None:
                self._was_open = True
                end(AmqpClosedConnection("The event loop ended"))

    def __del__(self) -> None:
        if self._was_open:
            text = "a connection was open when its event loop ended: await protocol.close() before"
            warnings.warn(text, ResourceWarning, stacklevel=2)


def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        coroutine.send(None)


class ForkGuard:
    """Detaches a connection in every child that ``os.fork`` makes: it belongs to the parent.

    The child has a copy of the socket, of what waits to be written, and of the event loop, whose
    epoll object it even shares with the parent. Whatever reads, writes or unregisters that socket
    there, such as a transport that is closed, would harm the connection of the parent.

    Args:
        transport: of the connection.
        detach: called in the child with the reason; must not wait.
    """

    def __init__(
        self, transport: asyncio.BaseTransport, detach: Callable[[Exception], None]
    ) -> None:
        self._transport = transport
        self._detach = detach
        self._process = os.getpid()
        _fork_guards.add(self)

    def connection_lost(self) -> None:
        """Stop guarding: the socket is closed, and its descriptor may be used for another file."""
        _fork_guards.discard(self)

    def run_in_child(self) -> None:
        """Detach the connection."""
        text = (
            f"it belongs to process {self._process}, from which this one was forked:"
            " open another connection in each process"
        )
        self._detach(AmqpClosedConnection(text))
        _replace_socket(self._transport)


def set_in_child(event: asyncio.Event) -> None:
    """Set an event in a forked child."""
    with suppress(RuntimeError):  # the loop's debug mode wakes nothing from another thread
        event.set()


_fork_guards: WeakSet[ForkGuard] = WeakSet()


def _replace_socket(transport: asyncio.BaseTransport) -> None:
    """Replace the socket of a transport by one that is closed, under the same file descriptor."""
    connected = transport.get_extra_info("socket")
    if connected is None or connected.fileno() < 0:
        return
    closed, other = socket.socketpair()
    with closed:
        other.close()
        os.dup2(closed.fileno(), connected.fileno(), inheritable=False)


def _run_in_child() -> None:
    for guard in tuple(_fork_guards):
        guard.run_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_run_in_child)
