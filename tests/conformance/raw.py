"""Connections that say any octets, in any order, and what a broker is asked through them."""

import asyncio
import struct
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aioamqp_testing import FakeBroker
from amqp_codec import (
    PROTOCOL_HEADER,
    FieldTable,
    Method,
    channel,
    connection,
    encode_method,
    queue,
)
from tests.conformance.wire import CAPABILITIES, Said, Wire

FRAME_END = b"\xce"


class Raw(Wire):
    """The client's side of a connection, down to its octets.

    Attributes:
        octets: all that the broker has sent.
        was_reset: whether the connection was ended by a reset.
    """

    def __init__(self) -> None:
        super().__init__()
        self.octets = b""
        self.was_reset = False
        self._undecoded: asyncio.Queue[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        self.octets += data
        if self._undecoded is not None:
            self._undecoded.put_nowait(data)
        elif not self.octets.startswith(b"AMQP"):  # which is no frame
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.was_reset = isinstance(exc, ConnectionResetError)
        super().connection_lost(exc)

    def frame(self, kind: int, number: int, payload: bytes, end: bytes = FRAME_END) -> None:
        """Send a frame, whatever is in it."""
        self.send(frame(kind, number, payload, end))

    def arguments(self, number: int, method: int, arguments: bytes = b"") -> None:
        """Send a method by its class and method id, with its arguments as octets."""
        self.send(encode_method(number, method.to_bytes(4, "big") + arguments))

    async def ask(self, *what: Said, number: int = 1) -> Said:
        """Say something; return the next thing that the broker says."""
        self.send(*what, number=number)
        return await self.hear()

    async def ask_octets(self, octets: bytes, size: int) -> bytes:
        """Send octets; return the first ones of the answer, which the codec cannot read."""
        self._undecoded, answer = asyncio.Queue(), b""
        self.send(octets)
        while len(answer) < size:
            answer += await self._undecoded.get()
        self._undecoded = None
        return answer

    async def greet(self, header: bytes = PROTOCOL_HEADER) -> connection.Start:
        """Send a protocol header; return how the broker begins."""
        self.send(header)
        start = await self.hear()
        assert isinstance(start, connection.Start)
        return start

    async def hear_or_end(self) -> Said | None:
        """Wait for the next thing that the broker says; return None when it hangs up instead."""
        return await self._heard.get()

    async def rest(self) -> list[Said]:
        """Wait for the end of the connection; return what the broker says before it."""
        said = []
        while (each := await self.hear_or_end()) is not None:
            said.append(each)
        return said

    async def hang_up(self) -> None:
        """End the connection without a word, if it has not ended."""
        assert self._transport is not None
        self._transport.abort()
        await self.lost.wait()


class Door:
    """Where connections come into a broker.

    Args:
        url: where it listens; None for a fake in memory.
        fake: the broker, if it is a fake; only one with a manual clock can let time pass.
    """

    def __init__(self, url: str | None, fake: FakeBroker | None) -> None:
        self._url = url
        self._fake = fake
        self._opened: list[Raw] = []

    async def close(self, names: Iterable[str]) -> None:
        """Hang up wherever somebody is still connected, and delete the queues with these names."""
        for raw in self._opened:
            await raw.hang_up()
        if self._fake is None and names:  # a fake takes them with it
            raw = await self.enter(1)
            for name in names:
                await raw.ask(queue.Delete(name))
            await raw.hang_up()

    async def dial(self) -> Raw:
        """Connect, and say nothing yet."""
        raw = Raw()
        if self._url is None:
            assert self._fake is not None
            await self._fake.dial(lambda: raw)
        else:
            address = urlsplit(self._url)
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: raw, address.hostname or "", address.port or 5672)
        self._opened.append(raw)
        return raw

    async def enter(
        self,
        *channels: int,
        channel_max: int = 2047,
        frame_max: int = 131072,
        heartbeat: int = 0,
        capabilities: Mapping[str, bool] = CAPABILITIES,
    ) -> Raw:
        """Connect, get through the handshake and open channels."""
        raw = await self.dial()
        tune_ok = connection.TuneOk(channel_max, frame_max, heartbeat)
        await raw.greet()
        start = start_ok(capabilities=capabilities)
        assert isinstance(await raw.ask(start, number=0), connection.Tune)
        assert await raw.ask(tune_ok, connection.Open("/"), number=0) == connection.OpenOk()
        for number in channels:
            assert await raw.ask(channel.Open(), number=number) == channel.OpenOk()
        return raw

    async def let_pass(self, seconds: float) -> None:
        """Let time pass once the broker has heard all that was said; RabbitMQ's passes by itself."""
        if self._fake is not None:
            # Who is answered shows that those who spoke earlier were heard.
            raw = await self.dial()
            await raw.greet()
            await raw.hang_up()
            self._fake.clock.advance(seconds)


def frame(kind: int, number: int, payload: bytes, end: bytes = FRAME_END) -> bytes:
    """Return a frame, whatever is in it."""
    return struct.pack(">BHI", kind, number, len(payload)) + payload + end


def content_header(size: int, *, class_id: int = 60, weight: int = 0, rest: bytes = b"") -> bytes:
    """Return the payload of a header frame; without `rest` it has no properties."""
    return struct.pack(">HHQ", class_id, weight, size) + (rest or b"\0\0")


def start_ok(
    mechanism: str = "PLAIN",
    response: bytes = b"\0guest\0guest",
    capabilities: Mapping[str, bool] = CAPABILITIES,
) -> connection.StartOk:
    """Return what a client says who logs in."""
    properties: FieldTable = {"capabilities": dict(capabilities)}
    return connection.StartOk(properties, mechanism, response, "en_US")


def close(code: int, text: str, method: type[Method] | None = None) -> connection.Close:
    """Return the connection.close of a broker that has something against a method, or in general."""
    return connection.Close(code, text, *ids(method))


def close_channel(code: int, text: str, method: type[Method] | None = None) -> channel.Close:
    """Return the channel.close of such a broker."""
    return channel.Close(code, text, *ids(method))


def ids(method: type[Method] | None) -> tuple[int, int]:
    """Return class id and method id, both 0 for none."""
    index = 0 if method is None else method.INDEX
    return index >> 16, index & 0xFFFF
