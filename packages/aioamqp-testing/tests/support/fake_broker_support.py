"""Clients and channels for the tests: a client of a session without input and output, a client of a
broker in memory, and a channel that records what the model does to it."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final

from aioamqp_testing import FakeBroker
from aioamqp_testing.model import (
    Consumer,
    ManualClock,
    Message,
    Node,
    Queue,
    QueuedMessage,
    SharedPrefetch,
    VirtualHost,
)
from aioamqp_testing.model.profile import find_profile
from aioamqp_testing.session import Session
from aioamqp_testing.session.journal import Journal
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    FieldValue,
    Int64,
    Method,
    Properties,
    basic,
    channel,
    connection,
    encode_command,
    encode_method,
)

RABBITMQ_3_10: Final = find_profile("3.10")
"""The version in tests of the model and of sessions that do not choose one."""

CAPABILITIES = {"authentication_failure_close": True, "consumer_cancel_notify": True}


UNSUPPORTED: Final = basic.Consume("q", arguments={"x-credit": {"credit": Int64(1), "drain": True}})
"""A command that RabbitMQ can process and this broker cannot."""

WHAT_IS_UNSUPPORTED: Final = "a consumer with x-credit that drains the queue"


class SilentClient:
    """The client of a session: sends what a test passes to it, and decodes the output."""

    def __init__(
        self,
        node: Node | None = None,
        clock: ManualClock | None = None,
        journal: Journal | None = None,
        schedule: Callable[[], object] | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.node = node or Node(self.clock, profile=RABBITMQ_3_10)
        self.wakes = 0
        self.session = Session(
            self.node, self.clock, (journal or Journal()).open("test"), self._wake, schedule
        )
        self._decoder = Decoder()

    def _wake(self) -> None:
        self.wakes += 1

    @property
    def vhost(self) -> VirtualHost:
        return self.node.vhosts["/"]

    def raw(self, octets: bytes) -> None:
        self.session.receive_data(octets)

    def frame(self, frame_type: int, number: int, payload: bytes, end: bytes = b"\xce") -> None:
        self.raw(struct.pack(">BHI", frame_type, number, len(payload)) + payload + end)

    def method(self, number: int, index: int, arguments: bytes = b"") -> None:
        self.raw(encode_method(number, index.to_bytes(4, "big") + arguments))

    def say(self, number: int, *methods: Method) -> list[Method]:
        """Send methods in one piece; return the replies."""
        self.raw(b"".join(encode_command(Command(number, method)) for method in methods))
        return self.heard()

    def publish(self, key: str, *bodies: bytes, number: int = 1, **options: Any) -> list[Method]:
        """Publish in one piece; return the replies."""
        method = basic.Publish(
            options.pop("exchange", ""),
            key,
            options.pop("mandatory", False),
            options.pop("immediate", False),
        )
        properties = Properties(**options)
        self.raw(
            b"".join(encode_command(Command(number, method, properties, body)) for body in bodies)
        )
        return self.heard()

    def commands(self) -> list[Command]:
        return self._decoder.feed(self.session.take_output())

    def heard(self) -> list[Method]:
        return [command.method for command in self.commands()]

    def bodies(self) -> list[bytes]:
        """Return the bodies of what was delivered since the last call."""
        return [bytes(command.body) for command in self.commands() if command.method.HAS_CONTENT]

    def start(self, **options: Any) -> list[Method]:
        """Send the protocol header and connection.start-ok; return the replies."""
        self.raw(PROTOCOL_HEADER)
        self.heard()
        return self.say(0, start_ok(**options))

    def open(self, *numbers: int, **tuning: Any) -> "SilentClient":
        """Complete the handshake and open channels."""
        self.start(capabilities=tuning.pop("capabilities", CAPABILITIES))
        tune_ok = connection.TuneOk(
            tuning.pop("channel_max", 2047),
            tuning.pop("frame_max", 131072),
            tuning.pop("heartbeat", 0),
        )
        assert not tuning
        assert self.say(0, tune_ok, connection.Open("/")) == [connection.OpenOk()]
        for number in numbers:
            assert self.say(number, channel.Open()) == [channel.OpenOk()]
        return self

    def another(self, *numbers: int) -> "SilentClient":
        """Open another connection to the same broker."""
        return SilentClient(self.node, self.clock).open(*numbers)


def start_ok(
    user: str = "guest",
    password: str = "guest",
    mechanism: str = "PLAIN",
    response: bytes | None = None,
    capabilities: dict[str, bool] = CAPABILITIES,
) -> connection.StartOk:
    if response is None:
        response = f"\0{user}\0{password}".encode()
    return connection.StartOk({"capabilities": capabilities}, mechanism, response, "en_US")


def channel_close(code: int, text: str, method: type[Method]) -> list[Method]:
    return [channel.Close(code, text, *divmod(method.INDEX, 1 << 16))]


def connection_close(code: int, text: str, method: type[Method]) -> list[Method]:
    return [connection.Close(code, text, *divmod(method.INDEX, 1 << 16))]


class NotingChannel:
    """A channel that records what the model does to it."""

    def __init__(self) -> None:
        self.name = "test"
        self.prefetch = SharedPrefetch(self)
        self.deliveries: list[tuple[str, bytes]] = []
        self.ack_timeout = None
        self.held: list[QueuedMessage] = []
        self.cancelled: list[str] = []

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        self.deliveries.append((consumer.tag, queued.message.body))
        self.held.append(queued)

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        self.cancelled += [consumer.tag for consumer in consumers]

    def notify_cancelled(self, consumer: Consumer) -> None:
        self.cancelled.append(consumer.tag)

    def time_out(self) -> None:
        raise AssertionError("the channel times out")

    def crash(self) -> None:
        raise AssertionError("the channel crashes")

    def consume(self, queue: Queue, tag: str = "tag", **options: Any) -> Consumer:
        consumer = Consumer(tag, self, queue, **options)
        queue.add_consumer(consumer)
        return consumer

    def taken(self) -> list[tuple[str, bytes]]:
        """Return what was delivered since the last call."""
        taken, self.deliveries = self.deliveries, []
        return taken


def a_message(body: bytes = b"m", key: str = "q", exchange: str = "", **properties: Any) -> Message:
    return Message(exchange, key, Properties(**properties), body)


class Recorder(asyncio.Protocol):
    """A protocol that records what its transport does."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.events: list[object] = []
        self.lost = asyncio.Event()
        self.keep_open = keep_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(("lost", type(exc)))
        self.lost.set()

    @property
    def octets(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))


