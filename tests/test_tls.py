"""TLS with RabbitMQ, a private certificate authority, and client certificates."""

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
    """The authority that issued the certificate of the node."""
    assert node.authority is not None
    return node.authority


def url(node: RabbitMQNode, host: str = "localhost", **query: object) -> str:
    return f"amqps://{host}:{node.tls_port}/?{urlencode(query)}"


def url_with_certificate(
    node: RabbitMQNode, authority: Authority, user: str, **query: object
) -> str:
    """Return a URL with a new client certificate whose common name is ``user``."""
    certificate = authority.issue(user, "DNS:client")
    return url(
        node,
        "localhost",
        cacertfile=authority.cacertfile,
        certfile=certificate.certfile,
        keyfile=certificate.keyfile,
        **query,
    )


@scenario
async def test_a_server_with_a_trusted_certificate_is_accepted(
    node: RabbitMQNode, authority: Authority
) -> None:
    async with aioamqp.from_url(url(node, cacertfile=authority.cacertfile)) as protocol:
        channel = await protocol.channel()
        queue = await channel.queue_declare("", exclusive=True)
        await channel.basic_publish(b"x" * 300_000, "", queue["queue"])
        assert (await channel.basic_get(queue["queue"]))["message"] == b"x" * 300_000


@scenario
async def test_an_explicit_ssl_context_is_used(node: RabbitMQNode, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cacertfile)

    async with aioamqp.connect("localhost", node.tls_port, ssl=context) as protocol:
        assert protocol.is_open


@scenario
async def test_plain_to_the_tls_port_says_which_url_to_use(node: RabbitMQNode) -> None:
    """Row U24."""
    with pytest.raises(aioamqp.HandshakeFailed, match="speaks TLS on this port: use amqps://"):
        await aioamqp.connect("localhost", node.tls_port)


@scenario
async def test_tls_to_the_plain_port_says_which_url_to_use(
    node: RabbitMQNode, authority: Authority
) -> None:
    """Row U24."""
    context = ssl.create_default_context(cafile=authority.cacertfile)
    with pytest.raises(aioamqp.ConnectionFailed, match="does not speak TLS on this port"):
        await aioamqp.connect("localhost", node.port, ssl=context)


@scenario
async def test_ssl_true_trusts_only_the_system_s_authorities(node: RabbitMQNode) -> None:
    with pytest.raises(aioamqp.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED") as refused:
        await aioamqp.connect("localhost", node.tls_port, ssl=True)

    assert isinstance(refused.value, ssl.SSLCertVerificationError)


@scenario
async def test_a_server_with_an_untrusted_certificate_is_refused(
    node: RabbitMQNode, tmp_path: Path
) -> None:
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
async def test_a_url_may_set_server_name_indication(
    node: RabbitMQNode, authority: Authority
) -> None:
    target_url = url(
        node, "127.0.0.1", cacertfile=authority.cacertfile, server_name_indication="localhost"
    )

    async with aioamqp.from_url(target_url) as protocol:
        assert protocol.is_open


@scenario
async def test_verify_none_accepts_any_server_with_a_warning(
    node: RabbitMQNode, caplog: pytest.LogCaptureFixture
) -> None:
    async with aioamqp.from_url(url(node, "127.0.0.1", verify="verify_none")) as protocol:
        assert protocol.is_open

    assert "without verification" in caplog.text


@scenario
async def test_verify_ssl_false_accepts_any_server_with_a_warning(
    node: RabbitMQNode, caplog: pytest.LogCaptureFixture
) -> None:
    """M8, M9."""
    port = node.tls_port
    async with aioamqp.connect("127.0.0.1", port, ssl=True, verify_ssl=False) as protocol:
        assert protocol.is_open

    assert "without verification" in caplog.text


@scenario
async def test_verify_ssl_does_not_change_an_explicit_context(
    node: RabbitMQNode, authority: Authority
) -> None:
    """M8, M9."""
    context = ssl.create_default_context(cafile=authority.cacertfile)

    with pytest.raises(aioamqp.ConnectionFailed, match=r"127\.0\.0\.1"):
        await aioamqp.connect("127.0.0.1", node.tls_port, ssl=context, verify_ssl=False)


@scenario
async def test_a_client_certificate_authenticates_its_user(
    node: RabbitMQNode, authority: Authority
) -> None:
    target_url = url_with_certificate(node, authority, "guest", auth_mechanism="external")

    async with aioamqp.from_url(target_url) as protocol:
        assert protocol.is_open


@scenario
async def test_a_client_certificate_of_an_unknown_user_is_refused(
    node: RabbitMQNode, authority: Authority
) -> None:
    target_url = url_with_certificate(node, authority, "nobody")

    with pytest.raises(aioamqp.HandshakeFailed, match="mechanism EXTERNAL") as refused:
        await aioamqp.from_url(target_url, login_method="EXTERNAL")

    assert refused.value.code == 403


def test_an_encrypted_private_key_is_refused_without_a_prompt(
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
