"""The three brokers that every scenario runs on."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.protocol import OPEN
from aioamqp_testing import FakeBroker
from amqp_codec import connection, exchange, queue
from tests.conformance.administering import Administer, ErlangAdministration
from tests.conformance.scenario import BROKERS, DEADLINE, Connect, NewName
from tests.conformance.wire import LogIn, OpenWire, Wire

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
async def fake(broker: str) -> AsyncIterator[FakeBroker | None]:
    """The fake, where the broker is one."""
    if broker in ("memory", "tcp"):
        async with FakeBroker() as fake:
            yield fake
    else:
        yield None


@pytest_asyncio.fixture
async def connect(broker: str, fake: FakeBroker | None, names: list[str]) -> AsyncIterator[Connect]:
    """A function that opens connections to the broker; they are closed when the test ends."""
    opened: list[aioamqp.AmqpProtocol] = []
    dial = await reach(broker, fake)

    async def open_one(**kwargs: Any) -> aioamqp.AmqpProtocol:
        _, protocol = await dial(**kwargs)
        opened.append(protocol)
        return protocol

    yield open_one
    async with asyncio.timeout(DEADLINE):
        for protocol in opened:
            await ended(protocol)
        # A fake takes what is left with it.
        if fake is None and names:
            _, protocol = await dial()
            await remove(protocol, names)
            await ended(protocol)


async def reach(broker: str, fake: FakeBroker | None) -> Dial:
    """Return what connects to the broker, as `aioamqp.connect` does."""
    if fake is not None and broker == "memory":
        return fake.connect
    address = await address_of(broker, fake)

    async def dial(**kwargs: Any) -> tuple[asyncio.BaseTransport, aioamqp.AmqpProtocol]:
        return await aioamqp.connect(host=address.hostname or "", port=address.port, **kwargs)

    return dial


async def address_of(broker: str, fake: FakeBroker | None) -> SplitResult:
    """Return the broker's URL in parts."""
    return urlsplit(broker if fake is None else await fake.listen())


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


@pytest_asyncio.fixture
async def log_in(broker: str, fake: FakeBroker | None) -> AsyncIterator[LogIn]:
    """A function that opens connections which speak word by word, or is told why it may not."""
    opened: list[Wire] = []
    address = None if broker == "memory" else await address_of(broker, fake)

    async def open_one(
        *channels: int, user: str = "guest", password: str = "guest", vhost: str = "/"
    ) -> Wire | connection.Close:
        wire = Wire()
        if address is not None:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: wire, address.hostname or "", address.port or 0)
        elif fake is not None:
            await fake.dial(lambda: wire)
        opened.append(wire)
        return await wire.log_in(user, password, vhost, *(channels or (1,))) or wire

    yield open_one
    async with asyncio.timeout(DEADLINE):
        for wire in opened:
            await wire.close()


@pytest_asyncio.fixture
async def open_wire(
    log_in: LogIn, fake: FakeBroker | None, names: list[str]
) -> AsyncIterator[OpenWire]:
    """A function that opens connections which speak word by word."""

    async def open_one(*channels: int, **options: str) -> Wire:
        wire = await log_in(*channels, **options)
        assert isinstance(wire, Wire), wire
        return wire

    yield open_one
    if fake is None and names:
        wire = await open_one()
        for name in names:
            await wire.say(queue.Delete(name), exchange.Delete(name))


@pytest.fixture
def administer(request: pytest.FixtureRequest, fake: FakeBroker | None) -> Administer:
    """A block in which the broker is administrated."""

    @asynccontextmanager
    async def block() -> AsyncIterator[FakeBroker | ErlangAdministration]:
        if fake is not None:
            yield fake
        else:
            administration = ErlangAdministration(request.getfixturevalue("rabbitmq_node"))
            yield administration
            await administration.done()

    return block
