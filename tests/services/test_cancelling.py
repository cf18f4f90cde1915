"""Workers and RPC whose calls are cancelled at each iteration of the event loop.

The pattern is that of tests/compat/test_cancelling.py; here the connection recovers. Afterwards it
works, every message was handled or is in a queue, none is there twice, and nothing is left over.
"""

import asyncio
import gc
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pytest

from aioamqp import Backoff, Connection, Message, Retry, RpcClient, RpcServer, Worker
from aioamqp_testing import FakeBroker, fake_broker
from aioamqp_testing.faults import Reset
from virtual_loop import VirtualLoop

pytestmark = pytest.mark.slow

BODIES: Final = [b"1", b"2", b"3"]
"""Bodies of the messages that are in the queue ``q`` before the call."""

MAX_ITERATIONS: Final = 300
"""More loop iterations than any call takes."""

ITERATIONS_DOWN: Final = 15
"""Loop iterations after which a call waits for the connection, which is down."""


@dataclass
class Scene:
    """A broker, a connection, and what the handler of its workers has done."""

    broker: FakeBroker
    connection: Connection
    handled: list[bytes] = field(default_factory=list)

    async def handle(self, message: Message) -> None:
        if message.body == b"2" and not (message.properties.headers or {}).get("x-aioamqp-error"):
            raise ValueError("the first time")
        await self.reply(message)

    async def reply(self, request: Message) -> bytes:
        await asyncio.sleep(0)
        self.handled.append(request.body)
        return request.body

    def worker(self, **options: Any) -> Worker:
        options = {"on_exception": Retry((1,)), **options}
        return Worker(self.connection, "q", self.handle, 2, **options)

    def bodies(self, *queues: str) -> list[bytes]:
        """List the bodies of the messages that are in these queues."""
        found = self.broker.vhost.queues
        return [m.body for name in queues if name in found for m in found[name].messages]


Step: TypeAlias = Callable[[Scene], Awaitable[object]]


async def use_a_worker(scene: Scene) -> None:
    async with scene.worker():
        for _ in range(20):
            await asyncio.sleep(0)


async def run_a_worker(scene: Scene) -> None:
    worker = scene.worker(order_by=lambda message: len(message.body))
    drain_later(worker)
    await worker.run()


async def drain_a_worker(scene: Scene) -> None:
    """Drain, in a block that is left afterwards in any case."""
    async with scene.worker() as worker:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await worker.drain()


async def run_a_server(scene: Scene) -> None:
    server = RpcServer(scene.connection, "q", scene.reply, 2)
    drain_later(server)
    await server.run()


async def call_a_server(scene: Scene) -> None:
    async with RpcClient(scene.connection) as rpc:
        await rpc.call("echo", b"call", timeout=100)


async def call_without_a_block(scene: Scene) -> None:
    rpc = RpcClient(scene.connection)
    try:
        await asyncio.gather(*(rpc.call("echo", b"call", resend=True) for _ in range(2)))
    finally:
        await rpc.close()


CALLS: dict[str, Step] = {
    "use a worker": use_a_worker,
    "run a worker": run_a_worker,
    "drain a worker": drain_a_worker,
    "run a server": run_a_server,
    "call a server": call_a_server,
    "call without a block": call_without_a_block,
}


async def lose_the_link(scene: Scene) -> None:
    scene.broker.faults.add(Reset(optional=True))


async def close_the_connection(scene: Scene) -> None:
    for session in scene.broker.sessions:
        scene.broker.close_connection(session)


EVENTS: dict[str, Step] = {
    "the link is lost": lose_the_link,
    "the server closes the connection": close_the_connection,
}


def drain_later(worker: Worker, tries: int = 100) -> None:
    """Drain a worker some iterations from now, or when it has started."""
    if worker.is_running and tries < 80:
        asyncio.get_running_loop().create_task(worker.drain())
    elif tries:
        later(1, lambda: drain_later(worker, tries - 1))


def later(iterations: int, function: Callable[[], object]) -> None:
    """Call a function some loop iterations from now."""
    loop = asyncio.get_running_loop()
    loop.call_soon(later if iterations else lambda *_: function(), iterations - 1, function)


