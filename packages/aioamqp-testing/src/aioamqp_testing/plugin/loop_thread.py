"""An event loop in a thread, for tests that have none and still need a broker over TCP."""

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")


@contextmanager
def entered(context: AbstractAsyncContextManager[_T]) -> Generator[_T]:
    """Enter an asynchronous context manager, and leave it, in the loop of another thread."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        async def enter() -> _T:
            return await context.__aenter__()

        async def leave() -> None:
            await context.__aexit__(None, None, None)

        thread = threading.Thread(target=loop.run_forever, name="aioamqp-testing", daemon=True)
        thread.start()
        try:
            value: _T = run(enter())
            try:
                yield value
            finally:
                run(leave())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
