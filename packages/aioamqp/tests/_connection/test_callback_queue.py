"""The task that runs callbacks, and the end of the event loop."""

import asyncio
from typing import Any

import pytest

import aioamqp
from callbacks_seen import Recorder
from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_callback_can_end_the_event_loop_and_its_consumer_lives(
    error: type[BaseException],
) -> None:
    server, seen = ScriptedServer(), Recorder()

    async def callback(*args: Any) -> None:
        await seen(*args)
        if args[1] == b"1":
            raise error

    async def consume() -> aioamqp.Channel:
        opened = await server.open_channel(heartbeat=0)
        await opened.basic_consume(callback, "q", "tag")
        server.deliver("tag", b"1", b"2")
        return opened

    async def wait_and_close() -> None:
        await asyncio.sleep(1)
        await opened.protocol.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        opened = runner.run(consume())
        with pytest.raises(error):
            runner.run(asyncio.sleep(1))
        assert seen.bodies == [b"1"]
        runner.run(wait_and_close())

    assert seen.bodies == [b"1", b"2"]
