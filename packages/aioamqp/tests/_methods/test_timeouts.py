"""The timeouts of calls that wait to be sent, or for a publisher confirm."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import basic, channel, connection
from publishers import confirming
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

FULL = "the write buffer is full, because the server does not read"

PUBLISHES: list[tuple[str, Callable[[ScriptedServer, aioamqp.Channel], object], str]] = [
    ("full", lambda _, opened: opened.protocol.pause_writing(), FULL),
    (
        "blocked",
        lambda server, _: server.send_now(connection.Blocked("memory"), channel=0),
        "the server has blocked the connection",
    ),
    (
        "flow",
        lambda server, _: server.send_now(channel.Flow(False)),
        "the server has stopped the channel with channel.flow",
    ),
]


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
@pytest.mark.parametrize(("name", "stop", "why"), PUBLISHES, ids=[each[0] for each in PUBLISHES])
async def test_a_publish_that_times_out_before_it_was_written_is_not_sent(
    server: ScriptedServer,
    name: str,
    stop: Callable[[ScriptedServer, aioamqp.Channel], object],
    why: str,
    call: str,
) -> None:
    """Row U2."""
    opened = await confirming(server)
    stop(server, opened)
    began = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError, match=rf"not sent.* within 1.5 seconds: {why}") as caught:
        await getattr(opened, call)(b"late", "", "q", timeout=1.5)

    assert isinstance(caught.value, aioamqp.PublishNotSent)
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.5, abs=0.01)
    assert opened.protocol.pending == {}
    opened.protocol.resume_writing()
    server.send(connection.Unblocked(), channel=0)
    server.send(channel.Flow(True))
    await wait_idle()
    assert server.published() == []
    await opened.basic_publish(b"next", "", "q", timeout=1.5)
    await wait_idle()
    assert server.published() == [b"next"]
    await opened.protocol.close()


async def test_a_confirm_that_times_out_says_that_the_outcome_is_unknown(
    server: ScriptedServer,
) -> None:
    """Row U2. The message was sent; a late publisher confirm is for no other message."""
    opened = await confirming(server)

    with pytest.raises(TimeoutError, match=r"unknown whether.* within 2 seconds") as caught:
        await opened.publish(b"first", "", "q", timeout=2)

    assert isinstance(caught.value, aioamqp.PublishUnconfirmed)
    assert (caught.value.delivery_tag, caught.value.unconfirmed) == (1, (1,))
    assert server.published() == [b"first"]
    second = asyncio.create_task(opened.publish(b"second", "", "q", timeout=2))
    server.send(basic.Ack(1))
    await wait_idle()
    assert not second.done()
    server.send(basic.Ack(2))
    await second
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_the_timeout_of_a_publish_includes_both_waits(server: ScriptedServer) -> None:
    opened = await confirming(server)
    opened.protocol.pause_writing()
    loop = asyncio.get_running_loop()
    began = loop.time()
    loop.call_later(1.0, opened.protocol.resume_writing)

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await opened.publish(b"", "", "q", timeout=3)

    assert loop.time() - began == pytest.approx(3, abs=0.01)
    await opened.protocol.close()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("basic.ack", lambda opened: opened.basic_client_ack(1, timeout=1)),
        ("basic.nack", lambda opened: opened.basic_client_nack(1, timeout=1)),
        ("basic.reject", lambda opened: opened.basic_reject(1, timeout=1)),
    ],
)
async def test_an_acknowledgement_that_times_out_is_not_sent(
    server: ScriptedServer, name: str, call: Callable[[aioamqp.Channel], Awaitable[Any]]
) -> None:
    """Row U2."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()

    with pytest.raises(TimeoutError, match=f"{name} could not be sent within 1 seconds: {FULL}"):
        await call(opened)

    opened.protocol.resume_writing()
    await wait_idle()
    assert server.names() == []
    await call(opened)
    await wait_idle()
    assert server.names() == [name]
    await opened.protocol.close()


@pytest.mark.parametrize("name", ["ack", "nack", "reject"])
async def test_a_message_whose_settling_times_out_can_be_settled_again(
    server: ScriptedServer, name: str
) -> None:
    """Row U2."""
    opened = await server.open_channel()
    async with opened.consume("q", consumer_tag="tag") as messages:
        server.deliver("tag", b"x")
        message = await anext(messages)
        opened.protocol.pause_writing()

        with pytest.raises(TimeoutError):
            await getattr(message, name)(timeout=1)

        assert not message.is_settled
        opened.protocol.resume_writing()
        await getattr(message, name)(timeout=1)
    assert server.names().count(f"basic.{name}") == 1
    await opened.protocol.close()


async def test_opening_a_channel_takes_a_timeout(server: ScriptedServer) -> None:
    """Row U2."""
    protocol = await server.connect()
    answer = server.answers[channel.Open]
    server.mute(channel.Open)

    with pytest.raises(TimeoutError, match="has not opened a channel within 2 seconds"):
        await protocol.channel(timeout=2)

    server.answers[channel.Open] = answer
    assert (await protocol.channel(timeout=2)).is_open
    await protocol.close()


@pytest.mark.parametrize("call", ["wait", "wait_over"])
async def test_waiting_for_blocked_takes_a_timeout(server: ScriptedServer, call: str) -> None:
    """Row U2."""
    opened = await server.open_channel()
    if call == "wait_over":
        server.send(connection.Blocked("memory"), channel=0)
        await wait_idle()

    with pytest.raises(TimeoutError, match="blocked the connection within 3 seconds"):
        await getattr(opened.protocol.blocked, call)(timeout=3)

    assert opened.protocol.pending == {}
    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_a_timeout_that_is_no_number_is_refused_before_anything_is_sent(
    server: ScriptedServer, call: str
) -> None:
    opened = await server.open_channel()
    timeout: Any = "1"

    with pytest.raises(aioamqp.InvalidArgument, match="timeout: must be a number of seconds"):
        await getattr(opened, call)(b"", "", "q", timeout=timeout)
    with pytest.raises(aioamqp.InvalidArgument, match="timeout: must be a number of seconds"):
        await opened.basic_client_ack(1, timeout=timeout)
    await wait_idle()

    assert server.names() == []
    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_a_publish_that_is_woken_when_the_connection_is_lost_is_not_sent(
    server: ScriptedServer, call: str
) -> None:
    opened = await confirming(server)
    opened.protocol.pause_writing()
    waiting = asyncio.create_task(getattr(opened, call)(b"late", "", "q"))
    await wait_idle()

    opened.protocol.resume_writing()
    opened.protocol.connection_lost(ConnectionResetError("reset"))

    with pytest.raises(aioamqp.PublishNotSent, match="reset") as caught:
        await waiting
    assert isinstance(caught.value, aioamqp.AmqpClosedConnection)
    assert not isinstance(caught.value.__cause__, aioamqp.PublishNotSent)
