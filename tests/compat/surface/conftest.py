"""Fixtures: a scripted server, or connections to the fake broker and to RabbitMQ in turn."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import aioamqp
from tests.compat.connections import Dial as Connect
from tests.compat.connections import connections, pytest_asyncio_loop_factories, server
from tests.rabbitmq import NODES

__all__ = [
    "Connect",
    "broker_url",
    "channel",
    "connect",
    "protocol",
    "pytest_asyncio_loop_factories",
    "server",
]


@pytest.fixture(params=["fake", *NODES])
def broker_url(request: pytest.FixtureRequest) -> str:
    """The URL of RabbitMQ, or an empty string for the fake broker.

    Not asynchronous, so that RabbitMQ is started outside of a test's event loop.
    """
    return str(request.getfixturevalue("rabbitmq_url")) if request.param in NODES else ""


@pytest_asyncio.fixture
async def connect(broker_url: str) -> AsyncIterator[Connect]:
    """A function that opens connections to the broker."""
    async with connections(broker_url) as dial:
        yield dial


@pytest_asyncio.fixture
async def protocol(connect: Connect) -> aioamqp.AmqpProtocol:
    """A connection to the broker."""
    _, opened = await connect()
    return opened


@pytest_asyncio.fixture
async def channel(protocol: aioamqp.AmqpProtocol) -> aioamqp.Channel:
    """A channel of the connection."""
    return await protocol.channel()
