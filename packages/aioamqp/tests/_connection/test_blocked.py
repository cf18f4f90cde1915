"""A server that stops taking messages, and one that takes new credentials."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import connection
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

BLOCKED = connection.Blocked("low on memory")


async def test_a_blocked_connection_says_why(server: ScriptedServer) -> None:
    protocol = await server.connect()

    reasons = [protocol.blocked.reason]
    for method in (BLOCKED, connection.Blocked("low on disk"), connection.Unblocked()):
        server.send(method, channel=0)
        await wait_idle()
        reasons.append(protocol.blocked.reason)

    assert reasons == [None, "low on memory", "low on disk", None]
    await protocol.close()


async def test_blocking_and_its_end_can_be_waited_for(server: ScriptedServer) -> None:
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


async def test_a_callback_is_told_and_may_make_calls(server: ScriptedServer) -> None:
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
async def test_who_waits_hears_of_the_end_of_the_connection(
    server: ScriptedServer, wait: str
) -> None:
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


# -------------------------------------------------------------------- credentials


@pytest.mark.parametrize("secret", ["new", b"new"])
async def test_new_credentials_are_sent_and_confirmed(server: ScriptedServer, secret: Any) -> None:
    protocol = await server.connect()
    server.answers[connection.UpdateSecret] = lambda _: connection.UpdateSecretOk()

    await protocol.update_secret(secret, "rotated")

    assert server.methods(connection.UpdateSecret) == [connection.UpdateSecret(b"new", "rotated")]
    await protocol.close()


async def test_the_end_of_the_connection_ends_the_wait_for_their_confirmation(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    task = asyncio.create_task(protocol.update_secret("bad"))
    await wait_idle()

    server.send(connection.Close(530, "NOT_ALLOWED - bad token"), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await task
    assert (caught.value.code, caught.value.message) == (530, "NOT_ALLOWED - bad token")
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.update_secret("late")


async def test_a_confirmation_that_comes_late_is_not_taken_for_the_next_one(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    with pytest.raises(TimeoutError):
        await protocol.update_secret("first", timeout=1)
    second = asyncio.create_task(protocol.update_secret("second"))
    await wait_idle()

    server.send(connection.UpdateSecretOk(), channel=0)
    await wait_idle()
    assert not second.done()

    server.send(connection.UpdateSecretOk(), channel=0)
    await second
    await protocol.close()


async def test_a_confirmation_of_nothing_breaks_the_rules(server: ScriptedServer) -> None:
    protocol = await server.connect()

    server.send(connection.UpdateSecretOk(), channel=0)
    await protocol.wait_closed()

    assert [close.reply_code for close in server.methods(connection.Close)] == [503]


async def test_new_credentials_of_the_server_s_are_confirmed(server: ScriptedServer) -> None:
    protocol = await server.connect()

    server.send(connection.UpdateSecret(b"new", "rotated"), channel=0)
    await wait_idle()

    assert server.names() == ["connection.update-secret-ok"]
    await protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_publishers_wait_while_the_server_takes_no_messages(
    server: ScriptedServer, call: str
) -> None:
    """R7."""
    opened = await server.open_channel()
    server.send(BLOCKED, channel=0)
    await wait_idle()

    publishing = asyncio.create_task(getattr(opened, call)(b"held", "", "q"))
    await wait_idle()
    await opened.basic_client_ack(1)
    await wait_idle()
    assert server.names() == ["basic.ack"]

    server.send(connection.Unblocked(), channel=0)
    await publishing
    await wait_idle()
    assert server.names() == ["basic.ack", "basic.publish"]
    await opened.protocol.close()


async def test_a_full_buffer_and_a_blocked_server_are_two_reasons_to_wait(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol
    server.send(BLOCKED, channel=0)
    await wait_idle()
    protocol.pause_writing()

    publishing = asyncio.create_task(opened.publish(b"held", "", "q"))
    for go_on in (protocol.resume_writing, protocol.pause_writing):
        go_on()
        await wait_idle()
        assert not publishing.done()
    server.send(connection.Unblocked(), channel=0)
    await wait_idle()
    assert not publishing.done()
    protocol.resume_writing()

    await publishing
    await protocol.close()


async def test_closing_a_blocked_connection_is_bounded_and_says_what_was_not_sent(
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
