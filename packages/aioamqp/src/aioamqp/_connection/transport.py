"""The transport of a connection: as programs get it, and how it is closed."""

import asyncio
from typing import Any

from .small_reads import SmallReads
from .writer import Writer


class TransportCloser:
    """Closes the transport of one connection, and aborts it when that takes too long.

    Args:
        transport: of the connection.

    Attributes:
        was_forced: whether the transport was aborted because it was not closed in time.
        is_aborted_by_program: whether the program has aborted the transport.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.was_forced: bool = False
        self.is_aborted_by_program: bool = False
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def close_within(self, seconds: float) -> None:
        """Abort the transport unless the server ends the connection within so many seconds.

        The first call counts.
        """
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._force)

    def close(self, seconds: float) -> None:
        """Close the transport once all written data has left, or abort it after so many seconds."""
        self._transport.close()
        self.close_within(seconds)

    def abort(self) -> None:
        """Abort the transport; written data that has not left yet is lost."""
        self._transport.abort()

    def connection_lost(self) -> None:
        """Stop the timer: the transport is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _force(self) -> None:
        self.was_forced = True
        self.abort()


class FlushingTransport(asyncio.Transport):
    """A transport that flushes the connection's write buffer before it closes or writes.

    A transport that is closing ignores further data. In 0.15 each call wrote to the transport
    directly, so programs end with ``transport.close()`` right behind a publish or an ack.

    Args:
        transport: does the work.
        writer: has the write buffer.
        closer: of the connection; it is told when the program aborts the transport.
    """

    __slots__ = ("_closer", "_transport", "_writer")

    def __init__(
        self, transport: asyncio.Transport, writer: Writer, closer: TransportCloser | None = None
    ) -> None:
        super().__init__()
        self._closer = closer
        self._transport = transport
        self._writer = writer
        writer.joins = True

    def __repr__(self) -> str:
        return repr(self._transport)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the transport once all data has left that was written before."""
        self._writer.flush_all()
        self._transport.close()

    def abort(self) -> None:
        """Close the transport at once."""
        if self._closer is not None:
            self._closer.is_aborted_by_program = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the transport is closing or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the transport, such as its ``socket``."""
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives the data."""
        protocol = self._transport.get_protocol()
        return protocol.protocol if isinstance(protocol, SmallReads) else protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that receives the data."""
        self._transport.set_protocol(protocol)

    def is_reading(self) -> bool:
        """Return whether the transport is receiving data."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Stop receiving data for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive data again."""
        self._transport.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write data behind the connection's write buffer."""
        self._writer.flush_all()
        self._transport.write(data)

    def can_write_eof(self) -> bool:
        """Return whether ``write_eof`` is supported."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Write nothing more, and continue to receive data."""
        self._writer.flush_all()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have been written and have not left."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high limit of the transport's own write buffer."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the transport's own write buffer, in bytes."""
        self._transport.set_write_buffer_limits(high, low)
