"""Ways to log in: what each says to the server, and what becomes of one's own."""

import pytest

import aioamqp
from aioamqp._connection.handshake import mechanism_named
from aioamqp.auth import AmqPlain, External, Plain
from amqp_codec import connection, decode_table
from scripted_server import ScriptedServer


class Sums:
    """A mechanism of one's own: the server asks for sums."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "PLAIN"  # which the scripted server offers
        self._password = password

    def initial_response(self) -> bytes:
        return self._password.encode()

    def respond(self, challenge: bytes) -> bytes:
        return str(sum(map(int, challenge.split(b"+")))).encode()


def test_amqplain_is_a_table_without_its_length() -> None:
    response = AmqPlain("me", "p\u00e4ss").initial_response()

    table, end = decode_table(len(response).to_bytes(4, "big") + response)
    assert table == {"LOGIN": "me", "PASSWORD": "p\u00e4ss"}
    assert end == 4 + len(response)


def test_external_says_nothing_since_the_certificate_does() -> None:
    assert External("me", "secret").initial_response() == b""


@pytest.mark.parametrize("name", ["PLAIN", "AMQPLAIN", "EXTERNAL", "external"])
def test_a_login_method_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert mechanism_named(name, "me", "x").name == name.upper()
    assert caplog.text == ""


@pytest.mark.parametrize("mechanism", [Plain("me", "secret"), AmqPlain("me", "secret")])
def test_a_mechanism_does_not_show_the_password(mechanism: object) -> None:
    assert "secret" not in repr(mechanism)


@pytest.mark.asyncio
async def test_one_s_own_login_method_answers_challenges(server: ScriptedServer) -> None:
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
async def test_a_login_method_is_asked_anew_for_each_connection(server: ScriptedServer) -> None:
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
async def test_a_server_that_does_not_offer_external_is_told_apart(server: ScriptedServer) -> None:
    with pytest.raises(aioamqp.HandshakeFailed, match="EXTERNAL, but with PLAIN or AMQPLAIN"):
        await server.connect(login_method="EXTERNAL")
