"""A connection that recovers: its options, states, attempts and end, with a scripted server."""

import asyncio
import gc
import json
import logging
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aioamqp
from aioamqp import Backoff, Connection, ConnectionState, StateChange
from aioamqp.exceptions import (
    AmqpClosedConnection,
    ChannelClosed,
    ConnectionFailed,
    HandshakeFailed,
    InvalidArgument,
    PublishNotSent,
)
from amqp_codec import basic, channel, connection, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

URL = "amqp://guest:guest@server/"
AT_ONCE = Backoff(initial=0, maximum=0)
"""Not for a network that stays down: virtual time would never pass."""

SOON = Backoff(initial=0.5, maximum=0.5)

CONNECTING, OPEN, RECOVERING, CLOSED = ConnectionState


class Network:
    """A dialer that connects to a scripted server, refuses, or never answers.

    Attributes:
        server: that is connected to.
        hosts: that were dialed.
        errors: raised by the next attempts, one each.
        is_down: whether all further attempts are refused.
        is_silent: whether they are not answered.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.hosts: list[str] = []
        self.errors: list[Exception] = []
        self.is_down = False
        self.is_silent = False
        self.down_hosts: set[str] = set()

    async def dial(
        self, protocol_factory: Any, host: str, port: Any, *, ssl: Any
    ) -> tuple[asyncio.Transport, Any]:
        self.hosts.append(host)
        if self.errors:
            raise self.errors.pop(0)
        if self.is_silent:
            await asyncio.get_running_loop().create_future()
        if self.is_down or host in self.down_hosts:
            raise ConnectionRefusedError(111, "refused")
        return await self.server.dial(protocol_factory, host, port, ssl=ssl)

    def lose(self) -> None:
        self.server.transport.end(ConnectionResetError(104, "reset"))


@pytest.fixture
def network(server: ScriptedServer) -> Iterator[Network]:
    made = Network(server)
    with aioamqp.dialing(made.dial):
        yield made


@asynccontextmanager
async def opened(reconnect: Backoff = AT_ONCE, **options: Any) -> AsyncIterator[Connection]:
    async with Connection(URL, reconnect=reconnect, **options) as made:
        yield made


async def changes_of(made: Connection, count: int) -> list[StateChange]:
    changes = made.state_changes()
    return [await anext(changes) for _ in range(count)]


def of(change: StateChange) -> tuple[ConnectionState, ConnectionState, int]:
    return change.old, change.new, change.attempt


# --------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"heartbeet": 5}, TypeError, "'heartbeet': did you mean heartbeat"),
        ({"recovery": "all"}, TypeError, "'recovery': did you mean recover"),
        ({"user": "me"}, TypeError, "'user': did you mean login"),
        ({"login": "me"}, TypeError, "login"),
        ({"reconnect": 5}, InvalidArgument, "reconnect: must be a Backoff or None, not int"),
        ({"recover": "some"}, InvalidArgument, "recover: must be 'all' or 'transient' or 'none'"),
        ({"credentials": ("me", "secret")}, InvalidArgument, "credentials: must be"),
        ({"wait_timeout": -1}, InvalidArgument, "wait_timeout: must be 0 seconds or more"),
        ({"on_error": 5}, InvalidArgument, "on_error"),
        ({"on_state_change": lambda: None}, InvalidArgument, "on_state_change"),
    ],
)
async def test_wrong_options_are_refused_by_name(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        Connection(URL, **options)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ([], "url: must be a URL"),
        (None, "url: must be a URL, or several$"),
        (5, "url: must be a URL, or several, not int"),
        (b"amqp://server/", "url: must be a URL, or several, not bytes"),
        ("http://server/", "amqp"),
        ([URL, "server"], "amqp"),
    ],
)
async def test_wrong_urls_are_refused(url: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Connection(url)


async def test_a_url_is_not_shown_with_its_password(network: Network) -> None:
    async with Connection("amqp://me:secret@server/") as made:
        assert repr(made) == "<Connection server:5672 OPEN>"
    assert repr(Connection("amqp://me:secret@server/")) == "<Connection CONNECTING>"


# --------------------------------------------------------------------------------- states


async def test_a_connection_is_open_inside_its_block_and_closed_after_it(network: Network) -> None:
    made = Connection(URL)
    assert made.state is CONNECTING

    async with made as entered:
        assert entered is made
        assert made.state is OPEN
        await made.wait_open(0)
        assert made.protocol.is_open

    assert made.state is CLOSED
    assert network.server.names()[-1] == "connection.close"


async def test_every_change_of_state_is_told_with_attempt_address_and_reason(
    network: Network,
) -> None:
    seen: list[StateChange] = []
    async with opened(on_state_change=seen.append) as made:
        changes = made.state_changes()
        network.errors = [ConnectionRefusedError(111, "refused")]
        network.lose()
        iterated = [await anext(changes) for _ in range(3)]
    iterated += [change async for change in changes]
    await wait_idle()

    assert seen[1:] == iterated
    assert [of(change) for change in seen] == [
        (CONNECTING, OPEN, 1),
        (OPEN, RECOVERING, 0),
        (RECOVERING, RECOVERING, 1),
        (RECOVERING, OPEN, 2),
        (OPEN, CLOSED, 0),
    ]
    assert {change.address for change in seen} == {"server:5672"}
    assert isinstance(seen[1].reason, ConnectionResetError)
    assert isinstance(seen[2].reason, ConnectionRefusedError)
    assert [seen[each].reason for each in (0, 3, 4)] == [None, None, None]


async def test_a_state_callback_that_fails_is_logged_and_harms_nothing(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """R25."""

    def fail(_: StateChange) -> None:
        raise ValueError("of the callback")

    async with opened(on_state_change=fail) as made:
        network.lose()
        await changes_of(made, 2)
        await made.channel()

    await wait_idle()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4  # one for each change
    assert "on_state_change" in errors[0].getMessage()


async def test_a_state_callback_may_be_a_coroutine_function_and_close_the_connection(
    network: Network,
) -> None:
    async def close(change: StateChange) -> None:
        if change.new is RECOVERING:
            await made.close()

    async with opened(on_state_change=close) as made:
        network.lose()
        changes = [change async for change in made.state_changes()]

    assert changes[-1].new is CLOSED
    await wait_idle()


async def test_iterators_that_nobody_asks_any_longer_are_forgotten(network: Network) -> None:
    """R23."""
    async with opened() as made:
        left = weakref.ref(made.state_changes())
        gc.collect()

        assert left() is None


async def test_an_iterator_of_a_closed_connection_ends_at_once(network: Network) -> None:
    async with opened() as made:
        pass

    assert [change async for change in made.state_changes()] == []


async def test_wait_open_waits_for_recovery(network: Network) -> None:
    async with opened() as made:
        network.lose()
        await changes_of(made, 1)
        assert made.state is RECOVERING

        await made.wait_open(5)

        assert made.state is OPEN


async def test_wait_open_names_the_reason_when_it_takes_too_long(network: Network) -> None:
    async with Connection(URL, reconnect=Backoff(initial=100, maximum=100)) as made:
        network.is_down = True
        network.lose()
        await changes_of(made, 1)

        with pytest.raises(TimeoutError, match=r"not open after 0\.001 seconds: .*reset"):
            await made.wait_open(0.001)


async def test_wait_open_raises_when_the_connection_is_closed_meanwhile(network: Network) -> None:
    network.is_silent = True
    made = Connection(URL)
    opening = asyncio.create_task(made.open())
    waiting = asyncio.create_task(made.wait_open())
    await wait_idle()

    await made.close()

    for task in opening, waiting:
        with pytest.raises(AmqpClosedConnection, match="The program closed the connection"):
            await task


async def test_before_it_is_entered_there_is_no_protocol_and_no_channel() -> None:
    made = Connection(URL)

    with pytest.raises(AmqpClosedConnection, match="enter it first"):
        made.protocol  # noqa: B018
    with pytest.raises(AmqpClosedConnection, match="enter it first"):
        await made.channel()


# --------------------------------------------------------------------------------- snapshot


def shown(made: Connection) -> dict[str, Any]:
    """Return the snapshot after it has been JSON."""
    snapshot: dict[str, Any] = json.loads(json.dumps(made.snapshot()))
    return snapshot


async def test_a_snapshot_shows_what_waits_in_every_state(network: Network) -> None:
    server = network.server
    made = Connection(URL, reconnect=AT_ONCE)
    assert shown(made)["state"] == "CONNECTING"
    async with made:
        opened = await made.channel()
        messages = opened.consume("q", consumer_tag="t")
        await messages.__aenter__()
        server.deliver("t", b"1", b"2")
        message = await anext(messages)
        await opened.confirm_select()
        server.mute(queue.Declare)
        calls = [
            asyncio.create_task(opened.queue_declare("q")),
            asyncio.create_task(opened.publish(b"", "", "q")),
        ]
        await asyncio.sleep(2)

        snapshot = shown(made)
        assert snapshot["waiting"] == [
            {"call": "queue.declare", "channel": 1, "seconds": pytest.approx(2, abs=0.1)}
        ]
        (entry,) = snapshot["channels"]
        assert entry["consumers"] == [{"tag": "t", "queue": "q", "buffered": 1}]
        assert (entry["unconfirmed"], entry["unacked"], entry["state"]) == (1, 2, "LINKED")
        assert entry["oldest_unacked"] == pytest.approx(2, abs=0.1)

        network.is_silent = True
        network.lose()
        await asyncio.sleep(3)
        snapshot = shown(made)
        assert snapshot["state"] == "RECOVERING"
        assert snapshot["seconds_in_state"] == pytest.approx(3)
        assert "reset" in snapshot["last_error"]
        assert [each["call"] for each in snapshot["waiting"]] == ["queue.declare"]
        assert snapshot["channels"][0]["state"] == "LOST"
        assert not await message.ack()
        assert shown(made)["channels"][0]["stale"] == 1
    assert shown(made)["channels"] == []
    assert shown(made)["state"] == "CLOSED"
    for call in calls:
        with pytest.raises((AmqpClosedConnection, ChannelClosed)):
            await call


# --------------------------------------------------------------------------------- closing


async def test_a_connection_that_was_never_entered_can_be_closed() -> None:
    made = Connection(URL)

    await made.close()
    await made.close()

    assert made.state is CLOSED
    with pytest.raises(AmqpClosedConnection, match="The program closed the connection"):
        await made.open()


async def test_a_closed_connection_can_be_closed_again_and_not_be_used(network: Network) -> None:
    async with opened() as made:
        kept = await made.channel()
    await asyncio.gather(made.close(), made.close())

    with pytest.raises(AmqpClosedConnection, match="The program closed the connection"):
        await made.channel()
    with pytest.raises(AmqpClosedConnection):
        await kept.queue_declare("q")


@pytest.mark.parametrize("stage", ["delay", "dial", "handshake", "restore"])
async def test_a_connection_can_be_closed_in_the_middle_of_a_reconnect(
    network: Network, stage: str
) -> None:
    """R6."""
    backoff = Backoff(initial=1000, maximum=1000) if stage == "delay" else AT_ONCE
    made = Connection(URL, reconnect=backoff)
    await made.open()
    kept = await made.channel()
    match stage:
        case "dial":
            network.is_silent = True
        case "handshake":
            network.server.mute(connection.Open)
        case "restore":
            network.server.mute(channel.Open)
        case _:
            pass
    network.lose()
    await asyncio.sleep(1e-3)
    assert made.state is RECOVERING
    call = asyncio.create_task(kept.queue_declare("q"))
    await wait_idle()

    async with asyncio.timeout(10):
        await made.close()

    assert made.state is CLOSED
    with pytest.raises((AmqpClosedConnection, ChannelClosed), match="program closed"):
        await call


async def test_a_close_that_is_not_answered_times_out_if_a_timeout_is_given(
    network: Network,
) -> None:
    """R6."""
    made = Connection(URL)
    await made.open()
    network.server.mute(connection.Close)

    with pytest.raises(TimeoutError, match="has not answered the close in time"):
        await made.close(timeout=2)

    assert made.state is CLOSED


async def test_leaving_the_block_is_bounded_when_the_server_is_silent(network: Network) -> None:
    """R6."""
    async with opened() as made:
        network.server.mute()

    assert made.state is CLOSED
    assert asyncio.get_running_loop().time() < 6


async def test_a_connection_that_the_program_closes_by_its_protocol_is_closed(
    network: Network,
) -> None:
    async with opened() as made:
        await made.protocol.close()
        await changes_of(made, 0)
        await wait_idle()

        assert made.state is CLOSED


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_credentials_that_close_the_connection_do_not_hang(
    network: Network, is_coroutine: bool
) -> None:
    made: Connection

    async def close() -> tuple[str, str]:
        await made.close()
        return "", ""

    made = Connection(URL, credentials=close)

    with pytest.raises(AmqpClosedConnection, match="The program closed the connection"):
        await made.open()
    assert made.state is CLOSED


# --------------------------------------------------------------------------------- attempts


async def test_opening_ends_within_wait_timeout_with_the_error_of_the_last_attempt(
    network: Network,
) -> None:
    network.is_down = True
    made = Connection(URL, wait_timeout=10)

    with pytest.raises(ConnectionRefusedError) as caught:
        await made.open()

    assert isinstance(caught.value, ConnectionFailed)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    assert made.state is CLOSED
    assert len(network.hosts) > 3


async def test_opening_with_a_timeout_ends_with_a_timeout_error_that_names_the_reason(
    network: Network,
) -> None:
    network.is_down = True

    with pytest.raises(TimeoutError, match=r"not open after 3 seconds: .*refused"):
        await Connection(URL).open(timeout=3)


async def test_without_reconnect_the_first_error_ends_it(network: Network) -> None:
    network.is_down = True

    with pytest.raises(ConnectionRefusedError):
        await Connection(URL, reconnect=None).open()

    assert network.hosts == ["server"]


async def test_the_attempts_before_a_connection_was_open_do_not_delay_the_next_ones(
    network: Network,
) -> None:
    network.errors = [ConnectionRefusedError(111, "refused") for _ in range(12)]
    async with Connection(URL, reconnect=Backoff(0.1, 1000), wait_timeout=None) as made:
        began = asyncio.get_running_loop().time()
        for _ in range(2):
            network.lose()
            await changes_of(made, 2)

        assert asyncio.get_running_loop().time() - began <= 0.6


async def test_a_connection_that_is_lost_again_and_again_is_opened_less_and_less_often(
    network: Network,
) -> None:
    async with Connection(URL, reconnect=Backoff(1, 1000)) as made:
        for _ in range(15):
            network.lose()
            await changes_of(made, 2)

        assert asyncio.get_running_loop().time() > 100


async def test_without_reconnect_a_loss_ends_it(network: Network) -> None:
    errors: list[Exception] = []
    async with Connection(URL, reconnect=None, on_error=errors.append) as made:
        kept = await made.channel()
        network.lose()
        changes = [change async for change in made.state_changes()]

        assert [of(change)[:2] for change in changes] == [(OPEN, CLOSED)]
        with pytest.raises(AmqpClosedConnection, match="reset"):
            await kept.queue_declare("q")
        await wait_idle()
        assert [type(error).__name__ for error in errors] == ["ConnectionLost"]


REFUSED = connection.Close(403, "ACCESS_REFUSED - Login was refused", 0, 0)
NO_VHOST = connection.Close(530, "NOT_ALLOWED - vhost shop not found", 10, 40)
SHUTDOWN = connection.Close(320, "CONNECTION_FORCED - broker shutdown", 0, 0)


@pytest.mark.parametrize(
    ("at", "close"), [(connection.StartOk, REFUSED), (connection.Open, NO_VHOST)]
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_an_error_that_trying_again_cannot_mend_ends_it_at_once(
    network: Network, at: type[Any], close: connection.Close, is_first: bool
) -> None:
    server, errors = network.server, list[Exception]()
    made = Connection(URL, reconnect=AT_ONCE, on_error=errors.append)
    if is_first:
        server.answers[at] = lambda _: close
        with pytest.raises(HandshakeFailed) as caught:
            await made.open()
        assert caught.value.code == close.reply_code
    else:
        await made.open()
        server.answers[at] = lambda _: close
        network.lose()
        assert [change async for change in made.state_changes()][-1].new is CLOSED
        with pytest.raises(AmqpClosedConnection, match=str(close.reply_text)):
            await made.channel()
    await wait_idle()

    assert made.state is CLOSED
    assert len(network.hosts) == (1 if is_first else 2)
    assert [type(error) for error in errors] == [HandshakeFailed]


async def test_a_server_that_shuts_down_is_tried_again(network: Network) -> None:
    server = network.server
    answers = iter([SHUTDOWN, SHUTDOWN, connection.OpenOk()])
    server.answers[connection.Open] = lambda _: next(answers)

    async with opened():
        assert len(network.hosts) == 3


async def test_a_certificate_that_is_not_valid_ends_it_at_once(network: Network) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 10, "certificate has expired"
    network.errors = [error]

    with pytest.raises(ssl.SSLCertVerificationError):
        await Connection("amqps://server/").open()

    assert network.hosts == ["server"]


async def test_it_gives_up_after_its_attempts(network: Network) -> None:
    async with Connection(URL, reconnect=Backoff(0, 0, attempts=3)) as made:
        kept = await made.channel()
        changes = made.state_changes()
        network.is_down = True
        network.lose()

        seen = [of(change) async for change in changes]

        assert seen == [
            (OPEN, RECOVERING, 0),
            (RECOVERING, RECOVERING, 1),
            (RECOVERING, RECOVERING, 2),
            (RECOVERING, RECOVERING, 3),
            (RECOVERING, CLOSED, 3),
        ]
        with pytest.raises(AmqpClosedConnection, match="refused"):
            await made.channel()
        assert not kept.is_open


CALLS: dict[str, Callable[[aioamqp.Channel], Any]] = {
    "queue_declare": lambda kept: kept.queue_declare("q"),
    "queue_declare no_wait": lambda kept: kept.queue_declare("q", no_wait=True),
    "basic_get": lambda kept: kept.basic_get("q"),
    "basic_consume": lambda kept: kept.basic_consume(None, "q"),
    "basic_cancel": lambda kept: kept.basic_cancel("t"),
    "confirm_select": lambda kept: kept.confirm_select(),
    "consume": lambda kept: anext(kept.consume("q")),
    "publish": lambda kept: kept.publish(b"", "", "q"),
    "tx_select": lambda kept: kept.tx_select(),
    "close": lambda kept: kept.close(),
    "open": lambda kept: kept.open(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", ["gave up", "closed by the program", "channel closed"])
async def test_a_call_on_a_channel_that_ended_while_it_was_lost_fails_at_once(
    network: Network, name: str, how: str
) -> None:
    made = Connection(URL, reconnect=Backoff(100, 100, attempts=1))
    await made.open()
    kept = await made.channel()
    network.is_down = True
    network.lose()
    await wait_idle()
    match how:
        case "gave up":
            _ = [change async for change in made.state_changes()]
        case "closed by the program":
            await made.close()
        case _:
            await kept.close()

    with pytest.raises((AmqpClosedConnection, ChannelClosed)) as caught:
        async with asyncio.timeout(300):
            await CALLS[name](kept)

    if name == "publish":
        assert isinstance(caught.value, PublishNotSent)
    await made.close()


# --------------------------------------------------------------------------------- credentials


def logins(server: ScriptedServer) -> list[bytes]:
    return [bytes(method.response) for method in server.methods(connection.StartOk)]


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_credentials_are_asked_for_at_each_attempt(
    network: Network, is_coroutine: bool
) -> None:
    """R24."""
    server = network.server
    tokens = iter(["old", "new", "newer"])

    def plain() -> tuple[str, str]:
        return "me", next(tokens)

    async def coroutine() -> tuple[str, str]:
        await asyncio.sleep(1)
        return plain()

    async with opened(credentials=coroutine if is_coroutine else plain) as made:
        network.lose()
        await changes_of(made, 2)
        network.lose()
        await changes_of(made, 2)

    assert logins(server) == [b"\0me\0old", b"\0me\0new", b"\0me\0newer"]


async def test_a_refused_login_is_tried_again_with_other_credentials(network: Network) -> None:
    """R24."""
    server = network.server
    tokens = iter(["expired", "expired", "valid"])

    def answer(start_ok: connection.StartOk) -> Any:
        is_valid = bytes(start_ok.response).endswith(b"valid")
        return connection.Tune(2047, 131072, 60) if is_valid else REFUSED

    server.answers[connection.StartOk] = answer

    async with opened(credentials=lambda: ("me", next(tokens))):
        pass

    assert len(network.hosts) == 3


async def test_credentials_that_fail_are_asked_again(network: Network) -> None:
    """R24."""
    answers: list[Any] = [("me", "token"), OSError("secret store is down")]

    def ask() -> tuple[str, str]:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    changes: list[StateChange] = []
    async with opened(credentials=ask, on_state_change=changes.append):
        await wait_idle()

    assert str(changes[0].reason) == "credentials() has failed: OSError"


# --------------------------------------------------------------------------------- several servers


URLS = ["amqp://one/", "amqp://two/", "amqp://three/"]


async def test_servers_are_tried_in_their_order_without_shuffle(network: Network) -> None:
    network.down_hosts = {"one", "two"}

    async with Connection(URLS, shuffle=False, reconnect=AT_ONCE) as made:
        assert network.hosts == ["one", "two", "three"]
        network.down_hosts = {"three", "one"}
        network.lose()
        await changes_of(made, 2)

        assert network.hosts[3:] == ["one", "two"]
        assert made.snapshot()["address"] == "two:5672"


async def test_servers_are_tried_in_random_order_and_each_once_an_attempt(
    network: Network,
) -> None:
    network.is_down = True
    hosts = network.hosts

    for _ in range(20):
        with pytest.raises(ConnectionRefusedError):
            await Connection(URLS, reconnect=None).open()

    rounds = [tuple(hosts[i : i + 3]) for i in range(0, len(hosts), 3)]
    assert all(sorted(each) == ["one", "three", "two"] for each in rounds)
    assert len(set(rounds)) > 1


async def test_an_attempt_has_a_time_limit_and_the_next_server_is_tried(network: Network) -> None:
    async def dial(
        protocol_factory: Any, host: str, port: Any, *, ssl: Any
    ) -> tuple[asyncio.Transport, Any]:
        if host == "one":
            await asyncio.get_running_loop().create_future()
        return await network.dial(protocol_factory, host, port, ssl=ssl)

    with aioamqp.dialing(dial):
        async with Connection(URLS, shuffle=False, connection_timeout=2):
            assert asyncio.get_running_loop().time() == pytest.approx(2)
            assert network.hosts == ["two"]


# --------------------------------------------------------------------------------- channels


async def test_a_channel_survives_and_its_calls_wait(network: Network) -> None:
    async with opened() as made:
        kept = await made.channel()
        network.server.received.clear()
        network.lose()
        await changes_of(made, 1)

        assert kept.is_open
        declared = await kept.queue_declare("q")

        assert declared["queue"] == "q"
        assert network.server.names()[-2:] == ["channel.open", "queue.declare"]


async def test_a_channel_can_be_opened_in_the_very_turn_in_which_the_link_is_lost(
    network: Network,
) -> None:
    """R13. It must not try again at once, for ever, before the loss has been noted."""
    async with opened() as made:
        network.server.transport.protocol.connection_lost(ConnectionResetError(104, "reset"))

        kept = await made.channel()

        assert (await kept.queue_declare("q"))["queue"] == "q"
        network.server.transport.protocol.connection_lost(ConnectionResetError(104, "reset"))
        await made.wait_open()
        assert made.protocol.is_open


async def test_a_call_waits_no_longer_than_wait_timeout_and_names_the_reason(
    network: Network,
) -> None:
    async with opened(SOON, wait_timeout=5) as made:
        kept = await made.channel()
        network.is_down = True
        network.lose()
        await changes_of(made, 1)
        began = asyncio.get_running_loop().time()

        with pytest.raises(AmqpClosedConnection, match=r"no connection for 5.0 seconds.*refused"):
            await kept.queue_declare("q")
        with pytest.raises(PublishNotSent, match="refused"):
            await kept.publish(b"", "", "q")
        with pytest.raises(AmqpClosedConnection, match="refused"):
            await made.channel()

        assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=1)


async def test_a_call_waits_no_longer_than_its_own_timeout(network: Network) -> None:
    async with opened(SOON) as made:
        kept = await made.channel()
        network.is_down = True
        network.lose()
        await changes_of(made, 1)
        began = asyncio.get_running_loop().time()

        with pytest.raises(TimeoutError, match=r"queue.declare has waited 2 seconds: .*refused"):
            await kept.queue_declare("q", timeout=2)
        with pytest.raises(PublishNotSent) as caught:
            await kept.publish(b"", "", "q", timeout=2)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(TimeoutError):
            await made.channel(timeout=2)

        assert asyncio.get_running_loop().time() - began == pytest.approx(6)


async def test_a_server_that_answers_no_declaration_does_not_end_recovery(
    network: Network,
) -> None:
    """R6. The next connection is tried."""
    server = network.server
    async with opened() as made:
        kept = await made.channel()
        await kept.queue_declare("q")
        for muted in (channel.Close, queue.Declare, channel.Open):
            answer = server.answers[muted]
            server.mute(muted)
            network.lose()
            await changes_of(made, 1)
            await asyncio.sleep(100)
            server.answers[muted] = answer

            await made.wait_open(200)


async def test_a_channel_that_the_server_always_closes_ends(network: Network) -> None:
    """R16. No infinite loop."""
    server = network.server
    async with opened() as made:
        kept, other = await made.channel(), await made.channel()
        await kept.basic_qos(prefetch_count=5)
        server.answers[basic.Qos] = lambda _: channel.Close(406, "PRECONDITION_FAILED", 60, 10)
        server.received.clear()
        network.lose()

        (_, change) = await changes_of(made, 2)

        assert change.new is OPEN
        assert [each.what for each in change.unrestored] == ["channel 1"]
        assert not kept.is_open
        assert other.is_open
        with pytest.raises(ChannelClosed, match="PRECONDITION_FAILED"):
            await kept.queue_declare("q")
        assert server.names().count("basic.qos") < 5
