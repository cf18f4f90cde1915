"""How consumers begin and end, and what becomes of their deliveries."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
    channel,
    connection,
    queue,
)
from callbacks_seen import Gate, Recorder
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_after_a_cancel_buffered_deliveries_are_still_handled(server: ScriptedServer) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    assert await opened.basic_cancel("tag") == {"consumer_tag": "tag"}
    gate.is_open.set()
    await wait_idle()

    assert gate.bodies == [b"1", b"2"]
    assert opened.consumer_callbacks == {}
    await opened.protocol.close()


async def test_a_consumer_can_cancel_itself(server: ScriptedServer) -> None:
    seen: list[bytes] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        seen.append(body)
        await channel.basic_cancel(envelope.consumer_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    assert seen == [b"1", b"2"]
    assert opened.consumer_callbacks == {}
    await opened.protocol.close()


@pytest.mark.parametrize("no_ack", [False, True])
@pytest.mark.parametrize("in_the_same_turn", [False, True])
async def test_a_consume_that_is_cancelled_leaves_no_consumer_and_no_message_behind(
    server: ScriptedServer, no_ack: bool, in_the_same_turn: bool
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume, basic.Cancel)
    consuming = asyncio.create_task(opened.basic_consume(seen, "q", "tag", no_ack=no_ack))
    await wait_idle()

    if in_the_same_turn:
        server.send(basic.ConsumeOk("tag"))
        asyncio.get_running_loop().call_soon(consuming.cancel)
    else:
        consuming.cancel()
        server.send(basic.ConsumeOk("tag"))
    with pytest.raises(asyncio.CancelledError):
        await consuming
    server.deliver("tag", b"1", b"2")
    server.send(basic.CancelOk("tag"))
    await wait_idle()

    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    assert [nack.delivery_tag for nack in server.methods(basic.Nack)] == ([] if no_ack else [1, 2])
    assert all(nack.requeue for nack in server.methods(basic.Nack))
    assert seen.bodies == []
    assert opened.consumer_callbacks == {}
    assert opened.is_open
    await opened.protocol.close()


async def test_deliveries_of_a_cancelled_consume_are_returned_to_the_queue(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Consume, basic.Cancel)
    consuming = asyncio.create_task(opened.basic_consume(Recorder(), "q", "tag"))
    await wait_idle()
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    await wait_idle()

    assert [nack.delivery_tag for nack in server.methods(basic.Nack)] == [1, 2]
    server.send(basic.ConsumeOk("tag"))
    await wait_idle()
    server.send(basic.CancelOk("tag"))
    await wait_idle()
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_a_consumer_is_not_cancelled_before_the_server_has_agreed_to_it(
    server: ScriptedServer,
) -> None:
    """RabbitMQ: closes the connection with 541 over a cancel that overtakes the consume-ok."""
    opened = await server.open_channel()
    server.mute(basic.Consume, basic.Cancel)
    with pytest.raises(TimeoutError):
        await opened.basic_consume(Recorder(), "q", "tag", timeout=1)
    await wait_idle()
    assert server.names() == ["basic.consume"]

    server.send(basic.ConsumeOk("tag"))
    await wait_idle()

    assert server.names() == ["basic.consume", "basic.cancel"]
    assert "tag" not in opened.consumer_callbacks
    await opened.protocol.close()


async def test_waiting_for_the_tag_of_an_abandoned_consumer_fails_with_the_channel(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Consume, basic.Cancel)
    with pytest.raises(TimeoutError):
        await opened.basic_consume(Recorder(), "q", "tag", timeout=1)
    with pytest.raises(TimeoutError):
        await opened.basic_consume(Recorder(), "q", "tag", timeout=1)
    second = asyncio.create_task(opened.basic_consume(Recorder(), "q", "tag"))
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND"))

    with pytest.raises(aioamqp.ChannelClosed):
        await second
    assert server.names() == ["basic.consume", "channel.close-ok"]
    await opened.protocol.close()


async def test_the_tag_of_an_abandoned_consumer_is_used_again_only_after_its_consume_ok(
    server: ScriptedServer,
) -> None:
    """RabbitMQ: closes the connection with 530 over a tag that is in use."""
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume, basic.Cancel)
    with pytest.raises(TimeoutError):
        await opened.basic_consume(seen, "q", "tag", timeout=1)
    second = asyncio.create_task(opened.basic_consume(seen, "q", "tag"))
    await wait_idle()
    assert server.names() == ["basic.consume"]

    server.send(basic.ConsumeOk("tag"))
    await wait_idle()
    server.send(basic.CancelOk("tag"), basic.ConsumeOk("tag"))
    server.deliver("tag", b"1")
    await second
    await wait_idle()

    assert server.names() == ["basic.consume", "basic.cancel", "basic.consume"]
    assert seen.bodies == [b"1"]
    await opened.protocol.close()


async def test_cancellation_callbacks_are_called_in_their_order(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    opened = await server.open_channel()

    async def consume_again(channel: aioamqp.Channel, tag: str) -> None:
        await channel.basic_consume(Recorder(), "q", "again")
        seen.append(("again", channel, tag))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    opened.add_cancellation_callback(lambda channel, tag: seen.append(("plain", channel, tag)))
    opened.add_cancellation_callback(fail)
    opened.add_cancellation_callback(consume_again)
    await opened.basic_consume(None, "q", "tag")

    server.send(basic.Cancel("tag", True))
    await wait_idle()

    assert seen == [("plain", opened, "tag"), ("again", opened, "tag")]
    assert opened.cancelled_consumers == {"tag"}
    assert "tag" in opened.consumer_callbacks
    assert "a cancellation callback" in caplog.text
    assert "basic.cancel-ok" not in server.names()
    assert opened.is_open
    await opened.protocol.close()


async def test_deliveries_before_an_immediate_cancel_are_handled(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume)
    consuming = asyncio.create_task(opened.basic_consume(seen, "q", "tag"))
    await wait_idle()

    message = Command(1, basic.Deliver("tag", 1, False, "", ""), Properties(), b"1")
    server.send(basic.ConsumeOk("tag"), message, basic.Cancel("tag", True))
    await consuming
    await wait_idle()

    assert seen.bodies == [b"1"]
    await opened.protocol.close()


async def test_cancellation_callbacks_are_called_before_queue_delete_returns(
    server: ScriptedServer,
) -> None:
    """RabbitMQ sends the two in one piece, and in 0.15 the callbacks went first."""
    opened = await server.open_channel()
    told: list[str] = []

    async def callback(channel: aioamqp.Channel, tag: str) -> None:
        told.append(tag)

    opened.add_cancellation_callback(callback)
    opened.add_cancellation_callback(lambda channel, tag: told.append(tag))
    await opened.basic_consume(None, "q", "tag")
    server.mute(queue.Delete)

    async def delete() -> list[str]:
        await opened.queue_delete("q")
        return list(told)

    deleting = asyncio.create_task(delete())
    await wait_idle()

    server.send(queue.DeleteOk(0), basic.Cancel("tag", True))

    assert await deleting == ["tag", "tag"]
    await opened.protocol.close()


async def test_a_basic_cancel_without_no_wait_is_answered(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(basic.Cancel("tag"))
    await wait_idle()

    assert server.methods(basic.CancelOk) == [basic.CancelOk("tag")]
    await opened.protocol.close()


@pytest.mark.parametrize("whole_connection", [False, True])
async def test_a_callback_may_close_what_it_runs_on(
    server: ScriptedServer, whole_connection: bool
) -> None:
    seen: list[bytes] = []
    closed = asyncio.Event()

    async def callback(channel: aioamqp.Channel, body: bytes, *_: object) -> None:
        seen.append(body)
        if whole_connection:
            await channel.protocol.close()
            await channel.protocol.wait_closed()
        else:
            await channel.close()
        closed.set()

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    async with asyncio.timeout(1):
        await closed.wait()

    assert seen == [b"1"]
    assert opened.protocol.pending == {}
    if not whole_connection:
        await opened.protocol.close()


async def test_deliveries_before_the_link_broke_are_still_handled(server: ScriptedServer) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    server.transport.end(ConnectionResetError(104, "reset"))
    await opened.protocol.wait_closed()
    gate.is_open.set()
    await wait_idle()

    assert gate.bodies == [b"1", b"2"]


async def test_deliveries_before_the_server_closed_the_channel_are_still_handled(
    server: ScriptedServer,
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag", no_ack=True)
    server.deliver("tag", b"1", b"2")
    server.send(channel.Close(404, "NOT_FOUND"))
    await wait_idle()
    gate.is_open.set()
    await wait_idle()

    assert gate.bodies == [b"1", b"2"]
    await opened.protocol.close()


async def test_deliveries_of_a_consume_cancelled_after_its_channel_ended_are_dropped(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Consume)
    consuming = asyncio.create_task(opened.basic_consume(Recorder(), "q", "tag"))
    await wait_idle()

    server.deliver("tag", b"early")
    server.send(channel.Close(404, "NOT_FOUND"))
    asyncio.get_running_loop().call_soon(consuming.cancel)

    with pytest.raises(asyncio.CancelledError):
        await consuming
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_deliveries_of_a_consume_that_failed_with_its_channel_are_dropped(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    server.mute(basic.Consume)
    consuming = asyncio.create_task(opened.basic_consume(seen, "q", "tag"))
    await wait_idle()

    server.deliver("tag", b"early")
    server.send(channel.Close(404, "NOT_FOUND"))

    with pytest.raises(aioamqp.ChannelClosed):
        await consuming
    assert seen.bodies == []
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_after_closing_no_consumer_task_is_left(server: ScriptedServer) -> None:
    opened, seen = await server.open_channel(), Recorder()
    for n in range(5):
        await opened.basic_consume(seen, "q", f"tag{n}")
    server.deliver("tag0", b"1")
    await wait_idle()

    await opened.protocol.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_wait_closed_waits_for_a_consumer_task_that_has_just_started(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    await opened.basic_consume(Recorder(), "q", "tag")

    server.transport.protocol.connection_lost(None)
    await opened.protocol.wait_closed()

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_callback_that_runs_when_the_program_closes_is_not_stopped(
    server: ScriptedServer,
) -> None:
    opened, gate = await server.open_channel(), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    await opened.protocol.close()
    gate.is_open.set()
    await wait_idle()

    assert (gate.bodies, gate.finished) == ([b"1"], 1)


async def test_a_duplicate_tag_is_refused_by_the_server(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.basic_consume(Recorder(), "q", "tag")
    server.mute(basic.Consume)
    second = asyncio.create_task(opened.basic_consume(Recorder(), "q", "tag"))
    await wait_idle()

    server.send(connection.Close(530, "NOT_ALLOWED - attempt to reuse consumer tag"), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await second
    assert caught.value.code == 530
