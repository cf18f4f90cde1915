"""Defects of 0.15 in opening a connection: D1 to D5, D13, D27, D31 and D34."""

import asyncio
import threading
from typing import Any

import pytest

import aioamqp
from amqp_codec import HEARTBEAT, Command, channel, connection, encode_command
from tests.compat.defects.scripted_tcp import START, ScriptedServer, outcomes, soon, wait_idle

fails_on_0_15 = pytest.mark.fails_on_0_15


async def refused(server: ScriptedServer, **kwargs: Any) -> aioamqp.AmqpClosedConnection:
    """Connect in vain; return why."""
    with pytest.raises(aioamqp.AmqpClosedConnection) as refusal:
        await server.connect(**kwargs)
    return refusal.value


async def said_to_start(server: ScriptedServer, **kwargs: Any) -> connection.StartOk:
    """Let a client answer connection.start, and get no further; return its answer."""
    server.mute(connection.StartOk)
    connecting = asyncio.ensure_future(outcomes(server.connect(**kwargs)))
    start_ok = await server.got(connection.StartOk)
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
async def test_one_of_the_server_s_locales_is_chosen(
    server: ScriptedServer, locales: bytes, chosen: str
) -> None:
    """D2."""
    server.start = connection.Start(0, 9, {}, b"PLAIN", locales)
    assert (await said_to_start(server)).locale == chosen


@fails_on_0_15("DID NOT RAISE")
@pytest.mark.asyncio
async def test_a_password_is_not_sent_to_a_server_that_does_not_offer_plain(
    server: ScriptedServer,
) -> None:
    """D2."""
    server.start = connection.Start(0, 9, {}, b"SCRAM-SHA-256", b"en_US")
    refusal = await refused(server, password="secret")
    assert "SCRAM-SHA-256" in str(refusal)
    assert b"secret" not in server.octets


@fails_on_0_15("'PLAIN' == 'AMQPLAIN'")
@pytest.mark.asyncio
async def test_the_login_method_that_was_asked_for_is_used(server: ScriptedServer) -> None:
    """D2."""
    start_ok = await said_to_start(server, login_method="AMQPLAIN")
    assert start_ok.mechanism == "AMQPLAIN"
    assert start_ok.response.startswith(b"\x05LOGIN")


@fails_on_0_15("waits for ever")
@pytest.mark.asyncio
async def test_a_challenge_that_plain_cannot_answer_is_a_refusal(server: ScriptedServer) -> None:
    """D2."""
    server.answers[connection.StartOk] = lambda _: connection.Secure(b"say more")
    await refused(server)
    await server.gone()


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
async def test_a_server_of_another_version_is_named_as_such(server: ScriptedServer) -> None:
    """D3."""
    server.start = b"AMQP\x00\x01\x00\x00"
    connecting = asyncio.ensure_future(outcomes(server.connect()))
    await server.until(lambda: len(server.header) == 8)
    server.transport.close()  # as the specification asks of it. Spec: 4.2.2
    (error,) = await connecting
    assert isinstance(error, aioamqp.AmqpClosedConnection), repr(error)
    assert "1-0-0" in str(error)


@fails_on_0_15("IncompleteReadError")
@pytest.mark.asyncio
async def test_a_link_may_break_at_any_octet_of_the_opening(server: ScriptedServer) -> None:
    """D3, D9."""
    server.mute(connection.StartOk, connection.Open)
    answers = (START, connection.Tune(2047, 131072, 0), connection.OpenOk())
    octets = b"".join(encode_command(Command(0, answer)) for answer in answers)
    for count in range(len(octets)):
        heard: list[Exception] = []
        server.start = octets[:count]
        connecting = asyncio.ensure_future(outcomes(server.connect(on_error=heard.append)))
        await wait_idle()
        server.transport.close()
        (error,) = await connecting
        assert isinstance(error, aioamqp.AmqpClosedConnection), repr(error)
        await wait_idle()
        assert len(heard) == 1


# ---------------------------------------------------------------- D4


@fails_on_0_15("waits for ever")
@pytest.mark.asyncio
async def test_a_connect_that_is_given_up_leaves_no_link(server: ScriptedServer) -> None:
    """D4."""
    server.start = None
    connecting = asyncio.ensure_future(aioamqp.connect("127.0.0.1", server.port))
    await server.until(lambda: len(server.header) == 8)
    assert not connecting.done()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await server.gone()
    assert asyncio.get_running_loop().time() == 0, "not given up, but out of time"


