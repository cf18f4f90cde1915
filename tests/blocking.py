"""A broker beside a test that blocks its event loop, and what has arrived there."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from tests.rabbitmq import NODES


async def receive(url: str, queue: str, count: int) -> list[bytes]:
    """Consume so many messages with a connection of its own, and delete the queue."""
    _, protocol = await aioamqp.from_url(url)
    channel = await protocol.channel()
    await channel.queue_declare(queue, durable=True)
    bodies: list[bytes] = []
    async with asyncio.timeout(30), channel.consume(queue) as messages:
        while len(bodies) < count:
            message = await anext(messages)
            await message.ack()
            bodies.append(message.body)
    await channel.queue_delete(queue)
    await protocol.close()
    return bodies


async def declare(url: str, queue: str) -> None:
    """Declare a queue that outlives its connection."""
    _, protocol = await aioamqp.from_url(url)
    await (await protocol.channel()).queue_declare(queue, durable=True)
    await protocol.close()


@contextmanager
def url_of(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the broker that a fixture is parametrized with, ``fake`` or a name of a node.

    It is in another thread or process, so it runs while the test blocks its event loop.
    """
    if request.param in NODES:
        yield request.getfixturevalue("rabbitmq_url")
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[FakeBroker, str]:
        broker = await FakeBroker().__aenter__()
        return broker, await broker.listen()

    broker, url = asyncio.run_coroutine_threadsafe(start(), loop).result()
    yield url
    asyncio.run_coroutine_threadsafe(broker.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
