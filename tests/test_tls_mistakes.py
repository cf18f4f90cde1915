"""TLS that is given wrongly: every mistake is named, with its cure."""

import asyncio
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import aioamqp
from aioamqp.tls import TlsSettings, explain
from aioamqp_testing import FakeBroker
from tests.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """The certificate of a server at localhost."""
    return authority.issue("localhost", "DNS:localhost")


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    """The context of a client."""
    return ssl.create_default_context(cafile=authority.cacertfile)


def server_context(certificate: Certificate, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
    return context


@contextmanager
def one_connection(context: ssl.SSLContext | None, answer: bytes = b"") -> Generator[int]:
    """Serve one connection in a thread, as servers in C do; return the port."""

    def serve() -> None:
        link: socket.socket
        link, _ = listening.accept()
        link.settimeout(5)
        with suppress(OSError):
            if context is not None:
                link = secure = context.wrap_socket(link, True, do_handshake_on_connect=False)
                secure.do_handshake()
                secure.recv(100)
            else:
                link.recv(100)
                link.sendall(answer)
        with suppress(OSError), socket.socket(fileno=link.detach()) as link:
            link.settimeout(5)
            link.shutdown(socket.SHUT_WR)
            while link.recv(10_000):  # or else a reset would overtake the alert
                pass

    with socket.create_server(("localhost", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def failure(port: int, host: str = "localhost", **options: Any) -> aioamqp.AmqpClosedConnection:
    async def connect() -> None:
        await aioamqp.connect(host, port, connection_timeout=5, **options)

    with pytest.raises(aioamqp.AmqpClosedConnection) as caught:
        asyncio.run(connect())
    return caught.value


def test_tls_to_a_plain_port_says_which_url_to_use(trusting: ssl.SSLContext) -> None:
    """Row U24. Row U40."""
    with one_connection(None, b"AMQP\0\0\x09\x01") as port:
        error = failure(port, ssl=trusting)

    assert "does not speak TLS on this port: use amqp:// and the port 5672" in str(error)
    assert isinstance(error, aioamqp.ConnectionFailed)
    assert isinstance(error, ssl.SSLError)
    assert error.reason == "WRONG_VERSION_NUMBER"
    assert error.library == "SSL"


@pytest.mark.asyncio
async def test_tls_to_a_plain_port_of_the_fake_says_which_url_to_use(
    trusting: ssl.SSLContext,
) -> None:
    """Row U24."""
    async with FakeBroker() as broker:
        port = int((await broker.listen()).rpartition(":")[2].partition("/")[0])
        with pytest.raises(aioamqp.ConnectionFailed, match="does not speak TLS on this port"):
            await aioamqp.connect("localhost", port, ssl=trusting, server_hostname="localhost")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_plain_to_a_tls_port_says_which_url_to_use(
    certificate: Certificate, version: ssl.TLSVersion
) -> None:
    """Row U24. OpenSSL closes such a link; others send an alert first."""
    with one_connection(server_context(certificate, version)) as port:
        error = failure(port)

    assert isinstance(error, aioamqp.HandshakeFailed)
    assert "amqps://" in str(error)
    assert "5671" in str(error)


def test_an_alert_of_tls_to_a_plain_client_says_which_url_to_use() -> None:
    """Row U24. It was "21 is no type of frame"."""
    with one_connection(None, b"\x15\x03\x01\x00\x02\x02\x46") as port:
        error = failure(port)

    assert isinstance(error, aioamqp.HandshakeFailed)
    assert "The server speaks TLS on this port: use amqps:// and 5671" in str(error)


def test_a_server_of_tls_1_0_has_a_reason(
    certificate: Certificate, trusting: ssl.SSLContext
) -> None:
    """Row U24. The reason was empty."""
    with one_connection(server_context(certificate, ssl.TLSVersion.TLSv1)) as port:
        error = failure(port, ssl=trusting)

    assert "no version of TLS in common" in str(error)
    assert "TLS 1.0" in str(error)


def test_an_unknown_authority_says_how_to_trust_it(certificate: Certificate) -> None:
    """Row U24. Row U40."""
    with one_connection(server_context(certificate, None)) as port:
        error = failure(port, ssl=True)

    assert "cacertfile" in str(error)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert error.verify_code == 20
    assert error.verify_message == "unable to get local issuer certificate"
    assert error.reason == "CERTIFICATE_VERIFY_FAILED"


def test_a_certificate_for_another_host_says_how_to_name_it(
    authority: Authority, trusting: ssl.SSLContext
) -> None:
    """Row U24. Row U40."""
    other = authority.issue("elsewhere", "DNS:elsewhere")
    with one_connection(server_context(other, None)) as port:
        error = failure(port, ssl=trusting)

    assert "server_name_indication" in str(error)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "'localhost'" in error.verify_message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_requires_a_client_certificate_says_so(
    authority: Authority,
    certificate: Certificate,
    trusting: ssl.SSLContext,
    version: ssl.TLSVersion,
) -> None:
    """Row U24. With TLS 1.3 the client is told after the handshake."""
    context = server_context(certificate, version)
    context.load_verify_locations(authority.cacertfile)
    context.verify_mode = ssl.CERT_REQUIRED
    with one_connection(context) as port:
        error = failure(port, ssl=trusting)

    assert "require" in str(error)
    assert "client certificate" in str(error)
    assert isinstance(error, aioamqp.ConnectionFailed)
    assert issubclass(type(error), ssl.SSLError)


def test_a_client_certificate_of_an_unknown_authority_says_so(
    authority: Authority, certificate: Certificate, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """Row U24."""
    own = Authority(tmp_path, "another").issue("me", "DNS:me")
    trusting.load_cert_chain(own.certfile, own.keyfile)
    context = server_context(certificate, None)
    context.load_verify_locations(authority.cacertfile)
    context.verify_mode = ssl.CERT_REQUIRED
    with one_connection(context) as port:
        error = failure(port, ssl=trusting)

    assert "refused the client's certificate" in str(error)


def test_a_server_that_ends_the_link_has_a_reason(trusting: ssl.SSLContext) -> None:
    """Row U24."""
    with one_connection(None) as port:
        error = failure(port, ssl=trusting)

    assert isinstance(error, aioamqp.ConnectionFailed)
    assert "ended the link during the TLS handshake: it may not speak TLS" in str(error)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (9, "not valid yet: check the clocks"),
        (10, "has expired: renew it"),
        (18, "cacertfile"),
        (23, "revoked"),
        (62, "server_hostname"),
        (99, "^that$"),
    ],
)
def test_each_verification_error_has_its_cure(code: int, text: str) -> None:
    """Row U24."""
    error = ssl.SSLCertVerificationError(1, "that")
    error.verify_code = code

    with pytest.raises(OSError, match=text):
        raise OSError(explain(error))


@pytest.mark.parametrize("given", ["/ca.pem", {"cafile": "/ca.pem"}, 1])
def test_ssl_must_be_a_context(given: Any) -> None:
    """Row U24. 0.15 failed with an AttributeError of asyncio, or a TypeError."""
    with pytest.raises(aioamqp.InvalidArgument, match=r"ssl: must be an SSLContext, True"):
        asyncio.run(_connect("localhost", ssl=given))


def test_a_context_for_servers_says_so(certificate: Certificate) -> None:
    """Row U24."""
    with pytest.raises(aioamqp.InvalidArgument, match=r"ssl: is a context for servers"):
        asyncio.run(_connect("localhost", ssl=server_context(certificate, None)))


def test_a_name_in_the_certificate_requires_tls() -> None:
    """Row U24."""
    with pytest.raises(aioamqp.InvalidArgument, match=r"server_hostname: .* needs TLS"):
        asyncio.run(_connect("localhost", server_hostname="rabbit"))


async def _connect(host: str, **options: Any) -> None:
    await aioamqp.connect(host, **options)


def test_files_that_cannot_be_used_say_why(
    authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    """Row U24."""
    cert, key, other = (
        str(each) for each in (certificate.certfile, certificate.keyfile, authority.own.keyfile)
    )
    locked, empty = str(tmp_path / "locked.key"), str(tmp_path / "empty")
    Path(empty).touch()
    subprocess.run(
        [
            *("openssl", "pkey", "-in", key, "-out", locked, "-aes256"),
            *("-passout", "pass:secret"),
        ],
        check=True,
        capture_output=True,
    )
    for settings, text in (
        (TlsSettings("/nowhere"), "cacertfile .*/nowhere: .*No such file"),
        (TlsSettings(str(tmp_path)), "cacertfile .*directory"),
        (TlsSettings(key), "cacertfile .*contains no certificate in PEM format"),
        (TlsSettings(empty), "cacertfile .*contains no certificate in PEM format"),
        (TlsSettings(None, key, cert), "certfile .*the two files are swapped"),
        (TlsSettings(None, cert, other), "certfile .*the key of another certificate"),
        (TlsSettings(None, cert), "certfile .*contains no private key; .* as keyfile"),
        (TlsSettings(None, key), "certfile contains no certificate"),
        (TlsSettings(None, cert, empty), "keyfile contains no private key"),
        (TlsSettings(None, cert, "/nowhere"), "keyfile .*/nowhere: No such file"),
        (TlsSettings(None, "/nowhere", key), "certfile .*/nowhere: No such file"),
        (TlsSettings(None, cert, locked), r"locked\.key: the private key is encrypted"),
    ):
        with pytest.raises(ValueError, match=text):
            settings.context()
