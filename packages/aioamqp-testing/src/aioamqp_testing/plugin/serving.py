"""A broker for one test, and every connection of aioamqp led to it while the test runs."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ..broker import FakeBroker
from .backend import FAKE, Backend

if TYPE_CHECKING:
    from .rabbitmq import RealBroker

IN_MEMORY: Final = "amqp://guest:guest@fake-broker.invalid/"
"""The URL of the broker in memory. aioamqp does not resolve the host; other clients cannot."""

_T = TypeVar("_T")


@dataclass
class Served:
    """The broker of one test.

    Attributes:
        broker: the value of the fixture amqp_broker.
        url: for clients.
        names: the names that the test got from the fixture amqp_name.
    """

    broker: "FakeBroker | RealBroker"
    url: str
    names: list[str] = field(default_factory=list)


@asynccontextmanager
async def serve(
    backend: Backend, options: dict[str, Any], skip: Callable[[str], NoReturn]
) -> AsyncGenerator[Served]:
    """Serve a test that runs in an event loop.

    Args:
        backend: where.
        options: the arguments of FakeBroker.
        skip: called with a reason when a test cannot run on a real broker.
    """
    import aioamqp

    from .rabbitmq import RealBroker, borrowed, dialer_to

    if backend.is_fake:
        broker = FakeBroker(**options)
        broker.open()
        try:
            url = IN_MEMORY if backend.kind == FAKE else await broker.listen()
            dialer = broker.dial if backend.kind == FAKE else dialer_to(url)
            with aioamqp.dialing(dialer, everywhere=True):
                yield Served(broker, url)
        finally:
            await broker.close()
        return
    if options:
        skip(f"the options {options} are for the fake broker, and --amqp-backend is a real one")
    names: list[str] = []
    with aioamqp.dialing(dialer_to(backend.kind), everywhere=True):
        async with borrowed(backend.kind, backend.virtual_hosts, names) as url:
            yield Served(RealBroker(url, skip), url, names)


@contextmanager
def serve_without_loop(
    backend: Backend, options: dict[str, Any], skip: Callable[[str], NoReturn]
) -> Generator[Served]:
    """Serve a test that is not a coroutine. The program it tests runs its own event loops.

    Args:
        backend: where.
        options: the arguments of FakeBroker.
        skip: called with a reason when a test cannot run on a real broker.
    """
    import aioamqp

    if backend.kind != FAKE:
        with _in_loop_thread(serve(backend, options, skip)) as served:
            yield served
        return
    broker = FakeBroker(**options)
    broker.open()
    with aioamqp.dialing(broker.dial, everywhere=True):
        yield Served(broker, IN_MEMORY)
    broker.abort()


@contextmanager
def _in_loop_thread(context: AbstractAsyncContextManager[_T]) -> Generator[_T]:
    """Enter and leave an asynchronous context manager in an event loop of another thread."""
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
