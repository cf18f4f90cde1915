"""The ports that a broker listens on, and the URLs of them."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest

from aioamqp_testing import FakeBroker
from amqp_codec import PROTOCOL_HEADER

pytestmark = pytest.mark.asyncio


async def answers(host: str, port: int | None) -> bool:
    """Return whether a broker offers a connection there."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(PROTOCOL_HEADER)
    answer = await reader.readexactly(3)
    writer.close()
    await writer.wait_closed()
    return answer == b"\1\0\0"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "::", "::1", "0.0.0.0"])
async def test_a_url_ends_with_the_port(host: str) -> None:
    """Row U46: the Java client, bunny and librabbitmq read the virtual host of a last slash as ""."""
    async with FakeBroker() as broker:
        url = await broker.listen(host)

        parts = urlsplit(url)
        assert url.endswith(f":{parts.port}")
        assert parts.path == ""
        assert await answers(str(parts.hostname), parts.port)


@pytest.mark.parametrize("host", ["localhost", "", "::"])
async def test_several_addresses_share_a_port(host: str) -> None:
    """Row U50."""
    async with FakeBroker() as broker:
        port = urlsplit(await broker.listen(host)).port

        assert await answers("127.0.0.1", port)
        assert await answers("::1", port)

        await broker.restart()
        assert await answers("127.0.0.1", port)
        assert await answers("::1", port)


async def test_ipv4_alone_leaves_ipv6_to_others() -> None:
    """Row U50."""
    async with FakeBroker() as broker:
        port = urlsplit(await broker.listen("127.0.0.1")).port

        with pytest.raises(ConnectionRefusedError):
            await answers("::1", port)
        assert await broker.listen("::1", port or 0) == f"amqp://guest:guest@[::1]:{port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
async def test_a_port_that_is_in_use_is_named(host: str) -> None:
    """Row U50."""
    async with FakeBroker() as broker:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = (
                f"cannot listen on port {port} of {host or 'all addresses'}: Address already in use"
            )
            with pytest.raises(OSError, match=text):
                await broker.listen(host, port)


async def test_a_host_without_an_address_is_named() -> None:
    """Row U50."""
    async with FakeBroker() as broker:
        with pytest.raises(OSError, match=r"cannot listen on port 0 of nowhere\.invalid: "):
            await broker.listen("nowhere.invalid")
        with pytest.raises(
            OSError, match=r"cannot listen on port 0 of 192\.0\.2\.1: Cannot assign"
        ):
            await broker.listen("192.0.2.1")


async def test_a_broker_that_runs_cannot_be_started() -> None:
    """Row U50."""
    async with FakeBroker() as broker:
        await broker.listen()
        with pytest.raises(RuntimeError, match=r"is running: call stop\(\) before start\(\)"):
            await broker.start()

        await broker.stop()
        await broker.start()
