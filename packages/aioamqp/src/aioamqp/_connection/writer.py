"""The write buffer of a connection."""

import asyncio
from typing import Final

from amqp_codec import HEARTBEAT, Command, encode_command

from .gate import Gate
from .heartbeat import Heartbeat

FLUSH_AT: Final = 64 * 1024
"""Bytes at which the buffer is flushed early: more gain nothing and take memory."""

HEARTBEAT_FRAME: Final = encode_command(Command(0, HEARTBEAT))


class Writer:
    """Joins what one turn of the event loop writes, and writes it to the transport at once.

    Args:
        transport: of the connection.
        loop: of the connection.
        heartbeat: notes when bytes are sent.
        gate: makes the next publisher give the event loop a turn when the buffer is flushed early.
    """

    __slots__ = ("_buffer", "_gate", "_heartbeat", "_is_scheduled", "_loop", "_size", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        heartbeat: Heartbeat,
        gate: Gate,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._heartbeat = heartbeat
        self._gate = gate
        self._buffer: list[bytes] = []
        self._size = 0
        self._is_scheduled = False

    def write(self, data: bytes) -> None:
        """Write data in this turn of the event loop, together with what else is written in it."""
        self._buffer.append(data)
        self._size += len(data)
        if self._size >= FLUSH_AT:
            self.flush()
            self._gate.owes_turn = True
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush_scheduled)

    def write_heartbeat(self) -> None:
        """Write a heartbeat now. Spec: 4.2.7."""
        self.write(HEARTBEAT_FRAME)
        self.flush()

    def flush(self) -> None:
        """Write the buffer to the transport now."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        if not self._transport.is_closing():
            self._heartbeat.last_sent = self._loop.time()
            self._transport.write(data)

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self.flush()