class RawClient(Recorder):
    """A client in memory that sends what a test passes to it, and decodes what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: asyncio.Transport
        self._decoder = Decoder()
        self._read = 0

    def send(self, *methods: Method, number: int = 1) -> None:
        for method in methods:
            properties = Properties() if method.HAS_CONTENT else None
            self.transport.write(encode_command(Command(number, method, properties)))

    def received(self) -> list[Method]:
        """Return the methods that were received since the last call."""
        data = self.octets[self._read :]
        self._read += len(data)
        return [command.method for command in self._decoder.feed(data)]

    @property
    def is_lost(self) -> bool:
        return self.lost.is_set()


async def raw_client(broker: FakeBroker, *channels: int, name: str | None = None) -> RawClient:
    """Connect, and open channels."""
    transport, client = await broker.dial(RawClient)
    client.transport = transport
    transport.write(PROTOCOL_HEADER)
    properties: dict[str, FieldValue] = {"capabilities": {**CAPABILITIES}}
    if name is not None:
        properties["connection_name"] = name
    login = connection.StartOk(properties, "PLAIN", b"\0guest\0guest", "en_US")
    client.send(login, connection.TuneOk(2047, 131072, 0), connection.Open("/"), number=0)
    for number in channels:
        client.send(channel.Open(), number=number)
    await broker.wait_idle()
    client.received()
    return client


async def exchange(
    broker: FakeBroker, client: RawClient, *methods: Method, number: int = 1
) -> list[Method]:
    """Send methods and return the replies."""
    client.send(*methods, number=number)
    await broker.wait_idle()
    return client.received()
