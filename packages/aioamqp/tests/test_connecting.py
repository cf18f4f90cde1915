"""``connect`` and ``from_url``, dialers, and links that cannot be made."""

import asyncio
import math
import socket
import ssl
from inspect import signature
from typing import Any
from unittest import mock

import pytest

import aioamqp
from aioamqp._arguments import OF_CONNECT, OF_PROTOCOL
from aioamqp.protocol import CLOSED, OPEN
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_awaiting_connect_returns_the_transport_and_the_protocol(
    server: ScriptedServer,
) -> None:
    with aioamqp.dialing(server.dial):
        transport, protocol = await aioamqp.connect()

    assert repr(transport) == repr(server.transport)  # which it wraps
    assert isinstance(protocol, aioamqp.AmqpProtocol)
    assert protocol.state == OPEN
    await protocol.close()


async def test_entering_connect_returns_the_protocol_and_closes_it_in_the_end(
    server: ScriptedServer,
) -> None:
    with aioamqp.dialing(server.dial):
        async with aioamqp.connect() as protocol:
            assert protocol.state == OPEN

    assert protocol.state == CLOSED
    assert server.names()[-1] == "connection.close"


async def test_the_exception_of_the_block_is_not_hidden(
    server: ScriptedServer,
) -> None:
    with aioamqp.dialing(server.dial), pytest.raises(KeyError, match="mine"):
        async with aioamqp.from_url("amqp://anywhere") as protocol:
            raise KeyError("mine")

    assert protocol.state == CLOSED


async def test_leaving_the_block_of_a_closed_connection_is_no_error(
    server: ScriptedServer,
) -> None:
    with aioamqp.dialing(server.dial):
        async with aioamqp.connect() as protocol:
            await protocol.close()

    assert server.names().count("connection.close") == 1


async def test_connect_can_be_made_a_task(server: ScriptedServer) -> None:
    with aioamqp.dialing(server.dial):
        _, first = await asyncio.create_task(aioamqp.connect())
        await first.close()
        _, second = await asyncio.wait_for(aioamqp.connect(), 1)
        await second.close()


async def test_a_dialer_is_used_inside_its_block_only(server: ScriptedServer) -> None:
    async def other(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionRefusedError(111, "the other one")

    with aioamqp.dialing(other):
        with aioamqp.dialing(server.dial):
            _, protocol = await aioamqp.connect()
        with pytest.raises(ConnectionRefusedError, match="the other one"):
            await aioamqp.connect()

    await protocol.close()


@pytest.mark.parametrize(
    ("options", "port"),
    [({}, 5672), ({"ssl": True}, 5671), ({"ssl": False}, 5672), ({"port": "9"}, "9")],
)
async def test_the_port_is_the_usual_one_unless_given(
    server: ScriptedServer, options: dict[str, Any], port: int | str
) -> None:
    dialer = mock.Mock(side_effect=server.dial)
    with aioamqp.dialing(dialer):
        _, protocol = await aioamqp.connect("rabbit", **options)

    (_, host, dialed), keywords = dialer.call_args
    assert (host, dialed) == ("rabbit", port)
    assert keywords == {"ssl": options.get("ssl")}
    await protocol.close()


async def test_keyword_arguments_go_to_the_protocol_factory(server: ScriptedServer) -> None:
    class Mine(aioamqp.AmqpProtocol):
        pass

    protocol = await server.connect(protocol_factory=Mine, client_properties={"a": 1}, loop=None)

    assert type(protocol) is Mine
    assert protocol.client_properties == {"a": 1}
    await protocol.close()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("username", "login"),
        ("virtual_host", "virtualhost"),
        ("heartbeats", "heartbeat"),
        ("Password", "password"),
        ("onerror", "on_error"),
        ("frames_max", "frame_max"),
        ("ssl_context", "ssl"),
        ("protocol_class", "protocol_factory"),
    ],
)
async def test_an_unknown_argument_is_refused_with_the_nearest_known_one(
    given: str, meant: str
) -> None:
    """Row U3."""
    dialer = mock.Mock()
    unknown: dict[str, Any] = {given: "secret"}
    text = f"'{given}'.* did you mean {meant}\\?"

    with aioamqp.dialing(dialer):
        with pytest.raises(TypeError, match=text):
            await aioamqp.connect(**unknown)
        with pytest.raises(TypeError, match=text) as caught:
            await aioamqp.from_url("amqp://h", **unknown)
    with pytest.raises(TypeError, match=text):
        aioamqp.AmqpProtocol(**unknown)

    assert "secret" not in str(caught.value)
    dialer.assert_not_called()


async def test_an_argument_like_no_other_is_refused_with_all_of_them() -> None:
    """Row U3."""
    with pytest.raises(TypeError, match=r"'zzz'.*host, port, login.*heartbeat"):
        await aioamqp.connect(zzz=1)


