"""Fixtures: a scripted server, or connections to the fake broker and to RabbitMQ in turn."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

import aioamqp
from tests.compat.connections import connections, pytest_asyncio_loop_factories, server
from tests.rabbitmq import NODES

__all__ = ["Connect", "broker", "connect", "pytest_asyncio_loop_factories", "server"]

Connect: TypeAlias = Callable[..., Awaitable[aioamqp.AmqpProtocol]]
"""Opens a connection, which is closed when the test ends."""


@pytest.fixture(params=["fake", *NODES])
def broker(request: pytest.FixtureRequest) -> str:
    """The URL of RabbitMQ, or an empty string for the fake broker.

    Not asynchronous, so that RabbitMQ is started outside of a test's event loop.
    """
    return str(request.getfixturevalue("rabbitmq_url")) if request.param in NODES else ""


@pytest_asyncio.fixture
async def connect(broker: str) -> AsyncIterator[Connect]:
    """A function that opens connections to the broker."""
    async with connections(broker) as dial:

        async def open_one(**options: Any) -> aioamqp.AmqpProtocol:
            _, protocol = await dial(**options)
            return protocol

        yield open_one
