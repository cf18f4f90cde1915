"""One channel: how it ends, and what the server sends on it."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
    channel,
    queue,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_closing_a_channel_waits_for_close_ok(server: ScriptedServer) -> None:
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


async def test_every_method_of_a_closed_channel_raises_channel_closed(
    server: ScriptedServer,
) -> None:
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


async def test_closing_the_channel_fails_pending_requests(
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


async def test_replies_that_come_while_the_channel_is_closing_are_ignored(
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


async def test_channel_closes_that_cross_are_both_answered_and_free_the_number(
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


async def test_a_channel_close_without_an_answer_times_out(
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


async def test_a_channel_close_from_the_server_fails_every_call_with_one_error(
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


async def test_the_number_of_a_channel_that_the_server_closed_is_used_again(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()

    again = await opened.protocol.channel()

    assert again.channel_id == 1
    assert (again.protocol.channels_ids_ceil, again.protocol.channels_ids_free) == (1, set())
    assert (again.is_open, opened.is_open) == (True, False)
    await opened.protocol.close()


# -------------------------------------------------------------------- returned messages


async def test_a_returned_message_is_passed_to_the_return_callback(
    server: ScriptedServer,
) -> None:
    returned: list[tuple[Any, ...]] = []
    opened = await server.open_channel()
    opened.return_callback = lambda *args: returned.append(args)

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "e", "k"), Properties(type="t"), b"body"))
    await wait_idle()

    ((given, body, envelope, properties),) = returned
    assert (given, body) == (opened, b"body")
    assert (envelope.reply_code, envelope.reply_text) == (312, "NO_ROUTE")
    assert (envelope.exchange_name, envelope.routing_key) == ("e", "k")
    assert properties.message_type == "t"
    await opened.protocol.close()


async def test_the_return_callback_may_call_methods_and_is_called_in_order(
    server: ScriptedServer,
) -> None:
    seen: list[bytes] = []

    async def on_return(channel: aioamqp.Channel, body: bytes, *_: object) -> None:
        await channel.queue_declare("q")
        seen.append(body)

    protocol = await server.connect()
    opened = await protocol.channel(return_callback=on_return)
    server.send(
        *(Command(1, basic.Return(312, "", "", ""), Properties(), b"%d" % n) for n in range(3))
    )
    await wait_idle()

    assert seen == [b"0", b"1", b"2"]
    await opened.protocol.close()


async def test_a_returned_message_without_a_callback_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await server.open_channel()

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "ex", "key"), Properties(), b""))
    await wait_idle()

    assert "NO_ROUTE" in caplog.text
    assert "return_callback" in caplog.text
    await opened.protocol.close()


async def test_a_returned_message_with_damaged_headers_is_passed_on(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row C3."""
    seen: list[tuple[Any, ...]] = []
    damaged = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)
    opened = await server.open_channel(on_error=print)
    opened.return_callback = lambda *args: seen.append(args)

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "ex", "key"), damaged, b"body"))
    await wait_idle()

    ((_, body, _, properties),) = seen
    assert (body, properties.headers, properties.raw_headers) == (
        b"body",
        None,
        b"\0\0\0\x03\x01a?",
    )
    assert "cannot be decoded" in caplog.text
    assert opened.is_open
    await opened.protocol.close()


# -------------------------------------------------------------------- channel.flow


async def test_channel_flow_is_answered_and_stops_publishers(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(channel.Flow(False))
    await wait_idle()
    publishing = asyncio.create_task(opened.basic_publish(b"x", "", "q"))
    await wait_idle()
    assert server.received == [Command(1, channel.FlowOk(False))]

    server.send(channel.Flow(True))
    await publishing
    await wait_idle()
    assert server.names() == ["channel.flow-ok", "channel.flow-ok", "basic.publish"]
    await opened.protocol.close()


async def test_a_publish_stopped_by_channel_flow_fails_with_the_channel(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.send(channel.Flow(False))
    await wait_idle()
    publishing = asyncio.create_task(opened.basic_publish(b"x", "", "q"))
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND"))

    with pytest.raises(aioamqp.ChannelClosed):
        await publishing
    await opened.protocol.close()
