"""A server that blocks the connection."""

import asyncio

import pytest

import aioamqp
from amqp_codec import (
    connection,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


BLOCKED = connection.Blocked("low on memory")


async def test_a_blocked_connection_has_a_reason(server: ScriptedServer) -> None:
    protocol = await server.connect()

    reasons = [protocol.blocked.reason]
    for method in (BLOCKED, connection.Blocked("low on disk"), connection.Unblocked()):
        server.send(method, channel=0)
        await wait_idle()
        reasons.append(protocol.blocked.reason)

    assert reasons == [None, "low on memory", "low on disk", None]
    await protocol.close()


async def test_a_task_can_wait_until_the_connection_is_blocked_and_unblocked(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    await protocol.blocked.wait_over()
    begun = [asyncio.create_task(protocol.blocked.wait()) for _ in range(2)]
    await wait_idle()
    begun[0].cancel()
    await wait_idle()
    assert not begun[1].done()

    server.send(BLOCKED, channel=0)
    await begun[1]
    assert protocol.blocked
    await protocol.blocked.wait()
    over = asyncio.create_task(protocol.blocked.wait_over())
    await wait_idle()
    server.send(BLOCKED, channel=0)
    await wait_idle()
    assert not over.done()

    server.send(connection.Unblocked(), channel=0)
    await over
    assert not protocol.blocked
    await protocol.close()


async def test_on_change_is_called_and_may_call_methods(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    reasons: list[str | None] = []

    async def on_change(reason: str | None) -> None:
        await opened.queue_declare("q")
        reasons.append(reason)

    opened.protocol.blocked.on_change = on_change
    server.send(BLOCKED, connection.Unblocked(), channel=0)
    await wait_idle()

    assert reasons == ["low on memory", None]
    await opened.protocol.close()


@pytest.mark.parametrize("wait", ["wait", "wait_over"])
async def test_waiting_fails_when_the_connection_ends(server: ScriptedServer, wait: str) -> None:
    protocol = await server.connect()
    if wait == "wait_over":
        server.send(BLOCKED, channel=0)
        await wait_idle()
    waiting = asyncio.create_task(getattr(protocol.blocked, wait)())
    given_up = asyncio.create_task(getattr(protocol.blocked, wait)())
    await wait_idle()
    given_up.cancel()

    server.transport.end(ConnectionResetError(104, "reset"))

    for again in (waiting, getattr(protocol.blocked, wait)()):
        with pytest.raises(aioamqp.AmqpClosedConnection, match="reset"):
            await again


async def test_closing_a_blocked_connection_times_out_and_fails_unsent_messages(
    server: ScriptedServer,
) -> None:
    """R6, R7: the server reads nothing, so it does not answer the close either."""
    opened = await server.open_channel()
    server.send(BLOCKED, channel=0)
    await wait_idle()
    publishing = asyncio.create_task(opened.publish(b"held", "", "q"))
    await wait_idle()
    server.mute(connection.Close)

    await opened.protocol.close()

    with pytest.raises(aioamqp.PublishNotSent):
        await publishing
    assert server.transport.was_aborted
    assert "basic.publish" not in server.names()
