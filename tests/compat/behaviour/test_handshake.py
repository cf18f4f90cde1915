"""Section 2 of the contract with aioamqp 0.15: opening a connection."""

import asyncio
import logging
import socket
from typing import Any

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, CONNECTING, OPEN
from amqp_codec import Method, connection
from scripted_server import START, ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio


async def methods_of_client(
    server: ScriptedServer, start: connection.Start = START, **options: Any
) -> list[Method]:
    """Open a connection and close it; return the methods that the client sends until it is open."""
    server.greets = False
    with aioamqp.dialing(server.dial):
        connecting = asyncio.create_task(aioamqp.connect(**options))
        await wait_idle()
    server.send(start, channel=0)
    _, protocol = await connecting
    sent = [command.method for command in server.received]
    await protocol.close()
    return sent


async def start_ok(server: ScriptedServer, *args: Any, **options: Any) -> connection.StartOk:
    method = (await methods_of_client(server, *args, **options))[0]
    assert isinstance(method, connection.StartOk)
    return method


async def test_the_client_begins_with_the_protocol_header_of_amqp_0_9_1(
    server: ScriptedServer,
) -> None:
    """B1."""
    server.greets = False

    with aioamqp.dialing(server.dial), pytest.raises(aioamqp.AmqpClosedConnection):
        await aioamqp.connect(connection_timeout=1)

    assert server.transport.writes == [b"AMQP\x00\x00\x09\x01"]


async def test_start_ok_contains_login_and_password_for_plain(server: ScriptedServer) -> None:
    """B2."""
    answer = await start_ok(server, login="me", password="pässword")

    assert answer.mechanism == "PLAIN"
    assert answer.response == b"\0me\0" + "pässword".encode()


@pytest.mark.parametrize(
    ("offered", "chosen"), [(b"en_US", "en_US"), (b"fr_FR en_US", "en_US"), (b"de_AT fr", "de_AT")]
)
async def test_start_ok_chooses_one_of_the_server_s_locales(
    server: ScriptedServer, offered: bytes, chosen: str
) -> None:
    """B2."""
    answer = await start_ok(server, connection.Start(0, 9, {}, b"PLAIN", offered))

    assert answer.locale == chosen


async def test_start_ok_contains_the_client_properties(server: ScriptedServer) -> None:
    """B2."""
    properties = (await start_ok(server)).client_properties

    assert set(properties) == {"capabilities", "copyright", "product", "product_version"}
    assert (properties["copyright"], properties["product"]) == ("BSD", "aioamqp")
    assert properties["product_version"] == aioamqp.__version__
    capabilities = properties["capabilities"]
    assert isinstance(capabilities, dict)
    # 0.15 announced consumer_cancel_notify, but connection.blocked as False.
    assert capabilities["consumer_cancel_notify"] is True
    assert capabilities["connection.blocked"] is True


async def test_client_properties_override_the_defaults_key_by_key(
    server: ScriptedServer,
) -> None:
    """B2."""
    given = {"product": "mine", "program_name": "p", "capabilities": {"basic.nack": True}}

    properties = (await start_ok(server, client_properties=given)).client_properties

    assert (properties["product"], properties["program_name"]) == ("mine", "p")
    assert properties["copyright"] == "BSD"
    assert properties["capabilities"] == {"basic.nack": True}
    assert given == {"product": "mine", "program_name": "p", "capabilities": {"basic.nack": True}}


