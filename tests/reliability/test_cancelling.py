"""Any call of a Connection may be cancelled, or lose its link, at any turn of the event loop.

Each call is made once for each turn that it takes: it is cancelled, or its link is lost, after that
many turns, and then the channel, the topology and the broker are checked. R21.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pytest

import aioamqp
from aioamqp import Backoff, Channel, Connection, ConnectionState
from aioamqp.exceptions import (
    AmqpClosedConnection,
    ChannelClosed,
    EmptyQueue,
    PublishNotSent,
    PublishReturned,
    PublishUnconfirmed,
)
from aioamqp.message import Message, Messages
from aioamqp.publisher import Publisher, Resend
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseChannel
from tests.compat.test_cancelling import cancelled_after, futures_alive, iterations_until_done
from tests.reliability.breakable import BreakableProtocol, break_off, protocol_of

AT_ONCE: Final = Backoff(initial=0, maximum=0)

BODIES: Final = [b"1", b"2", b"3"]
"""Bodies of the messages that are in the queue ``q`` before the call."""

TIMED_OUT: Final = "delivery acknowledgement on channel 1 timed out"

PERSISTENT: Final = {"delivery_mode": 2}


@dataclass
class Scene:
    """A broker, and a connection with the channel of the call."""

    broker: FakeBroker
    connection: Connection
    channel: Channel
    acknowledged: list[bytes] = field(default_factory=list)
    """Bodies of messages whose acknowledgement was sent."""
    messages: Messages | None = None
    message: Message | None = None

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

    def lose(self) -> None:
        """Lose the link, if there is one."""
        for session in self.broker.sessions:
            self.broker.close_connection(session)
        break_off(self.connection)

    def abort(self) -> None:
        """Abort the transport, which tells of it in the next turn."""
        protocol_of(self.connection).link.abort()

    def time_out(self) -> None:
        """Close the channel as after an acknowledgement timeout, if it is open at the broker."""
        number = self.channel.channel_id
        for session in self.broker.sessions:
            if number in [channel.number for channel in session.channels]:
                self.broker.faults.add(CloseChannel(406, TIMED_OUT, channel=number, optional=True))

    async def settle(self, message: Message) -> None:
        """Acknowledge a message, and note whether that was sent."""
        if await message.ack():
            self.acknowledged.append(message.body)


Step: TypeAlias = Callable[[Scene], Awaitable[object]]


async def nothing(scene: Scene) -> None:
    pass


async def confirming(scene: Scene) -> None:
    await scene.channel.confirm_select()


async def consuming(scene: Scene) -> None:
    await scene.channel.basic_qos(prefetch_count=2)
    await scene.channel.basic_consume(scene.ignore, "q", consumer_tag="mine")


async def iterating(scene: Scene) -> None:
    scene.messages = scene.channel.consume("q")
    scene.message = await anext(scene.messages)


async def in_transaction(scene: Scene) -> None:
    await scene.channel.tx_select()
    await scene.channel.publish(b"t", "", "empty", PERSISTENT)


async def enter_and_leave(scene: Scene) -> None:
    async with scene.channel.consume("q", prefetch_count=2) as messages:
        async for message in messages:
            await message.nack()
            break


async def loop_thrice(scene: Scene) -> None:
    messages = scene.channel.consume("q")
    while len(scene.acknowledged) < 3:
        await scene.settle(await anext(messages))
    await messages.aclose()


async def share_a_loop(scene: Scene) -> None:
    messages = scene.channel.consume("q")
    await asyncio.gather(*(messages.__anext__() for _ in range(2)), return_exceptions=True)
    await messages.aclose()


async def a_block_with_a_message(scene: Scene) -> None:
    async with scene.the_message:
        await asyncio.sleep(0)


async def a_channel_for_a_block(scene: Scene) -> None:
    async with await scene.connection.channel() as channel:
        await channel.queue_declare("q", passive=True)


async def ack_and_fetch(scene: Scene) -> None:
    await scene.settle(scene.the_message)
    scene.message = None


def publisher(scene: Scene, resend: Resend = "never") -> Publisher:
    return scene.channel.publisher(
        "", routing_key="empty", properties=PERSISTENT, resend=resend, max_unconfirmed=2
    )


async def publish_four(scene: Scene) -> None:
    async with publisher(scene, "unconfirmed") as four:
        for number in range(4):
            await four.publish_deferred(b"%d" % number)


async def wait_for_a_change(scene: Scene) -> None:
    await anext(scene.connection.state_changes())


CALLS: dict[str, tuple[Step, Step]] = {
    "open a channel": (nothing, lambda s: s.connection.channel()),
    "a channel for a block": (nothing, a_channel_for_a_block),
    "wait_open": (nothing, lambda s: s.connection.wait_open()),
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
    "basic_consume with a tag": (
        nothing,
        lambda s: s.channel.basic_consume(s.ignore, "q", consumer_tag="mine"),
    ),
    "basic_cancel": (consuming, lambda s: s.channel.basic_cancel("mine")),
    "confirm_select": (nothing, lambda s: s.channel.confirm_select()),
    "publish": (confirming, lambda s: s.channel.publish(b"p", "", "empty", PERSISTENT)),
    "publish what comes back": (
        confirming,
        lambda s: s.channel.publish(b"p", "amq.fanout", "", mandatory=True),
    ),
    "publish much": (
        confirming,
        lambda s: s.channel.publish(bytes(300_000), "", "empty", PERSISTENT),
    ),
    "basic_publish much": (
        nothing,
        lambda s: s.channel.basic_publish(bytes(300_000), "", "empty", PERSISTENT),
    ),
    "a publisher": (nothing, lambda s: publisher(s).publish(b"p")),
    "a publisher that sends again": (
        nothing,
        lambda s: publisher(s, "unconfirmed").publish(b"p"),
    ),
    "much of a publisher that sends again": (
        nothing,
        lambda s: publisher(s, "unconfirmed").publish(bytes(300_000)),
    ),
    "four messages of a publisher": (nothing, publish_four),
    "tx_select": (nothing, lambda s: s.channel.tx_select()),
    "tx_commit": (in_transaction, lambda s: s.channel.tx_commit()),
    "tx_rollback": (in_transaction, lambda s: s.channel.tx_rollback()),
    "enter and leave": (nothing, enter_and_leave),
    "loop thrice": (nothing, loop_thrice),
    "share a loop": (nothing, share_a_loop),
    "the next message": (iterating, lambda s: anext(s.the_messages)),
    "aclose": (iterating, lambda s: s.the_messages.aclose()),
    "ack": (iterating, ack_and_fetch),
    "nack": (iterating, lambda s: s.the_message.nack()),
    "reject": (iterating, lambda s: s.the_message.reject(requeue=True)),
    "close the channel": (iterating, lambda s: s.channel.close()),
    "open the channel": (iterating, lambda s: s.channel.open()),
    "close the connection": (consuming, lambda s: s.connection.close()),
}

NOT_REPEATED: Final = {
    "basic_recover", "basic_get", "publish", "publish what comes back", "publish much",
    "basic_publish much", "tx_commit", "tx_rollback", "close the channel", "open the channel",
    "close the connection", "a publisher", "enter and leave", "share a loop", "a channel for a block",
}  # fmt: skip
"""Calls that may raise when the link is lost, since they are not sent again, or contain another."""


async def scene_in(broker: FakeBroker) -> Scene:
    connection = Connection("amqp://broker/", reconnect=AT_ONCE, protocol_factory=BreakableProtocol)
    await connection.open()
    channel = await connection.channel()
    for queue in "q", "empty":
        await channel.queue_declare(queue, durable=True)
    for body in BODIES:
        broker.publish("", "q", body, delivery_mode=2)
    return Scene(broker, connection, channel)


def consumers_of(scene: Scene) -> Counter[str]:
    """Return how many consumers each queue has at the broker."""
    counts = Counter(
        {name: queue.consumer_count for name, queue in scene.broker.vhost.queues.items()}
    )
    return +counts


async def check_topology(scene: Scene) -> None:
    """Assert that the broker has the consumers that the program has, and their channels."""
    connection = scene.connection
    await connection.wait_open(10)
    await scene.broker.wait_idle()
    declared = Counter(str(each.queue) for each in connection.topology.consumers.values())
    assert consumers_of(scene) == declared
    listed = Counter(
        consumer["queue"]
        for channel in connection.snapshot()["channels"]
        for consumer in channel["consumers"]
    )
    assert listed == declared
    (session,) = scene.broker.sessions
    assert sorted(channel.number for channel in session.channels) == sorted(
        number for number in connection.protocol.channels
    )
    buffered = "bytes for callbacks"  # of an iterator that is not asked
    assert {name for name in connection.protocol.pending if name != buffered} == set()
    assert connection.snapshot()["waiting"] == []


async def check_usable(scene: Scene) -> None:
    """Assert that connection and channel work, before and after another loss."""
    connection, channel = scene.connection, scene.channel
    if connection.state is ConnectionState.CLOSED:
        return
    await check_topology(scene)
    scene.lose()
    await asyncio.sleep(0)
    await check_topology(scene)
    if scene.messages is not None:
        await scene.messages.aclose()
    if not channel.is_open:
        channel = await connection.channel()
    assert (await channel.queue_declare("empty", passive=True))["queue"] == "empty"
    assert await channel.queue_purge("empty")
    try:
        if not channel.publisher_confirms:
            await channel.confirm_select()
    except ChannelClosed:  # the channel is in transaction mode
        channel = await connection.channel()
        await channel.confirm_select()
    # with different delivery tags on both sides these would wait for ever or get a wrong outcome
    with pytest.raises(PublishReturned):
        await channel.publish(b"back", "amq.fanout", "", mandatory=True)
    await channel.publish(b"there", "", "empty")
    assert (await channel.basic_get("empty", no_ack=True))["message"] == b"there"
    with pytest.raises(EmptyQueue):
        await channel.basic_get("empty", no_ack=True)
    await check_topology(scene)


async def check_nothing_left(scene: Scene) -> None:
    """Assert that the broker has all messages that were not acknowledged, and no consumer."""
    queue = scene.broker.vhost.queues["q"]
    await scene.connection.close()
    await scene.broker.wait_idle()
    assert queue.consumer_count == 0
    bodies = [message.body for message in queue.messages]
    # A message whose acknowledgement was lost with the link is there again: at least once.
    assert sorted({*bodies, *scene.acknowledged}) == BODIES
    assert len(bodies) == len(set(bodies))
    assert len(scene.broker.sessions) == 0


async def with_broker(trial: Callable[[FakeBroker], Awaitable[bool]]) -> bool:
    async with FakeBroker() as broker:
        with aioamqp.dialing(broker.dial):
            return await trial(broker)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def is_over(trial: Callable[[FakeBroker, int], Awaitable[bool]]) -> int:
    """Run a trial with 0, 1, 2, ... turns until its call ends before; return their number."""

    def run(iterations: int) -> Coroutine[Any, Any, bool]:
        return with_broker(lambda broker: trial(broker, iterations))

    return iterations_until_done(run)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_turn(name: str) -> None:
    """R21."""
    before, call = CALLS[name]

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await before(scene)
        was_cancelled = await cancelled_after(iterations, call(scene))
        await turns(10)
        await check_usable(scene)
        await check_nothing_left(scene)
        return was_cancelled

    is_over(trial)


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_turn_while_the_link_goes_down(name: str, at: int) -> None:
    """R21."""
    before, call = CALLS[name]

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await before(scene)
        task = asyncio.ensure_future(call(scene))
        await turns(at)
        scene.lose()
        was_cancelled = await cancelled_after(iterations, task)
        await turns(10)
        await check_usable(scene)
        await check_nothing_left(scene)
        return was_cancelled

    is_over(trial)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_cancelled_at_any_turn_while_the_link_is_down(name: str) -> None:
    """R21."""
    before, call = CALLS[name]

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await before(scene)
        scene.lose()
        await turns(2)
        was_cancelled = await cancelled_after(iterations, call(scene))
        await check_usable(scene)
        await check_nothing_left(scene)
        return was_cancelled

    is_over(trial)


EVENTS: Final[dict[str, Callable[[Scene], None]]] = {
    "the link is lost": Scene.lose,
    "the link is lost in the next turn": Scene.abort,
    "the server closes the connection": lambda scene: scene.broker.close_all_connections("test"),
    "an acknowledgement times out": Scene.time_out,
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_lose_its_link_or_its_channel_at_any_turn(name: str, event: str) -> None:
    """R13, R18. What may be sent again answers as if nothing had been; the rest tells its outcome."""
    before, call = CALLS[name]

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await before(scene)
        task = asyncio.ensure_future(call(scene))
        await turns(iterations)
        was_running = not task.done()
        EVENTS[event](scene)
        async with asyncio.timeout(100):
            await asyncio.wait([task])
        error = task.exception()
        if error is not None and not isinstance(error, PublishReturned):
            assert name in NOT_REPEATED, repr(error)
            expected = (
                (PublishUnconfirmed, PublishNotSent)
                if name.startswith("publish")
                else (AmqpClosedConnection, ChannelClosed)
            )
            assert isinstance(error, expected), repr(error)
            if "publish" in name and isinstance(error, PublishNotSent):
                assert broker.history("empty") == []
        if name.startswith("publish") and error is None:
            assert broker.vhost.queues["empty"].message_count == 1
        await turns(10)
        await check_usable(scene)
        await check_nothing_left(scene)
        return was_running

    is_over(trial)


@pytest.mark.parametrize("name", ["iterating", "consuming", "nothing"])
def test_a_link_may_be_lost_again_at_any_turn_of_recovery(name: str) -> None:
    """R13."""
    before = {"iterating": iterating, "consuming": consuming, "nothing": nothing}[name]

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await scene.channel.queue_declare("mine", exclusive=True)
        await scene.channel.queue_bind("mine", "amq.topic", "")
        await before(scene)
        scene.lose()
        await turns(2)
        waiting = asyncio.ensure_future(scene.connection.wait_open())
        await turns(iterations)
        was_running = not waiting.done()
        scene.lose()
        await waiting
        await check_topology(scene)
        assert "mine" in broker.vhost.queues
        await check_usable(scene)
        await check_nothing_left(scene)
        return was_running

    assert is_over(trial) > 10


@pytest.mark.parametrize("name", ["messages", "channel", "connection"])
def test_what_is_being_restored_may_be_ended_at_any_turn(name: str) -> None:
    """R13, R17."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await iterating(scene)
        scene.lose()
        await turns(2)
        waiting = asyncio.ensure_future(scene.connection.wait_open())
        await turns(iterations)
        was_running = not waiting.done()
        match name:
            case "messages":
                await scene.the_messages.aclose()
            case "channel":
                await scene.channel.close()
            case _:
                await scene.connection.close()
        await asyncio.wait([waiting])
        assert waiting.exception() is None or name == "connection"
        await turns(10)
        if name == "messages":
            await check_topology(scene)
            assert consumers_of(scene) == Counter()
        await check_usable(scene)
        assert scene.channel.is_open == (name == "messages")
        await check_nothing_left(scene)
        return was_running

    assert is_over(trial) > 10


def test_repeatedly_cancelled_waits_leave_no_futures() -> None:
    """R23."""

    async def trial(broker: FakeBroker) -> bool:
        scene = await scene_in(broker)
        connection = Connection(
            "amqp://broker/", reconnect=Backoff(100, 100), protocol_factory=BreakableProtocol
        )
        await connection.open()
        channel = await connection.channel()
        break_off(connection)
        await turns(3)

        async def try_all() -> None:
            for wait in (
                channel.publish(b"p", "", "empty"),
                channel.queue_declare("q"),
                connection.channel(),
                connection.wait_open(),
                anext(connection.state_changes()),
                anext(channel.consume("q")),
            ):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(wait, 0.001)

        await try_all()
        before = futures_alive()
        for _ in range(20):
            await try_all()

        assert futures_alive() == before
        assert connection.snapshot()["waiting"] == []
        await connection.close()
        await scene.connection.close()
        return False

    def run(iterations: int) -> Coroutine[Any, Any, bool]:
        return with_broker(trial)

    iterations_until_done(run)
