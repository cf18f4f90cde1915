"""Defects of 0.15 in opening a connection: D1 to D5, D13, D27, D31 and D34."""

import asyncio
import threading
from typing import Any

import pytest

import aioamqp
from amqp_codec import HEARTBEAT, Command, channel, connection, encode_command
from tests.compat.defects.scripted_tcp import START, ScriptedServer, outcomes, result_of, wait_idle

fails_on_0_15 = pytest.mark.fails_on_0_15


async def refused(server: ScriptedServer, **kwargs: Any) -> aioamqp.AmqpClosedConnection:
    """Connect to a server that refuses the connection; return the error."""
    with pytest.raises(aioamqp.AmqpClosedConnection) as refusal:
        await server.connect(**kwargs)
    return refusal.value


async def start_ok_of_client(server: ScriptedServer, **kwargs: Any) -> connection.StartOk:
    """Return the start-ok of a client whose handshake is then aborted."""
    server.mute(connection.StartOk)
    connecting = asyncio.ensure_future(outcomes(server.connect(**kwargs)))
    start_ok = await server.wait_for(connection.StartOk)
    server.transport.abort()
    await connecting
    return start_ok


# ---------------------------------------------------------------- D1, D2


@fails_on_0_15(r"b'AMQP\x01\x01\x00\t' == b'AMQP\x00\x00\t\x01'")
@pytest.mark.asyncio
async def test_the_protocol_header_is_that_of_amqp_0_9_1(server: ScriptedServer) -> None:
    """D1."""
    await server.connect()
    assert server.header == b"AMQP\x00\x00\x09\x01"


@fails_on_0_15("== '")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("locales", "chosen"), [(b"fr_FR en_US", "en_US"), (b"de_DE fr_FR", "de_DE")]
)
async def test_one_of_the_server_s_locales_is_selected(
    server: ScriptedServer, locales: bytes, chosen: str
) -> None:
    """D2."""
    server.start = connection.Start(0, 9, {}, b"PLAIN", locales)
    assert (await start_ok_of_client(server)).locale == chosen


@fails_on_0_15("DID NOT RAISE")
@pytest.mark.asyncio
async def test_a_password_is_not_sent_to_a_server_that_does_not_offer_plain(
    server: ScriptedServer,
) -> None:
    """D2."""
    server.start = connection.Start(0, 9, {}, b"SCRAM-SHA-256", b"en_US")
    refusal = await refused(server, password="secret")
    assert "SCRAM-SHA-256" in str(refusal)
    assert b"secret" not in server.data


@fails_on_0_15("'PLAIN' == 'AMQPLAIN'")
@pytest.mark.asyncio
async def test_the_login_method_that_was_asked_for_is_used(server: ScriptedServer) -> None:
    """D2."""
    start_ok = await start_ok_of_client(server, login_method="AMQPLAIN")
    assert start_ok.mechanism == "AMQPLAIN"
    assert start_ok.response.startswith(b"\x05LOGIN")


@fails_on_0_15("waits forever")
@pytest.mark.asyncio
async def test_connecting_fails_on_a_challenge_that_plain_cannot_answer(
    server: ScriptedServer,
) -> None:
    """D2."""
    server.answers[connection.StartOk] = lambda _: connection.Secure(b"say more")
    await refused(server)
    await server.wait_closed()


# ---------------------------------------------------------------- D3


@fails_on_0_15("int required, received <class 'NoneType'>")
@pytest.mark.asyncio
async def test_a_refused_login_is_raised_with_the_server_s_code_and_text(
    server: ScriptedServer,
) -> None:
    """D3."""
    text = "ACCESS_REFUSED - Login was refused"
    server.answers[connection.StartOk] = lambda _: connection.Close(403, text)
    refusal: Any = await refused(server)
    assert (refusal.code, refusal.message) == (403, text)
    assert text in str(refusal)


@fails_on_0_15("has no attribute 'code'")
@pytest.mark.asyncio
async def test_a_refused_virtual_host_is_raised_with_the_server_s_code_and_text(
    server: ScriptedServer,
) -> None:
    """D3."""
    text = "NOT_ALLOWED - vhost nowhere not found"
    server.answers[connection.Open] = lambda _: connection.Close(530, text)
    refusal: Any = await refused(server, virtualhost="nowhere")
    assert (refusal.code, refusal.message) == (530, text)


@fails_on_0_15("IncompleteReadError")
@pytest.mark.asyncio
async def test_the_protocol_version_of_an_incompatible_server_is_reported(
    server: ScriptedServer,
) -> None:
    """D3."""
    server.start = b"AMQP\x00\x01\x00\x00"
    connecting = asyncio.ensure_future(outcomes(server.connect()))
    await server.wait_until(lambda: len(server.header) == 8)
    server.transport.close()  # Spec: 4.2.2
    (error,) = await connecting
    assert isinstance(error, aioamqp.AmqpClosedConnection), repr(error)
    assert "1-0-0" in str(error)


