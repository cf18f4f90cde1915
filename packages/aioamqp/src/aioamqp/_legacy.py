"""The parts of a connection that only programs and tests written for 0.15 use.

Programs look at some of them, and the tests that came with 0.15 drive the others. Nothing else in
this package uses them.
"""

import asyncio
from typing import Any

from amqp_codec import connection

from ._connection.core import ConnectionCore
from ._connection.heartbeat import SILENCE
from ._connection.heartbeat_timer import LATE, heartbeats_missed


class Stream:
    """Stands for one of 0.15's streams: it shows the transport under it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport


class LegacyProtocol:
    """What ``AmqpProtocol`` has for programs written for 0.15.

    Attributes:
        connecting: a future that never ends.
        worker: ends, without an exception, when the connection does; None before there is one.
        stop_now: set when nothing is read any longer.
        server_heartbeat: seconds between heartbeats, as negotiated.
        version_major: of the protocol, as the server has it: 0.
        version_minor: of the protocol, as the server has it: 9.
        server_mechanisms: that the server offers, separated by blanks.
        server_locales: that the server offers, separated by blanks.
    """

    server_heartbeat: int | None = None
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

    def __init__(self) -> None:
        self.stop_now: asyncio.Event = asyncio.Event()
        self._core: ConnectionCore | None = None

    @property
    def _connection(self) -> ConnectionCore:
        raise NotImplementedError

    @property
    def channels_ids_ceil(self) -> int:
        """The highest channel number that has been used."""
        return 0 if self._core is None else self._core.numbers.ceil

    @property
    def channels_ids_free(self) -> set[int]:
        """The channel numbers up to that one that are free."""
        return set() if self._core is None else self._core.numbers.free

    @property
    def channels_ids_count(self) -> int:
        """The number of channel numbers in use."""
        return 0 if self._core is None else self._core.numbers.count

    async def send_heartbeat(self) -> None:
        """Write a heartbeat now. A connection does so by itself when one is due."""
        self._connection.check_open()
        self._connection.send_heartbeat()

    async def heartbeat(self) -> None:
        """Wait for the end of the connection."""
        await self.stop_now.wait()

    async def _heartbeat_send(self) -> None:
        """Send heartbeats at the interval ``server_heartbeat``, besides those that are due."""
        loop, heartbeat = self._connection.loop, self._connection.heartbeat
        while self.server_heartbeat and not self.stop_now.is_set():
            due = heartbeat.last_sent + self.server_heartbeat
            if due <= loop.time():
                await self.send_heartbeat()
                heartbeat.last_sent = loop.time()
            else:
                await self._wait_for_end(due)

    async def _heartbeat_recv(self) -> None:
        """End the connection when no byte has come for twice the ``server_heartbeat``.

        If the event loop was blocked, bytes may have come that have not been read yet: they are
        waited for as long as one more interval.
        """
        loop, heartbeat = self._connection.loop, self._connection.heartbeat
        while (interval := self.server_heartbeat) and not self.stop_now.is_set():
            seconds = SILENCE * interval
            due = heartbeat.last_received + seconds
            if due <= loop.time():
                self._break_off(heartbeats_missed(seconds))
                return
            await self._wait_for_end(due)
            if loop.time() - due >= LATE * interval:
                heartbeat.last_received = max(heartbeat.last_received, loop.time() - interval)

    def _break_off(self, error: Exception, asked_for: bool = False) -> None:
        raise NotImplementedError

    async def _wait_for_end(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self.stop_now.wait()
        except TimeoutError:
            pass

    def _set_offer(self, start: connection.Start) -> None:
        self.version_major = start.version_major
        self.version_minor = start.version_minor
        self.server_mechanisms = start.mechanisms.decode("utf-8", "replace")
        self.server_locales = start.locales.decode("utf-8", "replace")

    def _make_futures(self, transport: asyncio.Transport) -> None:
        loop = self._connection.loop
        self.connecting = loop.create_future()
        self.worker = loop.create_future()
        self._heartbeat_recv_worker = loop.create_future()
        self._heartbeat_send_worker = loop.create_future()
        self._reader = self._stream_reader = self._stream_writer = Stream(transport)

    def _finish_futures(self) -> None:
        for each in (self.worker, self._heartbeat_recv_worker, self._heartbeat_send_worker):
            if each is not None and not each.done() and not isinstance(each, asyncio.Task):
                each.set_result(None)