async def test_an_unknown_login_method_falls_back_to_plain_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B3."""
    answer = await start_ok(server, login_method="SMOKE-SIGNALS")

    assert answer.mechanism == "PLAIN"
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "aioamqp.protocol")
    assert "SMOKE-SIGNALS" in record.getMessage()


async def test_insist_is_accepted_and_ignored(server: ScriptedServer) -> None:
    """B3. In AMQP 0-9-1 its bit is reserved and must be zero."""
    assert (await methods_of_client(server, insist=True))[2] == connection.Open("/")


@pytest.mark.parametrize(
    ("requested", "negotiated"),
    [
        ({}, (2047, 131072, 60)),
        ({"channel_max": 10, "frame_max": 8192, "heartbeat": 5}, (10, 8192, 5)),
        # The lower limits are used, but always the heartbeat of the caller.
        ({"channel_max": 60000, "frame_max": 1000000, "heartbeat": 600}, (2047, 131072, 600)),
        ({"channel_max": 0, "frame_max": 0, "heartbeat": 0}, (2047, 131072, 0)),
    ],
)
async def test_tune_ok_contains_the_negotiated_limits(
    server: ScriptedServer, requested: dict[str, int], negotiated: tuple[int, int, int]
) -> None:
    """B4."""
    with aioamqp.dialing(server.dial):
        _, protocol = await aioamqp.connect(**requested)  # type: ignore[arg-type]

    assert server.methods(connection.TuneOk) == [connection.TuneOk(*negotiated)]
    assert negotiated == (
        protocol.server_channel_max,
        protocol.server_frame_max,
        protocol.server_heartbeat,
    )
    assert protocol.connection_tunning == requested
    await protocol.close()


async def test_a_heartbeat_of_0_disables_heartbeats_in_both_directions(
    server: ScriptedServer,
) -> None:
    """B4."""
    protocol = await server.connect(heartbeat=0)

    await asyncio.sleep(100_000)

    assert server.transport.writes == []
    assert protocol.state == OPEN
    await protocol.close()


@pytest.mark.parametrize("virtualhost", ["/", "name", "a/b", "%2F", "ü ", ""])
async def test_the_virtual_host_is_sent_unchanged(server: ScriptedServer, virtualhost: str) -> None:
    """B5."""
    sent = await methods_of_client(server, virtualhost=virtualhost)

    assert sent[2] == connection.Open(virtualhost)


async def test_connect_returns_after_open_ok_with_a_running_worker(
    server: ScriptedServer,
) -> None:
    """B6."""
    created: list[aioamqp.AmqpProtocol] = []

    def factory(**options: Any) -> aioamqp.AmqpProtocol:
        created.append(aioamqp.AmqpProtocol(**options))
        return created[0]

    server.mute(connection.Open)
    with aioamqp.dialing(server.dial):
        connecting = asyncio.create_task(aioamqp.connect(protocol_factory=factory))
        await wait_idle()
    assert not connecting.done()
    assert created[0].state == CONNECTING

    server.send(connection.OpenOk(), channel=0)
    transport, protocol = await connecting

    assert protocol is created[0]
    assert repr(transport) == repr(server.transport)  # which it wraps
    assert protocol.state == OPEN
    assert protocol.worker is not None
    assert not protocol.worker.done()
    await protocol.close()


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        ({"password": "wrong"}, 403, "ACCESS_REFUSED - Login was refused"),
        ({"virtualhost": "nowhere"}, 530, "NOT_ALLOWED - vhost nowhere not found"),
    ],
)
async def test_a_refused_login_or_virtual_host_raises_handshake_failed_with_code_and_text(
    connect: Connect, wrong: dict[str, str], code: int, text: str
) -> None:
    """B7."""
    created: list[aioamqp.AmqpProtocol] = []
    errors: list[Exception] = []

    def factory(**options: Any) -> aioamqp.AmqpProtocol:
        created.append(aioamqp.AmqpProtocol(**options))
        return created[0]

    with pytest.raises(aioamqp.AmqpClosedConnection) as refused:
        await connect(protocol_factory=factory, on_error=errors.append, **wrong)

    assert isinstance(refused.value, aioamqp.HandshakeFailed)
    assert refused.value.code == code
    assert refused.value.message.startswith(text)
    await created[0].wait_closed()
    assert created[0].state == CLOSED
    assert errors == [refused.value]


async def test_a_refused_tcp_connection_raises_the_os_error_and_does_not_call_on_error() -> None:
    """B8."""
    errors: list[Exception] = []

    with socket.socket() as bound:  # but not listening, so that the port stays reserved
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await aioamqp.connect("127.0.0.1", bound.getsockname()[1], on_error=errors.append)

    assert errors == []


async def test_an_unknown_host_raises_the_os_error_and_does_not_call_on_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B8."""
    errors: list[Exception] = []
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        raise unknown

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror) as raised:
        await aioamqp.connect("nonexistant.invalid", on_error=errors.append)

    assert (raised.value.errno, raised.value.args) == (unknown.errno, unknown.args)
    assert errors == []


@pytest.mark.parametrize("limit", [None, 3])
async def test_connecting_to_a_silent_server_times_out_and_aborts_the_transport(
    server: ScriptedServer, limit: int | None
) -> None:
    """B9."""
    server.greets = False
    started = asyncio.get_running_loop().time()

    with aioamqp.dialing(server.dial), pytest.raises(TimeoutError):
        await asyncio.wait_for(aioamqp.connect(), limit)

    assert asyncio.get_running_loop().time() - started == pytest.approx(limit or 10)
    assert server.transport.was_aborted
