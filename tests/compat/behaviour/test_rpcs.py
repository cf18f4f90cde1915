"""Section 2 of the contract with aioamqp 0.15: calls that wait for a reply."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import channel
from scripted_server import ANSWERS, ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect
from tests.compat.behaviour.rpcs import RPCS, Rpc, name_of

pytestmark = pytest.mark.asyncio

NO_WAIT = [
    rpc
    for rpc in RPCS
    if "no_wait" in inspect.signature(getattr(aioamqp.Channel, rpc.name)).parameters
    and rpc.name != "queue_unbind"  # AMQP has no no-wait bit in queue.unbind
]

ALL_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    *((rpc.name, rpc.arguments) for rpc in RPCS),
    ("basic_publish", (b"", "e", "key")),
    ("publish", (b"", "e", "key")),
    ("basic_client_ack", (1,)),
    ("basic_client_nack", (1,)),
    ("basic_reject", (1,)),
    ("basic_recover_async", ()),
]
"""Every method of a channel except ``close``."""


async def test_different_calls_can_run_concurrently(server: ScriptedServer) -> None:
    """B17."""
    opened = await server.open_channel()
    server.mute()
    calls = [asyncio.create_task(rpc.call(opened)) for rpc in RPCS]
    await wait_idle()
    sent = list(server.received)
    assert not any(call.done() for call in calls)
    assert [type(command.method) for command in sent] == [rpc.sends for rpc in RPCS]

    server.send(*(_reply_to(command.method) for command in sent))

    assert await asyncio.gather(*calls) == [rpc.returns for rpc in RPCS]
    await opened.protocol.close()


@pytest.mark.parametrize("rpc", RPCS, ids=name_of)
async def test_calls_of_the_same_method_can_run_concurrently(
    server: ScriptedServer, rpc: Rpc
) -> None:
    """B17."""
    opened = await server.open_channel()

    results = await asyncio.gather(*(rpc.call(opened) for _ in range(20)))

    if rpc.name == "confirm_select":  # only the first call sends a request
        assert results == [True] + [ValueError] * 19
        assert len(server.methods(rpc.sends)) == 1
    else:
        assert results == [rpc.returns] * 20
        assert len(server.methods(rpc.sends)) == 20
    await opened.protocol.close()


async def test_concurrent_calls_each_get_their_own_reply(connect: Connect) -> None:
    """B17."""
    opened = await (await connect()).channel()

    declared = await asyncio.gather(*(opened.queue_declare(exclusive=True) for _ in range(10)))

    names = [each["queue"] for each in declared]
    assert len(set(names)) == 10
    for n, name in enumerate(names):
        for _ in range(n):
            await opened.basic_publish(b"", "", name)
    counts = await asyncio.gather(*(opened.queue_purge(name) for name in names))
    assert counts == [{"message_count": n} for n in range(10)]


@pytest.mark.parametrize("rpc", NO_WAIT, ids=name_of)
async def test_a_call_with_no_wait_returns_at_once(server: ScriptedServer, rpc: Rpc) -> None:
    """B18."""
    opened = await server.open_channel()
    server.mute()

    result = await rpc.call(opened, no_wait=True)
    await wait_idle()

    (method,) = server.methods(rpc.sends)
    assert getattr(method, "no_wait") is True  # noqa: B009 - not every method has it
    # A program needs the consumer tag.
    assert result == ({"consumer_tag": "tag"} if rpc.name == "basic_consume" else None)
    await _close(server, opened)


async def test_a_refused_call_with_no_wait_closes_the_channel_later(
    connect: Connect,
) -> None:
    """B18."""
    opened = await (await connect()).channel()

    await opened.queue_bind("compat-not-there", "amq.direct", "key", no_wait=True)

    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await opened.queue_declare(exclusive=True)
    assert closed.value.code == 404
    assert closed.value.message == "NOT_FOUND - no queue 'compat-not-there' in vhost '/'"
    assert not opened.is_open


async def closed_here(server: ScriptedServer, opened: aioamqp.Channel) -> None:
    await opened.close()


async def closed_by_server(server: ScriptedServer, opened: aioamqp.Channel) -> None:
    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()


@pytest.mark.parametrize("end", [closed_here, closed_by_server])
@pytest.mark.parametrize(("name", "arguments"), ALL_CALLS, ids=[each[0] for each in ALL_CALLS])
async def test_every_call_on_a_closed_channel_raises_channel_closed(
    server: ScriptedServer,
    end: Callable[[ScriptedServer, aioamqp.Channel], Awaitable[None]],
    name: str,
    arguments: tuple[Any, ...],
) -> None:
    """B19. Row U1: if the server has closed it, with the server's code and text."""
    opened = await server.open_channel()
    await end(server, opened)
    server.received.clear()

    with pytest.raises(aioamqp.ChannelClosed) as refused:
        await getattr(opened, name)(*arguments)

    why = (404, "NOT_FOUND") if end is closed_by_server else (0, "Channel is closed")
    assert (refused.value.code, refused.value.message) == why
    assert refused.value.args == why
    await wait_idle()
    assert server.received == []
    await opened.protocol.close()


@pytest.mark.parametrize("is_channel_closed", [False, True])
@pytest.mark.parametrize(("name", "arguments"), ALL_CALLS, ids=[each[0] for each in ALL_CALLS])
async def test_every_call_on_a_closed_connection_raises_amqp_closed_connection(
    server: ScriptedServer, is_channel_closed: bool, name: str, arguments: tuple[Any, ...]
) -> None:
    """B19."""
    opened = await server.open_channel()
    if is_channel_closed:
        await opened.close()
    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await getattr(opened, name)(*arguments)


@pytest.mark.parametrize("end", ["channel", "server", "connection", "link"])
async def test_closing_a_closed_channel_raises_channel_closed(
    server: ScriptedServer, end: str
) -> None:
    """B19. Row U1: if the server has closed it, with the server's code and text."""
    opened = await server.open_channel()
    match end:
        case "channel":
            await opened.close()
        case "server":
            await closed_by_server(server, opened)
        case "connection":
            await opened.protocol.close()
        case _:
            server.transport.end(ConnectionResetError(104, "reset"))
            await opened.protocol.wait_closed()

    with pytest.raises(aioamqp.ChannelClosed) as refused:
        await opened.close()

    why = (404, "NOT_FOUND") if end == "server" else (0, "Channel is closed")
    assert (refused.value.code, refused.value.message) == why
    if opened.protocol.is_open:
        await opened.protocol.close()


@pytest.mark.parametrize("rpc", RPCS, ids=name_of)
async def test_the_channel_works_after_wait_for_has_cancelled_a_call(
    server: ScriptedServer, rpc: Rpc
) -> None:
    """B20."""
    opened = await server.open_channel()
    server.mute(rpc.sends)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rpc.call(opened), 1)
    (given_up,) = server.methods(rpc.sends)
    server.answers[rpc.sends] = ANSWERS[rpc.sends]

    again = asyncio.create_task(rpc.call(opened))
    server.send(_reply_to(given_up))

    # Confirm mode is on when the request has been sent.
    assert await again == (ValueError if rpc.name == "confirm_select" else rpc.returns)
    assert (await opened.queue_declare("other"))["queue"] == "other"
    await opened.protocol.close()


def _reply_to(method: Any) -> Any:
    return ANSWERS[type(method)](method)


async def _close(server: ScriptedServer, opened: aioamqp.Channel) -> None:
    server.answers.update(ANSWERS)
    await opened.protocol.close()
