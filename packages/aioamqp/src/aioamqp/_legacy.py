"""What a connection of 0.15 had and this one does without.

Programs of that time look at some of it, and tests that they brought along drive the rest. Nothing
in this package uses it.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from amqp_codec import connection

from ._connection.heartbeat import SILENCE, Heartbeat
from ._connection.heartbeat_timer import silence

if TYPE_CHECKING:
    from ._connection.channel_numbers import ChannelNumbers
    from ._connection.writer import Writer


class Stream:
    """Stands for one of 0.15's streams: it shows the transport under it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport


class LegacyProtocol:
    """The parts of ``AmqpProtocol`` that are there for programs written for 0.15.

    Attributes:
        connecting: a future that never ends.
        worker: ends, without an exception, when the connection has; None before there is one.
        stop_now: set when nothing more is read.
        version_major, version_minor: of the protocol, as the server has them: 0 and 9.
        server_mechanisms, server_locales: that the server offers, separated by blanks.
    """

    wire: "Writer"
    server_heartbeat: int | None
    stop_now: asyncio.Event
    _loop: asyncio.AbstractEventLoop
    _heartbeat: Heartbeat
    _numbers: "ChannelNumbers"

    version_major: int | None = None
    version_minor: int | None = None
    server_mechanisms: str | None = None
    server_locales: str | None = None
    connecting: asyncio.Future[Any] | None = None
    worker: asyncio.Future[None] | None = None
    _heartbeat_recv_worker: asyncio.Future[Any] | None = None
    _heartbeat_send_worker: asyncio.Future[Any] | None = None
    _reader: Stream | None = None
    _stream_reader: Stream | None = None
    _stream_writer: Stream | None = None

    @property
    def channels_ids_ceil(self) -> int:
        """The highest channel number that was ever used."""
        return self._numbers.ceil

    @property
    def channels_ids_free(self) -> set[int]:
        """The channel numbers up to that one that are not in use."""
        return self._numbers.free

    @property
    def channels_ids_count(self) -> int:
        """How many channel numbers are in use."""
        return self._numbers.count

    async def send_heartbeat(self) -> None:
        """Write a heartbeat now. It is done by itself when one is due."""
        self.wire.check_open()
        self.wire.send_heartbeat()

    async def heartbeat(self) -> None:
        """Wait for the end of the connection, and do nothing else."""
        await self.stop_now.wait()

    async def _heartbeat_send(self) -> None:
        """Send heartbeats as ``server_heartbeat`` says, besides those that are sent anyway."""
        while self.server_heartbeat and not self.stop_now.is_set():
            due = self._heartbeat.last_sent + self.server_heartbeat
            if due <= self._loop.time():
                await self.send_heartbeat()
                self._heartbeat.last_sent = self._loop.time()
            else:
                await self._stopped_before(due)

    async def _heartbeat_recv(self) -> None:
        """Cut the link after too long a silence by ``server_heartbeat``."""
        while self.server_heartbeat and not self.stop_now.is_set():
            seconds = SILENCE * self.server_heartbeat
            due = self._heartbeat.last_received + seconds
            if due <= self._loop.time():
                self._break_off(silence(seconds))
            else:
                await self._stopped_before(due)

    def _break_off(self, error: Exception) -> None:
        raise NotImplementedError

    async def _stopped_before(self, due: float) -> None:
        try:
            async with asyncio.timeout_at(due):
                await self.stop_now.wait()
        except TimeoutError:
            pass

    def _show_offer(self, start: connection.Start) -> None:
        self.version_major = start.version_major
        self.version_minor = start.version_minor
        self.server_mechanisms = start.mechanisms.decode("utf-8", "replace")
        self.server_locales = start.locales.decode("utf-8", "replace")

    def _make_vestiges(self, transport: asyncio.Transport) -> None:
        self.connecting = self._loop.create_future()
        self.worker = self._loop.create_future()
        self._heartbeat_recv_worker = self._loop.create_future()
        self._heartbeat_send_worker = self._loop.create_future()
        self._reader = self._stream_reader = self._stream_writer = Stream(transport)

    def _finish_vestiges(self) -> None:
        for each in (self.worker, self._heartbeat_recv_worker, self._heartbeat_send_worker):
            if each is not None and not each.done() and not isinstance(each, asyncio.Task):
                each.set_result(None)
