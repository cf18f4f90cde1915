"""Random programs on a connection that recovers, whose link is cut and whose broker restarts.

After each step, and so after each recovery, the broker has the exchanges, queues, bindings and consumers
that the program has declared and not deleted. Every publish has one outcome; what was confirmed is in its
queue until it is acknowledged, and what was not sent is nowhere.

To look for new programs: `hatch run test tests/reliability/test_random_programs.py
--hypothesis-profile=explore`.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import aioamqp
from aioamqp import Backoff, Channel, Connection, PublishNotSent, PublishUnconfirmed
from aioamqp_testing import FakeBroker
from tests.reliability.breakable import BreakableProtocol, break_off
from virtual_loop import VirtualLoop

QUEUES: dict[str, dict[str, Any]] = {
    "durable": {"durable": True},
    "durable2": {"durable": True},
    "mine": {"exclusive": True},
    "auto": {"durable": True, "auto_delete": True},
}
EXCHANGES: dict[str, dict[str, Any]] = {
    "direct": {"durable": True},
    "fanout": {},
    "topic": {"auto_delete": True},
}
CHANNELS = (0, 1)
TAGS = ("at once", "later")
KEYS = ("a", "b")

LOSSES = st.sampled_from(("none", "none", "none", "cut", "close", "restart"))
"""What happens to the link during a step."""

TURNS = st.integers(0, 12)
"""The turn of the event loop in which it happens."""


class Held(NamedTuple):
    """A message that was delivered and not settled."""

    channel: int
    queue: str
    tag: int
    body: bytes


class Model:
    """What the program has declared and not deleted, by RabbitMQ's rules."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self.exchanges: set[str] = set()
        self.bindings: set[tuple[str, str, str]] = set()
        self.consumers: dict[tuple[int, str], str] = {}

    def delete_queue(self, name: str) -> None:
        self.queues.discard(name)
        self.consumers = {key: queue for key, queue in self.consumers.items() if queue != name}
        self.unbind({each for each in self.bindings if each[1] == name})

    def delete_exchange(self, name: str) -> None:
        self.exchanges.discard(name)
        self.bindings = {each for each in self.bindings if each[0] != name}

    def unbind(self, bindings: set[tuple[str, str, str]]) -> None:
        self.bindings -= bindings
        for exchange in {source for source, _, _ in bindings}:
            is_used = any(source == exchange for source, _, _ in self.bindings)
            if EXCHANGES[exchange].get("auto_delete") and not is_used:
                self.delete_exchange(exchange)

    def cancel(self, channel: int, tag: str) -> None:
        queue = self.consumers.pop((channel, tag))
        if QUEUES[queue].get("auto_delete") and queue not in self.consumers.values():
            self.delete_queue(queue)


