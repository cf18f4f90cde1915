"""Section 2 of the contract with aioamqp 0.15: on_error."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import channel, connection
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect
from tests.compat.behaviour.test_errors import (
    RESET,
    by_server,
    by_transport,
    end_of_file,
    reset,
)

pytestmark = pytest.mark.asyncio

Told = list[Exception]


def plain(told: Told) -> Callable[..., Any]:
    def on_error(exception: Exception) -> None:
        told.append(exception)

    return on_error


def coroutine(told: Told) -> Callable[..., Any]:
    async def on_error(exception: Exception) -> None:
        await asyncio.sleep(0)
        told.append(exception)

    return on_error


def starred(told: Told) -> Callable[..., Any]:
    return lambda *args, **kwargs: told.append(*args)


KINDS = pytest.mark.parametrize("kind", [plain, coroutine, starred])


@KINDS
async def test_a_plain_function_and_a_coroutine_function_get_the_exception_itself(
    server: ScriptedServer, kind: Callable[[Told], Callable[..., Any]]
) -> None:
    """B26. 0.15 gave the plain one a ChannelClosed with the exception for a code."""
    told: Told = []
    await server.connect(on_error=kind(told))

    reset(server)
    await wait_idle()

    (error,) = told
    assert isinstance(error, aioamqp.AmqpClosedConnection)
    assert isinstance(error, ConnectionResetError)
    assert error.__cause__ is RESET


async def test_what_ends_a_channel_is_not_told_to_on_error(server: ScriptedServer) -> None:
    """B26."""
    told: Told = []
    opened = await server.open_channel(on_error=plain(told))

    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()

    assert not opened.is_open
    assert told == []
    await opened.protocol.close()


ENDS: list[tuple[Callable[[ScriptedServer], None], type[Exception]]] = [
    (by_server, aioamqp.ChannelClosed),
    (end_of_file, aioamqp.AmqpClosedConnection),
    (reset, ConnectionResetError),
    (by_transport, aioamqp.AmqpClosedConnection),
]


@KINDS
@pytest.mark.parametrize(("end", "expected"), ENDS)
async def test_every_end_that_the_program_did_not_ask_for_is_told_once(
    server: ScriptedServer,
    end: Callable[[ScriptedServer], None],
    expected: type[Exception],
    kind: Callable[[Told], Callable[..., Any]],
) -> None:
    """B27."""
    told: Told = []
    protocol = await server.connect(on_error=kind(told))

    end(server)
    await protocol.wait_closed()
    protocol.connection_lost(None)  # whatever a transport may do
    await wait_idle()

    (error,) = told
    assert isinstance(error, expected)
    if end is by_server:
        assert isinstance(error, aioamqp.ChannelClosed)
        assert (error.code, error.message) == (320, "CONNECTION_FORCED - bye")


async def test_a_plain_on_error_has_run_when_wait_closed_returns(server: ScriptedServer) -> None:
    """B27. The run-forever idiom reads there what on_error has stored."""
    told: Told = []
    protocol = await server.connect(on_error=plain(told))
    waiter = asyncio.create_task(protocol.wait_closed())

    reset(server)
    await waiter

    assert len(told) == 1


async def test_a_refused_login_and_an_unknown_virtual_host_are_told_once(
    connect: Connect,
) -> None:
    """B27."""
    for wrong, code in (({"password": "wrong"}, 403), ({"virtualhost": "nowhere"}, 530)):
        told: Told = []

        with pytest.raises(aioamqp.HandshakeFailed) as refused:
            await connect(on_error=plain(told), **wrong)

        assert told == [refused.value]
        assert refused.value.code == code


@pytest.mark.parametrize("is_transport_closed_too", [False, True])
async def test_a_close_that_the_program_asked_for_is_not_told(
    connect: Connect, is_transport_closed_too: bool
) -> None:
    """B27."""
    told: Told = []
    made: list[asyncio.BaseTransport] = []

    class Noting(aioamqp.AmqpProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)
            super().connection_made(transport)

    protocol = await connect(on_error=plain(told), protocol_factory=Noting)
    await protocol.channel()

    await protocol.close()
    if is_transport_closed_too:
        made[0].close()
    await protocol.wait_closed()

    assert told == []


async def test_on_error_may_be_assigned_late(server: ScriptedServer) -> None:
    """B28."""
    early: Told = []
    late: Told = []
    protocol = await server.connect(on_error=plain(early))
    protocol._on_error_callback = plain(late)

    assert protocol.server_heartbeat  # it is open
    server.send(connection.Close(541, "INTERNAL_ERROR"), channel=0)
    await protocol.wait_closed()
    await wait_idle()

    assert early == []
    assert len(late) == 1
