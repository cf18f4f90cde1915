"""Any call can be cancelled at any iteration of the event loop and leaves nothing behind.

Each call is made once for each iteration that it takes: it is started, cancelled after that many
iterations, and then client and broker are checked. The loop has virtual time, so every run is the same,
and a call that never returns fails at once.
"""

import asyncio
import gc
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pytest

import aioamqp
from aioamqp import ChannelClosed, EmptyQueue
from aioamqp.channel import Channel
from aioamqp.message import Message, Messages
from aioamqp.protocol import AmqpProtocol
from aioamqp_testing import FakeBroker
from virtual_loop import VirtualLoop

BODIES: Final = [b"1", b"2", b"3"]
"""Bodies of the messages that are in the queue ``q`` before the call."""

MAX_ITERATIONS: Final = 100
"""More loop iterations than any call takes."""


@dataclass
class Scene:
    """A broker, and a client with the channel of the call."""

    broker: FakeBroker
    transport: asyncio.Transport
    protocol: AmqpProtocol
    channel: Channel
    acknowledged: list[bytes] = field(default_factory=list)
    """Bodies of the messages that the call has acknowledged."""
    messages: Messages | None = None
    message: Message | None = None
    tag: str = ""

    def ignore(self, channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        """Ignore a message and leave it unacknowledged; a consumer callback."""

    @property
    def the_messages(self) -> Messages:
        assert self.messages is not None
        return self.messages

    @property
    def the_message(self) -> Message:
        assert self.message is not None
        return self.message


Step: TypeAlias = Callable[[Scene], Awaitable[object]]


async def nothing(scene: Scene) -> None:
    pass


def soon(function: Callable[[], object], iterations: int = 5) -> None:
    """Call a function a few loop iterations from now, during the call."""
    loop = asyncio.get_running_loop()
    loop.call_soon(function if iterations == 1 else lambda: soon(function, iterations - 1))


# --------------------------------------------------------------------------- before the call


async def confirming(scene: Scene) -> None:
    await scene.channel.confirm_select()


async def consuming(scene: Scene) -> None:
    declared = await scene.channel.basic_consume(scene.ignore, "q")
    scene.tag = declared["consumer_tag"]


async def iterating(scene: Scene) -> None:
    scene.messages = scene.channel.consume("q")
    scene.message = await anext(scene.messages)


async def at_the_end_of_the_queue(scene: Scene) -> None:
    scene.messages = scene.channel.consume("empty")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(anext(scene.messages))
        for _ in range(10):
            await asyncio.sleep(0)
        scene.broker.publish("", "empty", b"")
    await first.result().ack()
    soon(lambda: scene.broker.publish("", "empty", b"late"))


async def about_to_end(scene: Scene) -> None:
    soon(lambda: scene.broker.close_all_connections("the end"))


async def with_the_link_full(scene: Scene) -> None:
    await iterating(scene)
    scene.protocol.pause_writing()
    soon(scene.protocol.resume_writing)


async def blocked(scene: Scene) -> None:
    scene.broker.block()
    await scene.channel.basic_publish(b"first", "", "empty")
    await scene.protocol.blocked.wait()
    soon(scene.broker.unblock)


# ------------------------------------------------------------------------------------ calls


async def enter_and_leave(scene: Scene) -> None:
    async with scene.channel.consume("q", prefetch_count=2) as messages:
        async for message in messages:
            await message.nack()
            break


async def loop_twice(scene: Scene) -> None:
    messages = scene.channel.consume("q")
    for _ in range(2):
        async with await anext(messages) as message:
            scene.acknowledged.append(message.body)
    await messages.aclose()


async def share_a_loop(scene: Scene) -> None:
    messages = scene.channel.consume("q")
    nexts = (messages.__anext__() for _ in range(2))
    await asyncio.gather(*nexts, return_exceptions=True)
    await messages.aclose()


async def a_channel_for_a_block(scene: Scene) -> None:
    async with await scene.protocol.channel() as channel:
        await channel.queue_declare("q", passive=True)


CALLS: dict[str, tuple[Step, Step]] = {
    "open a channel": (nothing, lambda s: s.protocol.channel()),
    "a channel for a block": (nothing, a_channel_for_a_block),
    "exchange_declare": (nothing, lambda s: s.channel.exchange_declare("e", "fanout")),
    "exchange_delete": (nothing, lambda s: s.channel.exchange_delete("e")),
    "exchange_bind": (nothing, lambda s: s.channel.exchange_bind("amq.fanout", "amq.topic", "k")),
    "exchange_unbind": (
        nothing,
        lambda s: s.channel.exchange_unbind("amq.fanout", "amq.topic", "k"),
    ),
    "queue_declare": (nothing, lambda s: s.channel.queue_declare(exclusive=True)),
    "queue_bind": (nothing, lambda s: s.channel.queue_bind("q", "amq.topic", "k")),
    "queue_unbind": (nothing, lambda s: s.channel.queue_unbind("q", "amq.topic", "k")),
    "queue_purge": (nothing, lambda s: s.channel.queue_purge("empty")),
    "queue_delete": (nothing, lambda s: s.channel.queue_delete("another")),
    "basic_qos": (nothing, lambda s: s.channel.basic_qos(prefetch_count=5)),
    "basic_recover": (iterating, lambda s: s.channel.basic_recover()),
    "basic_get": (nothing, lambda s: s.channel.basic_get("q")),
    "basic_consume": (nothing, lambda s: s.channel.basic_consume(s.ignore, "q")),
    "basic_consume again": (
        nothing,
        lambda s: s.channel.basic_consume(s.ignore, "q", consumer_tag="mine"),
    ),
    "basic_cancel": (consuming, lambda s: s.channel.basic_cancel(s.tag)),
    "confirm_select": (nothing, lambda s: s.channel.confirm_select()),
    "publish": (confirming, lambda s: s.channel.publish(b"p", "", "empty")),
    "publish what comes back": (
        confirming,
        lambda s: s.channel.publish(b"p", "amq.fanout", "", mandatory=True),
    ),
    "publish much": (confirming, lambda s: s.channel.publish(bytes(300_000), "", "empty")),
    "publish when full": (with_the_link_full, lambda s: s.channel.publish(b"p", "", "empty")),
    "publish when blocked": (blocked, lambda s: s.channel.publish(b"p", "", "empty")),
    "wait for the end of blocking": (blocked, lambda s: s.protocol.blocked.wait_over()),
    "tx_select": (nothing, lambda s: s.channel.tx_select()),
    "enter and leave": (nothing, enter_and_leave),
    "loop twice": (nothing, loop_twice),
    "share a loop": (nothing, share_a_loop),
    "the next message": (iterating, lambda s: anext(s.the_messages)),
    "the next message, which is late": (at_the_end_of_the_queue, lambda s: anext(s.the_messages)),
    "aclose": (iterating, lambda s: s.the_messages.aclose()),
    "ack": (iterating, lambda s: s.the_message.ack()),
    "ack when full": (with_the_link_full, lambda s: s.the_message.ack()),
    "nack when full": (with_the_link_full, lambda s: s.the_message.nack()),
    "reject when full": (with_the_link_full, lambda s: s.the_message.reject(requeue=True)),
    "update_secret": (nothing, lambda s: s.protocol.update_secret("guest")),
    "close the channel": (iterating, lambda s: s.channel.close()),
    "close the connection": (consuming, lambda s: s.protocol.close()),
    "wait_closed": (about_to_end, lambda s: s.protocol.wait_closed()),
}

WITHOUT_WAITING = {"the next message", "ack"}
"""Calls that return without waiting, and so at once in an eager task."""


# --------------------------------------------------------------------------- during the call


async def close_the_channel(scene: Scene) -> None:
    """Cause a channel error."""
    if scene.channel.is_open:
        await scene.channel.queue_declare("not there", passive=True, no_wait=True)


async def close_the_connection(scene: Scene) -> None:
    for session in scene.broker.sessions:
        scene.broker.close_connection(session)


async def lose_the_link(scene: Scene) -> None:
    scene.transport.abort()


EVENTS: dict[str, Step] = {
    "the server closes the channel": close_the_channel,
    "the server closes the connection": close_the_connection,
    "the link is lost": lose_the_link,
}


class ErrorLog(logging.Handler):
    """A log handler that keeps errors, including those of asyncio."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def iterations_until_done(trial: Callable[[int], Coroutine[Any, Any, bool]]) -> int:
    """Run the trial for 0, 1, 2, ... iterations until the call ends before; return that number."""
    error_log = ErrorLog()
    logging.getLogger().addHandler(error_log)
    try:
        for iterations in itertools.count():
            assert iterations < MAX_ITERATIONS, "the call does not return"
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                was_cancelled = runner.run(trial(iterations))
            assert error_log.texts == [], f"after {iterations} iterations"
            if not was_cancelled:
                break
        gc.collect()
        assert error_log.texts == []
        return iterations
    finally:
        logging.getLogger().removeHandler(error_log)


async def cancelled_after(iterations: int, call: Awaitable[object]) -> bool:
    """Cancel a call after ``iterations`` iterations; return whether it was still running."""
    task = asyncio.ensure_future(call)
    for _ in range(iterations):
        await asyncio.sleep(0)
    was_cancelled = task.cancel()
    await asyncio.wait([task])
    if was_cancelled:
        assert task.cancelled(), f"cancelled after {iterations} iterations, it ended as {task!r}"
    elif not task.cancelled():
        task.exception()
    return was_cancelled


async def scene_in(broker: FakeBroker) -> Scene:
    transport, protocol = await broker.connect()
    channel = await protocol.channel()
    for queue in "q", "empty":
        await channel.queue_declare(queue, durable=True)
    for body in BODIES:
        broker.publish("", "q", body)
    return Scene(broker, transport, protocol, channel)


async def check_usable(scene: Scene) -> None:
    """Assert that connection and channel work after a cancelled call."""
    protocol, channel = scene.protocol, scene.channel
    for _ in range(10):  # until the functions given to soon() have been called
        await asyncio.sleep(0)
    await scene.broker.wait_idle()
    if scene.messages is not None:
        await scene.messages.aclose()
    if not protocol.is_open:
        await protocol.wait_closed()
        return
    if not channel.is_open:
        channel = await protocol.channel()
    assert (await channel.queue_declare("empty", passive=True))["queue"] == "empty"
    assert await channel.queue_purge("empty")
    try:
        if not channel.publisher_confirms:
            await channel.confirm_select()
    except ChannelClosed:  # the channel is in transaction mode
        channel = await protocol.channel()
        await channel.confirm_select()
    # with different delivery tags on both sides these would wait forever or get a wrong outcome
    with pytest.raises(aioamqp.exceptions.PublishReturned):
        await channel.publish(b"back", "amq.fanout", "", mandatory=True)
    await channel.publish(b"there", "", "empty")
    assert (await channel.basic_get("empty", no_ack=True))["message"] == b"there"
    with pytest.raises(EmptyQueue):
        await channel.basic_get("empty", no_ack=True)
    assert protocol.pending == {}


async def check_nothing_left(scene: Scene, is_settled: bool) -> None:
    """Assert that the broker has all messages and, after the connection is closed, no consumer."""
    vhost = scene.broker.vhost
    queue = vhost.queues["q"]
    assert (
        queue.message_count + queue.unacked_count + len(scene.acknowledged)
        == len(BODIES) - is_settled
    )
    if scene.protocol.is_open:
        await scene.protocol.close()
    await scene.broker.wait_idle()
    assert queue.consumer_count == 0
    assert sorted([m.body for m in queue.messages] + scene.acknowledged) == BODIES[is_settled:]
    assert len(scene.broker.sessions) == 0


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_loop_iteration(
    name: str, request: pytest.FixtureRequest
) -> None:
    before, call = CALLS[name]
    ends_at_once = name in WITHOUT_WAITING and request.config.getoption("--eager-tasks")

    async def trial(iterations: int) -> bool:
        async with FakeBroker() as broker:
            scene = await scene_in(broker)
            await before(scene)
            was_cancelled = await cancelled_after(iterations, call(scene))
            await check_usable(scene)
            is_settled = scene.message is not None and name.startswith("ack")
            await check_nothing_left(scene, bool(is_settled and scene.the_message.is_settled))
        return was_cancelled

    assert (iterations_until_done(trial) == 0) == ends_at_once


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_while_its_channel_or_connection_closes(
    name: str, event: str
) -> None:
    before, call = CALLS[name]

    async def trial(iterations: int) -> bool:
        async with FakeBroker() as broker:
            scene = await scene_in(broker)
            await before(scene)
            task = asyncio.ensure_future(call(scene))
            await asyncio.sleep(0)
            await EVENTS[event](scene)
            was_cancelled = await cancelled_after(iterations, task)
            await scene.broker.wait_idle()
            if scene.protocol.is_open:
                await check_usable(scene)
                await scene.protocol.close()
            await scene.protocol.wait_closed()
        return was_cancelled

    iterations_until_done(trial)


def test_connecting_can_be_cancelled_at_any_loop_iteration() -> None:
    async def trial(iterations: int) -> bool:
        async with FakeBroker() as broker:
            was_cancelled = await cancelled_after(iterations, broker.connect())
            if not was_cancelled:
                broker.close_all_connections("the end")
            await broker.wait_idle()
            assert len(broker.sessions) == 0
        return was_cancelled

    assert iterations_until_done(trial) > 0


def test_repeatedly_cancelled_waits_leave_no_futures() -> None:
    async def try_all(scene: Scene) -> None:
        scene.protocol.pause_writing()
        for wait in (
            scene.channel.publish(b"p", "", "empty"),
            scene.channel.basic_client_ack(1),
            scene.protocol.blocked.wait(),
            scene.protocol.wait_closed(),
            anext(scene.the_messages),
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 1)

    async def main() -> None:
        async with FakeBroker() as broker:
            scene = await scene_in(broker)
            scene.messages = scene.channel.consume("empty")
            await scene.the_messages.__aenter__()
            await try_all(scene)
            before = futures_alive()

            for _ in range(20):
                await try_all(scene)

            assert futures_alive() == before
            await scene.protocol.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def futures_alive() -> int:
    gc.collect()
    return sum(isinstance(each, asyncio.Future) for each in gc.get_objects())
