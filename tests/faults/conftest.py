"""Fixtures for a client and a fake broker in one event loop with virtual time."""

from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from aioamqp_testing import FakeBroker
from virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as running:
        yield running
