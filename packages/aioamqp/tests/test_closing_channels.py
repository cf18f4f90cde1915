"""How a channel begins and ends."""

import asyncio

import pytest

import aioamqp
from amqp_codec import basic, channel, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_closing_a_channel_is_confirmed(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    assert await opened.close() is True

    assert server.methods(channel.Close) == [channel.Close(200, "Normal Shutdown")]
    assert not opened.is_open
    assert opened.protocol.channels == {}
    assert opened.protocol.channels_ids_count == 0
    await opened.protocol.close()


async def test_a_channel_can_be_closed_once(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.close()

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await opened.close()

    assert caught.value.args == (0, "Channel is closed")
    await opened.protocol.close()


async def test_nothing_can_be_done_on_a_closed_channel(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.close()

    for call in (
        opened.queue_declare("q"),
        opened.basic_publish(b"", "", "q"),
        opened.basic_consume(print, "q"),
        opened.basic_client_ack(1),
    ):
        with pytest.raises(aioamqp.ChannelClosed):
            await call

    assert server.names() == ["channel.close"]
    await opened.protocol.close()


async def test_calls_that_wait_end_when_the_program_closes_their_channel(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    await opened.close()

    with pytest.raises(aioamqp.ChannelClosed):
        await waiting
    await opened.protocol.close()


async def test_replies_on_their_way_when_the_program_closes_the_channel_are_ignored(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(channel.Close)
    closing = asyncio.create_task(opened.close())
    await wait_idle()

    server.send(queue.DeclareOk("q"), basic.Cancel("tag"), channel.CloseOk())

    assert await closing is True
    assert opened.cancelled_consumers == set()
    assert opened.protocol.is_open
    await opened.protocol.close()


async def test_closes_that_cross_are_both_confirmed_and_the_number_is_free_only_then(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol
    server.mute(channel.Close)
    closing = asyncio.create_task(opened.close())
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()

    assert server.names() == ["channel.close", "channel.close-ok"]
    assert not closing.done()
    assert protocol.channels_ids_count == 1

    server.send(channel.CloseOk())

    assert await closing is True
    assert protocol.channels_ids_count == 0
    await protocol.close()


async def test_a_server_that_does_not_answer_a_channel_close_is_not_waited_for_for_ever(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel(heartbeat=0)
    protocol = opened.protocol
    server.mute(channel.Close)

    with pytest.raises(TimeoutError, match="channel 1 within 5 seconds"):
        await opened.close()

    assert (await protocol.channel()).channel_id == 2

    server.send(channel.CloseOk())
    await wait_idle()

    assert (await protocol.channel()).channel_id == 1
    await protocol.close()


async def test_a_channel_that_is_being_closed_when_the_link_breaks_is_closed(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(channel.Close)
    closing = asyncio.create_task(opened.close())
    await wait_idle()

    server.transport.end(ConnectionResetError(104, "reset"))

    assert await closing is True
    await opened.protocol.wait_closed()


async def test_a_server_s_close_fails_every_call_of_that_channel_with_one_error(
    server: ScriptedServer,
) -> None:
    errors: list[Exception] = []
    opened = await server.open_channel(on_error=errors.append)
    other = await opened.protocol.channel()
    server.mute(queue.Declare, queue.Bind)
    calls = [
        asyncio.create_task(opened.queue_declare("q")),
        asyncio.create_task(opened.queue_bind("q", "e", "k")),
    ]
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND - no queue"))
    first, second = await asyncio.gather(*calls, return_exceptions=True)

    assert first is second
    assert isinstance(first, aioamqp.ChannelClosed)
    assert (first.code, first.message) == (404, "NOT_FOUND - no queue")
    assert server.names()[-1] == "channel.close-ok"
    assert not opened.is_open
    assert other.is_open
    assert opened.protocol.channels == {2: other}
    assert errors == []
    await opened.protocol.close()


async def test_a_number_that_the_server_has_closed_is_used_again(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()

    again = await opened.protocol.channel()

    assert again.channel_id == 1
    assert (again.protocol.channels_ids_ceil, again.protocol.channels_ids_free) == (1, set())
    assert (again.is_open, opened.is_open) == (True, False)
    await opened.protocol.close()


async def test_channels_beyond_channel_max_are_refused_here(server: ScriptedServer) -> None:
    protocol = await server.connect(channel_max=2)
    await protocol.channel()
    await protocol.channel()

    with pytest.raises(aioamqp.NoChannelAvailable):
        await protocol.channel()

    assert server.names() == ["channel.open", "channel.open"]
    await protocol.close()


async def test_a_channel_whose_opening_was_given_up_is_closed_and_its_number_freed(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    server.mute(channel.Open, channel.Close)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(protocol.channel(), 1)
    assert server.names() == ["channel.open", "channel.close"]
    assert protocol.channels_ids_count == 1

    server.send(channel.OpenOk(), channel.CloseOk())
    await wait_idle()

    assert protocol.channels_ids_count == 0
    await protocol.close()


async def test_a_channel_factory_that_fails_costs_no_number(server: ScriptedServer) -> None:
    protocol = await server.connect()

    with pytest.raises(TypeError):
        await protocol.channel(colour="red")

    assert protocol.channels_ids_count == 0
    await protocol.close()


async def test_the_channel_factory_may_be_a_method(server: ScriptedServer) -> None:
    class Mine(aioamqp.AmqpProtocol):
        def CHANNEL_FACTORY(self, *args: object, **kwargs: object) -> aioamqp.Channel:  # noqa: N802
            return aioamqp.Channel(*args, **kwargs)  # type: ignore[arg-type]

    protocol = await server.connect(protocol_factory=Mine)

    opened = await protocol.channel(return_callback=print)

    assert (opened.protocol, opened.channel_id, opened.return_callback) == (protocol, 1, print)
    await protocol.close()


async def test_what_comes_for_a_channel_that_is_not_there_is_dropped(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    server.send(queue.DeclareOk("q"), channel=9)
    await wait_idle()

    assert opened.is_open
    await opened.protocol.close()
