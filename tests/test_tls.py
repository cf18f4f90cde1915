"""TLS with a real RabbitMQ, a private certificate authority, and certificates of clients."""

import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

import aioamqp
from aioamqp.tls import TlsSettings
from tests.certificates import Authority
from tests.conformance.scenario import scenario
from tests.rabbitmq import RabbitMQNode, is_required


@pytest.fixture
def node(rabbitmq_node: RabbitMQNode) -> RabbitMQNode:
    """The shared node, if it has TLS."""
    if rabbitmq_node.authority is None:
        if is_required():
            pytest.fail("AMQP_REQUIRE_RABBITMQ is set, but openssl is not on PATH", pytrace=False)
        pytest.skip("no RabbitMQ: without openssl it has no TLS")
    return rabbitmq_node


@pytest.fixture
def authority(node: RabbitMQNode) -> Authority:
    """Whom the node's certificate is from."""
    assert node.authority is not None
    return node.authority


def url(node: RabbitMQNode, host: str = "localhost", **query: object) -> str:
    return f"amqps://{host}:{node.tls_port}/?{urlencode(query)}"


@scenario
async def test_a_server_of_a_trusted_authority_is_accepted(
    node: RabbitMQNode, authority: Authority
) -> None:
    async with aioamqp.from_url(url(node, cacertfile=authority.cacertfile)) as protocol:
        channel = await protocol.channel()
        queue = await channel.queue_declare("", exclusive=True)
        await channel.basic_publish(b"x" * 300_000, "", queue["queue"])
        assert (await channel.basic_get(queue["queue"]))["message"] == b"x" * 300_000


@scenario
async def test_a_context_of_one_s_own_is_used(node: RabbitMQNode, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cacertfile)

    async with aioamqp.connect("localhost", node.tls_port, ssl=context) as protocol:
        assert protocol.is_open


@scenario
async def test_true_trusts_the_system_and_so_not_this_server(node: RabbitMQNode) -> None:
    with pytest.raises(aioamqp.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED") as refused:
        await aioamqp.connect("localhost", node.tls_port, ssl=True)

    assert isinstance(refused.value, ssl.SSLCertVerificationError)


@scenario
async def test_a_server_of_another_authority_is_refused(node: RabbitMQNode, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another")

    with pytest.raises(aioamqp.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await aioamqp.from_url(url(node, cacertfile=other.cacertfile))


@scenario
async def test_a_certificate_of_another_host_is_refused(
    node: RabbitMQNode, authority: Authority
) -> None:
    with pytest.raises(aioamqp.ConnectionFailed, match=r"127\.0\.0\.1"):
        await aioamqp.from_url(url(node, "127.0.0.1", cacertfile=authority.cacertfile))


@scenario
async def test_a_url_may_say_which_name_the_certificate_has(
    node: RabbitMQNode, authority: Authority
) -> None:
    where = url(
        node, "127.0.0.1", cacertfile=authority.cacertfile, server_name_indication="localhost"
    )

    async with aioamqp.from_url(where) as protocol:
        assert protocol.is_open


@scenario
async def test_unverified_by_name_any_server_is_accepted_with_a_warning(
    node: RabbitMQNode, caplog: pytest.LogCaptureFixture
) -> None:
    async with aioamqp.from_url(url(node, "127.0.0.1", verify="verify_none")) as protocol:
        assert protocol.is_open

    assert "without verification" in caplog.text


@scenario
async def test_verification_is_switched_off_by_verify_ssl_with_a_warning(
    node: RabbitMQNode, caplog: pytest.LogCaptureFixture
) -> None:
    """M8, M9."""
    port = node.tls_port
    async with aioamqp.connect("127.0.0.1", port, ssl=True, verify_ssl=False) as protocol:
        assert protocol.is_open

    assert "without verification" in caplog.text


@scenario
async def test_verify_ssl_changes_no_context_of_one_s_own(
    node: RabbitMQNode, authority: Authority
) -> None:
    """M8, M9."""
    context = ssl.create_default_context(cafile=authority.cacertfile)

    with pytest.raises(aioamqp.ConnectionFailed, match=r"127\.0\.0\.1"):
        await aioamqp.connect("127.0.0.1", node.tls_port, ssl=context, verify_ssl=False)


@scenario
async def test_a_client_s_certificate_is_a_login(node: RabbitMQNode, authority: Authority) -> None:
    mine = authority.issue("guest", "DNS:client")
    where = url(
        node,
        cacertfile=authority.cacertfile,
        certfile=mine.certfile,
        keyfile=mine.keyfile,
        auth_mechanism="external",
    )

    async with aioamqp.from_url(where) as protocol:
        assert protocol.is_open


@scenario
async def test_a_client_s_certificate_of_no_user_is_refused(
    node: RabbitMQNode, authority: Authority
) -> None:
    mine = authority.issue("nobody", "DNS:client")
    where = url(node, cacertfile=authority.cacertfile, certfile=mine.certfile, keyfile=mine.keyfile)

    with pytest.raises(aioamqp.HandshakeFailed, match="mechanism EXTERNAL") as refused:
        await aioamqp.from_url(where, login_method="EXTERNAL")

    assert refused.value.code == 403


def test_a_private_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    authority: Authority, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        [
            *("openssl", "pkey", "-in", str(authority.own.keyfile), "-out", str(locked)),
            *("-aes256", "-passout", "pass:secret"),
        ],
        check=True,
        capture_output=True,
    )

    with pytest.raises(ValueError, match=r"locked\.key"):
        TlsSettings(certfile=str(authority.own.certfile), keyfile=str(locked)).context()
