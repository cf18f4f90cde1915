"""A pair of asyncio transports in memory: what one writes, the protocol of the other receives.

    client protocol ── MemoryTransport ══ chunks ══ MemoryTransport ── server protocol

They implement all of asyncio's transport interface: pausing in both directions, buffer limits,
half-closing, closing and aborting. There are no sockets and no tasks. Nothing is called from within
``write``: data arrives in a later callback of the event loop, in the order of writing, and with one
``data_received`` for each ``write``, unless the protocol has a buffer of its own. They cannot break
without notice, so they need no heartbeats.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

_HIGH_WATER = 64 * 1024  # asyncio's own


class _Signal(Enum):
    """What a transport can receive besides data."""

    EOF = "the peer has finished writing"
    RESET = "the peer has reset the connection"


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory; ``connect`` makes a pair."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, extra: dict[str, Any]
    ) -> None:
        super().__init__(extra)
        extra["set_flush"] = self._set_flush
        self._info = extra
        self._loop = loop
        self._protocol = protocol
        self._peer: MemoryTransport | None = None
        self._inbox: deque[bytes | _Signal] = deque()
        self._inbox_size = 0
        self._low_water, self._high_water = _HIGH_WATER // 4, _HIGH_WATER
        self._is_delivery_scheduled = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._has_written_eof = False
        self._is_closing = False
        self._is_lost = False
        self._flush: Callable[[], object] | None = None

    def join(self, peer: "MemoryTransport") -> None:
        """Join two transports, so that each receives what the other writes."""
        self._peer, peer._peer = peer, self

    def _set_flush(self, flush: Callable[[], object]) -> None:
        self._flush = flush

    def require_heartbeats(self) -> None:
        """Require heartbeats of both sides from now on, because bytes can be lost."""
        for end in (self, self._peer):
            if end is not None:
                end._info["needs_heartbeat"] = True

    def __repr__(self) -> str:
        state = "closed" if self._is_lost else "closing" if self._is_closing else "open"
        return f"<MemoryTransport {self.get_extra_info('sockname')} {state}>"

    # ----------------------------------------------------------------------------- the protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol

    # ----------------------------------------------------------------------------- reading

    def is_reading(self) -> bool:
        """Return whether the protocol receives data."""
        return not self._is_reading_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Buffer received data until reading is resumed."""
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        """Resume reading, and deliver what has been buffered."""
        self._is_reading_paused = False
        self._deliver_soon()

    def _arrive(self, received: bytes | _Signal) -> None:
        self._inbox.append(received)
        if isinstance(received, bytes):
            self._inbox_size += len(received)
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._inbox and not self._is_delivery_scheduled and not self._is_reading_paused:
            self._is_delivery_scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_delivery_scheduled = False
        while self._inbox and not self._is_reading_paused and not self._is_lost:
            received = self._inbox.popleft()
            if isinstance(received, bytes):
                self._data_received(received)
            elif received is _Signal.EOF:
                self._eof_received()
            else:
                self._connection_lost(ConnectionResetError("the peer has reset the connection"))

    def deliver_pending(self) -> None:
        """Deliver now what the peer has written, even if only into its own write buffer.

        It does nothing while the event loop of the transport runs in another thread.
        """
        if asyncio._get_running_loop() is self._loop or not self._loop.is_running():
            peer = self._peer
            while True:
                if peer is not None and peer._flush is not None:
                    peer._flush()
                is_full = peer is not None and peer._is_writing_paused
                self._deliver()
                # Or else there may be more: the client writes a large message as it fits.
                if not is_full or peer is None or peer._is_writing_paused:
                    return

    def _data_received(self, data: bytes) -> None:
        self._inbox_size -= len(data)
        if self._peer is not None:
            self._peer._resume_writing()
        # a transport that is closing discards data, and so lets its peer resume writing
        if self._is_closing:
            return
        try:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                _fill_buffers(self._protocol, data)
            elif isinstance(self._protocol, asyncio.Protocol):
                self._protocol.data_received(data)
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
            self._signal_peer(_Signal.RESET)
            self._close_soon(error)

    def _eof_received(self) -> None:
        if self._is_closing or not isinstance(
            self._protocol, asyncio.Protocol | asyncio.BufferedProtocol
        ):
            return
        if not self._protocol.eof_received():
            self.close()

    # ----------------------------------------------------------------------------- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data. It is copied, so the caller may reuse its buffer at once."""
        if self._has_written_eof:
            raise RuntimeError("cannot write after write_eof()")
        if not data or self._is_closing:
            return
        peer = self._peer
        if peer is None or peer._is_lost:
            self._close_soon(BrokenPipeError("the peer has closed the connection"))
            return
        peer._arrive(bytes(data))
        if peer._inbox_size > self._high_water and not self._is_writing_paused:
            self._is_writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces of data as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return True: half-closing is supported."""
        return True

    def write_eof(self) -> None:
        """Close the writing side; reading goes on."""
        if not self._has_written_eof and not self._is_closing:
            self._has_written_eof = True
            self._signal_peer(_Signal.EOF)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the peer has not received yet."""
        return 0 if self._peer is None else self._peer._inbox_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high limit."""
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits, in bytes, at which writing is resumed and paused."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"low must be 0 to {high}, the value of high, not {low}")
        self._low_water, self._high_water = low, high

    def _resume_writing(self) -> None:
        if self._is_writing_paused and self.get_write_buffer_size() <= self._low_water:
            self._is_writing_paused = False
            if not self._is_lost:
                self._protocol.resume_writing()

    # ----------------------------------------------------------------------------- closing

    def is_closing(self) -> bool:
        """Return whether the transport is closing or closed."""
        return self._is_closing

    def close(self) -> None:
        """Close after everything written has reached the peer, which then receives EOF."""
        if not self._is_closing:
            if not self._has_written_eof:
                self._signal_peer(_Signal.EOF)
            self._close_soon(None)

    def abort(self) -> None:
        """Reset the connection; the peer sees the reset after everything that was written."""
        if not self._is_lost:
            self._signal_peer(_Signal.RESET)
            self._close_soon(None)

    def _signal_peer(self, signal: _Signal) -> None:
        if self._peer is not None and not self._peer._is_lost:
            self._peer._arrive(signal)

    def _close_soon(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            self._inbox.clear()
            self._inbox_size = 0
            self._protocol.connection_lost(error)


def _fill_buffers(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Copy received data into the buffers that a protocol hands out."""
    left = memoryview(data)
    while left:
        buffer = memoryview(protocol.get_buffer(len(left)))
        size = min(len(buffer), len(left))
        buffer[:size] = left[:size]
        protocol.buffer_updated(size)
        left = left[size:]


def connect(
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    *,
    client_name: tuple[str, int | str] = ("127.0.0.1", 50000),
    server_name: tuple[str, int | str] = ("127.0.0.1", 5672),
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols. ``connection_made`` is called on both, the server first.

    Args:
        client: the protocol of the client.
        server: the protocol of the server.
        client_name: the sockname of the client and the peername of the server.
        server_name: the sockname of the server and the peername of the client.

    Returns:
        the transport of the client and that of the server.
    """
    loop = asyncio.get_running_loop()
    names = {"sockname": client_name, "peername": server_name}
    near = MemoryTransport(loop, client, {**names, "needs_heartbeat": False})
    names = {"sockname": server_name, "peername": client_name}
    far = MemoryTransport(loop, server, {**names, "needs_heartbeat": False})
    near.join(far)
    server.connection_made(far)
    client.connection_made(near)
    return near, far
