"""FakeBroker: connections in memory, over TCP, and of aioamqp."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

import aioamqp
from aioamqp_testing import FakeBroker, ManualClock
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
    queue,
)
from fake_broker_support import UNSUPPORTED, WHAT_IS_UNSUPPORTED, Recorder, a_message, start_ok

pytestmark = pytest.mark.asyncio

HELLO = [
    Command(0, start_ok()),
    Command(0, connection.TuneOk(2047, 131072, 0)),
    Command(0, connection.Open("/")),
    Command(1, channel.Open()),
]


def encoded(*commands: Command) -> bytes:
    return b"".join(encode_command(command) for command in commands)


async def turns_until(predicate: Callable[[], bool]) -> None:
    """Run the loop until the broker has handled what has arrived over a socket."""
    for _ in range(10_000):
        if predicate():
            return
        await asyncio.sleep(0)
    raise AssertionError("the broker has not handled it")


class StreamClient:
    """A client over the streams of asyncio that sends what a test passes to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = Decoder()
        self._methods: list[Method] = []

    @classmethod
    async def open(cls, url: str) -> "StreamClient":
        parts = urlsplit(url)
        client = cls(*await asyncio.open_connection(parts.hostname, parts.port))
        client.writer.write(PROTOCOL_HEADER + encoded(*HELLO))
        assert [type(await client.receive()) for _ in range(4)] == [
            connection.Start,
            connection.Tune,
            connection.OpenOk,
            channel.OpenOk,
        ]
        return client

    def send(self, *methods: Method) -> None:
        self.writer.write(encoded(*(Command(1, method) for method in methods)))

    async def receive(self) -> Method:
        while not self._methods:
            received = await self.reader.read(65536)
            if not received:
                raise EOFError
            self._methods += [command.method for command in self._decoder.feed(received)]
        return self._methods.pop(0)

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_any_client_can_connect_over_tcp() -> None:
    async with FakeBroker() as broker:
        url = await broker.listen()
        assert url.startswith("amqp://guest:guest@127.0.0.1:")
        client = await StreamClient.open(url)

        client.send(queue.Declare("q", durable=True))
        assert await client.receive() == queue.DeclareOk("q")
        client.writer.write(encoded(Command(1, basic.Publish("", "q"), Properties(), b"m")))
        client.send(basic.Get("q"))
        assert await client.receive() == basic.GetOk(1, False, "", "q", 0)

        assert len(broker.sessions) == 1
        await client.close()


async def test_a_client_that_hangs_up_is_forgotten() -> None:
    async with FakeBroker() as broker:
        client = await StreamClient.open(await broker.listen())
        other = await StreamClient.open(await broker.listen())
        client.send(queue.Declare("mine", exclusive=True))
        await client.receive()
        other.send(queue.Declare("q", durable=True), basic.Consume("q", "c"))
        assert [await other.receive(), await other.receive()] == [
            queue.DeclareOk("q"),
            basic.ConsumeOk("c"),
        ]

        await client.close()
        await turns_until(lambda: len(broker.sessions) == 1)

        assert list(broker.vhost.queues) == ["q"]
        await other.close()


async def test_last_words_arrive_before_the_end() -> None:
    async with FakeBroker(rabbitmq="3.10") as broker:
        parts = urlsplit(await broker.listen())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET / HTTP/1.0\r\n")

        assert await reader.readexactly(8) == PROTOCOL_HEADER
        await asyncio.gather(reader.read(), return_exceptions=True)
        assert reader.at_eof() or reader.exception()

        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_client_that_said_nothing_is_reset() -> None:
    async with FakeBroker(clock="manual") as broker:
        parts = urlsplit(await broker.listen())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(PROTOCOL_HEADER)
        await reader.readexactly(8)

        broker.clock.advance(10)
        with pytest.raises(ConnectionResetError):
            while await reader.read(65536):
                pass

        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_leaving_the_broker_tells_its_clients_and_closes_its_port() -> None:
    async with FakeBroker() as broker:
        url = await broker.listen()
        client = await StreamClient.open(url)

    close = await client.receive()
    assert isinstance(close, connection.Close)
    assert close.reply_code == 320
    with pytest.raises((EOFError, ConnectionResetError)):
        await client.receive()
    await asyncio.gather(client.close(), return_exceptions=True)
    with pytest.raises(OSError):
        await StreamClient.open(url)
    assert broker.sessions == []


