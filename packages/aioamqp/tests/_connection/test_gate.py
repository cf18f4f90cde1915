"""Publishers that wait while the write buffer is full or the server has blocked the connection."""

import asyncio
from typing import Any

import pytest

import aioamqp
from amqp_codec import basic, channel, connection
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_a_publish_waits_while_the_write_buffer_is_full(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol

    protocol.pause_writing()
    tasks = [asyncio.create_task(opened.basic_publish(b"%d" % n, "", "q")) for n in range(3)]
    await wait_idle()
    assert server.published() == []
    assert not any(task.done() for task in tasks)

    assert (await opened.queue_declare("q"))["queue"] == "q"  # a request does not wait to be sent
    assert server.names() == ["queue.declare"]

    protocol.resume_writing()
    await asyncio.gather(*tasks)
    await wait_idle()
    assert server.published() == [b"0", b"1", b"2"]
    await protocol.close()


async def test_publishers_wait_again_when_others_fill_the_write_buffer_first(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol
    write = server.transport.write

    def write_and_be_full(data: Any) -> None:
        write(data)
        protocol.pause_writing()

    server.transport.write = write_and_be_full  # type: ignore[method-assign]
    protocol.pause_writing()
    tasks = [asyncio.create_task(opened.basic_publish(b"x" * 70_000, "", "q")) for _ in range(3)]

    done = []
    for _ in tasks:
        await wait_idle()
        done.append(sum(task.done() for task in tasks))
        protocol.resume_writing()
    await asyncio.gather(*tasks)

    assert done == [0, 1, 2]
    server.transport.write = write  # type: ignore[method-assign]
    protocol.resume_writing()
    await protocol.close()


async def test_a_publish_that_is_cancelled_while_it_waits_sends_nothing(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    first = asyncio.create_task(opened.basic_publish(b"first", "", "q"))
    second = asyncio.create_task(opened.basic_publish(b"second", "", "q"))
    await wait_idle()

    first.cancel()
    await wait_idle()
    assert not second.done()
    opened.protocol.resume_writing()
    await second
    await wait_idle()

    assert server.published() == [b"second"]
    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_publishers_wait_while_the_connection_is_blocked(
    server: ScriptedServer, call: str
) -> None:
    """R7."""
    opened = await server.open_channel()
    server.send(connection.Blocked("low on memory"), channel=0)
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
    server.send(connection.Blocked("low on memory"), channel=0)
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


# -------------------------------------------------------------------- order and fairness


async def publish_all(
    opened: aioamqp.Channel, count: int, size: int
) -> tuple[list[asyncio.Task[None]], list[bytes]]:
    """Start so many publishes at once; return their tasks and their bodies."""
    bodies = [(b"%d " % n).ljust(size, b".") for n in range(count)]
    return [asyncio.create_task(opened.publish(body, "", "q")) for body in bodies], bodies


@pytest.mark.parametrize("size", [100, 20_000, 70_000, 300_000])
async def test_gathered_publishes_leave_in_the_order_of_the_calls(
    server: ScriptedServer, size: int
) -> None:
    """Row C1."""
    opened = await server.open_channel()

    tasks, bodies = await publish_all(opened, 1500 if size == 100 else 12, size)
    await asyncio.gather(*tasks)
    await wait_idle()

    assert server.published() == bodies
    await opened.protocol.close()


async def test_later_calls_do_not_pass_those_that_wait(server: ScriptedServer) -> None:
    """Row C1."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    tasks, bodies = await publish_all(opened, 200, 1000)
    await wait_idle()
    opened.protocol.resume_writing()
    late = []

    for n in range(50):  # one more call in each turn of the loop in which the others are woken
        late.append(asyncio.create_task(opened.publish(b"late %d" % n, "", "q")))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, *late)
    await wait_idle()

    assert server.published() == [*bodies, *(b"late %d" % n for n in range(50))]
    await opened.protocol.close()


@pytest.mark.parametrize("reason", ["full", "blocked", "flow"])
async def test_messages_keep_their_order_over_every_way_to_wait(
    server: ScriptedServer, reason: str
) -> None:
    """Row C1."""
    opened = await server.open_channel()

    def stop_or_resume(stops: bool) -> None:
        protocol = opened.protocol
        if reason == "full":
            (protocol.pause_writing if stops else protocol.resume_writing)()
        elif reason == "blocked":
            server.send_now(
                connection.Blocked("memory") if stops else connection.Unblocked(), channel=0
            )
        else:
            server.send_now(channel.Flow(not stops))

    stop_or_resume(True)
    tasks, bodies = await publish_all(opened, 300, 1000)
    for _ in range(3):
        await asyncio.sleep(0)
        stop_or_resume(False)
        await asyncio.sleep(0)
        stop_or_resume(True)
    await wait_idle()
    assert len(server.published()) < 300
    stop_or_resume(False)
    await asyncio.gather(*tasks)
    await wait_idle()

    assert server.published() == bodies
    await opened.protocol.close()


async def test_acknowledgements_keep_their_order_while_the_write_buffer_is_full(
    server: ScriptedServer,
) -> None:
    """Row C1."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    tasks = [asyncio.create_task(opened.basic_client_ack(n)) for n in range(1, 201)]
    await wait_idle()
    assert opened.protocol.pending == {"acknowledgements": 200}
    opened.protocol.resume_writing()
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(opened.basic_client_ack(201)))
    await asyncio.gather(*tasks)
    await wait_idle()

    assert [ack.delivery_tag for ack in server.methods(basic.Ack)] == list(range(1, 202))
    await opened.protocol.close()


async def test_a_caller_that_is_cancelled_when_it_is_woken_does_not_hold_up_the_others(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    tasks, bodies = await publish_all(opened, 10, 70_000)
    await wait_idle()

    opened.protocol.resume_writing()  # wakes the first
    tasks[0].cancel()
    tasks[5].cancel()
    await asyncio.wait(tasks)
    await wait_idle()

    assert server.published() == [*bodies[1:5], *bodies[6:]]
    assert opened.protocol.pending == {}
    await opened.protocol.close()


@pytest.mark.parametrize("count", [500, 2000])
async def test_each_publish_that_waits_is_woken_about_once(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Row U8."""
    opened = await server.open_channel()
    protocol, loop, futures = opened.protocol, asyncio.get_running_loop(), 0
    create_future, write = loop.create_future, server.transport.write

    def counted() -> asyncio.Future[Any]:
        nonlocal futures
        futures += 1
        return create_future()

    def write_and_be_full(data: Any) -> None:
        write(data)
        protocol.pause_writing()
        loop.call_soon(protocol.resume_writing)

    server.transport.write = write_and_be_full  # type: ignore[method-assign]
    monkeypatch.setattr(loop, "create_future", counted)
    tasks, bodies = await publish_all(opened, count, 20_000)
    await asyncio.gather(*tasks)
    monkeypatch.undo()
    await wait_idle()

    assert server.published() == bodies
    assert futures < 5 * count  # quadratic would be many hundred times as many
    server.transport.write = write  # type: ignore[method-assign]
    await protocol.close()


async def test_a_producer_that_never_suspends_does_not_starve_a_consumer(
    server: ScriptedServer,
) -> None:
    """Row U9. A server with a prefetch of 1: it delivers when the last message is acknowledged."""
    opened, handled = await server.open_channel(), 0

    async def callback(channel: aioamqp.Channel, *args: Any) -> None:
        nonlocal handled
        handled += 1
        await channel.basic_client_ack(args[1].delivery_tag)

    def deliver(ack: basic.Ack) -> None:
        server.deliver("tag", b"x", first=ack.delivery_tag + 1)

    await opened.basic_consume(callback, "q", "tag")
    server.answers[basic.Ack] = deliver
    server.deliver("tag", b"x")
    await asyncio.sleep(0)

    for _ in range(10_000):
        await opened.basic_publish(b"x" * 100, "", "q")

    assert handled > 50
    server.answers[basic.Ack] = None
    await opened.protocol.close()


async def test_publishers_of_a_channel_that_ends_do_not_wait_for_the_connection(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    other = await opened.protocol.channel()
    opened.protocol.pause_writing()
    tasks = [asyncio.create_task(each.publish(b"", "", "q")) for each in (opened, other)]
    acks = [asyncio.create_task(each.basic_client_ack(1)) for each in (opened, other)]
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND - no exchange", 60, 40))
    await wait_idle()

    with pytest.raises(aioamqp.PublishNotSent, match="404 NOT_FOUND"):
        await tasks[0]
    with pytest.raises(aioamqp.ChannelClosed, match="404"):
        await acks[0]
    assert not tasks[1].done()
    assert not acks[1].done()
    opened.protocol.resume_writing()
    await asyncio.gather(tasks[1], acks[1])
    await opened.protocol.close()
