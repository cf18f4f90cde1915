"""A worker, an RPC server and its client while connections are lost at random, in virtual time."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
import pytest_asyncio

from aioamqp import (
    Backoff,
    Connection,
    Message,
    Retry,
    RpcClient,
    RpcInterrupted,
    RpcServer,
    Worker,
)
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset

pytestmark = pytest.mark.asyncio

KEYS = b"abcde"
BODIES = [b"%c%d" % (key, number) for number in range(30) for key in KEYS]
CALLS = 100
DELAYS = (0.05, 0.1, 0.2, 0.2, 0.2)


async def cause_losses(broker: FakeBroker, chance: random.Random) -> None:
    """Lose all connections, or have them closed, or restart the broker, again and again."""
    while True:
        await asyncio.sleep(0.3 * chance.random())
        await chance.choice(
            [lambda: reset(broker), lambda: reset(broker), lambda: close_first(broker),
             broker.restart]
        )()  # fmt: skip


async def reset(broker: FakeBroker) -> None:
    if broker.sessions:  # or it would wait for the next connection, and so would the ones after it
        broker.faults.add(Reset(optional=True))


async def close_first(broker: FakeBroker) -> None:
    for session in broker.sessions[:1]:
        broker.close_connection(session)


class Orders:
    """A handler that fails now and then, and checks the order."""

    def __init__(self, chance: random.Random) -> None:
        self.handled: list[bytes] = []
        self.overlaps: list[bytes] = []
        self._chance = chance
        self._running: set[bytes] = set()

    async def __call__(self, message: Message) -> None:
        key = key_of(message)
        if key in self._running:
            self.overlaps.append(message.body)
        self._running.add(key)
        try:
            await asyncio.sleep(0.02 * self._chance.random())
            if self._chance.random() < 0.2:
                raise ValueError("now and then")
            self.handled.append(message.body)
        finally:
            self._running.discard(key)


def key_of(message: Message) -> bytes:
    return message.body[:1]


async def outcome(rpc: RpcClient, number: int) -> str:
    try:
        reply = await rpc.call("rpc", b"%d" % number, resend=number % 2 == 0, timeout=60)
    except RpcInterrupted:
        return "interrupted"
    return "replied" if reply == b"%d" % number else "wrong"


def slowly(chance: random.Random) -> Callable[[Message], Awaitable[bytes]]:
    async def answer(request: Message) -> bytes:
        await asyncio.sleep(0.02 * chance.random())
        return request.body

    return answer


@pytest_asyncio.fixture
async def connection(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    backoff = Backoff(initial=0.01, maximum=0.5)
    async with Connection("amqp://broker/", reconnect=backoff, heartbeat=0) as connection:
        yield connection


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_is_lost_or_left_over(
    seed: int, amqp_broker: FakeBroker, connection: Connection
) -> None:
    chance = random.Random(seed)
    async with await connection.channel() as channel:
        for queue in ("q", "rpc", "dead"):
            await channel.queue_declare(queue, durable=True)
    for body in BODIES:
        amqp_broker.publish("", "q", body, delivery_mode=2)
    orders = Orders(chance)
    retry = Retry(DELAYS, then="dead-letter")
    worker = Worker(
        connection, "q", orders, 4, order_by=key_of, on_exception=retry, dead_letter_queue="dead"
    )
    server = RpcServer(connection, "rpc", slowly(chance))

    async with worker, server, RpcClient(connection) as rpc:
        losses = asyncio.create_task(cause_losses(amqp_broker, chance))
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome(rpc, number)) for number in range(CALLS)]
            await asyncio.sleep(5)
        losses.cancel()
        await asyncio.wait([losses])
        with suppress(RuntimeError):  # it is running, unless its restart was cancelled
            await amqp_broker.start()
        await connection.wait_open()
        await asyncio.sleep(60)
        assert (worker.is_running, server.is_running) == (True, True)

    dead = [message.body for message in amqp_broker.vhost.queues["dead"].messages]
    assert {*orders.handled, *dead} == {*BODIES}
    assert orders.overlaps == []
    outcomes = Counter(call.result() for call in calls)
    assert outcomes["replied"] + outcomes["interrupted"] == CALLS
    assert all(call.result() == "replied" for call in calls[::2])
    others = {name: q for name, q in amqp_broker.vhost.queues.items() if name != "dead"}
    assert all(not q.message_count and not q.unacked_count for q in others.values())
    assert connection.snapshot()["channels"] == []
    assert not connection.topology.consumers