class ErrorLog(logging.Handler):
    """A log handler that keeps errors, including those of asyncio, but not those of handlers."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if "the first time" not in text:
            self.texts.append(text)


def run_all(trial: Callable[[int], Coroutine[Any, Any, bool]], most: int | None = None) -> int:
    """Run the trial for 0, 1, 2, ... iterations until the call ends before; return that number."""
    error_log = ErrorLog()
    logging.getLogger().addHandler(error_log)
    try:
        for iterations in itertools.count():
            assert iterations < MAX_ITERATIONS, "the call does not return"
            random.seed(1)
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                was_cancelled = runner.run(trial(iterations))
            assert error_log.texts == [], f"after {iterations} iterations"
            if not was_cancelled or iterations == most:
                break
        gc.collect()
        assert error_log.texts == []
        return iterations
    finally:
        logging.getLogger().removeHandler(error_log)


async def cancelled_after(iterations: int, call: asyncio.Future[object]) -> bool:
    """Cancel a call after ``iterations`` iterations; return whether it was still running."""
    for _ in range(iterations):
        await asyncio.sleep(0)
    was_cancelled = call.cancel()
    await asyncio.wait([call])
    if not call.cancelled():
        error = call.exception()
        assert not was_cancelled, f"cancelled after {iterations} iterations, it raised {error!r}"
    return was_cancelled


async def in_a_scene(use: Callable[[Scene], Coroutine[Any, Any, bool]]) -> bool:
    async with fake_broker() as broker:
        broker.rpc_reply("echo", lambda request: request.body)
        async with Connection("amqp://broker/", reconnect=Backoff(initial=0.0)) as connection:
            async with await connection.channel() as channel:
                await channel.queue_declare("q", durable=True)
            for body in BODIES:
                broker.publish("", "q", body, delivery_mode=2)
            return await use(Scene(broker, connection))


async def check(scene: Scene, is_exact: bool) -> None:
    """Assert that nothing is lost, doubled or left, and that the connection works."""
    connection, broker = scene.connection, scene.broker
    await connection.wait_open(100)
    await broker.wait_idle()
    assert connection.snapshot()["channels"] == []
    assert connection.topology.consumers == {}
    assert connection.protocol.pending == {}
    left = scene.bodies("q", "q.retry.1000")
    assert {*left, *scene.handled} == {*BODIES}
    if is_exact:
        assert len(left) == len({*left})
    assert broker.vhost.queues["q"].consumer_count == broker.vhost.queues["q"].unacked_count == 0
    async with scene.worker():  # it works, and handles the rest
        await asyncio.sleep(5)
    assert scene.bodies("q", "q.retry.1000") == []
    assert {*scene.handled} == {*BODIES}
    if is_exact:
        assert sorted(scene.handled) == sorted({*scene.handled})


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_loop_iteration(name: str) -> None:
    def trial(iterations: int) -> Coroutine[Any, Any, bool]:
        async def use(scene: Scene) -> bool:
            was_cancelled = await cancelled_after(iterations, task_of(CALLS[name](scene)))
            await check(scene, is_exact=True)
            return was_cancelled

        return in_a_scene(use)

    assert run_all(trial) > 10


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_while_the_connection_is_lost_and_recovers(
    name: str, event: str
) -> None:
    def trial(iterations: int) -> Coroutine[Any, Any, bool]:
        async def use(scene: Scene) -> bool:
            call = task_of(CALLS[name](scene))
            later(10, lambda: task_of(EVENTS[event](scene)))
            was_cancelled = await cancelled_after(iterations, call)
            await asyncio.sleep(1)
            await check(scene, is_exact=False)
            return was_cancelled

        return in_a_scene(use)

    assert run_all(trial) > 10


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_while_the_connection_is_down(name: str) -> None:
    def trial(iterations: int) -> Coroutine[Any, Any, bool]:
        async def use(scene: Scene) -> bool:
            protocol = scene.connection.protocol
            await scene.broker.stop()
            await protocol.wait_closed()
            was_cancelled = await cancelled_after(iterations, task_of(CALLS[name](scene)))
            await scene.broker.start()
            scene.broker.rpc_reply("echo", lambda request: request.body)
            await check(scene, is_exact=True)
            return was_cancelled

        return in_a_scene(use)

    assert run_all(trial, ITERATIONS_DOWN) == ITERATIONS_DOWN


def task_of(call: Awaitable[object]) -> asyncio.Future[object]:
    return asyncio.ensure_future(call)
