"""A test client that sends exactly what a scenario says and shows every method it receives."""

import asyncio
from typing import Any, Protocol, TypeAlias

from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    Method,
    Properties,
    basic,
    connection,
    encode_command,
)
from amqp_codec import channel as channel_methods

CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
}

MethodOrCommand: TypeAlias = Method | Command
"""A method, or a command if it has content."""


class ScriptedClient(asyncio.Protocol):
    """The client's side of a connection, without any logic of its own.

    Attributes:
        closed: set when the transport is closed.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._received: asyncio.Queue[MethodOrCommand | None] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for command in self._decoder.feed(data):
            if isinstance(command.method, connection.CloseOk) and self._transport is not None:
                self._transport.close()
            has_content = command.method.HAS_CONTENT
            self._received.put_nowait(command if has_content else command.method)

    def connection_lost(self, exc: Exception | None) -> None:
        self._received.put_nowait(None)
        self.closed.set()

    def send(self, *items: MethodOrCommand | bytes, channel: int = 1) -> None:
        """Send methods, commands and encoded frames in one write; methods go to ``channel``."""
        assert self._transport is not None
        self._transport.write(b"".join(encoded(item, channel) for item in items))

    async def next_command(self) -> MethodOrCommand:
        """Wait for the next method, or command with content, from the broker."""
        received = await self._received.get()
        assert received is not None, "the broker has closed the transport"
        return received

    async def call(
        self, *items: MethodOrCommand | bytes, channel: int = 1
    ) -> list[MethodOrCommand]:
        """Send items in one write and return everything that the broker sends in reply.

        The replies are complete when the broker answers the channel.flow that is sent last, or
        when it closes the channel or the connection. A closed channel is opened again.
        """
        self.send(*items, channel_methods.Flow(active=True), channel=channel)
        replies: list[MethodOrCommand] = []
        while True:
            reply = await self.next_command()
            if isinstance(reply, channel_methods.FlowOk):
                return replies
            replies.append(reply)
            if isinstance(reply, channel_methods.Close):
                self.send(channel_methods.CloseOk(), channel_methods.Open(), channel=channel)
                assert isinstance(await self.next_command(), channel_methods.OpenOk)
                return replies
            if isinstance(reply, connection.Close):
                return replies

    async def refusal(self, *items: MethodOrCommand | bytes, channel: int = 1) -> tuple[int, str]:
        """Return the reply code and text of the channel or connection error that items cause.

        A closed channel is opened again.
        """
        replies = await self.call(*items, channel=channel)
        assert len(replies) == 1, replies
        (reply,) = replies
        assert isinstance(reply, channel_methods.Close | connection.Close), reply
        return reply.reply_code, reply.reply_text

    async def get(self, queue: str) -> Command | None:
        """Get the next message of a queue; return None if the queue is empty."""
        (reply,) = await self.call(basic.Get(queue, no_ack=True))
        return reply if isinstance(reply, Command) else None

    async def bodies(self, queue: str) -> list[bytes]:
        """Get all messages of a queue; return their bodies."""
        bodies = []
        while (message := await self.get(queue)) is not None:
            bodies.append(bytes(message.body))
        return bodies

    async def log_in(
        self, user: str, password: str, vhost: str, *channels: int
    ) -> connection.Close | None:
        """Complete the handshake and open channels; return connection.close if it is refused."""
        assert self._transport is not None
        self._transport.write(PROTOCOL_HEADER)
        response = f"\0{user}\0{password}".encode()
        tune_ok = connection.TuneOk(2047, 131072, 0)
        await self.next_command()
        table: dict[str, Any] = {"capabilities": CAPABILITIES}
        self.send(connection.StartOk(table, "PLAIN", response, "en_US"), channel=0)
        reply = await self.next_command()
        if isinstance(reply, connection.Tune):
            self.send(tune_ok, connection.Open(vhost), channel=0)
            reply = await self.next_command()
        if isinstance(reply, connection.Close):
            self.send(connection.CloseOk(), channel=0)
            await self.closed.wait()
            return reply
        assert isinstance(reply, connection.OpenOk)
        for number in channels:
            self.send(channel_methods.Open(), channel=number)
            await self.next_command()
        return None

    async def close(self) -> None:
        """Close the connection unless it is closed."""
        if not self.closed.is_set():
            self.send(connection.Close(200, "bye"), channel=0)
            await self.closed.wait()


class LogIn(Protocol):
    """Opens a connection and channels; returns connection.close if the broker refuses it."""

    async def __call__(
        self,
        *channels: int,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
    ) -> ScriptedClient | connection.Close: ...


class OpenClient(Protocol):
    """Opens a connection and channels; the connection is closed when the test ends."""

    async def __call__(
        self,
        *channels: int,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
    ) -> ScriptedClient: ...


def method_of(item: MethodOrCommand) -> Method:
    """Return the method of a command, or the method itself."""
    return item.method if isinstance(item, Command) else item


def encoded(item: MethodOrCommand | bytes, channel: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return encode_command(item if isinstance(item, Command) else Command(channel, item))


def publish(
    key: str,
    exchange: str = "",
    body: bytes = b"m",
    *,
    mandatory: bool = False,
    immediate: bool = False,
    **properties: Any,
) -> Command:
    """Return a basic.publish on channel 1 with its content."""
    method = basic.Publish(exchange, key, mandatory, immediate)
    return Command(1, method, Properties(**properties), body)
