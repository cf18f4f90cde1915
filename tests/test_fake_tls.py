"""The fake broker with TLS: the library, and `python -m aioamqp_testing serve --tls`."""

import asyncio
import ssl
import sys
from urllib.parse import urlsplit

import aio_pika
import pika
import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from tests.certificates import Authority, Certificate

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("node", "DNS:localhost")


@pytest.fixture
def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    return context


async def use(url: str, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cacertfile)
    async with aioamqp.from_url(url, ssl=context) as protocol:
        channel = await protocol.channel()
        queue = await channel.queue_declare("", exclusive=True)
        await channel.basic_publish(b"x" * 300_000, "", queue["queue"])
        assert (await channel.basic_get(queue["queue"]))["message"] == b"x" * 300_000


async def test_a_broker_listens_with_tls(
    server_context: ssl.SSLContext, authority: Authority
) -> None:
    """Row U49."""
    async with FakeBroker() as broker:
        url = await broker.listen("localhost", ssl=server_context)

        assert url.startswith("amqps://guest:guest@localhost:")
        await use(url, authority)
        await broker.restart()
        await use(url, authority)


async def test_the_broker_closes_a_connection_with_tls(
    server_context: ssl.SSLContext, authority: Authority
) -> None:
    """Row U49."""
    context = ssl.create_default_context(cafile=authority.cacertfile)
    async with FakeBroker() as broker:
        url = await broker.listen("localhost", ssl=server_context)
        _, protocol = await aioamqp.from_url(url, ssl=context)
        broker.close_all_connections("maintenance")
        await protocol.wait_closed()
        with pytest.raises(aioamqp.AmqpClosedConnection, match="maintenance"):
            await protocol.channel()

        _, protocol = await aioamqp.from_url(url, ssl=context)

    await protocol.wait_closed()


async def test_other_clients_connect_with_tls(
    server_context: ssl.SSLContext, authority: Authority
) -> None:
    """Row U49."""

    def use_pika(url: str) -> None:
        parameters = pika.URLParameters(url)
        context = ssl.create_default_context(cafile=authority.cacertfile)
        parameters.ssl_options = pika.SSLOptions(context, "localhost")
        pika.BlockingConnection(parameters).close()

    async with FakeBroker() as broker:
        url = await broker.listen("localhost", ssl=server_context)

        await asyncio.to_thread(use_pika, url)
        connection = await aio_pika.connect(f"{url}?cafile={authority.cacertfile}")
        await connection.close()


async def test_a_client_without_tls_is_refused_and_the_broker_goes_on(
    server_context: ssl.SSLContext, authority: Authority
) -> None:
    """Row U49."""
    async with FakeBroker() as broker:
        url = await broker.listen("localhost", ssl=server_context)

        with pytest.raises(aioamqp.AioamqpException):
            await aioamqp.connect("localhost", urlsplit(url).port)
        with pytest.raises(aioamqp.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await aioamqp.from_url(url)
        assert broker.sessions == []
        await use(url, authority)


async def test_the_command_serves_with_tls(certificate: Certificate, authority: Authority) -> None:
    """Row U49."""
    files = (str(certificate.certfile), str(certificate.keyfile))
    options = ("serve", "--quiet", "--port=0", "--tls", *files)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "aioamqp_testing", *options),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()

        assert url.startswith("amqps://guest:guest@localhost:")
        await use(url, authority)
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_a_context_for_clients_is_refused() -> None:
    """Row U49."""
    async with FakeBroker() as broker:
        with pytest.raises(ValueError, match="ssl is a context for clients"):
            await broker.listen(ssl=ssl.create_default_context())