@fails_on_0_15("IncompleteReadError")
@pytest.mark.asyncio
async def test_connecting_fails_when_the_connection_is_lost_at_any_byte_of_the_handshake(
    server: ScriptedServer,
) -> None:
    """D3, D9."""
    server.mute(connection.StartOk, connection.Open)
    answers = (START, connection.Tune(2047, 131072, 0), connection.OpenOk())
    data = b"".join(encode_command(Command(0, answer)) for answer in answers)
    for count in range(len(data)):
        errors: list[Exception] = []
        server.start = data[:count]
        connecting = asyncio.ensure_future(outcomes(server.connect(on_error=errors.append)))
        await wait_idle()
        server.transport.close()
        (error,) = await connecting
        assert isinstance(error, aioamqp.AmqpClosedConnection), repr(error)
        await wait_idle()
        assert len(errors) == 1


# ---------------------------------------------------------------- D4


@fails_on_0_15("waits forever")
@pytest.mark.asyncio
async def test_a_cancelled_connect_closes_its_transport(server: ScriptedServer) -> None:
    """D4."""
    server.start = None
    connecting = asyncio.ensure_future(aioamqp.connect("127.0.0.1", server.port))
    await server.wait_until(lambda: len(server.header) == 8)
    assert not connecting.done()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await server.wait_closed()
    assert asyncio.get_running_loop().time() == 0, "the connect was not cancelled but timed out"


@fails_on_0_15("waits forever")
@pytest.mark.asyncio
async def test_connecting_can_be_cancelled_at_any_time(server: ScriptedServer) -> None:
    """D4, D9."""
    errors: list[Exception] = []
    iterations, was_cancelled = 0, True
    while was_cancelled:
        connecting = asyncio.ensure_future(
            aioamqp.connect("127.0.0.1", server.port, on_error=errors.append)
        )
        for _ in range(iterations):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait({connecting})
        was_cancelled = connecting.cancelled()
        if was_cancelled:
            await server.wait_closed()
            iterations += 1
    server.adopt(connecting.result())
    assert iterations > 5
    await wait_idle()
    assert errors == []


@fails_on_0_15("waits forever")
@pytest.mark.asyncio
async def test_an_invalid_argument_of_connect_closes_the_transport(
    server: ScriptedServer,
) -> None:
    """D4."""
    with pytest.raises((TypeError, ValueError), match="heartbeat"):
        await server.connect(heartbeat="often")
    await server.wait_closed()


# ---------------------------------------------------------------- D5


@fails_on_0_15("DID NOT RAISE")
@pytest.mark.asyncio
async def test_no_more_channels_are_opened_than_channel_max(server: ScriptedServer) -> None:
    """D5."""
    protocol = await server.connect(channel_max=2)
    first, second = [await result_of(protocol.channel()) for _ in range(2)]
    assert (first.channel_id, second.channel_id) == (1, 2)
    with pytest.raises(aioamqp.NoChannelAvailable):
        await result_of(protocol.channel())
    assert len(server.methods(channel.Open)) == 2


@fails_on_0_15("assert 3 == 1")
@pytest.mark.asyncio
async def test_a_channel_that_could_not_be_created_uses_no_channel_id(
    server: ScriptedServer,
) -> None:
    """D5."""
    protocol = await server.connect(channel_max=2)
    for _ in range(2):
        with pytest.raises(TypeError):
            await result_of(protocol.channel(no_such_argument=1))
    assert (await result_of(protocol.channel())).channel_id == 1


@pytest.mark.asyncio
async def test_a_channel_that_the_server_refuses_uses_no_channel_id(
    server: ScriptedServer,
) -> None:
    """D5. This part works in 0.15.0 too."""
    protocol = await server.connect(channel_max=1)
    default_answer = server.answers[channel.Open]
    server.answers[channel.Open] = lambda _: channel.Close(504, "CHANNEL_ERROR - not now")
    for _ in range(2):
        with pytest.raises(aioamqp.ChannelClosed):
            await result_of(protocol.channel())
    server.answers[channel.Open] = default_answer
    assert (await result_of(protocol.channel())).channel_id == 1


