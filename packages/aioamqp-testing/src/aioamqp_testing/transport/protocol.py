"""What joins sessions to transports: to those in memory and to those of a TCP server."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

from ..model import Clock
from ..session import Ending, Session
from .link import Direction, Link

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close at once, with a reset


class Connections(Protocol):
    """Who keeps the connections of a broker, and wants to know what becomes of them."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    def open_session(self, name: str, wake: Callable[[], None]) -> Session:
        """Make the broker's side of a connection.

        Args:
            name: of the client.
            wake: what the session is to call when it has something to send by itself.
        """
        ...

    def joined(self, protocol: "SessionProtocol") -> None:
        """Take notice of a new connection."""

    def left(self, protocol: "SessionProtocol") -> None:
        """Take notice that a connection is gone."""

    def moved(self) -> None:
        """Take notice that something was received or sent."""


class SessionProtocol(asyncio.Protocol):
    """Hands octets to a session and back.

    Args:
        connections: those of the broker, which this is one of from when it is made until it is
            gone.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._line: Link | None = None
        self._will_flush = False

    @property
    def session(self) -> Session:
        """The broker's side of this connection; there is one as soon as it is made."""
        assert self._session is not None
        return self._session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a session."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        self._session = self._connections.open_session(name, self._flush_soon)
        self._connections.joined(self)

    def data_received(self, data: bytes) -> None:
        """Let the session have it, and answer."""
        if self._line is None:
            self._take(data)
        else:
            self._line.into.send(data)

    def _take(self, octets: bytes) -> None:
        self._will_flush = True  # what the session sends meanwhile goes out below
        self.session.receive_data(octets)
        self.flush()

    def pause_writing(self) -> None:
        """Let the session know that the client does not read."""
        self.session.output.pause()

    def resume_writing(self) -> None:
        """Let the session know that the client has read."""
        self.session.output.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session."""
        del exc
        self._transport = None
        self.session.connection_lost()
        self._connections.left(self)
        self._gone.set()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await self._gone.wait()

    def shut_down(self) -> None:
        """Tell the client that the broker stops, and hang up."""
        self.session.shut_down()
        self.flush()
        if self._transport is not None:
            # no longer than this: a client that does not read cannot keep the broker from stopping
            asyncio.get_running_loop().call_soon(self._transport.abort)

    def tap(self) -> Link:
        """Return the line that all octets of this connection pass from now on."""
        if self._line is None:
            clock = self._connections.clock
            out = Direction(
                clock, self._write, lambda: self.break_off("all that may be sent is sent")
            )
            into = Direction(
                clock, self._take, lambda: self.break_off("all that may be read is read")
            )
            self._line = Link(out, into)
        return self._line

    def break_off(self, why: str) -> None:
        """Reset the connection, whatever the client has read."""
        self.session.hang_up(Ending.BREAK, why)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._will_flush:
            self._will_flush = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Hand to the transport what the session has said, and hang up if that is due."""
        self._will_flush = False
        if self._transport is None:
            return
        has_written = False
        while output := self.session.take_output():
            has_written = True
            if self._line is None:
                self._transport.write(output)
            else:
                self._line.out.send(output)
        self._read_or_not(self._transport)
        ending = self.session.ending
        if self._line is None or ending is Ending.BREAK:
            self._end(ending, has_last_words=has_written)
        elif not self._line.is_dead:
            self._line.out.then(lambda: self._end(ending, has_last_words=True))
        self._connections.moved()

    def _write(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)

    def _read_or_not(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        if not self.session.is_reading or (self._line is not None and self._line.is_dead):
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def _end(self, ending: Ending | None, *, has_last_words: bool) -> None:
        """Hang up, if that is due. A reset over TCP takes back what the client has not read."""
        transport = self._transport
        if transport is None or ending is None:
            return
        link = transport.get_extra_info("socket")
        is_unread = has_last_words or transport.get_write_buffer_size() > 0
        if ending is Ending.CLOSE or (ending is Ending.RESET and link is not None and is_unread):
            transport.close()
        else:
            if link is not None:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()


async def listen(
    protocol_factory: Callable[[], SessionProtocol], host: str, port: int
) -> tuple[asyncio.Server, int]:
    """Accept connections over TCP.

    Args:
        protocol_factory: makes a protocol for each connection.
        host: the address to listen on.
        port: 0 for any free one.

    Returns:
        the server, and the port it listens on.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol_factory, host, port)
    return server, server.sockets[0].getsockname()[1]
