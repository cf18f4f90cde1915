"""What these tests run against: a fake broker, and RabbitMQ where the server's answers matter."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aioamqp_testing import FakeBroker


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeBroker]:
    """A broker in memory; all that is said in a test leads to it, and no further."""
    async with FakeBroker() as broker:
        yield broker


@pytest.fixture(params=["fake", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """The URL of RabbitMQ, or an empty one for a fake.

    Not asynchronous, so that RabbitMQ is not started within the time of a test's event loop.
    """
    return str(request.getfixturevalue("rabbitmq_url")) if request.param == "rabbitmq" else ""
