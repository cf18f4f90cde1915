"""A connection that says exactly what a scenario tells it to, and hears everything."""

import asyncio
from typing import Any, Protocol, TypeAlias

from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    Method,
    Properties,
    basic,
    channel,
    connection,
    encode_command,
)

CAPABILITIES = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
}

Said: TypeAlias = Method | Command
"""What is said: a method, or a command where it has content."""


class Wire(asyncio.Protocol):
    """The client's side of a connection."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._heard: asyncio.Queue[Said | None] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for command in self._decoder.feed(data):
            if isinstance(command.method, connection.CloseOk) and self._transport is not None:
                self._transport.close()
            has_content = command.method.HAS_CONTENT
            self._heard.put_nowait(command if has_content else command.method)

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard.put_nowait(None)
        self.lost.set()

    def send(self, *what: Said | bytes, number: int = 1) -> None:
        """Say something in one piece, on a channel; octets go out as they are."""
        assert self._transport is not None
        self._transport.write(b"".join(octets_of(each, number) for each in what))

    async def hear(self) -> Said:
        """Wait for the next thing that the broker says."""
        said = await self._heard.get()
        assert said is not None, "the broker has hung up"
        return said

    async def say(self, *what: Said | bytes, number: int = 1) -> list[Said]:
        """Say something in one piece; return what the broker says until it is done with that.

        (It is done when it answers a question that is asked behind it, or closes something.)
        """
        self.send(*what, channel.Flow(active=True), number=number)
        said: list[Said] = []
        while True:
            answer = await self.hear()
            if isinstance(answer, channel.FlowOk):
                return said
            said.append(answer)
            if isinstance(answer, channel.Close):
                self.send(channel.CloseOk(), channel.Open(), number=number)
                assert isinstance(await self.hear(), channel.OpenOk)
                return said
            if isinstance(answer, connection.Close):
                return said

    async def refusal(self, *what: Said | bytes, number: int = 1) -> tuple[int, str]:
        """Return code and text with which the broker refuses something.

        A channel that it closes for that is opened again.
        """
        said = await self.say(*what, number=number)
        assert len(said) == 1, said
        (answer,) = said
        assert isinstance(answer, channel.Close | connection.Close), answer
        return answer.reply_code, answer.reply_text

    async def get(self, queue: str) -> Command | None:
        """Take the next message out of a queue."""
        (answer,) = await self.say(basic.Get(queue, no_ack=True))
        return answer if isinstance(answer, Command) else None

    async def bodies(self, queue: str) -> list[bytes]:
        """Take all messages out of a queue; return what is in them."""
        bodies = []
        while (message := await self.get(queue)) is not None:
            bodies.append(bytes(message.body))
        return bodies

    async def log_in(
        self, user: str, password: str, vhost: str, *channels: int
    ) -> connection.Close | None:
        """Get through the handshake and open channels; return a refusal."""
        assert self._transport is not None
        self._transport.write(PROTOCOL_HEADER)
        response = f"\0{user}\0{password}".encode()
        tune_ok = connection.TuneOk(2047, 131072, 0)
        await self.hear()
        table: dict[str, Any] = {"capabilities": CAPABILITIES}
        self.send(connection.StartOk(table, "PLAIN", response, "en_US"), number=0)
        answer = await self.hear()
        if isinstance(answer, connection.Tune):
            self.send(tune_ok, connection.Open(vhost), number=0)
            answer = await self.hear()
        if isinstance(answer, connection.Close):
            self.send(connection.CloseOk(), number=0)
            await self.lost.wait()
            return answer
        assert isinstance(answer, connection.OpenOk)
        for number in channels:
            self.send(channel.Open(), number=number)
            await self.hear()
        return None

    async def close(self) -> None:
        """Close the connection, if it is not closed."""
        if not self.lost.is_set():
            self.send(connection.Close(200, "bye"), number=0)
            await self.lost.wait()


class LogIn(Protocol):
    """Opens a connection, with some channels, or returns the refusal."""

    async def __call__(
        self,
        *channels: int,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
    ) -> Wire | connection.Close: ...


class OpenWire(Protocol):
    """Opens a connection, with some channels; it is closed when the test ends."""

    async def __call__(
        self,
        *channels: int,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
    ) -> Wire: ...


def octets_of(what: Said | bytes, number: int) -> bytes:
    if isinstance(what, bytes):
        return what
    return encode_command(what if isinstance(what, Command) else Command(number, what))


def publish(
    key: str,
    exchange: str = "",
    body: bytes = b"m",
    *,
    mandatory: bool = False,
    immediate: bool = False,
    number: int = 1,
    **properties: Any,
) -> Command:
    """Return a basic.publish with its content."""
    method = basic.Publish(exchange, key, mandatory, immediate)
    return Command(number, method, Properties(**properties), body)
