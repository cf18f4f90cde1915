"""What these tests run against: a scripted server, a fake broker, or a fake and RabbitMQ in turn."""

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

Connect: TypeAlias = Callable[..., Awaitable[aioamqp.AmqpProtocol]]
"""Opens a connection that is closed when the test ends."""


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
def broker(request: pytest.FixtureRequest) -> str:
    """Not asynchronous, so that RabbitMQ is not started within the time of a test's event loop."""
    return str(request.getfixturevalue("rabbitmq_url")) if request.param == "rabbitmq" else ""


@pytest_asyncio.fixture
async def connect(broker: str) -> AsyncIterator[Connect]:
    """A function that opens connections to a fake in memory, or to RabbitMQ."""
    opened: list[aioamqp.AmqpProtocol] = []
    async with AsyncExitStack() as stack:
        dial: Callable[..., Awaitable[tuple[Any, aioamqp.AmqpProtocol]]]
        if broker:
            address = urlsplit(broker)
            dial = partial(aioamqp.connect, address.hostname or "", address.port)
        else:
            dial = (await stack.enter_async_context(FakeBroker())).connect

        async def open_one(**options: Any) -> aioamqp.AmqpProtocol:
            _, protocol = await dial(**options)
            opened.append(protocol)
            return protocol

        yield open_one
        for protocol in opened:
            if protocol.is_open:
                await protocol.close()
            await protocol.wait_closed()
