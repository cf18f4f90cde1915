"""Calls of a callback or loop whose connection has more messages than it reads for it.

Reading is paused then, and must go on while such a call waits for something from the server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

import aioamqp
from aioamqp import Connection, RpcClient, RpcServer
from aioamqp._connection.read_flow import READ_LIMIT
from aioamqp.publisher import Publisher
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Delay, LoseConfirm
from tests.reliability.breakable import break_off
from tests.reliability.test_rows import recovering

pytestmark = pytest.mark.asyncio

SIZE: Final = 1_000_000

MESSAGES: Final = 2 * READ_LIMIT // SIZE
"""How many messages are in the queue ``q``: twice as many as are read."""


async def publish(publisher: Publisher) -> None:
    await publisher.publish(b"x")


async def flush(publisher: Publisher) -> None:
    await publisher.publish_deferred(b"x")
    await publisher.flush()


async def confirm(publisher: Publisher) -> None:
    await (await publisher.publish_deferred(b"x"))


async def exceed(publisher: Publisher) -> None:
    """Publish more than may be unconfirmed."""
    await publisher.publish_deferred(b"x")
    await publisher.publish_deferred(b"y")


STEPS = pytest.mark.parametrize("step", [publish, flush, confirm, exceed])


class Paused:
    """A loop over the messages of ``q`` that has the first one, and too many others behind it.

    Args:
        broker: has the messages.
        connection: that reads no more of them.
    """

    def __init__(self, broker: FakeBroker, connection: Connection) -> None:
        self._broker = broker
        self._connection = connection

    async def __aenter__(self) -> None:
        await self.consume()
        await self.fill()

    async def __aexit__(self, *error: object) -> None:
        await self._messages.aclose()

    async def consume(self) -> None:
        """Start the consumer."""
        channel = await self._connection.channel()
        for name in ("q", "out"):
            await channel.queue_declare(name, durable=True)
        self._messages = channel.consume("q", prefetch_count=MESSAGES)
        await self._messages.__aenter__()

    async def fill(self) -> None:
        """Get the first message, and wait until reading is paused."""
        for _ in range(MESSAGES):
            self._broker.publish("", "q", bytes(SIZE))
        await anext(self._messages)
        await asyncio.sleep(1)
        assert READ_LIMIT < self._connection.snapshot()["bytes_for_callbacks"] < MESSAGES * SIZE


@STEPS
async def test_a_publisher_gets_its_confirms_although_reading_is_paused(
    broker: FakeBroker, step: Callable[[Publisher], Awaitable[None]]
) -> None:
    async with recovering() as connection, Paused(broker, connection):
        publisher = (await connection.channel()).publisher("", routing_key="out", max_unconfirmed=1)

        async with asyncio.timeout(10):
            await step(publisher)

        assert b"x" in [message.body for message in broker.vhost.queues["out"].messages]


@STEPS
async def test_a_publisher_gets_its_confirms_although_reading_is_paused_after_recovery(
    broker: FakeBroker, step: Callable[[Publisher], Awaitable[None]]
) -> None:
    async with recovering() as connection, Paused(broker, connection):
        channel = await connection.channel()
        publisher = channel.publisher(
            "", routing_key="out", resend="unconfirmed", max_unconfirmed=1
        )
        broker.faults.add(LoseConfirm(connection=1))
        broker.faults.add(Delay(5, sent="basic.ack", connection=2))
        waiting = asyncio.ensure_future(step(publisher))
        await asyncio.sleep(1)

        break_off(connection)

        async with asyncio.timeout(60):
            await waiting
        bodies = [message.body for message in broker.vhost.queues["out"].messages]
        assert bodies.count(b"x") == 2


async def test_an_rpc_client_gets_its_reply_although_reading_is_paused(broker: FakeBroker) -> None:
    async def double(request: aioamqp.Message) -> bytes:
        return 2 * request.body

    async with recovering() as connection, recovering() as others:
        await (await others.channel()).queue_declare("double", durable=True)
        async with (
            RpcServer(others, "double", double),
            Paused(broker, connection),
            RpcClient(connection) as rpc,
        ):
            assert await rpc.call("double", b"1", timeout=10) == b"11"


async def test_the_end_of_a_block_is_noticed_although_reading_is_paused(broker: FakeBroker) -> None:
    async with recovering() as connection:
        paused = Paused(broker, connection)
        await paused.consume()
        broker.block()
        await (await connection.channel()).basic_publish(b"x", "", "out")
        await connection.protocol.blocked.wait(timeout=10)
        await paused.fill()
        waiting = asyncio.ensure_future(connection.protocol.blocked.wait_over(timeout=10))
        await asyncio.sleep(1)

        broker.unblock()

        await waiting
