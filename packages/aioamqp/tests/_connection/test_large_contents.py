"""Contents that are written piece by piece: what goes between, and what ends them."""

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import aioamqp
from aioamqp.exceptions import AmqpClosedConnection, PublishNotSent, PublishUnconfirmed
from amqp_codec import basic, channel, connection, queue
from publishers import confirming, outcomes, publishes
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

PIECE = 131072
BODY = bytes(range(250)) * 4000
PIECES = 8  # of it


async def stuck(server: ScriptedServer, opened: aioamqp.Channel) -> asyncio.Task[None]:
    """Publish a large message; return when the write buffer is full of its first piece."""
    server.transport.capacity = 65536
    task = asyncio.create_task(opened.basic_publish(BODY, "", "q"))
    await wait_idle()
    assert len(server.transport.writes) == 1
    assert opened.protocol.pending["large messages"] == 1
    return task


async def drain(server: ScriptedServer, times: int = 100) -> None:
    """Empty the write buffer again and again, until there is nothing in it."""
    for _ in range(times):
        if not server.transport.held:
            return
        server.transport.drain()
        await wait_idle()


async def drain_and_close(server: ScriptedServer, protocol: aioamqp.AmqpProtocol) -> None:
    server.transport.capacity = None
    server.transport.drain()
    await wait_idle()
    assert protocol.pending == {}
    await protocol.close()


