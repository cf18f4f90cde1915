"""Publishers that wait while the write buffer is full or the server has blocked the connection."""

import asyncio
from typing import Any

import pytest

from amqp_codec import (
    connection,
)
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
