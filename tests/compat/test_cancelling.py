"""Any call can be cancelled at any turn of the event loop, and leaves nothing behind.

Each call is tried anew for each turn that it takes: it is begun, cancelled after so many turns, and
then client and broker are looked at. The turns are those of a loop in virtual time, so the same
happens in every run, and what waits for ever fails at once.
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
"""Of the messages that are in the queue ``q`` at first."""

MOST_TURNS: Final = 100
"""No call takes as many; one that does is not going to end."""


@dataclass
class Scene:
    """A broker and a client of it, in whose channel a call is going to be made."""

    broker: FakeBroker
    transport: asyncio.Transport
    protocol: AmqpProtocol
    channel: Channel
    heard: list[bytes] = field(default_factory=list)
    """Bodies of messages that the call has taken, and so are not in the queue any more."""
    messages: Messages | None = None
    message: Message | None = None
    tag: str = ""

    def hear(self, channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        """Be a consumer's callback, which leaves its messages unacknowledged."""

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


def soon(what: Callable[[], object], turns: int = 5) -> None:
    """Do something a few turns from now, while the call is on its way."""
    loop = asyncio.get_running_loop()
    loop.call_soon(what if turns == 1 else lambda: soon(what, turns - 1))


# ------------------------------------------------------------------------- what is done before it


async def confirming(scene: Scene) -> None:
    await scene.channel.confirm_select()


async def consuming(scene: Scene) -> None:
    declared = await scene.channel.basic_consume(scene.hear, "q")
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


# ------------------------------------------------------------------------------------ what is called


async def enter_and_leave(scene: Scene) -> None:
    async with scene.channel.consume("q", prefetch_count=2) as messages:
        async for message in messages:
            await message.nack()
            break


async def loop_twice(scene: Scene) -> None:
    messages = scene.channel.consume("q")
    for _ in range(2):
        async with await anext(messages) as message:
            scene.heard.append(message.body)
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
    "basic_consume": (nothing, lambda s: s.channel.basic_consume(s.hear, "q")),
    "basic_consume again": (
        nothing,
        lambda s: s.channel.basic_consume(s.hear, "q", consumer_tag="mine"),
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


# --------------------------------------------------------------------- what happens to it meanwhile


async def close_the_channel(scene: Scene) -> None:
    """Let the server do so, by what it objects to."""
    if scene.channel.is_open:
        await scene.channel.queue_declare("not there", passive=True, no_wait=True)


async def close_the_connection(scene: Scene) -> None:
    for session in scene.broker.sessions:
        scene.broker.close_connection(session)


async def lose_the_link(scene: Scene) -> None:
    scene.transport.abort()


MEANWHILE: dict[str, Step] = {
    "the server closes the channel": close_the_channel,
    "the server closes the connection": close_the_connection,
    "the link is lost": lose_the_link,
}


class Complaints(logging.Handler):
    """What is logged as an error, by asyncio too."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def tried_at_every_turn(trial: Callable[[int], Coroutine[Any, Any, bool]]) -> int:
    """Try for 0 turns, 1, 2, until the call ends sooner; return how many it takes."""
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        for turns in itertools.count():
            assert turns < MOST_TURNS, "the call does not end"
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                was_cancelled = runner.run(trial(turns))
            assert complaints.texts == [], f"after {turns} turns"
            if not was_cancelled:
                break
        gc.collect()
        assert complaints.texts == []
        return turns
    finally:
        logging.getLogger().removeHandler(complaints)


async def cancelled_after(turns: int, call: Awaitable[object]) -> bool:
    """Cancel a call after so many turns; return whether it had not ended by then."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    was_cancelled = task.cancel()
    await asyncio.wait([task])
    if was_cancelled:
        assert task.cancelled(), f"cancelled after {turns} turns, it ended as {task!r}"
    elif not task.cancelled():
        task.exception()
    return was_cancelled


async def scene_in(broker: FakeBroker) -> Scene:
    transport, protocol = await broker.connect()
    channel = await protocol.channel()
    for queue in "q", "empty":
        await channel.queue_declare(queue)
    for body in BODIES:
        broker.publish("", "q", body)
    return Scene(broker, transport, protocol, channel)


async def check_usable(scene: Scene) -> None:
    """Make sure that all works on after a call that was cancelled."""
    protocol, channel = scene.protocol, scene.channel
    for _ in range(10):  # until what was to happen soon has
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
    except ChannelClosed:  # it has transactions
        channel = await protocol.channel()
        await channel.confirm_select()
    # the tags of both sides agree, or else it would not end, or with another's outcome
    with pytest.raises(aioamqp.exceptions.PublishReturned):
        await channel.publish(b"back", "amq.fanout", "", mandatory=True)
    await channel.publish(b"there", "", "empty")
    assert (await channel.basic_get("empty", no_ack=True))["message"] == b"there"
    with pytest.raises(EmptyQueue):
        await channel.basic_get("empty", no_ack=True)
    assert protocol.pending == {}


async def check_nothing_left(scene: Scene, is_settled: bool) -> None:
    """Make sure that the broker has all of its messages, and no consumer more than is known."""
    vhost = scene.broker.vhost
    queue = vhost.queues["q"]
    assert queue.message_count + queue.unacked_count + len(scene.heard) == len(BODIES) - is_settled
    if scene.protocol.is_open:
        await scene.protocol.close()
    await scene.broker.wait_idle()
    assert queue.consumer_count == 0
    assert sorted([m.body for m in queue.messages] + scene.heard) == BODIES[is_settled:]
    assert len(scene.broker.sessions) == 0


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_turn(name: str) -> None:
    before, call = CALLS[name]

    async def trial(turns: int) -> bool:
        async with FakeBroker() as broker:
            scene = await scene_in(broker)
            await before(scene)
            was_cancelled = await cancelled_after(turns, call(scene))
            await check_usable(scene)
            is_settled = scene.message is not None and name.startswith("ack")
            await check_nothing_left(scene, bool(is_settled and scene.the_message.is_settled))
        return was_cancelled

    assert tried_at_every_turn(trial) > 0


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_while_what_it_is_made_on_ends(name: str, meanwhile: str) -> None:
    before, call = CALLS[name]

    async def trial(turns: int) -> bool:
        async with FakeBroker() as broker:
            scene = await scene_in(broker)
            await before(scene)
            task = asyncio.ensure_future(call(scene))
            await asyncio.sleep(0)
            await MEANWHILE[meanwhile](scene)
            was_cancelled = await cancelled_after(turns, task)
            await scene.broker.wait_idle()
            if scene.protocol.is_open:
                await check_usable(scene)
                await scene.protocol.close()
            await scene.protocol.wait_closed()
        return was_cancelled

    tried_at_every_turn(trial)


def test_connecting_can_be_cancelled_at_any_turn() -> None:
    async def trial(turns: int) -> bool:
        async with FakeBroker() as broker:
            was_cancelled = await cancelled_after(turns, broker.connect())
            if not was_cancelled:
                broker.close_all_connections("the end")
            await broker.wait_idle()
            assert len(broker.sessions) == 0
        return was_cancelled

    assert tried_at_every_turn(trial) > 0


def test_what_waits_and_is_given_up_again_and_again_leaves_nothing() -> None:
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