@fails_on_0_15("assert 2 == 1")
@pytest.mark.asyncio
async def test_a_cancelled_channel_open_uses_no_channel_id(server: ScriptedServer) -> None:
    """D5, R3."""
    protocol = await server.connect(channel_max=1)
    default_answer = server.answers[channel.Open]
    server.mute(channel.Open)
    opening = asyncio.ensure_future(protocol.channel())
    await server.wait_for(channel.Open)
    opening.cancel()
    await asyncio.wait({opening})
    server.answers[channel.Open] = default_answer
    server.send(channel.OpenOk())
    await wait_idle()
    assert (await result_of(protocol.channel())).channel_id == 1


@fails_on_0_15("(60000, 1000000, 600) == (2047, 131072, 600)")
@pytest.mark.asyncio
async def test_the_lower_limit_of_both_sides_is_used(server: ScriptedServer) -> None:
    """D5."""
    tuned: list[connection.TuneOk] = []
    server.answers[connection.TuneOk] = tuned.append
    protocol = await server.connect(channel_max=60000, frame_max=1_000_000, heartbeat=600)
    (above,) = tuned
    assert (above.channel_max, above.frame_max, above.heartbeat) == (2047, 131072, 600)
    assert (protocol.server_channel_max, protocol.server_frame_max) == (2047, 131072)
    await server.connect(channel_max=5, frame_max=4096)
    assert tuned[1:] == [connection.TuneOk(5, 4096, 0)]


# ---------------------------------------------------------------- D13


@fails_on_0_15("p%40ss")
@pytest.mark.asyncio
async def test_the_parts_of_a_url_are_percent_decoded(server: ScriptedServer) -> None:
    """D13."""
    received: list[Any] = []

    def answer(method: Any) -> Any:
        received.append(method)
        default_answer = ScriptedServer().answers[type(method)]
        assert default_answer is not None
        return default_answer(method)

    server.answers[connection.StartOk] = server.answers[connection.Open] = answer
    url = f"amqp://us%2Fer:p%40ss%25@127.0.0.1:{server.port}/a%2Fb"
    server.adopt(await result_of(aioamqp.from_url(url)))
    start_ok, opened = received
    assert start_ok.response == b"\0us/er\0p@ss%"
    assert opened.virtual_host == "a/b"


# ---------------------------------------------------------------- D27


@fails_on_0_15("{'connection.blocked': False}")
@pytest.mark.asyncio
async def test_the_client_announces_all_its_capabilities(server: ScriptedServer) -> None:
    """D27, D3. With ``authentication_failure_close`` RabbitMQ sends connection.close at once."""
    start_ok = await start_ok_of_client(server)
    assert start_ok.client_properties["capabilities"] == {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "exchange_exchange_bindings": True,
        "publisher_confirms": True,
    }


# ---------------------------------------------------------------- D31


@pytest.mark.asyncio
async def test_the_connection_stays_open_without_heartbeats_when_the_server_disables_them(
    server: ScriptedServer,
) -> None:
    """D31. This part is fixed in 0.15.0."""
    protocol = await server.connect()
    await asyncio.sleep(3600)
    assert server.data == b""
    assert (await result_of(protocol.channel())).is_open


@fails_on_0_15("BusyLoop")
@pytest.mark.asyncio
async def test_the_client_sends_no_heartbeats_when_it_disables_them(server: ScriptedServer) -> None:
    """D31. 0.15.0 sends them without a pause if the server proposes an interval."""
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, 131072, 30)
    protocol = await server.connect(heartbeat=0)
    await asyncio.sleep(3600)
    assert server.data == b""
    assert (await result_of(protocol.channel())).is_open


@fails_on_0_15("waits forever")
@pytest.mark.asyncio
async def test_a_heartbeat_during_the_handshake_is_ignored(
    server: ScriptedServer,
) -> None:
    """D31."""
    heartbeat = encode_command(Command(0, HEARTBEAT))
    server.start = heartbeat + encode_command(Command(0, START))
    protocol = await server.connect()
    assert (await result_of(protocol.channel())).is_open


# ---------------------------------------------------------------- D34


@fails_on_0_15("There is no current event loop")
def test_a_protocol_can_be_created_without_a_running_event_loop() -> None:
    """D34."""
    created: list[Any] = []

    def make() -> None:
        try:
            created.append(aioamqp.AmqpProtocol(heartbeat=0))
        except Exception as error:  # noqa: BLE001 - to be raised where the test sees it
            created.append(error)

    thread = threading.Thread(target=make)  # asyncio may create a loop in the main thread
    thread.start()
    thread.join()
    if isinstance(created[0], Exception):
        raise created[0]

    async def use() -> None:
        server = ScriptedServer()
        await server.listen()
        await server.connect(protocol_factory=lambda **_: created[0])
        assert (await result_of(created[0].channel())).is_open
        await server.stop()

    asyncio.run(use())
