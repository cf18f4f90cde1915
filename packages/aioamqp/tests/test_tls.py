"""TLS: contexts, verify_ssl, and the parameters of amqps URLs."""

import ssl
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import aioamqp
from aioamqp.tls import TlsSettings
from scripted_server import ScriptedServer


async def dialed(server: ScriptedServer, connecting: Any) -> dict[str, Any]:
    async def dial(*args: Any, ssl: Any = None, **names: Any) -> Any:
        seen.update(names, ssl=ssl)
        return await server.dial(*args, ssl=ssl)

    seen: dict[str, Any] = {}
    with aioamqp.dialing(dial):
        _, protocol = await connecting
    await protocol.close()
    return seen


def test_a_context_verifies_the_certificate_and_the_name() -> None:
    context = TlsSettings().context()

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cacertfile", TlsSettings(cacertfile="/nowhere.pem")),
        ("certfile", TlsSettings(certfile="/nowhere.pem")),
    ],
)
def test_a_file_that_is_not_there_is_named(name: str, settings: TlsSettings) -> None:
    with pytest.raises(ValueError, match=f"{name} .*/nowhere.pem: .*No such file"):
        settings.context()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")

    with pytest.raises(ValueError, match=r"ca\.pem"):
        TlsSettings(str(tmp_path / "ca.pem")).context()


@pytest.mark.asyncio
async def test_verification_is_switched_off_by_name_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen = await dialed(server, aioamqp.connect(ssl=True, verify_ssl=False))

    assert seen["ssl"].verify_mode == ssl.CERT_NONE
    assert "without verification" in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "connect",
    [
        lambda context: aioamqp.connect(ssl=context, verify_ssl=False),
        lambda context: aioamqp.from_url("amqps://h/?verify=verify_none", ssl=context),
    ],
)
async def test_a_context_that_is_given_is_left_alone(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, connect: Any
) -> None:
    context = ssl.create_default_context()

    assert (await dialed(server, connect(context)))["ssl"] is context
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert caplog.text == ""


@pytest.mark.asyncio
async def test_verify_ssl_does_not_turn_tls_on(server: ScriptedServer) -> None:
    assert await dialed(server, aioamqp.connect(verify_ssl=False)) == {"ssl": None}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "options", "mode"),
    [
        ("", {}, ssl.CERT_REQUIRED),
        ("", {"ssl": True}, ssl.CERT_REQUIRED),
        ("", {"verify_ssl": False}, ssl.CERT_NONE),
        ("?verify=verify_none", {}, ssl.CERT_NONE),
        ("?verify=verify_none", {"ssl": True}, ssl.CERT_NONE),
        ("?verify=verify_none", {"verify_ssl": True}, ssl.CERT_REQUIRED),
    ],
)
async def test_an_amqps_url_verifies_unless_told_not_to(
    server: ScriptedServer, query: str, options: dict[str, Any], mode: ssl.VerifyMode
) -> None:
    seen = await dialed(server, aioamqp.from_url(f"amqps://h/{query}", **options))

    assert seen["ssl"].verify_mode == mode
    assert seen["ssl"].check_hostname is (mode == ssl.CERT_REQUIRED)


@pytest.mark.asyncio
async def test_the_name_in_the_certificate_may_be_another(server: ScriptedServer) -> None:
    seen = await dialed(server, aioamqp.from_url("amqps://h/?server_name_indication=rabbit"))

    assert seen["server_hostname"] == "rabbit"


@pytest.mark.asyncio
async def test_the_files_of_a_url_make_the_context() -> None:
    with (
        mock.patch("ssl.create_default_context") as create,
        mock.patch("aioamqp.connect", side_effect=KeyError),
        pytest.raises(KeyError),
    ):
        await aioamqp.from_url("amqps://h/?cacertfile=/ca&certfile=/me&keyfile=/key")

    create.assert_called_once_with(cafile="/ca")
    create.return_value.load_cert_chain.assert_called_once_with("/me", "/key", password="")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "mechanism"),
    [({}, "AMQPLAIN"), ({"login_method": "EXTERNAL"}, "EXTERNAL")],
)
async def test_a_url_may_name_the_login_method(options: dict[str, Any], mechanism: str) -> None:
    with mock.patch("aioamqp.connect", side_effect=KeyError) as connect, pytest.raises(KeyError):
        await aioamqp.from_url("amqp://h/?auth_mechanism=amqplain", **options)

    assert connect.call_args.kwargs["login_method"] == mechanism
