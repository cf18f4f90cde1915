"""One broker for several event loops, in one thread after another or in several threads at once."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import pytest
from anyio.from_thread import start_blocking_portal

import aioamqp
from aioamqp.dial import dial_tcp
from aioamqp_testing import FakeBroker, ManualClock, Message, fake_broker
from aioamqp_testing.faults import CancelConsumer, Delay, Reset, Restart, Silence, Split
from amqp_codec import FieldValue, Method, Properties, basic
from fake_broker_support import exchange, raw_client

T = TypeVar("T")

DEAD_LETTERS: Final[dict[str, FieldValue]] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "q",
}

DEADLINE: Final = 10.0
"""Seconds after which a test fails instead of waiting for another thread."""


class LoopThread:
    """An event loop in a thread of its own, like an application under a test client."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.start(coroutine).result(DEADLINE)

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self.start(coroutine))


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield LoopThread(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


@pytest.fixture
def app() -> Iterator[LoopThread]:
    with loop_thread() as thread:
        yield thread


class Consumer:
    """A program that consumes from a queue."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.protocol: aioamqp.AmqpProtocol
        self.transport: asyncio.Transport

    async def start(self, queue: str = "q", *, durable: bool = True) -> None:
        self.transport, self.protocol = await aioamqp.connect()
        channel = await self.protocol.channel()
        await channel.queue_declare(queue, durable=durable)
        await channel.basic_consume(self.handle, queue)

    async def abort(self) -> None:
        self.transport.abort()
        await self.protocol.wait_closed()

    async def handle(self, channel: Any, body: bytes, envelope: Any, _: object) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.bodies.append(body)
        await channel.basic_client_ack(envelope.delivery_tag)


async def publish(queue: str, *bodies: bytes) -> None:
    async with aioamqp.connect() as protocol:
        channel = await protocol.channel()
        await channel.confirm_select()
        for body in bodies:
            await channel.publish(body, "", queue)


def test_a_delivery_reaches_the_loop_of_another_thread_at_once(app: LoopThread) -> None:
    """Row U13. The loop of the consumer has no timer that could wake it up."""
    with fake_broker() as broker:
        consumer = Consumer()
        app.run(consumer.start())

        asyncio.run(publish("q", b"1", b"2"))
        asyncio.run(broker.wait_for(lambda: len(consumer.bodies) == 2))
        asyncio.run(broker.wait_idle())

        broker.assert_acked("q", count=2)
        assert (consumer.bodies, consumer.loops) == ([b"1", b"2"], {app.loop})
        app.run(consumer.protocol.close())


def test_a_test_without_a_loop_publishes_to_a_program_in_a_thread(app: LoopThread) -> None:
    """Row U13."""
    with fake_broker() as broker:
        consumer = Consumer()
        app.run(consumer.start())

        broker.publish("", "q", b"hello")
        asyncio.run(broker.wait_idle())

        broker.assert_acked("q", count=1)
        assert consumer.bodies == [b"hello"]
        app.run(consumer.protocol.close())


def test_the_application_runs_as_under_the_test_client_of_fastapi() -> None:
    """Row U13."""
    with fake_broker() as broker:
        for count in (1, 2):
            consumer = Consumer()
            with start_blocking_portal() as portal:
                portal.call(consumer.start)

                broker.publish("", "q", b"hello")
                portal.call(broker.wait_for, lambda: consumer.bodies)  # noqa: B023

                portal.call(consumer.protocol.close)
            broker.assert_acked("q", count=count)


def test_a_test_without_a_loop_acts_in_the_broker() -> None:
    """Row U13."""
    with fake_broker() as broker:
        replier = broker.rpc_reply("double", lambda request: 2 * request.body)
        broker.vhost.declare_queue("answers", None, durable=True)
        properties = Properties(reply_to="answers", correlation_id="1")
        broker.publish("", "double", b"21", properties)

        assert [message.body for message in broker.drain("answers")] == [b"2121"]
        replier.stop()


@pytest.mark.asyncio
async def test_the_loops_of_both_sides_can_be_different_ones(app: LoopThread) -> None:
    """Row U13. The plugin for FastAPI's TestClient runs the application in a thread."""
    async with fake_broker() as broker:
        theirs, ours = Consumer(), Consumer()
        await app.call(theirs.start("theirs"))
        await ours.start("ours")

        await publish("theirs", b"1")
        await app.call(publish("ours", b"2"))
        await broker.wait_idle()

        assert (theirs.bodies, ours.bodies) == ([b"1"], [b"2"])
        await app.call(theirs.protocol.close())
        await ours.protocol.close()


@pytest.mark.asyncio
async def test_the_broker_closes_connections_of_other_threads(app: LoopThread) -> None:
    """Row U13."""
    async with fake_broker() as broker:
        theirs, ours = Consumer(), Consumer()
        await app.call(theirs.start())
        await ours.start()

        await broker.stop()

        assert not broker.sessions
        assert not ours.protocol.is_open
        await app.call(theirs.protocol.wait_closed())
        await broker.start()


def test_leaving_without_a_loop_resets_connections_of_other_threads(app: LoopThread) -> None:
    """Row U13."""
    with fake_broker() as broker:
        consumer = Consumer()
        app.run(consumer.start())

    assert not broker.sessions
    app.run(consumer.protocol.wait_closed())


def test_timers_outlive_the_loop_that_began_them(app: LoopThread) -> None:
    """Row U13. Another loop runs the timer, also one that has begun before."""

    async def declare() -> None:
        async with aioamqp.connect() as protocol:
            channel = await protocol.channel()
            arguments: dict[str, FieldValue] = {**DEAD_LETTERS, "x-message-ttl": 20}
            await channel.queue_declare("delayed", arguments=arguments, durable=True)
            await channel.basic_publish(b"late", "", "delayed")
            await channel.queue_declare("delayed", passive=True)

    with fake_broker() as broker:
        consumer = Consumer()
        app.run(consumer.start())
        asyncio.run(declare())

        asyncio.run(broker.wait_for(lambda: consumer.bodies))

        assert consumer.bodies == [b"late"]
        app.run(consumer.protocol.close())


def test_overdue_timers_run_before_a_test_without_a_loop_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row U13."""
    with fake_broker() as broker:
        broker.vhost.declare_queue("q", None, arguments={"x-message-ttl": 60_000}, durable=True)
        broker.publish("", "q", b"old")
        now = broker.clock.time()
        monkeypatch.setattr("time.monotonic", lambda: now + 59)
        assert broker.vhost.queues["q"].message_count == 1

        monkeypatch.setattr("time.monotonic", lambda: now + 61)
        assert broker.vhost.queues["q"].message_count == 0


def test_messages_of_a_closed_loop_are_delivered_again() -> None:
    """Row U13. The programs neither acknowledge the message nor close their connections."""

    async def get(broker: FakeBroker) -> list[Method]:
        return await exchange(broker, await raw_client(broker, 1), basic.Get("q"))

    with fake_broker() as broker:
        broker.vhost.declare_queue("q", None, durable=True)
        broker.publish("", "q", b"hello")

        for redelivered in (False, True, True):
            assert asyncio.run(get(broker)) == [basic.GetOk(1, redelivered, "", "q", 0)]

        assert broker.vhost.queues["q"].message_count == 1
        assert not broker.vhost.queues["q"].unacked


def test_a_manual_clock_is_advanced_from_any_thread(app: LoopThread) -> None:
    """Row U13."""
    clock = ManualClock()
    with fake_broker(clock=clock) as broker:
        consumer = Consumer()
        app.run(consumer.start())
        arguments: dict[str, FieldValue] = {**DEAD_LETTERS, "x-message-ttl": 60_000}
        broker.vhost.declare_queue("delayed", None, arguments=arguments, durable=True)
        broker.publish("", "delayed", b"late")

        clock.advance(60)
        asyncio.run(broker.wait_idle())

        assert consumer.bodies == [b"late"]
        app.run(consumer.protocol.close())


def test_threads_publish_at_the_same_time() -> None:
    """Row U13."""
    count = 200
    with fake_broker() as broker, loop_thread() as one, loop_thread() as other:
        consumer = Consumer()
        one.run(consumer.start())
        sent = [[b"%d" % number for number in range(start, 3 * count, 3)] for start in range(3)]

        publishers = [one.start(publish("q", *sent[0])), other.start(publish("q", *sent[1]))]
        for body in sent[2]:
            broker.publish("", "q", body)
        for publisher in publishers:
            publisher.result(DEADLINE)
        asyncio.run(broker.wait_for(lambda: len(consumer.bodies) == 3 * count))
        asyncio.run(broker.wait_idle())

        for bodies in sent:  # in order, as far as one publisher is concerned
            assert [body for body in consumer.bodies if body in bodies] == bodies
        broker.assert_acked("q", count=3 * count)
        one.run(consumer.protocol.close())


FAULTS = [
    (Reset(), "reset by a fault"),
    (Silence(), "fault: Silence()"),
    (CancelConsumer(), "basic.Cancel"),
    (Split(1), "fault: Split()"),
    (Delay(0.001), "fault: Delay(seconds=0.001)"),
]


@pytest.mark.parametrize(("fault", "seen"), FAULTS, ids=str)
def test_a_fault_acts_on_a_connection_of_another_thread(
    app: LoopThread, fault: Any, seen: str
) -> None:
    """Row U13."""
    with fake_broker() as broker:
        consumer = Consumer()
        app.run(consumer.start())

        broker.faults.add(fault)
        broker.publish("", "q", b"hello")
        asyncio.run(broker.wait_for(lambda: seen in str(broker.journal)))

        app.run(consumer.abort())


def test_a_coroutine_replies_in_the_loop_of_the_program_if_the_test_has_none(
    app: LoopThread,
) -> None:
    """Row U13."""
    loops = []

    async def reply(request: Message) -> bytes:
        loops.append(asyncio.get_running_loop())
        return 2 * request.body

    with fake_broker() as broker:
        broker.rpc_reply("double", reply)
        consumer = Consumer()
        app.run(consumer.start())

        broker.publish("", "double", b"21", reply_to="q")
        asyncio.run(broker.wait_for(lambda: consumer.bodies))

        assert (consumer.bodies, loops) == ([b"2121"], [app.loop])
        app.run(consumer.protocol.close())


@pytest.mark.asyncio
async def test_a_coroutine_replies_in_the_loop_of_the_test(app: LoopThread) -> None:
    """Row U13."""
    loops = []

    async def reply(request: Message) -> bytes:
        loops.append(asyncio.get_running_loop())
        return 2 * request.body

    async with fake_broker() as broker:
        broker.rpc_reply("double", reply)
        broker.vhost.declare_queue("answers", None, durable=True)

        async def call() -> None:
            async with aioamqp.connect() as protocol:
                channel = await protocol.channel()
                properties = {"reply_to": "answers"}
                await channel.basic_publish(b"21", "", "double", properties=properties)
                await broker.wait_for(lambda: broker.vhost.queues["answers"].message_count)

        await app.call(call())

        assert loops == [asyncio.get_running_loop()]


@pytest.mark.asyncio
async def test_a_restart_waits_for_connections_and_listeners_of_other_threads(
    app: LoopThread,
) -> None:
    """Row U13."""
    async with fake_broker() as broker:
        consumer = Consumer()
        await app.call(consumer.start())
        url = await app.call(broker.listen())

        await broker.restart()
        await app.call(consumer.protocol.wait_closed())

        with aioamqp.dialing(dial_tcp):
            async with aioamqp.from_url(url) as protocol:
                assert protocol.is_open


def test_a_listener_of_a_closed_loop_is_closed() -> None:
    """Row U13."""

    async def listen() -> None:
        await broker.listen()

    broker = FakeBroker()
    broker.open()
    asyncio.run(listen())
    asyncio.run(broker.close())


def test_a_test_without_a_loop_restarts_the_broker(app: LoopThread) -> None:
    """Row U13."""
    with fake_broker(rabbitmq="3.10") as broker:
        consumer = Consumer()
        app.run(consumer.start(durable=False))

        broker.faults.add(Restart())

        app.run(consumer.protocol.wait_closed())
        asyncio.run(broker.wait_for(lambda: "q" not in broker.vhost.queues))


def test_a_coroutine_function_needs_an_event_loop() -> None:
    """Rows U13 and U21."""
    broker = FakeBroker()

    async def reply(request: Message) -> bytes:
        return request.body

    broker.rpc_reply("rpc", reply)
    broker.publish("", "rpc", b"21", reply_to="answers")

    with pytest.raises(RuntimeError, match="needs an event loop, and none is running"):
        broker.check()
