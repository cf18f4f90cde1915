"""The brokers of the conformance scenarios, and a dialer for code that calls connect() itself."""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import TypeVar

import pytest_asyncio

import aioamqp
from aioamqp.dial import dial_tcp
from aioamqp_testing import FakeBroker
from tests.conformance.conftest import address_of, broker, connect, fake, name, names, new_name

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

__all__ = ["broker", "connect", "dialer", "fake", "name", "names", "new_name"]


@pytest_asyncio.fixture
async def dialer(broker: str, fake: FakeBroker | None) -> aioamqp.Dialer:
    """A dialer that connects to the broker for any host and port.

    So the documented calls of ``connect()`` can use the default host and port.
    """
    if fake is not None and broker != "tcp":
        return fake.dial
    address = await address_of(broker, fake)

    async def dial(
        protocol_factory: Callable[[], _Protocol],
        host: str,
        port: int | str,
        *,
        ssl: SSLContext | bool | None,
    ) -> tuple[asyncio.Transport, _Protocol]:
        return await dial_tcp(protocol_factory, address.hostname or "", address.port or 0, ssl=ssl)

    return dial
