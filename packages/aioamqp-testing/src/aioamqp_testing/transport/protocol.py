"""The asyncio protocol of a broker, for memory and TCP, and the list of its connections."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar, cast

from ..model import Clock, Node
from ..session import Ending, Session
from ..session.journal import Journal
from ..threads import BrokerLock, call_in, iterate, running_loop, wake
from .link import Direction, Link
from .memory import MemoryTransport
from .scheduler import Scheduler

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close at once, with a reset
_CLOSE_ITERATIONS: Final = 10  # in which a loop closes an aborted transport

_T = TypeVar("_T")


class SessionProtocol(asyncio.Protocol):
    """The asyncio protocol of one connection, which feeds a session and writes its output.

    Args:
        connections: the connections of the broker; this one is listed there from
            ``connection_made`` to ``connection_lost``.
    """

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections
        self._lock = connections.lock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._link: Link | None = None
        self._is_flush_scheduled = False
        self._is_reading = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the transport. Only there is the transport touched."""
        return self._loop

    @property
    def session(self) -> Session:
        """The session of this connection; it exists from ``connection_made`` on."""
        assert self._session is not None
        return self._session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start a session."""
        # uvloop's transports are no subclasses of asyncio.Transport
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        needs_heartbeat = bool(transport.get_extra_info("needs_heartbeat", True))
        with self._lock:
            self._session = self._connections.open_session(name, self._flush_soon)
            is_expected = needs_heartbeat and self._connections.clock.is_real
            self._session.heartbeat.is_expected = is_expected
            self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Feed the session and write what it answers."""
        with self._lock:
            if self._link is None:
                self._feed_session(data)
            else:
                self._link.incoming.send(data)

    def receive_pending(self) -> None:
        """Process what the client has written in memory and this end has not received yet.

        It does nothing while a read is processed: what is called then sees the state before it.
        """
        if isinstance(self._transport, MemoryTransport) and not self._is_reading:
            self._transport.deliver_pending()

    def _feed_session(self, data: bytes) -> None:
        self._is_flush_scheduled = True  # the output of the session is flushed below
        self._is_reading = True
        try:
            self.session.receive_data(data)
        finally:
            self._is_reading = False
        self.flush()

    def pause_writing(self) -> None:
        """Pause the session: the client does not read."""
        with self._lock:
            self.session.output.pause()

    def resume_writing(self) -> None:
        """Resume the session: the client has read."""
        with self._lock:
            self.session.output.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session."""
        del exc
        self._transport = None
        self.drop()

    def drop(self) -> None:
        """End the session, and abort its transport when the loop of that runs again."""
        with self._lock:
            transport, self._transport = self._transport, None
            if transport is not None:
                call_in(self._loop, transport.abort)
            self.session.connection_lost()
            self._connections.remove(self)

    def shut_down(self) -> None:
        """Send connection.close because the broker stops, and close the transport."""
        self.session.shut_down()
        self.flush()
        # a client that does not read must not keep the broker from stopping
        self.call_soon(self.abort)

    def abort(self) -> None:
        """Abort the transport, in its own event loop."""
        if self._transport is not None:
            self._transport.abort()

    def call_soon(self, action: Callable[[], object]) -> None:
        """Call a function in the next iteration of the event loop of the transport."""

        def call() -> None:
            with self._lock:
                action()

        call_in(self._loop, call)

    def shape(self) -> Link:
        """Flush, and return the link that all later bytes of this connection pass through."""
        self.flush()
        if self._link is None:
            clock = self._connections.clock
            self._link = Link(
                Direction(
                    clock, self.call_soon, self._write, partial(self.reset, "cut while sending")
                ),
                Direction(
                    clock,
                    self.call_soon,
                    self._feed_session,
                    partial(self.reset, "cut while reading"),
                ),
            )
        return self._link

    def go_silent(self) -> None:
        """Drop every byte from now on, in both directions, without an error."""
        self.shape().blackhole()
        self.session.heartbeat.is_expected = True
        if isinstance(self._transport, MemoryTransport):
            self._transport.require_heartbeats()
        self.flush()  # stops reading

    def reset(self, why: str) -> None:
        """Reset the connection, also if the client has not read everything yet.

        Args:
            why: for the journal.
        """
        self.session.hang_up(Ending.BREAK, why)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            call_in(self._loop, self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        with self._lock:
            self.flush()

    def flush(self) -> None:
        """Write the output of the session, and close the transport if the session has ended.

        In another event loop than that of the transport, this happens soon instead.
        """
        self._is_flush_scheduled = False
        if self._transport is None:
            return
        if running_loop() is not self._loop:
            self._flush_soon()
            return
        has_written = False
        session = self.session
        while output := session.take_output():
            has_written = True
            if self._link is None:
                self._transport.write(output)
            else:
                self._link.outgoing.send(output)
        self._pause_or_resume_reading(self._transport)
        ending = session.ending
        if self._link is None or ending is Ending.BREAK:
            self._close_transport(ending, has_written=has_written)
        elif not self._link.is_blackholed:
            close = partial(self._close_transport, ending, has_written=True)
            self._link.outgoing.after_pending(partial(self._call_there, close))
        self._connections.notify_activity()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._call_there(partial(self._transport.write, data))

    def _call_there(self, action: Callable[[], object]) -> None:
        """Call a function in the loop of the transport: now, or else in its next iteration."""
        if running_loop() is self._loop:
            action()
        else:
            self.call_soon(action)

    def _pause_or_resume_reading(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        is_blackholed = self._link is not None and self._link.is_blackholed
        if not self.session.is_reading or self.session.has_more or is_blackholed:
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def _close_transport(self, ending: Ending | None, *, has_written: bool) -> None:
        """Close or abort the transport as ``ending`` says; None means that the session goes on.

        A reset over TCP discards what the client has not read yet. So the transport is closed
        instead if something was written that the client may not have read.
        """
        transport = self._transport
        if transport is None or ending is None:
            return
        tcp_socket = transport.get_extra_info("socket")
        is_unread = has_written or transport.get_write_buffer_size() > 0
        would_discard = ending is Ending.RESET and tcp_socket is not None and is_unread
        if ending is Ending.CLOSE or would_discard:
            transport.close()
        else:
            if tcp_socket is not None:
                tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()


class Connections:
    """The connections of one broker.

    Args:
        node: the broker that the sessions work on.
        clock: for their timers.
        lock: held by every thread that works in the broker.
        journal: records what is sent on them.
        on_connection_made: called with each new connection.
        on_connection_lost: called with each connection that is closed.

    Attributes:
        clock: the same.
        lock: the same.
        is_open: whether new connections are accepted.
        activity_count: how often something was received, sent or changed so far.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        lock: BrokerLock,
        journal: Journal,
        *,
        on_connection_made: Callable[[SessionProtocol], None],
        on_connection_lost: Callable[[SessionProtocol], None],
    ) -> None:
        self.clock = clock
        self.lock = lock
        self.is_open = False
        self.activity_count = 0
        self._on_connection_made = on_connection_made
        self._on_connection_lost = on_connection_lost
        self._node = node
        self._journal = journal
        self._protocols: dict[SessionProtocol, None] = {}
        self._loops: Counter[asyncio.AbstractEventLoop] = Counter()  # with their connections
        self._waiters: set[asyncio.Future[None]] = set()
        self._scheduler = Scheduler(lock)

    def __iter__(self) -> Iterator[SessionProtocol]:
        return iter(list(self._protocols))

    def __len__(self) -> int:
        return len(self._protocols)

    @property
    def loops(self) -> list[asyncio.AbstractEventLoop]:
        """The event loops that have connections."""
        return list(self._loops)

    def new_protocol(self) -> SessionProtocol:
        """Make the protocol of a new connection."""
        return SessionProtocol(self)

    def open_session(self, name: str, wake: Callable[[], None]) -> Session:
        """Make the session of a new connection.

        Args:
            name: the address of the client.
            wake: called when the session has output that no call of ``receive_data`` has caused.
        """
        session = Session(
            self._node,
            self.clock,
            self._journal.open(name),
            wake,
            lambda: self._scheduler.schedule(session),
        )
        return session

    def add(self, protocol: SessionProtocol) -> None:
        """Add a new connection."""
        self._protocols[protocol] = None
        self._loops[protocol.loop] += 1
        self._on_connection_made(protocol)
        self.notify_activity()

    def remove(self, protocol: SessionProtocol) -> None:
        """Remove a connection that is closed."""
        if protocol in self._protocols:
            del self._protocols[protocol]
            self._loops[protocol.loop] -= 1
            if not self._loops[protocol.loop]:
                del self._loops[protocol.loop]
        self._on_connection_lost(protocol)
        self.notify_activity()

    def receive_pending(self) -> None:
        """Process what clients in memory have written, in the running event loop."""
        for protocol in self:
            protocol.receive_pending()
        self._scheduler.finish()

    def drop_lost(self) -> None:
        """End the sessions of connections whose event loop is closed: nothing can close those."""
        for loop in self._loops:
            if loop.is_closed():
                break
        else:
            return
        for protocol in list(self._protocols):
            if protocol.loop.is_closed():
                protocol.receive_pending()  # what the program has sent before its loop ended
                self._scheduler.finish()
                protocol.drop()

    def notify_activity(self) -> None:
        """Count an activity, and wake everything that waits for one."""
        self.activity_count += 1
        if self._waiters:
            waiters, self._waiters = self._waiters, set()
            for waiter in waiters:
                wake(waiter)

    async def wait_activity(self, unless: Callable[[], _T]) -> _T:
        """Wait for the next activity, unless a predicate is true or the broker is not open.

        Returns:
            the value of the predicate before waiting.
        """
        waiter = asyncio.get_running_loop().create_future()
        with self.lock:  # no activity of another thread between the predicate and the waiter
            result = unless()
            if result or not self.is_open:
                return result
            self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
        return result

    async def _wait_closed(self, protocol: SessionProtocol) -> None:
        """Wait until the loop of a connection has closed it, or drop it if that is blocked."""
        for _ in range(_CLOSE_ITERATIONS):
            if protocol not in self._protocols or not protocol.loop.is_running():
                break
            await iterate([protocol.loop])
        if protocol in self._protocols:
            protocol.drop()

    def abort(self) -> None:
        """End every session, and abort its transport when the loop of that runs again."""
        for protocol in self:
            protocol.drop()

    async def shut_down(self) -> None:
        """Close every connection as a broker that stops does, and wait until they are closed."""
        loops = self.loops
        while protocols := list(self._protocols):
            with self.lock:
                protocols[0].shut_down()
            await self._wait_closed(protocols[0])
        # clients in memory receive connection.close and connection_lost in later iterations
        for _ in range(2):
            await iterate(loops)
