"""connect() and on_error, used as in 0.15's documentation."""

import asyncio
import socket
from collections.abc import Callable
from importlib.metadata import metadata
from typing import Any

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, OPEN
from tests.conformance.scenario import Connect, scenario

NO_SUCH_HOST = "nonexistant.invalid"

# -------------------------------------------------------------------- starting a connection


@scenario
async def test_connect_needs_no_argument(dialer: aioamqp.Dialer) -> None:
    """M19. As in the first example: connect, then close protocol and transport."""
    with aioamqp.dialing(dialer):
        try:
            transport, protocol = await aioamqp.connect()
        except aioamqp.AmqpClosedConnection:
            pytest.fail("closed connections")

    assert protocol.state == OPEN
    await protocol.close()
    transport.close()
    assert protocol.state == CLOSED


@scenario
async def test_connect_takes_all_documented_arguments_by_name(dialer: aioamqp.Dialer) -> None:
    """M8, M9. Including those of the protocol."""
    with aioamqp.dialing(dialer):
        _, protocol = await aioamqp.connect(
            host="localhost",
            port=5672,
            login="guest",
            password="guest",
            virtualhost="/",
            ssl=False,
            login_method="PLAIN",
            insist=False,
            protocol_factory=Subclass,
            verify_ssl=True,
            loop=asyncio.get_running_loop(),
            channel_max=7,
            frame_max=8192,
            heartbeat=31,
            client_properties={"program_name": "test", "hostname": socket.gethostname()},
        )

    assert type(protocol) is Subclass
    assert protocol.server_channel_max == 7
    assert protocol.server_frame_max == 8192
    assert protocol.server_heartbeat == 31
    assert protocol.client_properties["program_name"] == "test"
    await protocol.close()


@scenario
async def test_connect_takes_documented_arguments_by_position(dialer: aioamqp.Dialer) -> None:
    """M9. In the documented order."""
    with aioamqp.dialing(dialer):
        _, protocol = await aioamqp.connect(
            "localhost", 5672, "guest", "guest", "/", None, "PLAIN", True, Subclass
        )

    assert type(protocol) is Subclass
    await protocol.close()


@scenario
async def test_the_loop_of_another_thread_raises_wrong_loop_with_a_hint(
    dialer: aioamqp.Dialer,
) -> None:
    """M8. From another thread, connect() can be run with run_coroutine_threadsafe."""
    here = asyncio.get_running_loop()

    async def there() -> str:
        with pytest.raises(aioamqp.WrongLoop) as refused:
            await aioamqp.connect(loop=here)
        return str(refused.value)

    async def connected() -> int:
        with aioamqp.dialing(dialer):
            async with aioamqp.connect(loop=here) as protocol:
                return protocol.state

    def from_another_thread() -> int:
        return asyncio.run_coroutine_threadsafe(connected(), here).result()

    assert "run_coroutine_threadsafe" in await asyncio.to_thread(asyncio.run, there())
    assert await asyncio.to_thread(from_another_thread) == OPEN


@scenario
async def test_start_connection_can_be_called_on_an_existing_transport(
    dialer: aioamqp.Dialer,
) -> None:
    """M22."""
    transport, protocol = await dialer(aioamqp.AmqpProtocol, "localhost", 5672, ssl=None)

    await protocol.start_connection(
        "localhost", 5672, "guest", "guest", "/", ssl=False, login_method="PLAIN", insist=False
    )

    assert protocol.state == OPEN
    await protocol.channel()
    await protocol.close()
    transport.close()


def test_the_oldest_supported_python_is_declared() -> None:
    """M21."""
    assert metadata("aioamqp")["Requires-Python"] == ">=3.11"


# -------------------------------------------------------------------- handling errors


class Subclass(aioamqp.AmqpProtocol):
    """A protocol subclass of a program, which keeps its transport."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        super().connection_made(transport)


class OnError:
    """An on_error callback that keeps its arguments, as a plain and as a coroutine function."""

    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.called = asyncio.Event()

    def plain(self, *arguments: Any) -> None:
        self.errors.append(arguments)
        self.called.set()

    async def coroutine(self, *arguments: Any) -> None:
        await asyncio.sleep(0)
        self.plain(*arguments)


FORMS = pytest.mark.parametrize("form", [OnError.plain, OnError.coroutine])


@FORMS
@scenario
async def test_on_error_is_called_once_with_the_server_s_reason(
    connect: Connect, form: Callable[..., Any]
) -> None:
    """M17. RabbitMQ closes a connection that asks for immediate delivery."""
    on_error = OnError()
    protocol = await connect(on_error=form.__get__(on_error))
    channel = await protocol.channel()

    await channel.basic_publish(b"", "", "anywhere", immediate=True)
    await on_error.called.wait()
    await protocol.wait_closed()
    await asyncio.sleep(0)

    [(error,)] = on_error.errors
    assert isinstance(error, aioamqp.ChannelClosed)
    assert (error.code, error.message) == (540, "NOT_IMPLEMENTED - immediate=true")


@FORMS
@scenario
async def test_on_error_is_called_once_when_the_connection_is_lost(
    connect: Connect, form: Callable[..., Any]
) -> None:
    """M17."""
    on_error = OnError()
    protocol = await connect(on_error=form.__get__(on_error), protocol_factory=Subclass)
    assert isinstance(protocol, Subclass)
    await protocol.channel()

    protocol.transport.abort()
    await on_error.called.wait()
    await protocol.wait_closed()
    await asyncio.sleep(0)

    [(error,)] = on_error.errors
    assert isinstance(error, aioamqp.AmqpClosedConnection)


@FORMS
@scenario
async def test_on_error_is_not_called_when_the_program_closes(
    connect: Connect, form: Callable[..., Any]
) -> None:
    """M17."""
    on_error = OnError()
    protocol = await connect(on_error=form.__get__(on_error))

    await protocol.close()
    await asyncio.sleep(0)

    assert on_error.errors == []


@pytest.mark.asyncio
@FORMS
async def test_an_unknown_host_is_caught_as_a_closed_connection(
    form: Callable[..., Any],
) -> None:
    """M18. It is the resolver's error as well."""
    on_error = OnError()
    with pytest.raises(aioamqp.AmqpClosedConnection) as failed:
        await aioamqp.connect(
            host=NO_SUCH_HOST,
            on_error=form.__get__(on_error),
            client_properties={"program_name": "test", "hostname": socket.gethostname()},
        )

    assert isinstance(failed.value, socket.gaierror)
    assert NO_SUCH_HOST in str(failed.value)


@pytest.mark.asyncio
async def test_a_refused_connection_is_caught_as_a_closed_connection() -> None:
    """M19. It is the operating system's error as well."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening, so that the port stays reserved
        with pytest.raises(aioamqp.AmqpClosedConnection) as failed:
            await aioamqp.connect("127.0.0.1", taken.getsockname()[1])

    assert isinstance(failed.value, ConnectionRefusedError)


@scenario
async def test_a_refused_login_is_caught_as_a_closed_connection(dialer: aioamqp.Dialer) -> None:
    """M19. With the server's reason."""
    with aioamqp.dialing(dialer), pytest.raises(aioamqp.AmqpClosedConnection, match="403"):
        await aioamqp.connect(login="guest", password="wrong")