async def test_a_large_message_is_written_as_the_transport_takes_it(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    task = await stuck(server, opened)
    for count in range(2, PIECES + 1):
        assert server.transport.held <= PIECE + 100
        assert not task.done()
        server.transport.drain()
        await wait_idle()
        assert len(server.transport.writes) == count
    await task  # the last piece is in the write buffer

    assert server.published() == [BODY]
    await drain_and_close(server, opened.protocol)


async def test_a_large_message_is_written_at_once_if_the_transport_takes_it(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    publish = opened.basic_publish(BODY, "", "q")
    with pytest.raises(StopIteration):
        publish.send(None)

    assert server.published() == [BODY]
    await opened.protocol.close()


@pytest.mark.parametrize("size", [131072, 131073, 131064, 131065, 300_000])
@pytest.mark.parametrize("frame_max", [4096, 131072, 200_000])
async def test_bodies_of_any_size_arrive(server: ScriptedServer, size: int, frame_max: int) -> None:
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, frame_max, 60)
    opened = await server.open_channel()
    body = BODY[:size]

    for each in (body, bytearray(body), memoryview(body), memoryview(body * 2)[::2]):
        await opened.basic_publish(each, "", "q")

    assert server.published()[:3] == [body] * 3
    assert server.published()[3] == (body * 2)[::2]
    assert max(map(len, server.transport.writes)) <= PIECE + 500
    await opened.protocol.close()


async def test_other_channels_write_between_the_pieces(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    other = await opened.protocol.channel()
    server.received.clear()
    server.transport.writes.clear()
    task = await stuck(server, opened)

    others = [
        asyncio.create_task(other.basic_publish(b"small", "", "q")),
        asyncio.create_task(other.basic_client_ack(1)),
        asyncio.create_task(other.queue_declare("q")),
    ]
    await wait_idle()
    await opened.protocol.send_heartbeat()
    server.transport.drain()
    await wait_idle()

    for each in others:
        await each
    assert not task.done()
    assert sorted(server.names()) == ["basic.ack", "basic.publish", "heartbeat", "queue.declare"]
    await drain(server)
    await task
    assert server.published() == [b"small", BODY]
    await drain_and_close(server, opened.protocol)


async def test_large_messages_of_several_channels_take_turns(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    others = [await opened.protocol.channel() for _ in range(2)]
    server.received.clear()
    server.transport.writes.clear()
    tasks = [await stuck(server, opened)]
    tasks += [asyncio.create_task(each.basic_publish(BODY[:500_000], "", "q")) for each in others]

    await drain(server)
    await asyncio.gather(*tasks)

    assert [command.channel for command in server.received] in ([2, 3, 1], [3, 2, 1])
    assert max(map(len, server.transport.writes)) <= PIECE + 100
    await drain_and_close(server, opened.protocol)


async def test_publishers_wait_for_the_large_message_of_their_channel(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)
    tasks = [asyncio.create_task(opened.basic_publish(b"%d" % n, "", "q")) for n in range(3)]

    for _ in range(PIECES - 2):
        server.transport.drain()
        await wait_idle()
        assert not any(each.done() for each in tasks)
    await drain(server)
    await asyncio.gather(task, *tasks)

    assert server.published() == [BODY, b"0", b"1", b"2"]
    await drain_and_close(server, opened.protocol)


async def test_what_else_a_channel_sends_is_behind_its_large_message(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)

    declared = asyncio.create_task(opened.queue_declare("q"))
    acked = asyncio.create_task(opened.basic_client_ack(1))
    await wait_idle()
    await drain(server)
    await asyncio.gather(task, declared, acked)

    assert server.names() == ["basic.publish", "queue.declare", "basic.ack"]
    await drain_and_close(server, opened.protocol)


async def test_more_than_a_turn_allows_is_written_in_the_next_turn(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    body = BODY * 10  # of 10 MB: two turns and a half
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    task = asyncio.create_task(opened.basic_publish(body, "", "q"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await opened.basic_client_ack(1)
    await task

    assert turns > 2
    assert server.published() == [body]
    assert server.names() == ["basic.publish", "basic.ack"]
    other.cancel()
    await asyncio.wait([other])
    await opened.protocol.close()


# ------------------------------------------------------------------------ calls that are given up


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_a_large_message_is_not_torn_when_its_publisher_is_cancelled(
    server: ScriptedServer, kind: Callable[[bytes], Any]
) -> None:
    opened, body = await server.open_channel(), kind(BODY)
    server.transport.capacity = 65536
    task = asyncio.create_task(opened.basic_publish(body, "", "q"))
    await wait_idle()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if kind is bytearray:
        body[:] = bytes(len(BODY))
    del body
    await drain(server)

    assert server.published() == [BODY]
    await opened.basic_publish(b"next", "", "q")
    await wait_idle()
    assert server.published() == [BODY, b"next"]
    await drain_and_close(server, opened.protocol)


async def test_the_rest_is_sent_after_the_timeout_of_a_publisher(server: ScriptedServer) -> None:
    opened = await server.open_channel(heartbeat=0)
    server.transport.capacity = 65536

    with pytest.raises(PublishUnconfirmed, match="rest is still to be sent") as raised:
        await opened.basic_publish(BODY, "", "q", timeout=5)
    await drain(server)

    assert isinstance(raised.value, TimeoutError)
    assert server.published() == [BODY]
    await drain_and_close(server, opened.protocol)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_large_message_that_waits_in_line_can_be_given_up(
    server: ScriptedServer, is_cancelled: bool
) -> None:
    opened = await server.open_channel(heartbeat=0)
    first = await stuck(server, opened)
    second = asyncio.create_task(opened.basic_publish(BODY, "", "q", timeout=5))
    await wait_idle()

    if is_cancelled:
        second.cancel()
    await asyncio.wait([second])
    await drain(server)
    await first

    if not is_cancelled:
        assert isinstance(second.exception(), PublishNotSent)
    assert server.published() == [BODY]
    await drain_and_close(server, opened.protocol)


# ------------------------------------------------------------------------ ends of the channel


async def test_channel_close_is_behind_the_large_message(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)

    closing = asyncio.create_task(opened.close())
    await wait_idle()
    assert server.names() == []
    await drain(server)
    await asyncio.gather(task, closing)

    assert server.names() == ["basic.publish", "channel.close"]
    await drain_and_close(server, opened.protocol)


async def test_channel_close_ok_is_behind_the_large_message(server: ScriptedServer) -> None:
    """The number may be used again at once: for what is sent behind it."""
    opened = await server.open_channel()
    task = await stuck(server, opened)

    server.send(channel.Close(406, "PRECONDITION_FAILED"))
    await wait_idle()
    reopening = asyncio.create_task(opened.protocol.channel())
    await wait_idle()
    assert server.names() == []
    await drain(server)
    await task
    again = await reopening

    assert server.names() == ["basic.publish", "channel.close-ok", "channel.open"]
    assert again.channel_id == opened.channel_id
    server.transport.capacity = None
    await again.basic_publish(BODY, "", "q")
    await drain_and_close(server, opened.protocol)


# ------------------------------------------------------------------------ ends of the connection


@pytest.mark.parametrize("no_wait", [False, True])
async def test_closing_writes_a_large_message_to_its_end(
    server: ScriptedServer, no_wait: bool
) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)

    closing = asyncio.create_task(opened.protocol.close(no_wait=no_wait))
    await wait_idle()
    await drain(server)
    await asyncio.gather(task, closing)

    assert server.names() == ["basic.publish", "connection.close"]
    assert server.published() == [BODY]
    await opened.protocol.wait_closed()
    assert opened.protocol.pending == {}


async def test_closing_does_not_wait_for_a_server_that_does_not_read(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel(heartbeat=0)
    server.mute(connection.Close)
    task = await stuck(server, opened)
    began = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError):
        await opened.protocol.close(timeout=3)
    with pytest.raises(PublishNotSent):
        await task

    assert asyncio.get_running_loop().time() - began == pytest.approx(3)  # in virtual time
    assert server.transport.was_aborted
    assert opened.protocol.pending == {}


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_the_transport_gets_all_of_a_large_message_before_it_is_closed(
    server: ScriptedServer, end: str
) -> None:
    with aioamqp.dialing(server.dial):
        transport, protocol = await aioamqp.connect()
    opened = await protocol.channel()
    server.received.clear()
    server.transport.writes.clear()
    server.transport.write_eof = lambda: None  # type: ignore[method-assign]
    task = await stuck(server, opened)

    getattr(transport, end)()
    await task

    assert server.published() == [BODY]
    transport.close()
    await protocol.wait_closed()


def lose_link(server: ScriptedServer) -> None:
    server.transport.end(ConnectionResetError("reset by peer"))


def close_by_server(server: ScriptedServer) -> None:
    server.send(connection.Close(320, "CONNECTION_FORCED"), channel=0)


@pytest.mark.parametrize("end", [lose_link, close_by_server])
@pytest.mark.parametrize("call", ["basic_publish", "publish", "confirmed"])
async def test_a_large_message_that_is_torn_has_not_been_sent(
    server: ScriptedServer, call: str, end: Callable[[ScriptedServer], None]
) -> None:
    opened = await (confirming if call == "confirmed" else ScriptedServer.open_channel)(server)
    publish: Callable[..., Coroutine[Any, Any, None]] = (
        opened.basic_publish if call == "basic_publish" else opened.publish
    )
    server.transport.capacity = 65536
    tasks = [asyncio.create_task(publish(BODY, "", "q")) for _ in range(2)]
    await wait_idle()

    end(server)
    ended = await outcomes(tasks)

    assert [type(each).__mro__[1] for each in ended] == [PublishNotSent] * 2
    await opened.protocol.wait_closed()
    assert opened.protocol.pending == {}
    assert [name for name in server.names() if name != "connection.close-ok"] == []


async def test_a_written_message_is_unconfirmed_when_the_link_is_lost(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, BODY)

    lose_link(server)

    (ended,) = await outcomes(tasks)
    assert isinstance(ended, PublishUnconfirmed)
    assert isinstance(ended, AmqpClosedConnection)
    await opened.protocol.wait_closed()


async def test_a_cancelled_publisher_leaves_nothing_when_the_link_is_lost(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)

    task.cancel()
    await asyncio.wait([task])
    lose_link(server)
    await opened.protocol.wait_closed()

    assert opened.protocol.pending == {}
    assert server.names() == []


# ------------------------------------------------------------------------ confirms and limits


async def test_delivery_tags_are_in_the_order_of_writing(server: ScriptedServer) -> None:
    opened = await confirming(server)
    server.transport.capacity = 65536
    bodies = [b"1", BODY, b"3", BODY[:200_000], b"5"]
    tasks = await publishes(opened, *bodies)
    await drain(server)
    assert server.published() == bodies

    for tag in (4, 1, 3, 2):
        server.send(basic.Ack(tag) if tag != 3 else basic.Nack(3, requeue=False))
    await wait_idle()

    assert [task.done() for task in tasks] == [True] * 4 + [False]
    assert isinstance(tasks[2].exception(), aioamqp.exceptions.PublishFailed)
    server.send(basic.Ack(5))
    await asyncio.wait(tasks)
    await drain_and_close(server, opened.protocol)


async def test_a_publisher_with_a_limit_writes_large_messages(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.transport.capacity = 65536
    publisher = opened.publisher("", routing_key="q")

    first = await publisher.publish_deferred(BODY)
    second = asyncio.create_task(publisher.publish_deferred(BODY[:200_000]))
    await wait_idle()
    assert not second.done()
    await drain(server)
    server.send(basic.Ack(2, multiple=True))

    await first
    await (await second)
    assert server.published() == [BODY, BODY[:200_000]]
    await drain_and_close(server, opened.protocol)


async def test_a_large_message_of_a_publisher_that_is_torn_has_not_been_sent(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    publisher = opened.publisher("", routing_key="q")
    small = await publisher.publish_deferred(b"small")
    server.transport.capacity = 65536
    large = await publisher.publish_deferred(BODY)
    await wait_idle()

    lose_link(server)
    await opened.protocol.wait_closed()

    with pytest.raises(PublishUnconfirmed):
        await small
    with pytest.raises(PublishNotSent):
        await large
    assert publisher.unconfirmed == 0
    assert opened.protocol.pending == {}


async def test_a_large_message_that_was_given_up_may_be_torn(server: ScriptedServer) -> None:
    opened = await server.open_channel(heartbeat=0)
    publisher = opened.publisher("", routing_key="q")
    server.transport.capacity = 65536

    with pytest.raises(PublishUnconfirmed):
        await publisher.publish(BODY, timeout=5)
    lose_link(server)
    await opened.protocol.wait_closed()

    assert publisher.unconfirmed == 0
    assert opened.protocol.pending == {}


async def test_a_large_message_is_written_on_when_the_server_blocks(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    task = await stuck(server, opened)

    server.send(connection.Blocked("memory"), channel=0)
    server.send(channel.Flow(active=False))
    await wait_idle()
    await drain(server)
    await task

    assert server.published() == [BODY]
    server.send(connection.Unblocked(), channel=0)
    server.send(channel.Flow(active=True))
    await wait_idle()
    await drain_and_close(server, opened.protocol)


async def test_memory_is_bounded_however_many_publish(server: ScriptedServer) -> None:
    opened = await server.open_channel(heartbeat=0)
    channels = [opened, *[await opened.protocol.channel() for _ in range(9)]]
    server.received.clear()
    server.transport.writes.clear()
    server.transport.capacity = 65536
    most = 0
    tracemalloc.start()

    tasks = [
        asyncio.create_task(each.basic_publish(BODY, "", "q"))
        for each in channels
        for _ in range(5)
    ]
    await wait_idle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    while server.transport.held:
        most = max(most, server.transport.held)
        server.transport.drain()
        await wait_idle()
    await asyncio.gather(*tasks)

    assert peak < 2_000_000  # for 50 messages of a megabyte
    assert most < 2 * PIECE
    assert server.published() == [BODY] * 50
    await drain_and_close(server, opened.protocol)


async def test_a_message_that_is_too_large_is_refused_before_anything_is_written(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel(max_message_size=500_000)

    for body in (BODY, bytearray(BODY)):
        with pytest.raises(aioamqp.exceptions.MessageTooLarge, match="has 1000000 bytes"):
            await opened.basic_publish(body, "", "q")
    with pytest.raises(aioamqp.InvalidArgument, match="priority"):
        await opened.basic_publish(BODY[:400_000], "", "q", {"priority": 256})

    assert server.transport.writes == []
    assert (await opened.queue_declare("q"))["queue"] == "q"
    assert server.methods(queue.Declare)
    await opened.protocol.close()
