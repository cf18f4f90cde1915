"""The handshake on a connection, and the ways in which it fails."""

import asyncio
from typing import Any

import pytest

import aioamqp
from aioamqp.auth import Plain
from amqp_codec import (
    connection,
)
from scripted_server import START, ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"AMQP\x00\x01\x00\x00", "AMQP 1-0-0"),
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak AMQP"),
        (
            b"HTTP/1.1 400 Bad Request\r\n",
            "on this port but HTTP: the port of AMQP usually is 5672",
        ),
        (b"-ERR unknown command\r\n", "does not speak AMQP"),
    ],
)
async def test_a_server_that_does_not_speak_amqp_fails_the_handshake(
    server: ScriptedServer, data: bytes, sentence: str
) -> None:
    server.greets = False
    asyncio.get_running_loop().call_later(0.1, lambda: server.send(data))

    with pytest.raises(aioamqp.HandshakeFailed, match=sentence):
        await server.connect()

    assert server.transport.was_aborted


async def test_the_first_byte_of_http_may_come_alone(server: ScriptedServer) -> None:
    server.greets = False
    asyncio.get_running_loop().call_later(0.1, lambda: server.send(b"H"))
    asyncio.get_running_loop().call_later(0.2, lambda: server.send(b"TTP/1.0 200 OK\r\n"))

    with pytest.raises(aioamqp.HandshakeFailed, match="but HTTP"):
        await server.connect()


async def test_a_refused_login_has_code_and_text_and_calls_on_error_once(
    server: ScriptedServer,
) -> None:
    errors: list[Exception] = []
    server.answers[connection.StartOk] = lambda _: connection.Close(403, "ACCESS_REFUSED - no")

    with pytest.raises(aioamqp.HandshakeFailed) as caught:
        await server.connect(on_error=errors.append)

    assert (caught.value.code, caught.value.message) == (403, "ACCESS_REFUSED - no")
    assert server.names()[-1] == "connection.close-ok"
    await wait_idle()
    assert errors == [caught.value]


async def test_the_error_of_a_link_that_ends_during_the_login_explains_it(
    server: ScriptedServer,
) -> None:
    def hang_up(_: object) -> None:
        server.transport.end(ConnectionResetError(104, "reset"))

    server.answers[connection.StartOk] = hang_up

    with pytest.raises(aioamqp.HandshakeFailed, match="login may have been refused"):
        await server.connect()


async def test_eof_during_the_handshake_fails_it(
    server: ScriptedServer,
) -> None:
    def end(_: object) -> None:
        asyncio.get_running_loop().call_soon(server.transport.protocol.eof_received)

    server.answers[connection.Open] = end

    with pytest.raises(aioamqp.HandshakeFailed, match="virtual host"):
        await server.connect()


@pytest.mark.parametrize(
    "options",
    [{"virtualhost": "v" * 256}, {"client_properties": {"a": object()}}, {"frame_max": 1}],
    ids=lambda options: next(iter(options)),
)
async def test_an_argument_that_cannot_be_sent_is_a_value_error_and_aborts_the_transport(
    server: ScriptedServer, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"255|object|frame_max"):
        await server.connect(**options)

    assert server.transport.was_aborted


async def test_heartbeats_during_the_handshake_are_ignored(server: ScriptedServer) -> None:
    heartbeat = b"\x08\x00\x00\x00\x00\x00\x00\xce"
    server.greets = False
    asyncio.get_running_loop().call_later(
        1, lambda: server.send(heartbeat, START, heartbeat, channel=0)
    )

    protocol = await server.connect()

    assert protocol.is_open
    await protocol.close()


async def test_the_password_is_in_no_log(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="aioamqp.protocol"):
        protocol = await server.connect(login="me", password="hunter2")
        await protocol.close()

    assert "> 0 connection.start-ok" in caplog.text
    assert "< 0 connection.tune " in caplog.text
    assert "hunter2" not in caplog.text


async def test_negotiated_limits_and_server_properties_are_attributes(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(channel_max=10, frame_max=1_000_000, heartbeat=100)

    assert protocol.connection_tunning == {
        "channel_max": 10,
        "frame_max": 1_000_000,
        "heartbeat": 100,
    }
    assert protocol.server_channel_max == 10
    assert protocol.server_frame_max == 131072
    assert protocol.server_heartbeat == 100
    assert protocol.server_properties == {"product": "script"}
    assert protocol.server_mechanisms == "PLAIN AMQPLAIN"
    assert protocol.server_locales == "en_US"
    assert (protocol.version_major, protocol.version_minor) == (0, 9)
    await protocol.close()


# -------------------------------------------------------------------- login methods


class Sums:
    """A custom mechanism, whose server asks for sums."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "PLAIN"  # which the scripted server offers
        self._password = password

    def initial_response(self) -> bytes:
        return self._password.encode()

    def respond(self, challenge: bytes) -> bytes:
        return str(sum(map(int, challenge.split(b"+")))).encode()


@pytest.mark.asyncio
async def test_a_login_method_of_the_program_answers_challenges(server: ScriptedServer) -> None:
    said: list[bytes] = []

    def ask(start_ok: connection.StartOk) -> connection.Secure:
        said.append(start_ok.response)
        return connection.Secure(b"20+22")

    def judge(secure_ok: connection.SecureOk) -> connection.Tune:
        said.append(secure_ok.response)
        return connection.Tune(2047, 131072, 60)

    server.answers |= {connection.StartOk: ask, connection.SecureOk: judge}
    protocol = await server.connect(login_method=Sums, password="hello")

    assert said == [b"hello", b"42"]
    await protocol.close()


@pytest.mark.asyncio
async def test_a_login_method_is_called_for_each_connection(server: ScriptedServer) -> None:
    tokens = iter(["first", "second"])
    said: list[bytes] = []

    def admit(start_ok: connection.StartOk) -> connection.Tune:
        said.append(start_ok.response)
        return connection.Tune(2047, 131072, 60)

    server.answers[connection.StartOk] = admit
    for _ in range(2):
        protocol = await server.connect(login_method=lambda login, _: Plain(login, next(tokens)))
        await protocol.close()

    assert said == [b"\0guest\0first", b"\0guest\0second"]


@pytest.mark.asyncio
async def test_a_login_method_that_fails_is_a_failed_handshake(server: ScriptedServer) -> None:
    server.answers[connection.StartOk] = lambda _: connection.Secure(b"no sum")

    with pytest.raises(aioamqp.HandshakeFailed, match="PLAIN failed with ValueError") as caught:
        await server.connect(login_method=Sums)

    assert isinstance(caught.value.__cause__, ValueError)
    assert server.transport.was_aborted


@pytest.mark.asyncio
async def test_the_error_without_external_lists_the_mechanisms_of_the_server(
    server: ScriptedServer,
) -> None:
    with pytest.raises(aioamqp.HandshakeFailed, match="EXTERNAL, but with PLAIN or AMQPLAIN"):
        await server.connect(login_method="EXTERNAL")
