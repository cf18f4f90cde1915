"""Opening a channel again, and closing all channels in a loop."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import channel, confirm
from callbacks_seen import Recorder
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_an_open_that_gets_no_answer_times_out_and_leaves_the_channel_closed(
    server: ScriptedServer,
) -> None:
    """Row U36."""
    opened = await server.open_channel()
    await opened.close()
    server.mute(channel.Open)

    with pytest.raises(TimeoutError, match="opened"):
        await opened.open(timeout=1)

    assert not opened.is_open
    await opened.protocol.close()


async def test_a_channel_is_opened_once_however_often_it_is_asked_for(
    server: ScriptedServer,
) -> None:
    """Row U36: a second channel.open closes the connection."""
    opened = await server.open_channel()
    await opened.close()
    server.received.clear()

    assert [*await asyncio.gather(opened.open(), opened.open())] == [True, True]

    assert server.names() == ["channel.open"]
    assert opened.protocol.channels == {1: opened}
    await opened.protocol.close()


async def test_an_open_during_a_close_waits_for_its_end(server: ScriptedServer) -> None:
    """Row U36."""
    opened = await server.open_channel()
    closing = asyncio.create_task(opened.close())
    await asyncio.sleep(0)

    assert await opened.open()

    assert await closing
    assert server.names() == ["channel.close", "channel.open"]
    await opened.protocol.close()


async def test_a_channel_of_a_closed_connection_is_not_opened(server: ScriptedServer) -> None:
    """Row U36."""
    opened = await server.open_channel()
    await opened.protocol.close()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await opened.open()


@pytest.mark.parametrize("view", ["values", "items", "keys", "__iter__"])
async def test_channels_can_be_closed_while_iterating_over_them(
    server: ScriptedServer, view: str
) -> None:
    """Row U37."""
    protocol = await server.connect()
    for _ in range(3):
        await protocol.channel()

    closed = 0
    for each in getattr(protocol.channels, view)():
        match each:
            case int():
                await protocol.channels[each].close()
            case (_, opened):
                await opened.close()
            case _:
                await each.close()
        closed += 1

    assert closed == 3
    assert protocol.channels == {}
    assert len(protocol.channels) == 0
    await protocol.close()


@pytest.mark.parametrize("timeout", ["1", 10**400, float("nan")])
async def test_a_confirm_select_that_is_refused_changes_nothing(
    server: ScriptedServer, timeout: Any
) -> None:
    """State before validation: the next publish waited for a confirm that never came."""
    opened = await server.open_channel()

    with pytest.raises(aioamqp.InvalidArgument, match="timeout"):
        await opened.confirm_select(timeout=timeout)

    assert server.methods(confirm.Select) == []
    assert not opened.publisher_confirms
    await asyncio.wait_for(opened.publish(b"", "", "q"), 1)
    await opened.protocol.close()


@pytest.mark.parametrize("refused", [{"timeout": "1"}, {"queue_name": "x" * 256}])
async def test_a_consume_that_is_refused_costs_no_other_consumer_its_callback(
    server: ScriptedServer, refused: dict[str, Any]
) -> None:
    """State before validation."""
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "tag")

    with pytest.raises(aioamqp.InvalidArgument):
        await opened.basic_consume(Recorder(), consumer_tag="tag", **refused)
    server.deliver("tag", b"1")
    await wait_idle()

    assert seen.bodies == [b"1"]
    await opened.protocol.close()