async def test_a_client_that_does_not_read_cannot_keep_the_broker_from_stopping() -> None:
    async with FakeBroker() as broker:
        client = await StreamClient.open(await broker.listen())
        client.send(queue.Declare("q", durable=True))
        await client.receive()
        for _ in range(64):
            broker.vhost.queues["q"].publish(a_message(bytes(2**20)))
        client.send(basic.Consume("q", no_ack=True))
        await turns_until(lambda: broker.sessions[0].output.is_congested)

    assert broker.sessions == []
    client.writer.transport.abort()
    await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)


async def test_a_client_that_does_not_read_gets_no_more_until_it_does() -> None:
    async with FakeBroker() as broker:
        client = await StreamClient.open(await broker.listen())
        client.send(queue.Declare("q", durable=True))
        await client.receive()
        for _ in range(64):
            broker.vhost.queues["q"].publish(a_message(bytes(2**20)))
        client.send(basic.Consume("q", "c", no_ack=True))
        await turns_until(lambda: broker.sessions[0].output.is_congested)
        for _ in range(100):
            await asyncio.sleep(0)
        assert broker.vhost.queues["q"].message_count > 32

        assert await client.receive() == basic.ConsumeOk("c")
        tags = [(await client.receive()).delivery_tag for _ in range(64)]  # type: ignore[attr-defined]

        assert tags == list(range(1, 65))
        assert broker.vhost.queues["q"].message_count == 0
        await client.close()


async def test_a_broker_that_is_not_running_refuses_connections() -> None:
    broker = FakeBroker()

    with pytest.raises(ConnectionRefusedError, match="async with"):
        await broker.dial(Recorder)
    with pytest.raises(RuntimeError, match="async with"):
        await broker.listen()
    async with broker:
        pass
    with pytest.raises(ConnectionRefusedError):
        await broker.dial(Recorder)


async def test_any_protocol_of_asyncio_can_be_joined_in_memory() -> None:
    async with FakeBroker() as broker:
        transport, recorder = await broker.dial(Recorder, "host", 1)
        assert transport.get_extra_info("peername") == ("host", 1)

        transport.write(PROTOCOL_HEADER + encoded(*HELLO))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answers = [command.method for command in Decoder().feed(recorder.octets)]
        assert answers[2:] == [connection.OpenOk(), channel.OpenOk()]

    assert recorder.events[-1] == ("lost", type(None))


async def test_time_is_the_tests_own_if_it_wants_it() -> None:
    async with FakeBroker(clock="manual") as broker:
        transport, recorder = await broker.dial(Recorder)
        transport.write(b"AMQP")
        await asyncio.sleep(0)

        broker.clock.advance(10)
        await recorder.lost.wait()

    assert recorder.events == ["made", ("lost", ConnectionResetError)]


async def test_brokers_can_share_a_clock_but_nothing_else() -> None:
    clock = ManualClock()

    async with FakeBroker(clock) as one, FakeBroker(clock) as other:
        one.vhost.declare_queue("q", None, durable=True)
        assert other.vhost.queues == {}
        assert one.clock is other.clock


async def test_real_time_cannot_be_advanced() -> None:
    with pytest.raises(RuntimeError, match="FakeBroker\\(clock='manual'\\)"):
        FakeBroker().clock.advance(1)
    with pytest.raises(ValueError, match="not 'fast'"):
        FakeBroker(clock="fast")  # type: ignore[arg-type]


async def test_real_time_goes_by_itself() -> None:
    async with FakeBroker() as broker:
        happened = asyncio.Event()

        broker.clock.call_later(0, happened.set)
        broker.clock.call_later(3600, happened.clear).cancel()

        await happened.wait()
        assert broker.clock.time() > 0


async def test_aioamqp_connects_in_memory() -> None:
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        opened = await protocol.channel()
        await opened.queue_declare("q", durable=True)
        await opened.basic_publish(b"hello", exchange_name="", routing_key="q")

        got = await opened.basic_get("q", no_ack=True)

        assert got["message"] == b"hello"
        assert "basic.Publish(exchange='', routing_key='q'" in str(broker.journal)
        await protocol.close()


async def test_aioamqp_hears_of_a_channel_error_as_from_rabbitmq() -> None:
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        opened = await protocol.channel()

        with pytest.raises(aioamqp.ChannelClosed) as caught:
            await opened.queue_declare("none", passive=True)

        assert caught.value.code == 404
        await protocol.close()


async def test_what_the_broker_cannot_do_yet_is_in_refused() -> None:
    async with FakeBroker(rabbitmq="3.10") as broker:
        client = await StreamClient.open(await broker.listen())

        broker.vhost.declare_queue("q", None, durable=True)
        client.send(UNSUPPORTED)

        close = await client.receive()
        assert isinstance(close, connection.Close)
        assert close.reply_code == 540
        assert broker.refused == [WHAT_IS_UNSUPPORTED]
        await client.close()
