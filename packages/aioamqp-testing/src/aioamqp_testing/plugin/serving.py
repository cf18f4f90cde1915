"""A broker for one test, and every connection of aioamqp led to it while the test runs."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from ..broker import FakeBroker
from .backend import FAKE, Backend

if TYPE_CHECKING:
    from aioamqp import Dialer

    from .rabbitmq import RealBroker

_IN_MEMORY: Final = "amqp://guest:guest@fake-broker.invalid"
"""The URL of a broker that does not listen. aioamqp does not resolve the host."""

_T = TypeVar("_T")


@dataclass
class Served:
    """The broker of one test.

    Attributes:
        broker: the value of the fixture amqp_broker.
        url: for aioamqp.
        names: the names that the test got from the fixture amqp_name.
        ports: closes the ports that the broker listens on.
    """

    broker: "FakeBroker | RealBroker"
    url: str = field(default=_IN_MEMORY, repr=False)
    names: list[str] = field(default_factory=list[str])
    ports: ExitStack = field(default_factory=ExitStack)

    def listen(self) -> str:
        """Listen over TCP if the broker does not, and return a URL for any client.

        It listens in a thread of its own, so that a client may block the thread of the test.
        """
        if self.url is _IN_MEMORY and isinstance(self.broker, FakeBroker):
            self.url = self.ports.enter_context(_in_loop_thread(_listening(self.broker)))
        return self.url


@asynccontextmanager
async def _listening(broker: FakeBroker) -> AsyncGenerator[str]:
    try:
        yield await broker.listen()
    finally:
        await broker.close()


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
        served = Served(broker)
        try:
            with aioamqp.dialing(_dialer(backend, served), everywhere=True):
                yield served
        finally:
            await broker.close()
            served.ports.close()
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

    if not backend.is_fake:
        with _in_loop_thread(serve(backend, options, skip)) as served:
            yield served
        return
    broker = FakeBroker(**options)
    broker.open()
    served = Served(broker)
    with served.ports, aioamqp.dialing(_dialer(backend, served), everywhere=True):
        yield served
    broker.abort()


def _dialer(backend: Backend, served: Served) -> "Dialer":
    """Return the dialer that leads connections of aioamqp to a FakeBroker."""
    from .rabbitmq import dialer_to

    assert isinstance(served.broker, FakeBroker)
    return served.broker.dial if backend.kind == FAKE else dialer_to(served.listen())


@contextmanager
def _in_loop_thread(context: AbstractAsyncContextManager[_T]) -> Generator[_T]:
    """Enter and leave an asynchronous context manager in an event loop of another thread."""
    entered: Future[tuple[_T, Callable[[], object]]] = Future()
    left: Future[None] = Future()

    async def hold() -> None:
        leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with context as value:
            entered.set_result((value, lambda: loop.call_soon_threadsafe(leave.set)))
            await leave.wait()

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:  # noqa: BLE001 (raised in the other thread)
            (left if entered.done() else entered).set_exception(error)
        else:
            left.set_result(None)

    thread = threading.Thread(target=run, name="aioamqp-testing", daemon=True)
    thread.start()
    try:
        value, leave = entered.result()
        try:
            yield value
        finally:
            leave()
            left.result()
    finally:
        thread.join()
