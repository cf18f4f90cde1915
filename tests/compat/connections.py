"""Connections for the tests of several folders, and the event loops that they need."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop

Connected: TypeAlias = tuple[asyncio.Transport, aioamqp.AmqpProtocol]
Dial: TypeAlias = Callable[..., Awaitable[Connected]]
"""As ``aioamqp.connect`` without host and port."""


def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use virtual time for tests with a scripted server, and a real event loop for all others."""
    if "server" in item.fixturenames:
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
def server() -> ScriptedServer:
    """A scripted server in memory."""
    return ScriptedServer()


@asynccontextmanager
async def connections(url: str) -> AsyncIterator[Dial]:
    """Yield a function that connects to RabbitMQ, or to a fake broker in memory if ``url`` is empty.

    All connections are closed on exit.
    """
    opened: list[aioamqp.AmqpProtocol] = []
    async with AsyncExitStack() as stack:
        dial: Dial
        if url:
            address = urlsplit(url)
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
