"""Reading less at a time while many small messages are delivered, on every kind of transport."""

import asyncio
import ssl
import sys
from typing import Any

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from tests.certificates import Authority

SMALL = 3000
"""Messages that are delivered together: more bytes than one read brings."""

LARGE = 60
"""Messages of a size of which few fit into a read."""

READ = 16 * 1024
"""Bytes that are read at a time while many small messages are delivered."""


class ReadsNoted(aioamqp.AmqpProtocol):
    """A connection that notes how many bytes each read has brought."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        super().data_received(data)


async def consume_all(channel: aioamqp.Channel, queue: str, count: int) -> list[bytes]:
    """Consume so many messages with a callback, and cancel the consumer."""
    bodies: list[bytes] = []
    done = asyncio.Event()

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: Any) -> None:
        await channel.basic_client_ack(envelope.delivery_tag)
        bodies.append(body)
        if len(bodies) == count:
            done.set()

    consumer = await channel.basic_consume(callback, queue)
    async with asyncio.timeout(30):
        await done.wait()
    await channel.basic_cancel(consumer["consumer_tag"])
    return bodies


async def sizes_of_reads(
    transport: asyncio.BaseTransport, protocol: aioamqp.AmqpProtocol
) -> tuple[list[int], list[int]]:
    """Consume small messages, then large ones; return the bytes that each read has brought."""
    assert isinstance(transport, asyncio.Transport)
    assert isinstance(protocol, ReadsNoted)
    channel = await protocol.channel()
    queue = (await channel.queue_declare("", exclusive=True))["queue"]
    reads = []
    for count, size in ((SMALL, 100), (LARGE, 50_000)):
        expected = [number.to_bytes(2) * (size // 2) for number in range(count)]
        for body in expected:
            await channel.basic_publish(body, "", queue)
        await channel.queue_declare(queue, passive=True)
        protocol.sizes.clear()
        assert await consume_all(channel, queue, count) == expected
        reads.append(protocol.sizes[:])
        assert transport.get_protocol() is protocol
    await protocol.close()
    return reads[0], reads[1]


async def over_tcp() -> tuple[list[int], list[int]]:
    async with FakeBroker() as broker:
        url = await broker.listen()
        return await sizes_of_reads(*await aioamqp.from_url(url, protocol_factory=ReadsNoted))


@pytest.mark.asyncio
async def test_less_is_read_at_a_time_until_messages_are_large() -> None:
    small, large = await over_tcp()

    assert small.count(READ) > 10
    # The first read that brings many deliveries is as large as any.
    assert len([size for size in small if size > READ]) <= 3
    assert len([size for size in large if size > READ]) > len(large) // 2


@pytest.mark.asyncio
async def test_nothing_changes_while_few_deliveries_come_at_a_time() -> None:
    async with FakeBroker() as broker:
        url = await broker.listen()
        _, protocol = await aioamqp.from_url(url, protocol_factory=ReadsNoted)
        assert isinstance(protocol, ReadsNoted)
        channel = await protocol.channel()
        queue = (await channel.queue_declare("", exclusive=True))["queue"]
        for _ in range(500):
            await channel.basic_publish(b"x" * 500, "", queue)
        await channel.basic_qos(prefetch_count=90)

        await consume_all(channel, queue, 500)

        assert READ not in protocol.sizes
        assert max(protocol.sizes) > READ
        await protocol.close()


@pytest.mark.asyncio
async def test_messages_pass_in_memory() -> None:
    async with FakeBroker() as broker:
        small, large = await sizes_of_reads(*await broker.connect(protocol_factory=ReadsNoted))

    assert READ in small
    assert max(large) > READ


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows version")
def test_messages_pass_on_uvloop() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        small, large = runner.run(over_tcp())

    assert sum(small) > SMALL * 100
    assert sum(large) > LARGE * 50_000


@pytest.fixture
def contexts(authority: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    certificate = authority.issue("small-reads", "DNS:localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.certfile, certificate.keyfile)
    return server, ssl.create_default_context(cafile=authority.cacertfile)


async def with_tls(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[list[int], list[int]]:
    async with FakeBroker() as broker:
        url = await broker.listen("localhost", ssl=server)
        connecting = aioamqp.from_url(url, ssl=client, protocol_factory=ReadsNoted)
        return await sizes_of_reads(*await connecting)


@pytest.mark.parametrize("is_uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_messages_pass_with_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], is_uvloop: bool
) -> None:
    if is_uvloop:
        uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if is_uvloop else None) as runner:
        small, large = runner.run(with_tls(*contexts))

    assert READ in small
    assert max(large) > READ
