"""The three brokers that every scenario runs on."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.protocol import OPEN
from aioamqp_testing import FakeBroker
from amqp_codec import exchange, queue
from tests.conformance.raw import Door
from tests.conformance.scenario import BROKERS, DEADLINE, Connect, NewName
from tests.conformance.wire import Dial as WireDial
from tests.conformance.wire import OpenWire, Wire

numbers = itertools.count(1)

Dial: TypeAlias = Callable[..., Awaitable[tuple[asyncio.BaseTransport, aioamqp.AmqpProtocol]]]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    """`memory` or `tcp` for a fake, or the URL of RabbitMQ.

    Not asynchronous, so that RabbitMQ is not started within the time of a test's event loop.
    """
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbitmq_url"))
    return str(request.param)


@pytest.fixture
def names() -> list[str]:
    """The names that the test has been given."""
    return []


@pytest.fixture
def new_name(names: list[str]) -> NewName:
    """A function that makes up names of the test's own."""

    def make() -> str:
        names.append(f"conformance-{next(numbers)}")
        return names[-1]

    return make


@pytest.fixture
def name(new_name: NewName) -> str:
    """One such name."""
    return new_name()


@pytest_asyncio.fixture
async def connect(broker: str, names: list[str]) -> AsyncIterator[Connect]:
    """A function that opens connections to the broker; they are closed when the test ends."""
    opened: list[aioamqp.AmqpProtocol] = []
    async with AsyncExitStack() as stack:
        dial = await reach(broker, stack)

        async def open_one(**kwargs: Any) -> aioamqp.AmqpProtocol:
            _, protocol = await dial(**kwargs)
            opened.append(protocol)
            return protocol

        yield open_one
        async with asyncio.timeout(DEADLINE):
            for protocol in opened:
                await ended(protocol)
            # A fake takes what is left with it.
            if broker not in ("memory", "tcp") and names:
                _, protocol = await dial()
                await remove(protocol, names)
                await ended(protocol)


async def reach(broker: str, stack: AsyncExitStack) -> Dial:
    """Return what connects to the broker, as `aioamqp.connect` does."""
    if broker in ("memory", "tcp"):
        fake = await stack.enter_async_context(FakeBroker())
        if broker == "memory":
            return fake.connect
        broker = await fake.listen()
    address = urlsplit(broker)

    async def dial(**kwargs: Any) -> tuple[asyncio.BaseTransport, aioamqp.AmqpProtocol]:
        return await aioamqp.connect(host=address.hostname or "", port=address.port, **kwargs)

    return dial


@pytest_asyncio.fixture
async def open_wire(broker: str, names: list[str]) -> AsyncIterator[OpenWire]:
    """A function that opens connections which speak word by word."""
    opened: list[Wire] = []
    async with AsyncExitStack() as stack:
        join = await reach_wire(broker, stack)

        async def open_one(
            *channels: int, user: str = "guest", password: str = "guest", vhost: str = "/"
        ) -> Wire:
            wire = Wire()
            await join(lambda: wire)
            opened.append(wire)
            refused = await wire.log_in(user, password, vhost, *(channels or (1,)))
            assert refused is None, refused
            return wire

        yield open_one
        async with asyncio.timeout(DEADLINE):
            for wire in opened:
                await wire.close()
            if broker not in ("memory", "tcp") and names:
                wire = await open_one()
                for name in names:
                    await wire.say(queue.Delete(name), exchange.Delete(name))
                await wire.close()


async def reach_wire(broker: str, stack: AsyncExitStack) -> WireDial:
    """Return what connects a protocol of one's own to the broker."""
    if broker in ("memory", "tcp"):
        fake = await stack.enter_async_context(FakeBroker())
        if broker == "memory":
            return fake.dial
        broker = await fake.listen()
    address = urlsplit(broker)

    async def dial(factory: Callable[[], asyncio.Protocol]) -> object:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(factory, address.hostname, address.port)

    return dial


@pytest_asyncio.fixture
async def door(broker: str, names: list[str]) -> AsyncIterator[Door]:
    """Where connections come in that say any octets; they are hung up on when the test ends."""
    async with AsyncExitStack() as stack:
        door = Door(broker)
        await door.open(stack)
        yield door
        async with asyncio.timeout(DEADLINE):
            await door.close(names)


async def ended(protocol: aioamqp.AmqpProtocol) -> None:
    """Close a connection, unless its end is what the test was about."""
    if protocol.state == OPEN:
        await protocol.close()
    else:
        await protocol.wait_closed()


async def remove(protocol: aioamqp.AmqpProtocol, names: list[str]) -> None:
    """Delete the queues and exchanges with these names; RabbitMQ does not mind if there is none."""
    channel = await protocol.channel()
    for name in names:
        await channel.queue_delete(name)
        await channel.exchange_delete(name)
