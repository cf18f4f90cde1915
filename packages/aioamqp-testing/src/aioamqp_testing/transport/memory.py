"""A pair of asyncio transports joined in memory: what one writes, the other's protocol receives.

    client protocol ── MemoryTransport ══ chunks ══ MemoryTransport ── server protocol

They are ordinary transports, with all that a protocol may ask of one: pausing in both directions,
water marks, half-closing, closing and aborting. There are no sockets and no tasks, and nothing is
called from within ``write``: everything reaches the other side in a later callback of the event
loop, in the order of writing, and with one ``data_received`` for each ``write``.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Any

_HIGH_WATER = 64 * 1024  # asyncio's own


class _Mark(Enum):
    """What can be on its way beside octets."""

    EOF = "the other side writes no more"
    RESET = "the other side is gone"


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory; ``connect`` makes two of them."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, extra: dict[str, Any]
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._peer: MemoryTransport | None = None
        self._inbox: deque[bytes | _Mark] = deque()
        self._inbox_size = 0
        self._low_water, self._high_water = _HIGH_WATER // 4, _HIGH_WATER
        self._is_pumping = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._has_written_eof = False
        self._is_closing = False
        self._is_lost = False

    def join(self, peer: "MemoryTransport") -> None:
        """Make another transport the other end of this one, and this one the other's."""
        self._peer, peer._peer = peer, self

    def __repr__(self) -> str:
        state = "closed" if self._is_lost else "closing" if self._is_closing else "open"
        return f"<MemoryTransport {self.get_extra_info('sockname')} {state}>"

    # ----------------------------------------------------------------------------- the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand everything to another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol

    # ----------------------------------------------------------------------------- reading

    def is_reading(self) -> bool:
        """Return whether the protocol gets what comes."""
        return not self._is_reading_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Keep what comes back until reading is resumed."""
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        """Let the protocol have what has come meanwhile."""
        self._is_reading_paused = False
        self._pump_soon()

    def _arrive(self, what: bytes | _Mark) -> None:
        self._inbox.append(what)
        if isinstance(what, bytes):
            self._inbox_size += len(what)
        self._pump_soon()

    def _pump_soon(self) -> None:
        if self._inbox and not self._is_pumping and not self._is_reading_paused:
            self._is_pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        while self._inbox and not self._is_reading_paused and not self._is_lost:
            what = self._inbox.popleft()
            if isinstance(what, bytes):
                self._receive(what)
            elif what is _Mark.EOF:
                self._receive_eof()
            else:
                reset = ConnectionResetError("the other side has reset the connection")
                self._lose(reset)

    def _receive(self, octets: bytes) -> None:
        self._inbox_size -= len(octets)
        if self._peer is not None:
            self._peer._resume_writing()
        # a transport that is closing has no use for octets, but has to take them
        if self._is_closing or not isinstance(self._protocol, asyncio.Protocol):
            return
        try:
            self._protocol.data_received(octets)
        except Exception as error:  # noqa: BLE001 (asyncio's transports do the same)
            message = "Fatal error: protocol.data_received() call failed."
            self._loop.call_exception_handler(
                {
                    "message": message,
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._tell_peer(_Mark.RESET)
            self._lose_soon(error)

    def _receive_eof(self) -> None:
        if self._is_closing or not isinstance(self._protocol, asyncio.Protocol):
            return
        if not self._protocol.eof_received():
            self.close()

    # ----------------------------------------------------------------------------- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets; they are copied, so a buffer may be used again at once."""
        if self._has_written_eof:
            raise RuntimeError("cannot write after write_eof()")
        if not data or self._is_closing:
            return
        peer = self._peer
        if peer is None or peer._is_lost:
            self._lose_soon(BrokenPipeError("the other side is gone"))
            return
        peer._arrive(bytes(data))
        if peer._inbox_size > self._high_water and not self._is_writing_paused:
            self._is_writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return True: half-closing is possible."""
        return True

    def write_eof(self) -> None:
        """Say that no more will be written; reading goes on."""
        if not self._has_written_eof and not self._is_closing:
            self._has_written_eof = True
            self._tell_peer(_Mark.EOF)

    def get_write_buffer_size(self) -> int:
        """Return how many octets the other side has not taken yet."""
        return 0 if self._peer is None else self._peer._inbox_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high water mark."""
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks between which writing is paused and resumed, in octets."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"the low mark must be 0 to {high}, the high mark, not {low}")
        self._low_water, self._high_water = low, high

    def _resume_writing(self) -> None:
        if self._is_writing_paused and self.get_write_buffer_size() <= self._low_water:
            self._is_writing_paused = False
            if not self._is_lost:
                self._protocol.resume_writing()

    # ----------------------------------------------------------------------------- closing

    def is_closing(self) -> bool:
        """Return whether it is closed or about to be."""
        return self._is_closing

    def close(self) -> None:
        """Close in good order: the other side still gets what was written, and then the end."""
        if not self._is_closing:
            if not self._has_written_eof:
                self._tell_peer(_Mark.EOF)
            self._lose_soon(None)

    def abort(self) -> None:
        """Close with a reset, which the other side sees behind what was written."""
        if not self._is_lost:
            self._tell_peer(_Mark.RESET)
            self._lose_soon(None)

    def _tell_peer(self, mark: _Mark) -> None:
        if self._peer is not None and not self._peer._is_lost:
            self._peer._arrive(mark)

    def _lose_soon(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            self._inbox.clear()
            self._inbox_size = 0
            self._protocol.connection_lost(error)


def connect(
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    *,
    client_name: tuple[str, int | str] = ("127.0.0.1", 50000),
    server_name: tuple[str, int | str] = ("127.0.0.1", 5672),
) -> tuple[MemoryTransport, MemoryTransport]:
    """Join two protocols; ``connection_made`` is called on both, the server's first.

    Args:
        client: the protocol at one end.
        server: the protocol at the other.
        client_name: what is to be the client's sockname and the server's peername.
        server_name: the other way round.

    Returns:
        the transport of the client and that of the server.
    """
    loop = asyncio.get_running_loop()
    near = MemoryTransport(loop, client, {"sockname": client_name, "peername": server_name})
    far = MemoryTransport(loop, server, {"sockname": server_name, "peername": client_name})
    near.join(far)
    server.connection_made(far)
    client.connection_made(near)
    return near, far
