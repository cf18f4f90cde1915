"""Reading less at a time while a read brings many small deliveries.

All deliveries of one read exist at the same time, with what is needed to call their callbacks. Of a
thousand of them, these are more objects than Python's garbage collector waits for, and it examines
all of them again and again: with 1,000 consuming channels, a quarter of the time of a message.
"""

import asyncio
from typing import Final

MANY: Final = 100
"""Deliveries of one read above which less is read at a time."""

SIZE: Final = 16 * 1024
"""Bytes that are read at a time then; asyncio reads 256 KiB otherwise."""

SMALL: Final = 512
"""Bytes that such deliveries have at most, with their frames, on average."""

LARGE: Final = 1024
"""Bytes of a delivery, on average, above which as much is read again as before."""


class SmallReads(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol, and gives the transport a small buffer.

    The protocol receives the bytes by ``data_received`` as before.

    Args:
        transport: of the connection.

    Attributes:
        is_used: whether it stands there.
        protocol: that the transport has without it.
    """

    __slots__ = ("_buffer", "_transport", "is_used", "protocol")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.is_used: bool = False
        self.protocol: asyncio.Protocol
        self._transport = transport
        self._buffer = memoryview(b"")

    def adapt(self, size: int, deliveries: int) -> None:
        """Choose how much is read at a time from now on.

        Args:
            size: bytes that the last read has brought.
            deliveries: how many ended with it.
        """
        if not self.is_used:
            if deliveries > MANY and deliveries * SMALL > size:
                self._begin()
        elif size >= SIZE and deliveries * LARGE < size:
            self._end()

    def _begin(self) -> None:
        try:
            protocol = self._transport.get_protocol()
            if not isinstance(protocol, asyncio.Protocol):
                return
            self.protocol = protocol
            self._buffer = memoryview(bytearray(SIZE))
            self._transport.set_protocol(self)
        except NotImplementedError:  # a transport that is not asyncio's
            return
        self.is_used = True

    def _end(self) -> None:
        # uvloop looks at its protocol only when reading is resumed, and uses the buffer until then.
        self.is_used = False
        if self._transport.get_protocol() is self:  # the program may have set another
            self._transport.set_protocol(self.protocol)

    # ---------------------------------------------------------------- called by the transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return the buffer that the transport reads into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what the transport has read."""
        self.protocol.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Pass on what a transport has read that uses no buffer of its protocol."""
        self.protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the server sends nothing any longer."""
        return self.protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the transport's write buffer is full."""
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the transport's write buffer is no longer full."""
        self.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the transport is closed."""
        self.protocol.connection_lost(exc)
