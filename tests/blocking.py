"""A broker beside a test that blocks its event loop, and what has arrived there."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

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


@contextmanager
def outliving_proxy(url: str) -> Iterator[str]:
    """Run a proxy whose connection to the broker stays open after that of the client has ended.

    RabbitMQ: a channel ends with its connection, and with it what it has not yet processed, unless
    the client closes the connection as AMQP asks for.
    """
    broker = urlsplit(url)
    with ExitStack() as stack:
        copying = stack.enter_context(ThreadPoolExecutor())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(wake, listener)

        def serve() -> None:
            client = stack.enter_context(listener.accept()[0])
            address = broker.hostname or "", broker.port or 0
            server = stack.enter_context(socket.create_connection(address))
            stack.callback(wake, server)
            copying.submit(copy, server, client)
            copy(client, server)

        copying.submit(serve)
        yield f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/"


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until one of the sockets is closed."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)


def wake(waiting: socket.socket) -> None:
    """End what another thread waits for on a socket."""
    with suppress(OSError):
        waiting.shutdown(socket.SHUT_RDWR)
