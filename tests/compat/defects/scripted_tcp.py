"""A server over TCP that does what a test tells it to, for any client in the same event loop.

Nothing here or in the tests beside it knows which client it is: they use what aioamqp 0.15 had in
public, so that the same tests run with 0.15.0 in place of ours.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

import aioamqp
from aioamqp.channel import Channel
from aioamqp.protocol import AmqpProtocol
from amqp_codec import (
    Command,
    DecodeError,
    Decoder,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    exchange,
    queue,
)

Answer = Callable[[Any], Method | None]
M = TypeVar("M", bound=Method)
T = TypeVar("T")

HEADER = 8
"""Octets of the protocol header."""

PREFIX = struct.Struct(">BHI")
"""Type, channel and size of a frame; Spec: 4.2.3."""

START = connection.Start(0, 9, {"product": "script"}, b"PLAIN AMQPLAIN", b"en_US")

ANSWERS: dict[type[Method], Answer] = {
    connection.StartOk: lambda _: connection.Tune(2047, 131072, 0),
    connection.Open: lambda _: connection.OpenOk(),
    connection.Close: lambda _: connection.CloseOk(),
    channel.Open: lambda _: channel.OpenOk(),
    channel.Close: lambda _: channel.CloseOk(),
    channel.Flow: lambda m: channel.FlowOk(m.active),
    exchange.Declare: lambda _: exchange.DeclareOk(),
    exchange.Delete: lambda _: exchange.DeleteOk(),
    exchange.Bind: lambda _: exchange.BindOk(),
    queue.Declare: lambda m: queue.DeclareOk(m.queue or "amq.gen-1", 3, 1),
    queue.Bind: lambda _: queue.BindOk(),
    queue.Unbind: lambda _: queue.UnbindOk(),
    queue.Delete: lambda _: queue.DeleteOk(7),
    queue.Purge: lambda _: queue.PurgeOk(7),
    confirm.Select: lambda _: confirm.SelectOk(),
    basic.Qos: lambda _: basic.QosOk(),
    basic.Consume: lambda m: basic.ConsumeOk(m.consumer_tag),
    basic.Cancel: lambda m: basic.CancelOk(m.consumer_tag),
    basic.Get: lambda _: basic.GetEmpty(),
    basic.Recover: lambda _: basic.RecoverOk(),
}
"""How a friendly server answers; no heartbeats unless a test asks for them."""

FOR_EVER = 1000.0
"""Seconds after which something is taken to wait for ever; they pass only when all else is done."""


async def soon(awaitable: Awaitable[T]) -> T:
    """Return what comes of it, or fail the test if it waits for ever."""
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=FOR_EVER)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        pytest.fail("waits for ever")
    return task.result()


async def outcomes(*awaitables: Awaitable[Any]) -> list[Any]:
    """Return what comes of each, exceptions included."""
    return await soon(asyncio.gather(*awaitables, return_exceptions=True))


async def wait_idle() -> None:
    """Wait until nothing more happens by itself: time passes only then."""
    await asyncio.sleep(1e-6)


async def fill(opened: Channel) -> Exception:
    """Publish until nothing more goes through, and then wait; return how that ends."""
    try:
        while True:
            await opened.basic_publish(bytes(4 * 1024 * 1024), "", "q")
    except Exception as error:  # noqa: BLE001 - the tests look at it
        return error


class ScriptedServer:
    """Answers as a friendly server unless told otherwise, and remembers what it received.

    Attributes:
        start: its first method; None for a server that stays mute.
        answers: by class of method; put None in for no answer, or something else for another.
        header: the client's protocol header.
        octets: all that followed.
        received: the commands in them.
        port: where it listens.
    """

    port: int

    def __init__(self) -> None:
        self.start: Method | bytes | None = START
        self.answers: dict[type[Method], Answer | None] = dict(ANSWERS)
        self.header = b""
        self.octets = bytearray()
        self.received: list[Command] = []
        self._clients: list[tuple[asyncio.Transport, AmqpProtocol]] = []
        self._links: list[_Link] = []
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Link(self), "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut all links, and wait until the clients have noticed."""
        self._listener.close()
        for link in self._links:
            link.transport.abort()
        for transport, protocol in self._clients:
            transport.abort()
            with contextlib.suppress(Exception):
                await soon(protocol.wait_closed())
        await wait_idle()

    # ---------------------------------------------------------------- the client

    async def connect(self, **kwargs: Any) -> AmqpProtocol:
        """Return an open connection to this server, which is cut when the test ends."""
        return self.adopt(await soon(aioamqp.connect("127.0.0.1", self.port, **kwargs)))

    def adopt(self, client: tuple[asyncio.Transport, AmqpProtocol]) -> AmqpProtocol:
        """Take care of a connection to this server that the test made itself."""
        self._clients.append(client)
        self.forget()
        return client[1]

    async def open_channel(self, **kwargs: Any) -> Channel:
        """Return the first channel of a connection to this server."""
        protocol = await self.connect(**kwargs)
        opened: Channel = await soon(protocol.channel())
        self.forget()
        return opened

    # ---------------------------------------------------------------- what it says

    @property
    def transport(self) -> asyncio.Transport:
        """The server's end of the latest link."""
        return self._links[-1].transport

    def mute(self, *methods: type[Method]) -> None:
        """Leave them unanswered."""
        for method in methods:
            self.answers[method] = None

    def send(self, *items: Method | Command | bytes, channel: int = 1) -> None:
        """Send all of it in one piece."""
        self.transport.write(b"".join(_encoded(item, channel) for item in items))

    def deliver(self, tag: str, *bodies: bytes, channel: int = 1) -> None:
        """Send messages to a consumer, with delivery tags from 1."""
        messages = [delivery(tag, body, n, channel) for n, body in enumerate(bodies, 1)]
        self.send(*messages)

    def reset(self) -> None:
        """Break the link as a peer does that is gone: with a reset, not an end of file."""
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.transport.abort()

    # ---------------------------------------------------------------- what it hears

    def forget(self) -> None:
        """Count only what comes from now on."""
        self.received.clear()
        self.octets.clear()

    def methods(self, kind: type[M]) -> list[M]:
        """Return what was received of one kind."""
        return [c.method for c in self.received if isinstance(c.method, kind)]

    async def got(self, kind: type[M], count: int = 1) -> M:
        """Wait until so many of a kind have come, and return the last of them."""
        await self.until(lambda: len(self.methods(kind)) >= count)
        return self.methods(kind)[count - 1]

    async def gone(self) -> None:
        """Wait until the client has ended all links."""
        await self.until(lambda: all(link.is_over for link in self._links))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that depends on the client holds."""

        async def wait() -> None:
            while not holds():
                self._changed.clear()
                await self._changed.wait()

        await soon(wait())

    # ---------------------------------------------------------------- for its links

    def opened(self, link: "_Link") -> None:
        self._links.append(link)

    def changed(self) -> None:
        self._changed.set()


class _Link(asyncio.Protocol):
    """The server's end of one connection."""

    transport: asyncio.Transport

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._decoder = Decoder()
        self._header = b""
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self._server.changed()

    def data_received(self, data: bytes) -> None:
        server = self._server
        missing = HEADER - len(self._header)
        if missing:
            self._header += data[:missing]
            data = data[missing:]
            server.header = self._header
            if len(self._header) == HEADER and server.start is not None:
                self._say(server.start, 0)
        server.octets += data
        for command in self._decoder.feed(data):
            server.received.append(command)
            self._answer(command)
        if self._decoder.error is not None and not self.transport.is_closing():
            self._refuse(self._decoder.error)
        server.changed()

    def _answer(self, command: Command) -> None:
        answer = self._server.answers.get(type(command.method))
        if answer is None or getattr(command.method, "no_wait", False):
            return
        method = answer(command.method)
        if method is not None:
            self._say(method, command.channel)

    def _refuse(self, error: DecodeError) -> None:
        """Close the connection, as every server does when a client breaks the rules."""
        self._say(connection.Close(error.reply_code, str(error)), 0)
        self.transport.close()

    def _say(self, item: Method | bytes, channel: int) -> None:
        self.transport.write(_encoded(item, channel))


def delivery(tag: str, body: bytes = b"", number: int = 1, channel: int = 1) -> Command:
    """Return a message to a consumer."""
    return Command(channel, basic.Deliver(tag, number, False, "ex", "key"), Properties(), body)


def frames(octets: bytes) -> list[bytes]:
    """Cut whole frames apart."""
    cut = []
    while octets:
        _type, _channel, size = PREFIX.unpack_from(octets)
        cut.append(octets[: PREFIX.size + size + 1])
        octets = octets[len(cut[-1]) :]
    return cut


def _encoded(item: Method | Command | bytes, channel: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return encode_command(item if isinstance(item, Command) else Command(channel, item))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what aioamqp has logged; asyncio may complain of what an earlier test left behind."""
    return [each.getMessage() for each in caplog.records if each.name.startswith("aioamqp")]
