"""Fixtures of the scenarios: three brokers, and connections to them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.protocol import OPEN
from aioamqp_testing import FakeBroker
from amqp_codec import ReplyCode, connection, exchange, queue
from tests.conformance.administration import Administer, ErlangAdministration
from tests.conformance.client import LogIn, OpenClient, ScriptedClient
from tests.conformance.raw_client import Endpoint
from tests.conformance.scenario import (
    BROKERS,
    DEADLINE,
    FAKES,
    ByVersion,
    Connect,
    NewName,
    selection,
)
from tests.rabbitmq import NODES, RabbitMQNode

numbers = itertools.count(1)

Dial: TypeAlias = Callable[..., Awaitable[tuple[asyncio.BaseTransport, aioamqp.AmqpProtocol]]]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    """The name of a fake broker in ``FAKES``, or the URL of RabbitMQ.

    Not asynchronous, so that starting RabbitMQ does not count against the deadline of a scenario.
    """
    if request.param in NODES:
        return str(request.getfixturevalue("rabbitmq_url"))
    return str(request.param)


@pytest.fixture
def by_version(request: pytest.FixtureRequest, broker: str) -> ByVersion:
    """A function that selects what the broker of the test does, from what each version does."""
    if broker in FAKES:
        return selection(FAKES[broker])
    node: RabbitMQNode = request.getfixturevalue("rabbitmq_node")
    return selection(node.version)


@pytest.fixture
def names() -> list[str]:
    """The names that were returned to the test."""
    return []


@pytest.fixture
def new_name(names: list[str]) -> NewName:
    """A function that returns names that no other test uses."""

    def make() -> str:
        names.append(f"conformance-{next(numbers)}")
        return names[-1]

    return make


@pytest.fixture
def name(new_name: NewName) -> str:
    """A name that no other test uses."""
    return new_name()


@pytest_asyncio.fixture
async def fake(broker: str) -> AsyncIterator[FakeBroker | None]:
    """The fake broker, or None if the broker is RabbitMQ."""
    if broker in FAKES:
        async with FakeBroker(rabbitmq=FAKES[broker]) as fake:
            yield fake
    else:
        yield None


@pytest_asyncio.fixture
async def connect(broker: str, fake: FakeBroker | None, names: list[str]) -> AsyncIterator[Connect]:
    """A function that opens connections to the broker; they are closed when the test ends."""
    opened: list[aioamqp.AmqpProtocol] = []
    dial = await connect_function(broker, fake)

    async def open_one(**kwargs: Any) -> aioamqp.AmqpProtocol:
        _, protocol = await dial(**kwargs)
        opened.append(protocol)
        return protocol

    yield open_one
    async with asyncio.timeout(DEADLINE):
        for protocol in opened:
            await close_or_wait(protocol)
        # The queues and exchanges of a fake broker end with it.
        if fake is None and names:
            _, protocol = await dial()
            await delete_entities(protocol, names)
            await close_or_wait(protocol)


async def connect_function(broker: str, fake: FakeBroker | None) -> Dial:
    """Return a function that connects to the broker as `aioamqp.connect` does."""
    if fake is not None and broker != "tcp":
        return fake.connect
    address = await address_of(broker, fake)

    async def dial(**kwargs: Any) -> tuple[asyncio.BaseTransport, aioamqp.AmqpProtocol]:
        return await aioamqp.connect(host=address.hostname or "", port=address.port, **kwargs)

    return dial


async def address_of(broker: str, fake: FakeBroker | None) -> SplitResult:
    """Return the URL of the broker, parsed."""
    return urlsplit(broker if fake is None else await fake.listen())


@pytest_asyncio.fixture
async def endpoint(broker: str, names: list[str]) -> AsyncIterator[Endpoint]:
    """The endpoint of the broker for raw connections, which are aborted when the test ends."""
    async with AsyncExitStack() as stack:
        endpoint = await endpoint_of(broker, stack)
        yield endpoint
        async with asyncio.timeout(DEADLINE):
            await endpoint.close(names)


async def endpoint_of(broker: str, stack: AsyncExitStack, **options: Any) -> Endpoint:
    """Return the endpoint of the broker; a fake broker gets a manual clock."""
    if broker not in FAKES:
        return Endpoint(broker, None)
    fake = await stack.enter_async_context(
        FakeBroker(rabbitmq=FAKES[broker], clock="manual", **options)
    )
    return Endpoint(await fake.listen() if broker == "tcp" else None, fake)


async def close_or_wait(protocol: aioamqp.AmqpProtocol) -> None:
    """Close a connection, or wait until it is closed if the test has ended it."""
    if protocol.state == OPEN:
        await protocol.close()
    else:
        await protocol.wait_closed()


async def delete_entities(protocol: aioamqp.AmqpProtocol, names: list[str]) -> None:
    """Delete the queues and exchanges with these names; missing ones are ignored by RabbitMQ."""
    channel = await protocol.channel()
    for name in names:
        await channel.exchange_delete(name)
        try:
            await channel.queue_delete(name)
        except aioamqp.ChannelClosed as error:
            # RabbitMQ: 4.3 deletes exclusive queues after connection.close-ok; until then they are locked.
            if error.code != ReplyCode.RESOURCE_LOCKED:
                raise
            channel = await protocol.channel()


@pytest_asyncio.fixture
async def log_in(broker: str, fake: FakeBroker | None) -> AsyncIterator[LogIn]:
    """A function that opens scripted connections, or returns the connection.close of a refusal."""
    opened: list[ScriptedClient] = []
    is_in_memory = broker in FAKES and broker != "tcp"
    address = None if is_in_memory else await address_of(broker, fake)

    async def open_one(
        *channels: int, user: str = "guest", password: str = "guest", vhost: str = "/"
    ) -> ScriptedClient | connection.Close:
        client = ScriptedClient()
        if address is not None:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: client, address.hostname or "", address.port or 0)
        elif fake is not None:
            await fake.dial(lambda: client)
        opened.append(client)
        return await client.log_in(user, password, vhost, *(channels or (1,))) or client

    yield open_one
    async with asyncio.timeout(DEADLINE):
        for client in opened:
            await client.close()


@pytest_asyncio.fixture
async def open_client(
    log_in: LogIn, fake: FakeBroker | None, names: list[str]
) -> AsyncIterator[OpenClient]:
    """A function that opens scripted connections."""

    async def open_one(*channels: int, **options: str) -> ScriptedClient:
        client = await log_in(*channels, **options)
        assert isinstance(client, ScriptedClient), client
        return client

    yield open_one
    if fake is None and names:
        client = await open_one()
        for name in names:
            await client.call(queue.Delete(name), exchange.Delete(name))


@pytest.fixture
def administer(request: pytest.FixtureRequest, fake: FakeBroker | None) -> Administer:
    """A function that returns a block in which the broker can be administered."""

    @asynccontextmanager
    async def block() -> AsyncIterator[FakeBroker | ErlangAdministration]:
        if fake is not None:
            yield fake
        else:
            administration = ErlangAdministration(request.getfixturevalue("rabbitmq_node"))
            yield administration
            await administration.apply()

    return block
