"""What joins sessions to transports: to those in memory and to those of a TCP server."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from .session import Ending, Session

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close at once, with a reset


class SessionProtocol(asyncio.Protocol):
    """Hands octets to a session and back.

    Args:
        open_session: makes the session, given a name for the client and what the session is to
            call when it has something to send by itself.
        alive: where it is from when the connection is made until it is gone.
    """

    def __init__(
        self,
        open_session: Callable[[str, Callable[[], None]], Session],
        alive: "dict[SessionProtocol, None]",
    ) -> None:
        self._open_session = open_session
        self._alive = alive
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
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
        self._session = self._open_session(name, self._flush_soon)
        self._alive[self] = None

    def data_received(self, data: bytes) -> None:
        """Let the session have it, and answer."""
        self._will_flush = True  # what the session sends meanwhile goes out below
        self.session.receive(data)
        self._flush()

    def pause_writing(self) -> None:
        """Let the session know that the client does not read."""
        self.session.flow.pause()

    def resume_writing(self) -> None:
        """Let the session know that the client has read."""
        self.session.flow.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session."""
        del exc
        self._transport = None
        self.session.connection_lost()
        del self._alive[self]
        self._gone.set()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await self._gone.wait()

    def shut_down(self) -> None:
        """Tell the client that the broker stops, and hang up."""
        self.session.shut_down()
        self._flush()
        if self._transport is not None:
            # no longer than this: a client that does not read cannot keep the broker from stopping
            asyncio.get_running_loop().call_soon(self._transport.abort)

    def _flush_soon(self) -> None:
        if not self._will_flush:
            self._will_flush = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._will_flush = False
        if self._transport is None:
            return
        has_written = False
        while output := self.session.take_output():
            self._transport.write(output)
            has_written = True
        self._read_or_not(self._transport)
        if self.session.ending is Ending.CLOSE:
            self._transport.close()
        elif self.session.ending is Ending.RESET:
            _reset(self._transport, has_last_words=has_written)

    def _read_or_not(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        if not self.session.flow.is_reading:
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()


def _reset(transport: asyncio.Transport, *, has_last_words: bool) -> None:
    """Hang up as RabbitMQ does when it has nothing more to say: the client gets a TCP reset."""
    link = transport.get_extra_info("socket")
    if link is None:
        transport.abort()
    elif has_last_words or transport.get_write_buffer_size():
        transport.close()  # a reset would take back what the client has not read
    else:
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
