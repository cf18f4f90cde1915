"""Fixtures for connections that recover, on a fake broker in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

import aioamqp
from aioamqp_testing import FakeBroker
from virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use virtual time for tests on the fake broker, and real time for those on RabbitMQ."""
    if "broker" in item.fixturenames:
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}


@pytest_asyncio.fixture
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[FakeBroker]:
    """A fake broker to which every connection leads; its version can be an indirect parameter."""
    options = {"rabbitmq": request.param} if hasattr(request, "param") else {}
    async with FakeBroker(**options) as running:
        with aioamqp.dialing(running.dial, everywhere=True):
            yield running