@pytest.mark.parametrize("name", ["host", "port", "login", "password", "virtualhost"])
async def test_what_the_url_sets_is_no_argument_of_from_url(name: str) -> None:
    """Row U3."""
    set_twice: dict[str, Any] = {name: "secret"}
    with pytest.raises(TypeError, match=f"The URL sets {name}: .*connect") as caught:
        await aioamqp.from_url("amqp://h", **set_twice)

    assert "secret" not in str(caught.value)


async def test_a_protocol_factory_may_take_more_arguments(server: ScriptedServer) -> None:
    """Row U3."""

    class OfTenant(aioamqp.AmqpProtocol):
        def __init__(self, *args: object, tenant: str, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.tenant = tenant

    protocol = await server.connect(protocol_factory=OfTenant, tenant="shop", heartbeat=7)

    assert isinstance(protocol, OfTenant)
    assert (protocol.tenant, protocol.connection_tunning) == ("shop", {"heartbeat": 7})
    with pytest.raises(TypeError, match="did you mean heartbeat"):
        await server.connect(protocol_factory=OfTenant, tenant="shop", heartbeats=7)
    await protocol.close()


async def test_the_known_arguments_are_those_of_the_signatures() -> None:
    """Row U3."""
    connect = [each for each in signature(aioamqp.connect).parameters if each != "kwargs"]
    protocol = set(signature(aioamqp.AmqpProtocol).parameters) - {"_args", "loop", "unknown"}

    assert set(OF_CONNECT) | {"on_error"} == set(connect)
    assert set(OF_PROTOCOL) == protocol


async def test_a_protocol_that_cannot_be_made_leaves_no_link() -> None:
    dialer = mock.Mock()

    def cannot(**_: Any) -> aioamqp.AmqpProtocol:
        raise KeyError("mine")

    with aioamqp.dialing(dialer), pytest.raises(KeyError, match="mine"):
        await aioamqp.connect(protocol_factory=cannot)

    dialer.assert_not_called()


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("amqp://ada:secret@host/", "that is a URL: use from_url"),
        ("amqps://host", "that is a URL: use from_url"),
        ("ada:secret@host", "login and password are arguments"),
        ("host:5672", "the port is an argument"),
        ("host\n", "line break"),
        ("[::1]", "without brackets"),
    ],
)
async def test_a_host_that_is_more_than_a_host_is_refused(host: str, text: str) -> None:
    """Row U4."""
    dialer = mock.Mock()
    with (
        aioamqp.dialing(dialer),
        pytest.raises(aioamqp.InvalidArgument, match=f"host.*{text}") as caught,
    ):
        await aioamqp.connect(host)

    assert "secret" not in str(caught.value)
    dialer.assert_not_called()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"port": 65536}, "port: must be a number from 0 to 65535, not 65536"),
        ({"port": -1}, "port: must be a number from 0 to 65535, not -1"),
        ({"port": "99999"}, "port: must be a number from 0 to 65535, not 99999"),
        ({"port": "amqp://ada:secret@h"}, "port: must be a number, or the name of a service"),
        ({"port": ""}, "port: must be a number, or the name of a service"),
        ({"connection_timeout": "5"}, "connection_timeout: must be 0 seconds or more, or None"),
        ({"connection_timeout": -1}, "connection_timeout: must be 0 seconds or more, or None"),
        ({"connection_timeout": math.nan}, "connection_timeout: must be 0 seconds or more"),
        ({"client_properties": "app"}, "client_properties: must be a dict or None, not str"),
        ({"login_method": 5}, "login_method: must be a name or a function, not int"),
        ({"ssl": True, "server_hostname": 5}, "server_hostname: must be a string, not int"),
        (
            {"ssl": True, "server_hostname": ".h"},
            "server_hostname: is not the name of a host: '.h'",
        ),
        ({"ssl": True, "server_hostname": "h" * 64}, "server_hostname: is not the name of a host"),
        ({"ssl": True, "server_hostname": "h\0"}, "server_hostname: is not the name of a host"),
    ],
)
async def test_a_port_or_a_timeout_that_is_none_is_refused_before_there_is_a_link(
    options: dict[str, Any], text: str
) -> None:
    """Row U25. Row C8. Some resolvers connect to the port 34463 for 99999."""
    dialer = mock.Mock()
    with aioamqp.dialing(dialer), pytest.raises(aioamqp.InvalidArgument, match=text):
        await aioamqp.connect("rabbit", **options)

    dialer.assert_not_called()


@pytest.mark.parametrize("password", ["sec\0ret", "sec\udc80ret"])
async def test_a_password_that_cannot_be_sent_is_refused_without_it(
    server: ScriptedServer, password: str
) -> None:
    """Row C8."""
    with pytest.raises(aioamqp.InvalidArgument, match=r"password.* contains a") as caught:
        await server.connect(password=password)

    assert "ret" not in str(caught.value)
    assert caught.value.__context__ is None


