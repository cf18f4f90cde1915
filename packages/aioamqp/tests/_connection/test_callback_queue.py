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


@pytest.mark.asyncio
async def test_callbacks_do_not_run_in_tasks_of_the_loop_s_task_factory() -> None:
    """Row U10: an eager one would run them inside the reader. Eager loops: `--eager-tasks`."""
    server, seen, loop = ScriptedServer(), Recorder(), asyncio.get_running_loop()
    opened = await server.open_channel(heartbeat=0)
    await opened.basic_consume(seen, "q", "tag")
    await asyncio.sleep(1)
    made: list[object] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    server.deliver("tag", b"1", b"2")
    at_once = list(seen.bodies)
    await asyncio.sleep(1)
    loop.set_task_factory(before)

    assert (at_once, seen.bodies, made) == ([], [b"1", b"2"], [])
    await opened.protocol.close()
