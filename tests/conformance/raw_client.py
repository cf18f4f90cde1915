"""A test client that can send any bytes, and the endpoint of a broker that it connects to."""

import asyncio
import struct
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import MissHeartbeats
from amqp_codec import (
    PROTOCOL_HEADER,
    FieldTable,
    Method,
    connection,
    encode_method,
    queue,
)
from amqp_codec import channel as channel_methods
from tests.conformance.client import CAPABILITIES, MethodOrCommand, ScriptedClient

FRAME_END = b"\xce"


class RawClient(ScriptedClient):
    """The client's side of a connection, with access to frames and bytes.

    Attributes:
        received_bytes: everything that the broker has sent.
        was_reset: whether the connection was closed by a TCP reset.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received_bytes = b""
        self.was_reset = False
        self._undecoded: asyncio.Queue[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        self.received_bytes += data
        if self._undecoded is not None:
            self._undecoded.put_nowait(data)
        elif not self.received_bytes.startswith(b"AMQP"):  # a protocol header is not a frame
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.was_reset = isinstance(exc, ConnectionResetError)
        super().connection_lost(exc)

    def send_frame(self, kind: int, channel: int, payload: bytes, end: bytes = FRAME_END) -> None:
        """Send a frame with any type, payload and frame end."""
        self.send(frame(kind, channel, payload, end))

    def send_method(self, channel: int, method: int, arguments: bytes = b"") -> None:
        """Send a method by its class and method id, with encoded arguments."""
        self.send(encode_method(channel, method.to_bytes(4, "big") + arguments))

    async def request(self, *items: MethodOrCommand, channel: int = 1) -> MethodOrCommand:
        """Send items in one write; return the next method or command from the broker."""
        self.send(*items, channel=channel)
        return await self.next_command()

    async def request_bytes(self, data: bytes, size: int) -> bytes:
        """Send bytes; return at least ``size`` bytes of a reply that the codec cannot decode."""
        self._undecoded, reply = asyncio.Queue(), b""
        self.send(data)
        while len(reply) < size:
            reply += await self._undecoded.get()
        self._undecoded = None
        return reply

    async def start_handshake(self, header: bytes = PROTOCOL_HEADER) -> connection.Start:
        """Send a protocol header; return connection.start."""
        self.send(header)
        start = await self.next_command()
        assert isinstance(start, connection.Start)
        return start

    async def next_command_or_none(self) -> MethodOrCommand | None:
        """Wait for the next method or command; return None if the transport is closed instead."""
        return await self._received.get()

    async def commands_until_eof(self) -> list[MethodOrCommand]:
        """Wait until the transport is closed; return everything that was received before."""
        received = []
        while (each := await self.next_command_or_none()) is not None:
            received.append(each)
        return received

    async def abort(self) -> None:
        """Close the transport without connection.close, unless it is closed."""
        assert self._transport is not None
        self._transport.abort()
        await self.closed.wait()


class Endpoint:
    """The address of a broker, which opens connections to it.

    Args:
        url: of the broker; None for a fake broker in memory.
        fake: the fake broker, or None for RabbitMQ; ``advance_time`` needs a manual clock.
    """

    def __init__(self, url: str | None, fake: FakeBroker | None) -> None:
        self._url = url
        self._fake = fake
        self._opened: list[RawClient] = []

    async def close(self, names: Iterable[str]) -> None:
        """Abort all connections, and delete the queues with these names."""
        for raw in self._opened:
            await raw.abort()
        if self._fake is None and names:  # the queues of a fake broker end with it
            raw = await self.open_connection(1)
            for name in names:
                await raw.call(queue.Delete(name))
            await raw.abort()

    async def connect(self) -> RawClient:
        """Open a transport and send nothing yet."""
        raw = RawClient()
        if self._url is None:
            assert self._fake is not None
            await self._fake.dial(lambda: raw)
        else:
            address = urlsplit(self._url)
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: raw, address.hostname or "", address.port or 5672)
        self._opened.append(raw)
        return raw

    async def open_connection(
        self,
        *channels: int,
        channel_max: int = 2047,
        frame_max: int = 131072,
        heartbeat: int = 0,
        capabilities: Mapping[str, bool] = CAPABILITIES,
    ) -> RawClient:
        """Connect, complete the handshake and open channels."""
        raw = await self.connect()
        tune_ok = connection.TuneOk(channel_max, frame_max, heartbeat)
        await raw.start_handshake()
        start = start_ok(capabilities=capabilities)
        assert isinstance(await raw.request(start, channel=0), connection.Tune)
        assert await raw.request(tune_ok, connection.Open("/"), channel=0) == connection.OpenOk()
        for number in channels:
            opened = await raw.request(channel_methods.Open(), channel=number)
            assert opened == channel_methods.OpenOk()
        return raw

    def expect_heartbeats(self) -> None:
        """Make a fake broker expect heartbeats of clients in memory too, or by a manual clock."""
        if self._fake is not None:
            self._fake.faults.add(MissHeartbeats(times=None))

    async def advance_time(self, seconds: float) -> None:
        """Advance the clock of a fake broker; the time of RabbitMQ passes by itself.

        The fake broker has read everything that was sent before: it answers a new connection first.
        """
        if self._fake is not None:
            raw = await self.connect()
            await raw.start_handshake()
            await raw.abort()
            self._fake.clock.advance(seconds)


def frame(kind: int, channel: int, payload: bytes, end: bytes = FRAME_END) -> bytes:
    """Return a frame with any type, payload and frame end."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def content_header(size: int, *, class_id: int = 60, weight: int = 0, rest: bytes = b"") -> bytes:
    """Return the payload of a header frame; ``rest`` is the encoded properties, none by default."""
    return struct.pack(">HHQ", class_id, weight, size) + (rest or b"\0\0")


def start_ok(
    mechanism: str = "PLAIN",
    response: bytes = b"\0guest\0guest",
    capabilities: Mapping[str, bool] = CAPABILITIES,
) -> connection.StartOk:
    """Return the start-ok of a client that logs in."""
    properties: FieldTable = {"capabilities": dict(capabilities)}
    return connection.StartOk(properties, mechanism, response, "en_US")


def close(code: int, text: str, method: type[Method] | None = None) -> connection.Close:
    """Return the connection.close with which a broker refuses a method, or no method."""
    return connection.Close(code, text, *method_ids(method))


def close_channel(
    code: int, text: str, method: type[Method] | None = None
) -> channel_methods.Close:
    """Return the channel.close with which a broker refuses a method, or no method."""
    return channel_methods.Close(code, text, *method_ids(method))


def method_ids(method: type[Method] | None) -> tuple[int, int]:
    """Return class id and method id, both 0 for no method."""
    index = 0 if method is None else method.INDEX
    return index >> 16, index & 0xFFFF
