"""The server's side of a connection in memory, controlled by a test."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import aioamqp
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
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
    tx,
)

Answer = Callable[[Any], Method | None]
M = TypeVar("M", bound=Method)
P = TypeVar("P", bound=asyncio.BaseProtocol)

ANSWERS: dict[type[Method], Answer] = {
    connection.StartOk: lambda _: connection.Tune(2047, 131072, 60),
    connection.TuneOk: lambda _: None,
    connection.Open: lambda _: connection.OpenOk(),
    connection.Close: lambda _: connection.CloseOk(),
    channel.Open: lambda _: channel.OpenOk(),
    channel.Close: lambda _: channel.CloseOk(),
    exchange.Declare: lambda _: exchange.DeclareOk(),
    exchange.Delete: lambda _: exchange.DeleteOk(),
    channel.Flow: lambda m: channel.FlowOk(m.active),
    exchange.Bind: lambda _: exchange.BindOk(),
    exchange.Unbind: lambda _: exchange.UnbindOk(),
    queue.Unbind: lambda _: queue.UnbindOk(),
    basic.Recover: lambda _: basic.RecoverOk(),
    tx.Select: lambda _: tx.SelectOk(),
    tx.Commit: lambda _: tx.CommitOk(),
    tx.Rollback: lambda _: tx.RollbackOk(),
    queue.Declare: lambda m: queue.DeclareOk(m.queue or "amq.gen-1", 3, 1),
    queue.Bind: lambda _: queue.BindOk(),
    queue.Delete: lambda _: queue.DeleteOk(7),
    queue.Purge: lambda _: queue.PurgeOk(7),
    confirm.Select: lambda _: confirm.SelectOk(),
    basic.Qos: lambda _: basic.QosOk(),
    basic.Consume: lambda m: basic.ConsumeOk(m.consumer_tag),
    basic.Cancel: lambda m: basic.CancelOk(m.consumer_tag),
    basic.Get: lambda _: basic.GetEmpty(),
}
"""The answers of a server that agrees to everything."""

START = connection.Start(0, 9, {"product": "script"}, b"PLAIN AMQPLAIN", b"en_US")


class MemoryTransport(asyncio.Transport):
    """The client's transport; it calls ``connection_lost`` in the next turn of the event loop.

    Attributes:
        writes: what was written, piece by piece.
        reads: whether the client reads.
        was_aborted: whether the client has aborted it.
        is_stuck: whether closing never ends.
        capacity: bytes above which the write buffer is full; None for no limit.
        held: bytes in the write buffer, if it has a limit.
    """

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        on_write: Callable[[bytes], None],
        on_resume: Callable[[], None],
    ) -> None:
        super().__init__()
        self.protocol: Any = protocol
        self.writes: list[bytes] = []
        self.reads = True
        self.was_aborted = False
        self.is_stuck = False
        self.capacity: int | None = None
        self.held = 0
        self._is_full = False
        self._on_write = on_write
        self._on_resume = on_resume
        self._is_closing = False
        self._is_over = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self._is_closing
        self.writes.append(bytes(data))
        if self.capacity is not None:
            self.held += len(data)
            if self.held > self.capacity and not self._is_full:
                self._is_full = True
                self.protocol.pause_writing()
        self._on_write(bytes(data))

    def drain(self) -> None:
        """Empty the write buffer."""
        self.held = 0
        if self._is_full:
            self._is_full = False
            self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        if not self.is_stuck:
            self.end(None)

    def abort(self) -> None:
        self.was_aborted = True
        self.end(None)

    def end(self, error: Exception | None) -> None:
        """Lose the connection because of an error, or close it if that is None."""
        self._is_closing = True
        if not self._is_over:
            self._is_over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True
        asyncio.get_running_loop().call_soon(self._on_resume)


class ScriptedServer:
    """A server that agrees to everything unless a test changes that, and records what it received.

    Attributes:
        received: the commands since the handshake, except those that a test has removed.
        answers: by class of method; None for no answer.
        greets: whether the protocol header is answered with connection.start.
        start: that connection.start.
    """

    transport: MemoryTransport

    def __init__(self) -> None:
        self.received: list[Command] = []
        self.answers: dict[type[Method], Answer | None] = dict(ANSWERS)
        self.greets = True
        self.start = START
        self._header = b""
        self._decoder = Decoder()
        self._unsent: list[bytes] = []

    async def dial(
        self, protocol_factory: Callable[[], P], host: str, port: int | str, *, ssl: Any
    ) -> tuple[asyncio.Transport, P]:
        """Connect a protocol, as a dialer of aioamqp: one connection at a time."""
        self._header, self._decoder = b"", Decoder()
        protocol = protocol_factory()
        self.transport = MemoryTransport(protocol, self._receive, self._send_unsent)
        protocol.connection_made(self.transport)
        return self.transport, protocol

    async def connect(self, **kwargs: Any) -> aioamqp.AmqpProtocol:
        """Return an open connection to this server."""
        with aioamqp.dialing(self.dial):
            _, protocol = await aioamqp.connect(**kwargs)
        self.received.clear()
        self.transport.writes.clear()
        return protocol

    async def open_channel(self, **kwargs: Any) -> aioamqp.Channel:
        """Return the first channel of an open connection to this server."""
        protocol = await self.connect(**kwargs)
        opened = await protocol.channel()
        self.received.clear()
        self.transport.writes.clear()
        return opened

    def mute(self, *methods: type[Method]) -> None:
        """Answer some methods no longer, or all of them if none are given."""
        for method in methods or tuple(self.answers):
            self.answers[method] = None

    def send(self, *items: Method | Command | bytes, channel: int = 1) -> None:
        """Send all of it in one piece, in the next turn of the loop."""
        asyncio.get_running_loop().call_soon(lambda: self.send_now(*items, channel=channel))

    def send_now(self, *items: Method | Command | bytes, channel: int = 1) -> None:
        """Send all of it in one piece; only for callbacks of the event loop."""
        self._unsent.append(b"".join(_encode(item, channel) for item in items))
        self._send_unsent()

    def deliver(self, tag: str, *bodies: bytes, channel: int = 1, first: int = 1) -> None:
        """Send messages to a consumer, with delivery tags that count up."""
        self.send(
            *(
                Command(channel, basic.Deliver(tag, n, False, "ex", "key"), Properties(), body)
                for n, body in enumerate(bodies, first)
            )
        )

    def methods(self, kind: type[M]) -> list[M]:
        """Return what was received of one kind."""
        return [c.method for c in self.received if isinstance(c.method, kind)]

    def published(self) -> list[bytes]:
        """Return the bodies of the messages that were received."""
        return [bytes(c.body) for c in self.received if isinstance(c.method, basic.Publish)]

    def is_read(self) -> bool:
        """Return whether the client reads what is sent."""
        return self.transport.reads

    def names(self) -> list[str]:
        """Return the names of all that was received."""
        return [command.method.NAME for command in self.received]

    def _send_unsent(self) -> None:
        while self._unsent and self.transport.reads and not self.transport.is_closing():
            self.transport.protocol.data_received(self._unsent.pop(0))

    def _receive(self, data: bytes) -> None:
        if len(self._header) < len(PROTOCOL_HEADER):
            self._header += data
            assert self._header == PROTOCOL_HEADER
            if self.greets:
                self.send(self.start, channel=0)
            return
        for command in self._decoder.feed(data):
            self.received.append(command)
            answer = self.answers.get(type(command.method))
            if answer is None or getattr(command.method, "no_wait", False):
                continue
            method = answer(command.method)
            if method is not None:
                self.send(method, channel=command.channel)


async def wait_idle() -> None:
    """Wait until nothing else can happen: virtual time passes only then."""
    await asyncio.sleep(1e-6)


def _encode(item: Method | Command | bytes, channel: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return encode_command(item if isinstance(item, Command) else Command(channel, item))