class Program(RuleBasedStateMachine):
    """Declares, consumes, publishes and acknowledges on two channels, and loses its link."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.numbers = itertools.count(1)
        self.confirmed: dict[str, set[bytes]] = {}
        self.not_sent: set[bytes] = set()
        self.acknowledged: set[bytes] = set()
        self.seen: set[bytes] = set()
        self.held: list[Held] = []
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.broker = FakeBroker()
        self.connection = Connection(
            "amqp://broker/", reconnect=Backoff(0.01, 0.01), protocol_factory=BreakableProtocol
        )
        self.channels: list[Channel] = []
        self.run(self.open())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    async def open(self) -> None:
        self.broker.open()
        with aioamqp.dialing(self.broker.dial):
            await self.connection.open()
        self.channels = [await self.connection.channel() for _ in CHANNELS]
        for channel in self.channels:
            await channel.confirm_select()

    def teardown(self) -> None:
        try:
            self.run(self.close())
        finally:
            self.runner.close()

    async def close(self) -> None:
        await self.connection.close()
        await self.broker.wait_idle()
        everywhere: set[bytes] = set(self.seen)
        for name, queue in self.broker.vhost.queues.items():
            bodies = [message.body for message in queue.messages]
            everywhere.update(bodies)
            if name in self.confirmed:
                missing = self.confirmed[name] - set(bodies) - self.acknowledged
                assert missing == set(), f"confirmed and lost in {name}"
        assert self.not_sent & everywhere == set(), "not sent, and yet there"
        await self.broker.close()

    # ---------------------------------------------------------------- a step

    def step(self, call: Awaitable[Any], loss: str, turns: int) -> Any:
        return self.run(self.do(call, loss, turns))

    async def do(self, call: Awaitable[Any], loss: str, turns: int) -> Any:
        """Make a call, lose the link meanwhile, and compare the broker with the model."""
        task = asyncio.ensure_future(call)
        for _ in range(turns):
            await asyncio.sleep(0)
        await self.lose(loss)
        async with asyncio.timeout(1000):
            return await task

    async def lose(self, loss: str) -> None:
        match loss:
            case "cut":
                break_off(self.connection)
            case "close":
                self.broker.close_all_connections("the test")
            case "restart":
                await self.broker.restart()
            case _:
                pass

    def check(self) -> None:
        self.run(self.compare())

    async def compare(self) -> None:
        await self.connection.wait_open(1000)
        await self.broker.wait_idle()
        await self.connection.wait_open(1000)
        await self.broker.wait_idle()
        model, vhost = self.model, self.broker.vhost
        assert set(vhost.queues) == model.queues
        assert {name for name in vhost.exchanges if name in EXCHANGES} == model.exchanges
        assert {
            (exchange.name, binding.destination.name, binding.routing_key)
            for exchange in vhost.exchanges.values()
            for binding in exchange.outgoing
            if exchange.name in EXCHANGES
        } == model.bindings
        (session,) = self.broker.sessions
        consumers = {
            (self.index_of(channel.number), consumer.tag): consumer.queue.name
            for channel in session.channels
            for consumer in channel.consuming.consumers
        }
        assert consumers == model.consumers
        topology = self.connection.topology
        assert set(topology.queues) == model.queues
        assert set(topology.exchanges) == model.exchanges
        assert len(topology.bindings) == len(model.bindings)
        assert len(topology.consumers) == len(model.consumers)
        snapshot = self.connection.snapshot()
        assert snapshot["waiting"] == []
        assert [channel["state"] for channel in snapshot["channels"]] == ["LINKED"] * 2
        assert [channel["unconfirmed"] for channel in snapshot["channels"]] == [0, 0]

    def index_of(self, number: int) -> int:
        return [channel.channel_id for channel in self.channels].index(number)

    @initialize()
    def begin(self) -> None:
        """Begin with a queue and a consumer whose messages are settled later."""
        self.declare(0, "durable", "none", 0)
        self.consume_from(0, "later", "durable", "none", 0)
        self.publish_to(0, "durable", 3, "none", 0)

    # ---------------------------------------------------------------- declarations

    @rule(
        number=st.sampled_from(CHANNELS), name=st.sampled_from([*QUEUES]), loss=LOSSES, turns=TURNS
    )
    def declare_queue(self, number: int, name: str, loss: str, turns: int) -> None:
        self.declare(number, name, loss, turns)

    def declare(self, number: int, name: str, loss: str, turns: int) -> None:
        self.step(self.channels[number].queue_declare(name, **QUEUES[name]), loss, turns)
        self.model.queues.add(name)
        self.check()

    @rule(
        number=st.sampled_from(CHANNELS),
        name=st.sampled_from([*EXCHANGES]),
        loss=LOSSES,
        turns=TURNS,
    )
    def declare_exchange(self, number: int, name: str, loss: str, turns: int) -> None:
        call = self.channels[number].exchange_declare(name, name, **EXCHANGES[name])
        self.step(call, loss, turns)
        self.model.exchanges.add(name)
        self.check()

    @precondition(lambda self: self.model.queues and self.model.exchanges)
    @rule(data=st.data(), key=st.sampled_from(KEYS), loss=LOSSES, turns=TURNS)
    def bind(self, data: st.DataObject, key: str, loss: str, turns: int) -> None:
        queue = data.draw(st.sampled_from(sorted(self.model.queues)))
        exchange = data.draw(st.sampled_from(sorted(self.model.exchanges)))
        self.step(self.channels[0].queue_bind(queue, exchange, key), loss, turns)
        self.model.bindings.add((exchange, queue, key))
        self.check()

    @precondition(lambda self: self.model.bindings)
    @rule(data=st.data(), loss=LOSSES, turns=TURNS)
    def unbind(self, data: st.DataObject, loss: str, turns: int) -> None:
        exchange, queue, key = data.draw(st.sampled_from(sorted(self.model.bindings)))
        self.step(self.channels[1].queue_unbind(queue, exchange, key), loss, turns)
        self.model.unbind({(exchange, queue, key)})
        self.check()

    @precondition(lambda self: self.model.queues)
    @rule(data=st.data(), loss=LOSSES, turns=TURNS)
    def delete_queue(self, data: st.DataObject, loss: str, turns: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.queues)))
        self.step(self.channels[0].queue_delete(name), loss, turns)
        self.model.delete_queue(name)
        self.confirmed.pop(name, None)
        self.check()

    @precondition(lambda self: self.model.exchanges)
    @rule(data=st.data(), loss=LOSSES, turns=TURNS)
    def delete_exchange(self, data: st.DataObject, loss: str, turns: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.exchanges)))
        self.step(self.channels[1].exchange_delete(name), loss, turns)
        self.model.delete_exchange(name)
        self.check()

    # ---------------------------------------------------------------- messages

    @precondition(lambda self: self.model.queues)
    @rule(
        number=st.sampled_from(CHANNELS), tag=st.sampled_from(TAGS), data=st.data(), loss=LOSSES,
        turns=TURNS,
    )  # fmt: skip
    def consume(self, number: int, tag: str, data: st.DataObject, loss: str, turns: int) -> None:
        if (number, tag) in self.model.consumers:
            return
        name = data.draw(st.sampled_from(sorted(self.model.queues)))
        self.consume_from(number, tag, name, loss, turns)

    def consume_from(self, number: int, tag: str, name: str, loss: str, turns: int) -> None:
        async def handle(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            self.seen.add(body)
            if tag == "later":
                self.held.append(Held(number, name, envelope.delivery_tag, body))
            elif await channel.basic_client_ack(envelope.delivery_tag):
                self.acknowledged.add(body)

        self.step(self.channels[number].basic_consume(handle, name, tag), loss, turns)
        self.model.consumers[number, tag] = name
        self.check()

    @precondition(lambda self: self.model.consumers)
    @rule(data=st.data(), loss=LOSSES, turns=TURNS)
    def cancel(self, data: st.DataObject, loss: str, turns: int) -> None:
        number, tag = data.draw(st.sampled_from(sorted(self.model.consumers)))
        self.step(self.channels[number].basic_cancel(tag), loss, turns)
        self.model.cancel(number, tag)
        self.check()

    @precondition(lambda self: self.model.queues)
    @rule(
        number=st.sampled_from(CHANNELS), count=st.integers(1, 5), data=st.data(), loss=LOSSES,
        turns=TURNS,
    )  # fmt: skip
    def publish(self, number: int, count: int, data: st.DataObject, loss: str, turns: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.queues)))
        self.publish_to(number, name, count, loss, turns)

    def publish_to(self, number: int, name: str, count: int, loss: str, turns: int) -> None:
        bodies = [str(next(self.numbers)).encode() for _ in range(count)]
        persistent = {"delivery_mode": 2}
        calls = [self.channels[number].publish(body, "", name, persistent) for body in bodies]

        outcomes = self.step(outcomes_of(calls), loss, turns)

        for body, outcome in zip(bodies, outcomes, strict=True):
            if isinstance(outcome, PublishNotSent):
                self.not_sent.add(body)
            elif outcome is not None:
                assert isinstance(outcome, PublishUnconfirmed)
                assert loss != "none"
            elif QUEUES[name].get("durable"):
                self.confirmed.setdefault(name, set()).add(body)
        self.check()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), multiple=st.booleans(), loss=LOSSES, turns=TURNS)
    def settle(self, data: st.DataObject, multiple: bool, loss: str, turns: int) -> None:
        held = data.draw(st.sampled_from(self.held))
        if multiple:
            settled = [
                each for each in self.held if each.channel == held.channel and each.tag <= held.tag
            ]
        else:
            settled = [held]
        call = self.channels[held.channel].basic_client_ack(held.tag, multiple)
        if self.step(call, loss, turns):
            self.acknowledged.update(each.body for each in settled)
        self.held = [each for each in self.held if each not in settled]
        self.check()

    @rule(loss=LOSSES, pause=TURNS)
    def lose_twice(self, loss: str, pause: int) -> None:
        async def twice() -> None:
            await self.lose(loss)
            for _ in range(pause * 3):
                await asyncio.sleep(0.001)
            await self.lose(loss)

        self.run(twice())
        self.check()


async def outcomes_of(calls: list[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_random_programs_find_everything_restored() -> None:
    """R13, R14, R23."""
    run_state_machine_as_test(
        Program,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            phases=[phase for phase in Phase if phase is not Phase.explain],
        ),
    )
