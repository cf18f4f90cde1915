"""Fixtures of workers and RPC: a fake broker and a connection that recovers, in virtual time."""

import random
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from aioamqp import Backoff, Connection
from aioamqp_testing import FakeBroker
from virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture(autouse=True)
def repeatable_delays() -> None:
    """Choose the same random delays before each attempt to connect in every run."""
    random.seed(1)


@pytest_asyncio.fixture
async def connection(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    url = "amqp://broker/"
    async with Connection(url, reconnect=Backoff(initial=1.0), heartbeat=0) as connection:
        yield connection
