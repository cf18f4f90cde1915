"""The transport of a connection, as ``connect`` gives it to programs."""

import asyncio
from typing import Any

from .writer import Writer


class FlushingTransport(asyncio.Transport):
    """Lets the transport do everything, and hands it what is still gathered before it closes.

    A transport takes nothing any more once it closes. Programs of 0.15, where each call wrote for
    itself, end with ``transport.close()`` right behind a publish or an acknowledgement.

    Args:
        transport: of the connection.
        wire: gathers what is to be written to it.
    """

    __slots__ = ("_transport", "_wire")

    def __init__(self, transport: asyncio.Transport, wire: Writer) -> None:
        super().__init__()
        self._transport = transport
        self._wire = wire

    def __repr__(self) -> str:
        return repr(self._transport)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the link when everything has left that was written by now."""
        self._wire.flush()
        self._transport.close()

    def abort(self) -> None:
        """Cut the link."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether it is closing or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known about the link, such as its ``socket``."""
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that takes what comes."""
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol take what comes."""
        self._transport.set_protocol(protocol)

    def is_reading(self) -> bool:
        """Return whether it takes what comes."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Take nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes again."""
        self._transport.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write octets behind those that are gathered."""
        self._wire.flush()
        self._transport.write(data)

    def can_write_eof(self) -> bool:
        """Return whether there is ``write_eof``."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Write nothing more, and go on reading."""
        self._wire.flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        """Return how many octets have been written and have not left."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark of the write buffer."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks of the write buffer, in octets."""
        self._transport.set_write_buffer_limits(high, low)
