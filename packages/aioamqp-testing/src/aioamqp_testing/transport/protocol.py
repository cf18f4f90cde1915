"""The asyncio protocol of a broker, for memory and TCP, and the list of its connections."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, cast

from ..model import Clock, Node
from ..session import Ending, Session
from ..session.journal import Journal
from .link import Direction, Link
from .memory import MemoryTransport

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close at once, with a reset


class SessionProtocol(asyncio.Protocol):
    """The asyncio protocol of one connection, which feeds a session and writes its output.

    Args:
        connections: the connections of the broker; this one is listed there from
            ``connection_made`` to ``connection_lost``.
    """

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections
        self._closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._link: Link | None = None
        self._is_flush_scheduled = False

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
        self._session = self._connections.open_session(name, self._flush_soon)
        self._session.heartbeat.is_expected = self._connections.clock.is_real and bool(
            transport.get_extra_info("needs_heartbeat", True)
        )
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Feed the session and write what it answers."""
        if self._link is None:
            self._feed_session(data)
        else:
            self._link.incoming.send(data)

    def _feed_session(self, data: bytes) -> None:
        self._is_flush_scheduled = True  # the output of the session is flushed below
        self.session.receive_data(data)
        self.flush()

    def pause_writing(self) -> None:
        """Pause the session: the client does not read."""
        self.session.output.pause()

    def resume_writing(self) -> None:
        """Resume the session: the client has read."""
        self.session.output.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session."""
        del exc
        self._transport = None
        self.session.connection_lost()
        self._connections.remove(self)
        self._closed.set()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await self._closed.wait()

    def shut_down(self) -> None:
        """Send connection.close because the broker stops, and close the transport."""
        self.session.shut_down()
        self.flush()
        if self._transport is not None:
            # a client that does not read must not keep the broker from stopping
            asyncio.get_running_loop().call_soon(self._transport.abort)

    def shape(self) -> Link:
        """Flush, and return the link that all later bytes of this connection pass through."""
        self.flush()
        if self._link is None:
            clock = self._connections.clock
            self._link = Link(
                Direction(clock, self._write, partial(self.reset, "cut while sending")),
                Direction(clock, self._feed_session, partial(self.reset, "cut while reading")),
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
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write the output of the session, and close the transport if the session has ended."""
        self._is_flush_scheduled = False
        if self._transport is None:
            return
        has_written = False
        while output := self.session.take_output():
            has_written = True
            if self._link is None:
                self._transport.write(output)
            else:
                self._link.outgoing.send(output)
        self._pause_or_resume_reading(self._transport)
        ending = self.session.ending
        if self._link is None or ending is Ending.BREAK:
            self._close_transport(ending, has_written=has_written)
        elif not self._link.is_blackholed:
            self._link.outgoing.after_pending(
                lambda: self._close_transport(ending, has_written=True)
            )
        self._connections.notify_activity()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _pause_or_resume_reading(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        is_blackholed = self._link is not None and self._link.is_blackholed
        if not self.session.is_reading or is_blackholed:
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
        journal: records what is sent on them.
        on_connection_made: called with each new connection.
        on_connection_lost: called with each connection that is closed.

    Attributes:
        clock: the same.
        is_open: whether new connections are accepted.
        activity_count: how often something was received, sent or changed so far.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        journal: Journal,
        *,
        on_connection_made: Callable[[SessionProtocol], None],
        on_connection_lost: Callable[[SessionProtocol], None],
    ) -> None:
        self.clock = clock
        self.is_open = False
        self.activity_count = 0
        self._on_connection_made = on_connection_made
        self._on_connection_lost = on_connection_lost
        self._node = node
        self._journal = journal
        self._protocols: dict[SessionProtocol, None] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def __iter__(self) -> Iterator[SessionProtocol]:
        return iter(list(self._protocols))

    def __len__(self) -> int:
        return len(self._protocols)

    def new_protocol(self) -> SessionProtocol:
        """Make the protocol of a new connection."""
        return SessionProtocol(self)

    async def listen(self, host: str, port: int) -> tuple[asyncio.Server, int]:
        """Accept connections over TCP.

        Args:
            host: the address to listen on.
            port: 0 for any free one.

        Returns:
            the server, and the port that it listens on.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.new_protocol, host, port)
        return server, server.sockets[0].getsockname()[1]

    def open_session(self, name: str, wake: Callable[[], None]) -> Session:
        """Make the session of a new connection.

        Args:
            name: the address of the client.
            wake: called when the session has output that no call of ``receive`` caused.
        """
        return Session(self._node, self.clock, self._journal.open(name), wake)

    def add(self, protocol: SessionProtocol) -> None:
        """Add a new connection."""
        self._protocols[protocol] = None
        self._on_connection_made(protocol)
        self.notify_activity()

    def remove(self, protocol: SessionProtocol) -> None:
        """Remove a connection that is closed."""
        self._protocols.pop(protocol, None)
        self._on_connection_lost(protocol)
        self.notify_activity()

    def notify_activity(self) -> None:
        """Count an activity, and wake everything that waits for one."""
        self.activity_count += 1
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def wait_activity(self) -> None:
        """Wait for the next activity."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def abort(self) -> None:
        """End every session without notifying its client. Needs no event loop."""
        protocols, self._protocols = self._protocols, {}
        for protocol in protocols:
            protocol.session.connection_lost()

    async def shut_down(self) -> None:
        """Close every connection as a broker that stops does, and wait until they are closed."""
        while self._protocols:
            protocol = next(iter(self._protocols))
            protocol.shut_down()
            await protocol.wait_closed()
        # clients in memory receive connection.close and connection_lost in later iterations
        for _ in range(2):
            await asyncio.sleep(0)
