"""Programs that end their event loop without closing a connection: R26."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import aioamqp
from amqp_codec import queue
from tests.compat.defects.scripted_tcp import ScriptedServer

fails_on_0_15 = pytest.mark.fails_on_0_15


class ServerThread:
    """A scripted server in another thread with its own event loop."""

    def __init__(self) -> None:
        self.server = ScriptedServer()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        self.run(self.server.listen())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the thread of the server and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        self.run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def server_thread() -> Iterator[ServerThread]:
    server_thread = ServerThread()
    server_thread.start()
    yield server_thread
    server_thread.stop()


def unclosed(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return the warnings about unclosed sockets and transports."""
    texts = [str(each.message) for each in caught]
    return [text for text in texts if text.startswith("unclosed")]


@fails_on_0_15("unclosed <socket.socket")
def test_a_connection_left_open_is_closed_when_the_event_loop_ends(
    server_thread: ServerThread, caplog: pytest.LogCaptureFixture
) -> None:
    """R26."""

    async def main() -> None:
        _, protocol = await aioamqp.connect("127.0.0.1", server_thread.server.port)
        channel = await protocol.channel()
        await channel.basic_consume(print, "q")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert unclosed(caught) == []
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []
    server_thread.run(server_thread.server.wait_closed())


@fails_on_0_15("unclosed <socket.socket")
def test_a_connection_is_closed_when_a_call_is_interrupted(
    server_thread: ServerThread, caplog: pytest.LogCaptureFixture
) -> None:
    """R26."""
    server_thread.server.mute(queue.Purge)

    async def main() -> None:
        _, protocol = await aioamqp.connect("127.0.0.1", server_thread.server.port)
        channel = await protocol.channel()
        asyncio.get_running_loop().call_soon(interrupt)
        await channel.queue_purge("q")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        gc.collect()
    assert unclosed(caught) == []
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []
    server_thread.run(server_thread.server.wait_closed())
