"""When the write buffer is written to the transport."""

import asyncio

import pytest

from amqp_codec import (
    queue,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_the_first_write_of_a_turn_leaves_at_once_and_the_rest_in_one_write(
    server: ScriptedServer,
) -> None:
    """Row U33."""
    opened = await server.open_channel()

    for _ in range(2):
        for n in range(10):
            await opened.basic_publish(b"%d" % n, "", "q")
        await opened.basic_client_ack(1)
        assert len(server.transport.writes) == 1
        assert server.published() == [b"0"]
        await wait_idle()

        assert len(server.transport.writes) == 2
        assert server.published() == [b"%d" % n for n in range(10)]
        assert server.names()[-1] == "basic.ack"
        server.transport.writes.clear()
        server.received.clear()
    await opened.protocol.close()


async def test_a_request_flushes_the_write_buffer(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)

    await opened.basic_publish(b"1", "", "q")
    await opened.basic_publish(b"2", "", "q")
    call = opened.queue_declare("q")
    call.send(None)

    assert server.names() == ["basic.publish", "basic.publish", "queue.declare"]
    assert len(server.transport.writes) == 2
    call.close()
    await opened.protocol.close()


async def test_publishing_in_a_loop_gives_other_tasks_their_turns(
    server: ScriptedServer,
) -> None:
    opened, turns = await server.open_channel(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())

    for _ in range(40):
        await opened.basic_publish(bytes(16 * 1024), "", "q")

    assert 16 <= turns <= 24  # two for every 64 KiB
    other.cancel()
    await asyncio.wait([other])
    await opened.protocol.close()


async def test_the_write_buffer_is_flushed_at_64_kib(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    for _ in range(7):
        await opened.basic_publish(b"x" * 20_000, "", "q")

    assert [len(data) // 20_000 for data in server.transport.writes] == [1, 3, 1]
    await wait_idle()
    assert [len(data) // 20_000 for data in server.transport.writes] == [1, 3, 1, 2]
    await opened.protocol.close()
