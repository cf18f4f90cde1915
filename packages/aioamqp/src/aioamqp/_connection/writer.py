"""The write buffer of a connection: what is written when, and what becomes of it at an end."""

import asyncio
import atexit
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from amqp_codec import HEARTBEAT, Command, encode_command

from .gate import Gate, Reason
from .heartbeat import Heartbeat
from .large_contents import LargeContent, LargeContents
from .read_flow import ReadFlow

FLUSH_AT: Final = 64 * 1024
"""Bytes at which the buffer is flushed early: more gain nothing and take memory."""

SHARED_WRITES: Final = 64
"""Writes of one turn after which publishers wait for the next, on a connection that consumes."""

MOST_IN_TURN: Final = 4 * 1024 * 1024
"""Bytes of large contents that are written in one turn, if the transport takes so many.

They take less time than FLUSH_AT bytes of small messages.
"""

HEARTBEAT_FRAME: Final = encode_command(Command(0, HEARTBEAT))


class Writer:
    """Writes the first data of a turn of the event loop at once, and joins what follows in it.

    A fast link never pauses writing, and a program that publishes in a loop would delay heartbeats,
    replies and timers: so after FLUSH_AT bytes in one turn, publishers wait for the next. If the
    connection delivers messages too, they wait after SHARED_WRITES: a delivery and its
    acknowledgement take several turns.

    A large content is written piece by piece, while the transport's own buffer is not full: so it
    takes no memory, and whatever other channels send goes between the pieces.

    Args:
        transport: of the connection.
        loop: of the connection.
        heartbeat: notes when bytes are sent.
        gate: where publishers wait.
        read_flow: knows whether the connection delivers messages.

    Attributes:
        joins: whether data is joined. Without, all is written at once: for a transport that a
            program may close without flushing this buffer.
        large: contents that are being written.
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_count",
        "_gate",
        "_heartbeat",
        "_is_full",
        "_is_going_on",
        "_is_scheduled",
        "_large_size",
        "_loop",
        "_queues",
        "_read_flow",
        "_size",
        "_transport",
        "joins",
        "large",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        heartbeat: Heartbeat,
        gate: Gate,
        read_flow: ReadFlow,
    ) -> None:
        self.joins: bool = False
        self.large: LargeContents = LargeContents()
        self._queues = self.large.queues
        self._transport = transport
        self._loop = loop
        self._heartbeat = heartbeat
        self._gate = gate
        self._read_flow = read_flow
        self._buffer: list[bytes] = []
        self._size = 0  # bytes of this turn, up to FLUSH_AT
        self._count = 0  # writes of this turn
        self._is_scheduled = False
        self._large_size = 0  # bytes of large contents in this turn
        self._is_full = False  # the transport's buffer
        self._is_going_on = False  # whether writing contents has been scheduled
        _writers.add(self)

    @property
    def size(self) -> int:
        """Bytes that are still to be sent, as far as the transport tells."""
        in_transport = self._transport.get_write_buffer_size()
        return sum(map(len, self._buffer)) + self.large.size + in_transport

    def write(self, data: bytes) -> None:
        """Write whole frames of one channel.

        Now if they are the first of this turn of the event loop, else at its end; behind the large
        content that the channel is writing, if it is.
        """
        if self._queues and self.large.add_behind(data):
            return
        self._size += len(data)
        self._count += 1
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.end_turn)
            self._write_now(data)
        elif self.joins:
            if not self._buffer:
                self._loop.call_soon(_FlushWithLoop(self))
            self._buffer.append(data)
        else:
            self._write_now(data)
        if self._size >= FLUSH_AT:
            self.flush()
            self._size = 0
            self._gate.close(Reason.TURN)
        elif self._count >= SHARED_WRITES and self._read_flow.added:
            self._gate.close(Reason.TURN)

    def write_heartbeat(self) -> None:
        """Write a heartbeat now. Spec: 4.2.7."""
        self.write(HEARTBEAT_FRAME)
        self.flush()

    def write_content(self, content: LargeContent) -> None:
        """Begin to write a large content; call it when the gates are open."""
        self.flush()
        self.large.add(content)
        self._go_on()

    def set_full(self, is_full: bool) -> None:
        """Stop writing large contents while the transport's buffer is full."""
        self._is_full = is_full
        self._go_on_soon()

    def flush(self) -> None:
        """Write the buffer to the transport now, but no large content."""
        if self._buffer:
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._write_now(data)

    def flush_until_full(self) -> None:
        """Write the buffer, and large contents until the transport's buffer is full."""
        self.flush()
        while self._queues and not self._is_full and not self._transport.is_closing():
            self._write_now(self.large.take())

    def flush_all(self) -> None:
        """Write everything, also if the transport's buffer is full: it closes behind."""
        self.flush()
        while self._queues and not self._transport.is_closing():
            self._write_now(self.large.take())

    def drop(self) -> None:
        """Empty the buffer, which another process writes."""
        self._buffer.clear()
        self.large.clear()

    def end_turn(self) -> None:
        """Flush, and wake publishers that have waited for the next turn."""
        self._is_scheduled = False
        self._size = self._count = self._large_size = 0
        if self._buffer:
            self.flush()
        if self._gate.is_busy:
            self._gate.open(Reason.TURN)
        if self._queues:
            self._go_on_soon()  # behind the publishers that were woken, so all have their turns

    def flush_at_end(self) -> None:
        """Flush because the event loop is closed or the interpreter ends; raise nothing."""
        # In another thread it may still run.
        if (self._buffer or self._queues) and not self._loop.is_running():
            with suppress(Exception):  # the socket may be closed already
                self.flush_until_full()

    def _go_on_soon(self) -> None:
        if self._queues and not self._is_full and not self._is_going_on:
            self._is_going_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Write large contents: as much as the transport takes, and one turn allows."""
        self._is_going_on = False
        transport = self._transport
        while self._queues and not self._is_full and not transport.is_closing():
            if self._large_size >= MOST_IN_TURN:
                self._gate.close(Reason.TURN)
                break
            piece = self.large.take()
            self._large_size += len(piece)
            transport.write(piece)
        if self._large_size:
            self._heartbeat.last_sent = self._loop.time()
            if not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self.end_turn)

    def _write_now(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._heartbeat.last_sent = self._loop.time()
            self._transport.write(data)


class _FlushWithLoop:
    """Flushes a writer when ``loop.close()`` drops what is scheduled, and so its last reference.

    When the loop calls it, the writer has been flushed by ``end_turn``.
    """

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self) -> None:
        pass

    def __del__(self) -> None:
        self._writer.flush_at_end()


_writers: WeakSet[Writer] = WeakSet()


@atexit.register
def _flush_all() -> None:
    """Write what waits for the next turn of event loops that will not run again."""
    for writer in tuple(_writers):
        writer.flush_at_end()
