"""A scripted server over TCP for a client in the same event loop.

This file and the tests of this folder use only the public interface of aioamqp 0.15, so that they run
with 0.15.0 too.
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
"""Size of the protocol header in bytes."""

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
"""The default answers by method; heartbeats are disabled."""

FOREVER = 1000.0
"""Seconds after which a wait fails; the clock advances only while the loop is idle."""


async def result_of(awaitable: Awaitable[T]) -> T:
    """Return the result of an awaitable, or fail the test if it waits forever."""
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=FOREVER)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        pytest.fail("waits forever")
    return task.result()


async def outcomes(*awaitables: Awaitable[Any]) -> list[Any]:
    """Return the results and exceptions of all awaitables."""
    return await result_of(asyncio.gather(*awaitables, return_exceptions=True))


async def wait_idle() -> None:
    """Wait until the loop is idle: the clock advances only then."""
    await asyncio.sleep(1e-6)


async def publish_until_paused(opened: Channel) -> Exception:
    """Publish until writing is paused, and wait; return the exception that ends it."""
    try:
        while True:
            await opened.basic_publish(bytes(4 * 1024 * 1024), "", "q")
    except Exception as error:  # noqa: BLE001 - the tests check its type
        return error


class ScriptedServer:
    """Answers each method by default, and keeps what it has received.

    Attributes:
        start: its first method; None for a server that sends nothing.
        answers: by class of method; set None for no answer.
        header: the protocol header of the client.
        data: everything received after the protocol header.
        received: the commands in ``data``.
        port: on which it listens.
    """

    port: int

    def __init__(self) -> None:
        self.start: Method | bytes | None = START
        self.answers: dict[type[Method], Answer | None] = dict(ANSWERS)
        self.header = b""
        self.data = bytearray()
        self.received: list[Command] = []
        self._clients: list[tuple[asyncio.Transport, AmqpProtocol]] = []
        self._connections: list[_ServerConnection] = []
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _ServerConnection(self), "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Abort all connections, and wait until the clients have closed theirs."""
        self._listener.close()
        for each in self._connections:
            each.transport.abort()
        for transport, protocol in self._clients:
            transport.abort()
            with contextlib.suppress(Exception):
                await result_of(protocol.wait_closed())
        await wait_idle()

    # ---------------------------------------------------------------- the client

    async def connect(self, **kwargs: Any) -> AmqpProtocol:
        """Return an open connection to this server, which is aborted when the test ends."""
        return self.adopt(await result_of(aioamqp.connect("127.0.0.1", self.port, **kwargs)))

    def adopt(self, client: tuple[asyncio.Transport, AmqpProtocol]) -> AmqpProtocol:
        """Abort a connection that the test has opened itself when the test ends."""
        self._clients.append(client)
        self.clear()
        return client[1]

    async def open_channel(self, **kwargs: Any) -> Channel:
        """Return the first channel of a connection to this server."""
        protocol = await self.connect(**kwargs)
        opened: Channel = await result_of(protocol.channel())
        self.clear()
        return opened

    # ---------------------------------------------------------------- sending

    @property
    def transport(self) -> asyncio.Transport:
        """The server's transport of the latest connection."""
        return self._connections[-1].transport

    def mute(self, *methods: type[Method]) -> None:
        """Leave these methods unanswered."""
        for method in methods:
            self.answers[method] = None

    def send(self, *items: Method | Command | bytes, channel: int = 1) -> None:
        """Send items in one write."""
        self.transport.write(b"".join(_encoded(item, channel) for item in items))

    def deliver(self, tag: str, *bodies: bytes, channel: int = 1) -> None:
        """Send messages to a consumer, with delivery tags from 1."""
        messages = [delivery(tag, body, n, channel) for n, body in enumerate(bodies, 1)]
        self.send(*messages)

    def reset(self) -> None:
        """Close the connection with a TCP reset, without end of file."""
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self.transport.abort()

    # ---------------------------------------------------------------- receiving

    def clear(self) -> None:
        """Clear what was received so far."""
        self.received.clear()
        self.data.clear()

    def methods(self, kind: type[M]) -> list[M]:
        """Return the received methods of a class."""
        return [c.method for c in self.received if isinstance(c.method, kind)]

    async def wait_for(self, kind: type[M], count: int = 1) -> M:
        """Wait until ``count`` methods of a class were received; return the last one."""
        await self.wait_until(lambda: len(self.methods(kind)) >= count)
        return self.methods(kind)[count - 1]

    async def wait_closed(self) -> None:
        """Wait until the client has closed all connections."""
        await self.wait_until(lambda: all(each.is_closed for each in self._connections))

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition on what was received holds."""

        async def wait() -> None:
            while not holds():
                self._changed.clear()
                await self._changed.wait()

        await result_of(wait())

    # ---------------------------------------------------------------- for _ServerConnection

    def connection_made(self, connection: "_ServerConnection") -> None:
        self._connections.append(connection)

    def state_changed(self) -> None:
        self._changed.set()


class _ServerConnection(asyncio.Protocol):
    """The server's side of one connection."""

    transport: asyncio.Transport

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._decoder = Decoder()
        self._header = b""
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._server.state_changed()

    def data_received(self, data: bytes) -> None:
        server = self._server
        missing = HEADER - len(self._header)
        if missing:
            self._header += data[:missing]
            data = data[missing:]
            server.header = self._header
            if len(self._header) == HEADER and server.start is not None:
                self._send(server.start, 0)
        server.data += data
        for command in self._decoder.feed(data):
            server.received.append(command)
            self._answer(command)
        if self._decoder.error is not None and not self.transport.is_closing():
            self._refuse(self._decoder.error)
        server.state_changed()

    def _answer(self, command: Command) -> None:
        answer = self._server.answers.get(type(command.method))
        if answer is None or getattr(command.method, "no_wait", False):
            return
        method = answer(command.method)
        if method is not None:
            self._send(method, command.channel)

    def _refuse(self, error: DecodeError) -> None:
        """Close the connection because of a protocol error of the client."""
        self._send(connection.Close(error.reply_code, str(error)), 0)
        self.transport.close()

    def _send(self, item: Method | bytes, channel: int) -> None:
        self.transport.write(_encoded(item, channel))


def delivery(tag: str, body: bytes = b"", number: int = 1, channel: int = 1) -> Command:
    """Return a basic.deliver with its content."""
    return Command(channel, basic.Deliver(tag, number, False, "ex", "key"), Properties(), body)


def frames(data: bytes) -> list[bytes]:
    """Return the single frames of ``data``."""
    found = []
    while data:
        _type, _channel, size = PREFIX.unpack_from(data)
        found.append(data[: PREFIX.size + size + 1])
        data = data[len(found[-1]) :]
    return found


def _encoded(item: Method | Command | bytes, channel: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return encode_command(item if isinstance(item, Command) else Command(channel, item))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log texts of aioamqp, without those of asyncio about earlier tests."""
    return [each.getMessage() for each in caplog.records if each.name.startswith("aioamqp")]
