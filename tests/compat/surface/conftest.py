"""What these tests run against: a fake broker, RabbitMQ where its answers matter, or a script."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

import aioamqp
from aioamqp_testing import FakeBroker
from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop

Connected: TypeAlias = tuple[asyncio.Transport, aioamqp.AmqpProtocol]
Connect: TypeAlias = Callable[..., Awaitable[Connected]]
"""As ``aioamqp.connect``, but for host and port; what it opens is closed when the test ends."""


def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let time be virtual where the server is scripted; all others need the real thing."""
    if "server" in item.fixturenames:
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
def server() -> ScriptedServer:
    """A server that does what the test says."""
    return ScriptedServer()


@pytest.fixture(params=["fake", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """The URL of RabbitMQ, or an empty one for a fake.

    Not asynchronous, so that RabbitMQ is not started within the time of a test's event loop.
    """
    return str(request.getfixturevalue("rabbitmq_url")) if request.param == "rabbitmq" else ""


@pytest_asyncio.fixture
async def connect(broker_url: str) -> AsyncIterator[Connect]:
    """A function that connects to a fake in memory, or to RabbitMQ."""
    opened: list[aioamqp.AmqpProtocol] = []
    async with AsyncExitStack() as stack:
        dial: Connect
        if broker_url:
            address = urlsplit(broker_url)
            dial = partial(aioamqp.connect, address.hostname or "", address.port)
        else:
            dial = (await stack.enter_async_context(FakeBroker())).connect

        async def open_one(**options: Any) -> Connected:
            transport, protocol = await dial(**options)
            opened.append(protocol)
            return transport, protocol

        yield open_one
        for protocol in opened:
            if protocol.is_open:
                await protocol.close()
            await protocol.wait_closed()


@pytest_asyncio.fixture
async def protocol(connect: Connect) -> aioamqp.AmqpProtocol:
    """A connection to it."""
    _, opened = await connect()
    return opened


@pytest_asyncio.fixture
async def channel(protocol: aioamqp.AmqpProtocol) -> aioamqp.Channel:
    """A channel of that."""
    return await protocol.channel()