@fails_on_0_15("waits for ever")
@pytest.mark.asyncio
async def test_a_connect_may_be_given_up_at_any_moment(server: ScriptedServer) -> None:
    """D4, D9."""
    heard: list[Exception] = []
    turns, was_cancelled = 0, True
    while was_cancelled:
        connecting = asyncio.ensure_future(
            aioamqp.connect("127.0.0.1", server.port, on_error=heard.append)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait({connecting})
        was_cancelled = connecting.cancelled()
        if was_cancelled:
            await server.gone()
            turns += 1
    server.adopt(connecting.result())
    assert turns > 5
    await wait_idle()
    assert heard == []


@fails_on_0_15("waits for ever")
@pytest.mark.asyncio
async def test_a_connect_that_fails_by_itself_does_not_wait_for_the_server(
    server: ScriptedServer,
) -> None:
    """D4."""
    with pytest.raises((TypeError, ValueError), match="heartbeat"):
        await server.connect(heartbeat="often")
    await server.gone()


# ---------------------------------------------------------------- D5


@fails_on_0_15("DID NOT RAISE")
@pytest.mark.asyncio
async def test_no_more_channels_are_opened_than_were_agreed_on(server: ScriptedServer) -> None:
    """D5."""
    protocol = await server.connect(channel_max=2)
    first, second = [await soon(protocol.channel()) for _ in range(2)]
    assert (first.channel_id, second.channel_id) == (1, 2)
    with pytest.raises(aioamqp.NoChannelAvailable):
        await soon(protocol.channel())
    assert len(server.methods(channel.Open)) == 2


@fails_on_0_15("assert 3 == 1")
@pytest.mark.asyncio
async def test_a_channel_that_was_not_opened_does_not_take_a_number(server: ScriptedServer) -> None:
    """D5."""
    protocol = await server.connect(channel_max=2)
    for _ in range(2):
        with pytest.raises(TypeError):
            await soon(protocol.channel(no_such_argument=1))
    assert (await soon(protocol.channel())).channel_id == 1


@pytest.mark.asyncio
async def test_a_channel_that_the_server_refuses_does_not_take_a_number(
    server: ScriptedServer,
) -> None:
    """D5. This part of it holds in 0.15.0 too."""
    protocol = await server.connect(channel_max=1)
    friendly = server.answers[channel.Open]
    server.answers[channel.Open] = lambda _: channel.Close(504, "CHANNEL_ERROR - not now")
    for _ in range(2):
        with pytest.raises(aioamqp.ChannelClosed):
            await soon(protocol.channel())
    server.answers[channel.Open] = friendly
    assert (await soon(protocol.channel())).channel_id == 1


@fails_on_0_15("assert 2 == 1")
@pytest.mark.asyncio
async def test_a_channel_that_is_given_up_does_not_take_a_number(server: ScriptedServer) -> None:
    """D5, R3."""
    protocol = await server.connect(channel_max=1)
    friendly = server.answers[channel.Open]
    server.mute(channel.Open)
    opening = asyncio.ensure_future(protocol.channel())
    await server.got(channel.Open)
    opening.cancel()
    await asyncio.wait({opening})
    server.answers[channel.Open] = friendly
    server.send(channel.OpenOk())
    await wait_idle()
    assert (await soon(protocol.channel())).channel_id == 1


@fails_on_0_15("(60000, 1000000, 600) == (2047, 131072, 600)")
@pytest.mark.asyncio
async def test_the_lower_limits_of_both_sides_hold(server: ScriptedServer) -> None:
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
async def test_what_a_url_says_is_percent_decoded(server: ScriptedServer) -> None:
    """D13."""
    said: list[Any] = []

    def take(method: Any) -> Any:
        said.append(method)
        friendly = ScriptedServer().answers[type(method)]
        assert friendly is not None
        return friendly(method)

    server.answers[connection.StartOk] = server.answers[connection.Open] = take
    url = f"amqp://us%2Fer:p%40ss%25@127.0.0.1:{server.port}/a%2Fb"
    server.adopt(await soon(aioamqp.from_url(url)))
    start_ok, opened = said
    assert start_ok.response == b"\0us/er\0p@ss%"
    assert opened.virtual_host == "a/b"


# ---------------------------------------------------------------- D27


@fails_on_0_15("{'connection.blocked': False}")
@pytest.mark.asyncio
async def test_the_server_is_told_all_that_the_client_can_do(server: ScriptedServer) -> None:
    """D27, D3. ``authentication_failure_close`` makes RabbitMQ answer a refused login at once."""
    start_ok = await said_to_start(server)
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
async def test_a_server_that_wants_no_heartbeats_may_be_silent(server: ScriptedServer) -> None:
    """D31. This part of it is fixed in 0.15.0."""
    protocol = await server.connect()
    await asyncio.sleep(3600)
    assert server.octets == b""
    assert (await soon(protocol.channel())).is_open


@fails_on_0_15("SpinsForEver")
@pytest.mark.asyncio
async def test_a_client_that_wants_no_heartbeats_sends_none(server: ScriptedServer) -> None:
    """D31. When the server wants some, 0.15.0 sends them without a pause."""
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, 131072, 30)
    protocol = await server.connect(heartbeat=0)
    await asyncio.sleep(3600)
    assert server.octets == b""
    assert (await soon(protocol.channel())).is_open


@fails_on_0_15("waits for ever")
@pytest.mark.asyncio
async def test_a_heartbeat_while_the_connection_is_being_opened_is_no_answer(
    server: ScriptedServer,
) -> None:
    """D31."""
    heartbeat = encode_command(Command(0, HEARTBEAT))
    server.start = heartbeat + encode_command(Command(0, START))
    protocol = await server.connect()
    assert (await soon(protocol.channel())).is_open


# ---------------------------------------------------------------- D34


@fails_on_0_15("There is no current event loop")
def test_a_protocol_can_be_made_where_no_loop_runs() -> None:
    """D34."""
    made: list[Any] = []

    def make() -> None:
        try:
            made.append(aioamqp.AmqpProtocol(heartbeat=0))
        except Exception as error:  # noqa: BLE001 - to be raised where the test sees it
            made.append(error)

    thread = threading.Thread(target=make)  # in the main thread asyncio may make a loop for it
    thread.start()
    thread.join()
    if isinstance(made[0], Exception):
        raise made[0]

    async def use() -> None:
        server = ScriptedServer()
        await server.listen()
        await server.connect(protocol_factory=lambda **_: made[0])
        assert (await soon(made[0].channel())).is_open
        await server.stop()

    asyncio.run(use())
