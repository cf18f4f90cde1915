"""Workers and RPC over a connection that recovers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import (
    Backoff,
    Connection,
    Message,
    PublishReturned,
    Retry,
    RpcClient,
    RpcError,
    RpcInterrupted,
    RpcServer,
    Worker,
)
from aioamqp_testing import FakeBroker
from tests.conformance.conftest import address_of
from tests.conformance.scenario import Connect, NewName, scenario


@pytest_asyncio.fixture
async def connection(
    broker: str, fake: FakeBroker | None, connect: Connect
) -> AsyncIterator[Connection]:
    """A connection that recovers; ``connect`` deletes the queues."""
    del connect
    dialing: contextlib.AbstractContextManager[None]
    if fake is not None and broker != "tcp":
        url, dialing = "amqp://broker/", aioamqp.dialing(fake.dial)
    else:
        address = await address_of(broker, fake)
        url, dialing = f"amqp://{address.hostname}:{address.port}/", contextlib.nullcontext()
    with dialing:
        async with Connection(url, reconnect=Backoff(initial=0.01)) as connection:
            yield connection


async def lose(connection: Connection) -> None:
    """Make the server close the connection: RabbitMQ does so over a type that is not a string."""
    protocol = connection.protocol
    channel = await protocol.channel()
    with pytest.raises(aioamqp.ChannelClosed, match="541"):
        await channel.queue_declare("", durable=True, arguments={"x-queue-type": 5})
    await protocol.wait_closed()


async def declare(connection: Connection, new_name: NewName, **arguments: Any) -> str:
    queue = new_name()
    async with await connection.channel() as channel:
        await channel.queue_declare(queue, durable=True, arguments=arguments)
    return queue


async def publish(connection: Connection, queue: str, *bodies: bytes, **properties: Any) -> None:
    async with await connection.channel() as channel:
        await channel.confirm_select()
        for body in bodies:
            await channel.publish(body, "", queue, properties, mandatory=True)


async def get(connection: Connection, queue: str) -> dict[str, Any]:
    async with await connection.channel() as channel:
        return await channel.basic_get(queue, no_ack=True)


class Attempts:
    """A handler that fails each time, and keeps the headers of what it was given.

    Attributes:
        headers: of each message.
        last: set at the attempt after the last delay.
    """

    def __init__(self, names: list[str], queue: str, *delays: float) -> None:
        names += [f"{queue}.retry.{round(delay * 1000)}" for delay in delays]
        self.headers: list[dict[str, Any]] = []
        self.last = asyncio.Event()
        self._attempts = len(delays) + 1

    def __call__(self, message: Message) -> None:
        self.headers.append(dict(message.properties.headers or {}))
        if len(self.headers) == self._attempts:
            self.last.set()
        raise ValueError(f"attempt {len(self.headers)}")

    def counts(self) -> list[object]:
        return [headers.get("x-aioamqp-attempts") for headers in self.headers]


@scenario
async def test_a_worker_tries_again_after_delays_and_then_dead_letters(
    connection: Connection, new_name: NewName, names: list[str]
) -> None:
    dead = await declare(connection, new_name)
    queue = await declare(
        connection, new_name,
        **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead},
    )  # fmt: skip
    handler = Attempts(names, queue, 0.02, 0.05)
    await publish(connection, queue, b"order", message_id="7", user_id="guest")

    async with Worker(connection, queue, handler, on_exception=Retry((0.02, 0.05))) as worker:
        await handler.last.wait()
        await worker.drain()

    assert handler.counts() == [None, 1, 2]
    died = [death["queue"] for death in handler.headers[2]["x-death"]]
    assert died == [f"{queue}.retry.50"]
    got = await get(connection, dead)
    assert (got["message"], got["properties"].message_id) == (b"order", "7")
    assert got["properties"].headers["x-aioamqp-error"] == "ValueError: attempt 2"


@scenario
async def test_a_message_that_has_expired_in_the_work_queue_before_can_be_tried_again(
    connection: Connection, new_name: NewName, names: list[str]
) -> None:
    """RabbitMQ would drop it as going in a circle, if it still had its x-death."""
    queue = await declare(connection, new_name)
    handler = Attempts(names, queue, 0.02)
    death = {"queue": queue, "reason": "expired", "count": 1, "exchange": "", "routing-keys": []}
    await publish(connection, queue, b"order", headers={"x-death": [death]})

    async with Worker(connection, queue, handler, on_exception=Retry((0.02,))):
        await handler.last.wait()

    assert handler.counts() == [None, 1]


@scenario
async def test_a_worker_continues_after_the_loss_of_its_connection(
    connection: Connection, new_name: NewName
) -> None:
    queue = await declare(connection, new_name)
    bodies = [b"%d" % n for n in range(20)]
    handled: list[bytes] = []
    gate, done = asyncio.Event(), asyncio.Event()

    async def handle(message: Message) -> None:
        await gate.wait()
        handled.append(message.body)
        if {*handled} == {*bodies}:
            done.set()

    await publish(connection, queue, *bodies)
    async with Worker(connection, queue, handle, order_by=lambda message: message.body):
        await lose(connection)
        gate.set()
        await done.wait()

    async with await connection.channel() as channel:
        left = await channel.queue_declare(queue, passive=True)
    assert (left["message_count"], left["consumer_count"]) == (0, 0)


@scenario
async def test_a_message_of_a_quorum_queue_that_was_delivered_too_often_is_not_handled(
    connection: Connection, new_name: NewName
) -> None:
    dead = await declare(connection, new_name)
    queue = await declare(connection, new_name, **{"x-queue-type": "quorum"})
    handler = Attempts([], queue)
    options: Any = {"on_exception": "requeue", "max_deliveries": 3, "dead_letter_queue": dead}
    await publish(connection, queue, b"poison")

    async with (
        await connection.channel() as channel,
        Worker(connection, queue, handler, **options),
        channel.consume(dead, no_ack=True) as messages,
    ):
        assert (await anext(messages)).body == b"poison"

    assert len(handler.headers) == 3


@scenario
async def test_rpc_over_direct_reply_to(connection: Connection, new_name: NewName) -> None:
    queue = await declare(connection, new_name)

    def double(request: Message) -> bytes:
        return b"%d" % (2 * int(request.body))

    async with RpcServer(connection, queue, double), RpcClient(connection) as rpc:
        calls = (rpc.call(queue, b"%d" % n) for n in range(20))
        assert await asyncio.gather(*calls) == [b"%d" % (2 * n) for n in range(20)]
        with pytest.raises(RpcError, match="ValueError: invalid literal"):
            await rpc.call(queue, b"two")
        with pytest.raises(PublishReturned, match="312 NO_ROUTE"):
            await rpc.call(new_name(), b"1")

        await lose(connection)

        assert await rpc.call(queue, b"21") == b"42"


@scenario
async def test_a_request_that_nobody_takes_expires_with_its_call(
    connection: Connection, new_name: NewName
) -> None:
    dead = await declare(connection, new_name)
    queue = await declare(
        connection, new_name,
        **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead},
    )  # fmt: skip
    async with RpcClient(connection) as rpc:
        with pytest.raises(TimeoutError, match="no reply"):
            await rpc.call(queue, b"1", timeout=0.05)

    async with await connection.channel() as channel, channel.consume(dead) as messages:
        headers = (await anext(messages)).properties.headers or {}
    assert headers["x-first-death-reason"] == "expired"


@scenario
async def test_a_call_in_flight_is_interrupted_or_sent_again(
    connection: Connection, new_name: NewName
) -> None:
    queue = await declare(connection, new_name)
    async with RpcClient(connection) as rpc:
        calls = [asyncio.create_task(rpc.call(queue, b"1", resend=n)) for n in (False, True)]
        async with await connection.channel() as channel:
            async for request in channel.consume(queue):
                await request.ack()
                if request.envelope.delivery_tag == 2:
                    break

        await lose(connection)

        with pytest.raises(RpcInterrupted, match="541 INTERNAL_ERROR"):
            await calls[0]
        async with RpcServer(connection, queue, lambda request: request.body):
            assert await calls[1] == b"1"
