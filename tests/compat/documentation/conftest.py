"""The brokers of the conformance scenarios, and a dialer for code that calls connect() itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from ssl import SSLContext
from typing import TypeVar
from urllib.parse import urlsplit

import pytest_asyncio

import aioamqp
from aioamqp.dial import dial_tcp
from aioamqp_testing import FakeBroker
from tests.conformance.conftest import broker, connect, fake, name, names, new_name

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

__all__ = ["broker", "connect", "dialer", "fake", "name", "names", "new_name"]


@pytest_asyncio.fixture
async def dialer(broker: str) -> AsyncIterator[aioamqp.Dialer]:
    """A dialer that connects to the broker for any host and port.

    So the documented calls of ``connect()`` can use the default host and port.
    """
    async with FakeBroker() as fake:
        if broker == "memory":
            yield fake.dial
            return
        address = urlsplit(await fake.listen() if broker == "tcp" else broker)

        async def dial(
            protocol_factory: Callable[[], _Protocol],
            host: str,
            port: int | str,
            *,
            ssl: SSLContext | bool | None,
        ) -> tuple[asyncio.Transport, _Protocol]:
            return await dial_tcp(
                protocol_factory, address.hostname or "", address.port or 0, ssl=ssl
            )

        yield dial
