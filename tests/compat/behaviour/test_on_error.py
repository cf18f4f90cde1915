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

Errors = list[Exception]


def plain(errors: Errors) -> Callable[..., Any]:
    def on_error(exception: Exception) -> None:
        errors.append(exception)

    return on_error


def coroutine(errors: Errors) -> Callable[..., Any]:
    async def on_error(exception: Exception) -> None:
        await asyncio.sleep(0)
        errors.append(exception)

    return on_error


def starred(errors: Errors) -> Callable[..., Any]:
    return lambda *args, **kwargs: errors.append(*args)


KINDS = pytest.mark.parametrize("kind", [plain, coroutine, starred])


@KINDS
async def test_on_error_gets_the_exception_whatever_kind_of_function_it_is(
    server: ScriptedServer, kind: Callable[[Errors], Callable[..., Any]]
) -> None:
    """B26. 0.15 gave plain functions a ChannelClosed with the exception as its code."""
    errors: Errors = []
    await server.connect(on_error=kind(errors))

    reset(server)
    await wait_idle()

    (error,) = errors
    assert isinstance(error, aioamqp.AmqpClosedConnection)
    assert isinstance(error, ConnectionResetError)
    assert error.__cause__ is RESET


async def test_on_error_is_not_called_for_a_closed_channel(server: ScriptedServer) -> None:
    """B26."""
    errors: Errors = []
    opened = await server.open_channel(on_error=plain(errors))

    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()

    assert not opened.is_open
    assert errors == []
    await opened.protocol.close()


ENDS: list[tuple[Callable[[ScriptedServer], None], type[Exception]]] = [
    (by_server, aioamqp.ChannelClosed),
    (end_of_file, aioamqp.AmqpClosedConnection),
    (reset, ConnectionResetError),
    (by_transport, aioamqp.AmqpClosedConnection),
]


@KINDS
@pytest.mark.parametrize(("end", "expected"), ENDS)
async def test_on_error_is_called_once_for_every_unexpected_close(
    server: ScriptedServer,
    end: Callable[[ScriptedServer], None],
    expected: type[Exception],
    kind: Callable[[Errors], Callable[..., Any]],
) -> None:
    """B27."""
    errors: Errors = []
    protocol = await server.connect(on_error=kind(errors))

    end(server)
    await protocol.wait_closed()
    protocol.connection_lost(None)  # even if a transport calls it twice
    await wait_idle()

    (error,) = errors
    assert isinstance(error, expected)
    if end is by_server:
        assert isinstance(error, aioamqp.ChannelClosed)
        assert (error.code, error.message) == (320, "CONNECTION_FORCED - bye")


async def test_a_plain_on_error_has_been_called_when_wait_closed_returns(
    server: ScriptedServer,
) -> None:
    """B27. Programs that run forever read after wait_closed what on_error has stored."""
    errors: Errors = []
    protocol = await server.connect(on_error=plain(errors))
    waiter = asyncio.create_task(protocol.wait_closed())

    reset(server)
    await waiter

    assert len(errors) == 1


async def test_on_error_is_called_once_for_a_refused_handshake(
    connect: Connect,
) -> None:
    """B27."""
    for wrong, code in (({"password": "wrong"}, 403), ({"virtualhost": "nowhere"}, 530)):
        errors: Errors = []

        with pytest.raises(aioamqp.HandshakeFailed) as refused:
            await connect(on_error=plain(errors), **wrong)

        assert errors == [refused.value]
        assert refused.value.code == code


@pytest.mark.parametrize("is_transport_closed_too", [False, True])
async def test_on_error_is_not_called_when_the_program_closes(
    connect: Connect, is_transport_closed_too: bool
) -> None:
    """B27."""
    errors: Errors = []
    transports: list[asyncio.BaseTransport] = []

    class KeepsTransport(aioamqp.AmqpProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            super().connection_made(transport)

    protocol = await connect(on_error=plain(errors), protocol_factory=KeepsTransport)
    await protocol.channel()

    await protocol.close()
    if is_transport_closed_too:
        transports[0].close()
    await protocol.wait_closed()

    assert errors == []


async def test_on_error_can_be_replaced_on_an_open_connection(server: ScriptedServer) -> None:
    """B28."""
    early: Errors = []
    late: Errors = []
    protocol = await server.connect(on_error=plain(early))
    protocol._on_error_callback = plain(late)

    assert protocol.server_heartbeat  # it is open
    server.send(connection.Close(541, "INTERNAL_ERROR"), channel=0)
    await protocol.wait_closed()
    await wait_idle()

    assert early == []
    assert len(late) == 1
