"""A channel as a context manager."""

import pytest

from amqp_codec import (
    channel,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_a_block_closes_its_channel(server: ScriptedServer) -> None:
    protocol = await server.connect()

    async with await protocol.channel() as opened:
        await opened.queue_purge("q")

    assert not opened.is_open
    assert server.names() == ["channel.open", "queue.purge", "channel.close"]
    await protocol.close()


async def test_the_block_of_a_closed_channel_raises_nothing(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()

    async with await protocol.channel() as opened:
        server.send(channel.Close(404, "NOT_FOUND"))
        await wait_idle()

    assert not opened.is_open
    assert server.names() == ["channel.open", "channel.close-ok"]
    await protocol.close()