async def from_url_calls(url: str, **kwargs: Any) -> dict[str, Any]:
    async def connected(*args: Any, **kwargs: Any) -> tuple[int, int]:
        return 1, 2

    with mock.patch("aioamqp.connect", side_effect=connected) as connect:
        given: object = await aioamqp.from_url(url, **kwargs)
    assert given == (1, 2)
    assert connect.call_args.args == ()
    return dict(connect.call_args.kwargs)


async def test_from_url_calls_connect_with_the_parts_of_the_url() -> None:
    assert await from_url_calls("amqp://tom:pass@example.com:7777/myvhost") == {
        "host": "example.com",
        "port": 7777,
        "login": "tom",
        "password": "pass",
        "virtualhost": "myvhost",
        "login_method": "PLAIN",
        "insist": False,
        "protocol_factory": aioamqp.AmqpProtocol,
    }


async def test_arguments_of_from_url_take_precedence_over_the_query() -> None:
    options = await from_url_calls(
        "amqp://h/?heartbeat=5&frame_max=8192", heartbeat=7, on_error=print
    )

    assert (options["heartbeat"], options["frame_max"], options["on_error"]) == (7, 8192, print)


async def test_amqps_has_a_default_context_unless_one_is_given() -> None:
    with mock.patch("ssl.create_default_context", return_value="context"):
        assert (await from_url_calls("amqps://h/"))["ssl"] == "context"
        assert (await from_url_calls("amqps://h/", ssl="mine"))["ssl"] == "mine"
        assert (await from_url_calls("amqp://h/", ssl=True))["ssl"] is True


async def test_a_wrong_scheme_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="http"):
        await aioamqp.from_url("http://host")


@pytest.mark.parametrize(
    "cause",
    [
        ConnectionRefusedError(111, "Connection refused"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError(1, "wrong version number"),
        TimeoutError(110, "Connection timed out"),
    ],
    ids=lambda cause: type(cause).__name__,
)
async def test_a_link_that_cannot_be_made_is_a_connection_failed_and_the_oserror(
    cause: OSError,
) -> None:
    async def dialer(*args: Any, **kwargs: Any) -> Any:
        raise cause

    with (
        aioamqp.dialing(dialer),
        pytest.raises(aioamqp.ConnectionFailed, match="rabbit:7") as caught,
    ):
        await aioamqp.connect("rabbit", 7)

    assert isinstance(caught.value, type(cause))
    assert caught.value.args == cause.args


async def test_a_refused_connection_says_what_that_means() -> None:
    async def dialer(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 7)")

    with aioamqp.dialing(dialer), pytest.raises(aioamqp.ConnectionFailed) as caught:
        await aioamqp.connect("rabbit", 7)

    assert str(caught.value) == (
        "Cannot connect to rabbit:7: no server listens on this port"
        " ([Errno 111] Connect call failed ('127.0.0.1', 7))"
    )


async def test_an_invalid_host_name_is_a_connection_failed() -> None:
    async def dialer(*args: Any, **kwargs: Any) -> Any:
        "a..b".encode("idna")  # as getaddrinfo does

    with (
        aioamqp.dialing(dialer),
        pytest.raises(aioamqp.ConnectionFailed, match=r"a\.\.b:5672: that is not the name"),
    ):
        await aioamqp.connect("a..b")


async def test_a_link_that_takes_too_long_times_out() -> None:
    async def dialer(*args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    with (
        aioamqp.dialing(dialer),
        pytest.raises(aioamqp.ConnectionFailed, match="within 10 sec") as caught,
    ):
        await aioamqp.connect("rabbit")

    assert isinstance(caught.value, TimeoutError)
    assert 10 <= loop.time() < 10.01


async def test_a_server_that_never_answers_times_out_and_the_transport_is_aborted(
    server: ScriptedServer,
) -> None:
    server.greets = False
    errors: list[Exception] = []

    with pytest.raises(aioamqp.ConnectionFailed, match="open connection within 3 seconds"):
        await server.connect(connection_timeout=3, on_error=errors.append)

    assert server.transport.was_aborted
    await wait_idle()
    assert errors == []


async def test_a_cancelled_connect_aborts_the_transport(server: ScriptedServer) -> None:
    server.greets = False
    errors: list[Exception] = []

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.connect(on_error=errors.append), 1)

    assert server.transport.was_aborted
    await wait_idle()
    assert errors == []


async def test_a_task_that_connects_can_be_cancelled(server: ScriptedServer) -> None:
    server.greets = False
    with aioamqp.dialing(server.dial):
        task = asyncio.create_task(aioamqp.connect())
        await wait_idle()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.transport.was_aborted
