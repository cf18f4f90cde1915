"""Random sequences of calls, compared on the fake broker and RabbitMQ.

After each step both sides must reach the same state: the deliveries of each consumer in order, and the
counts of each queue. RabbitMQ may need some time, so its state is read until it equals that of the
fake, or until the time limit. Delivery tags are not compared: which of two queues delivers first to a
channel depends on timing.

To look for new sequences: `hatch run test tests/conformance/test_random_sequences.py
--hypothesis-profile=explore`.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
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
from aioamqp_testing import FakeBroker
from tests.conformance.scenario import profile_of
from tests.rabbitmq import RabbitMQNode

QUEUES = ("q1", "q2", "q3")
EXCHANGES = {"direct": "direct", "fanout": "fanout", "topic": "topic"}
KEYS = ("", "a", "a.b", "b.c.a")
PATTERNS = (*KEYS, "#", "*", "a.*", "#.a", "*.*.a")
CHANNELS = (0, 1)
TAGS = ("c1", "c2", "c3")
CHANNEL = st.sampled_from(CHANNELS)
SELDOM = st.sampled_from((False, False, False, True))

Call = Callable[[aioamqp.Channel, Callable[[str], str]], Awaitable[object]]

TIME_LIMIT = 2.0
"""Seconds after which different states are a failure; RabbitMQ takes some milliseconds."""

numbers = itertools.count(1)


class Delivery(NamedTuple):
    """A delivery to a consumer, without its delivery tag."""

    body: bytes
    redelivered: bool
    exchange: str
    key: str


class Client:
    """A client of one broker, with two channels for the calls and one for reading the state.

    Args:
        prefix: of all names, so that sequences on a shared broker do not interfere.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.deliveries: dict[tuple[int, str], list[Delivery]] = {}
        self.tags: dict[tuple[int, str], list[int]] = {}
        self.protocol: aioamqp.AmqpProtocol
        self.channels: list[aioamqp.Channel] = []
        self.observer: aioamqp.Channel

    async def open(self, dial: Callable[[], Awaitable[tuple[Any, aioamqp.AmqpProtocol]]]) -> None:
        _, self.protocol = await dial()
        self.observer = await self.protocol.channel()
        self.channels = [await self._channel() for _ in CHANNELS]

    async def close(self) -> None:
        for queue in QUEUES:
            await self.observer.queue_delete(self.prefix + queue)
        for exchange in EXCHANGES:
            await self.observer.exchange_delete(self.prefix + exchange)
        await self.protocol.close()

    async def _channel(self) -> aioamqp.Channel:
        channel = await self.protocol.channel()
        await channel.confirm_select()
        return channel

    async def do(self, number: int, call: Callable[[aioamqp.Channel], Awaitable[Any]]) -> object:
        """Make a call on a channel; return its result or error. A closed channel is replaced."""
        channel = self.channels[number]
        try:
            result = await call(channel)
        except aioamqp.ChannelClosed as error:
            self.channels[number] = await self._channel()
            for known in (self.deliveries, self.tags):
                for key in [key for key in known if key[0] == number]:
                    del known[key]
            return error.code, error.message.replace(self.prefix, "")
        except aioamqp.EmptyQueue:
            return "empty"
        return self._without_prefix(result)

    def _without_prefix(self, result: object) -> object:
        if not isinstance(result, dict):
            return result
        kept = {k: v for k, v in result.items() if k not in ("delivery_tag", "properties")}
        return {k: v.replace(self.prefix, "") if isinstance(v, str) else v for k, v in kept.items()}

    async def consume(self, number: int, tag: str, queue: str, no_ack: bool) -> object:
        key = number, tag

        async def keep(_: object, body: bytes, envelope: aioamqp.Envelope, __: object) -> None:
            delivery = Delivery(
                bytes(body),
                envelope.is_redeliver,
                envelope.exchange_name.replace(self.prefix, ""),
                envelope.routing_key.replace(self.prefix, ""),
            )
            self.deliveries[key].append(delivery)
            if not no_ack:
                self.tags[key].append(envelope.delivery_tag)

        self.deliveries.setdefault(key, [])
        self.tags.setdefault(key, [])
        return await self.do(
            number,
            lambda channel: channel.basic_consume(keep, self.prefix + queue, tag, no_ack=no_ack),
        )

    async def get(self, number: int, queue: str, no_ack: bool) -> object:
        key = number, "get"

        async def call(channel: aioamqp.Channel) -> object:
            got = await channel.basic_get(self.prefix + queue, no_ack=no_ack)
            if not no_ack:
                self.tags.setdefault(key, []).append(got["delivery_tag"])
            return got

        return await self.do(number, call)

    async def read_state(self, queues: list[str]) -> object:
        """Return the deliveries of all consumers and the counts of the queues."""
        counts = {}
        for queue in queues:
            declared = await self.observer.queue_declare(self.prefix + queue, passive=True)
            counts[queue] = declared["message_count"], declared["consumer_count"]
        return {key: list(value) for key, value in self.deliveries.items()}, counts


class Sequences(RuleBasedStateMachine):
    """The calls that a program may make, in any order."""

    node: RabbitMQNode

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        prefix = f"random{next(numbers)}-"
        self.fake, self.real = Client(prefix), Client(prefix)
        self.queues: set[str] = set()
        self.consumers: dict[tuple[int, str], str] = {}
        self.published = itertools.count(1)
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.broker = await FakeBroker(rabbitmq=profile_of(self.node.version)).__aenter__()
        await self.fake.open(self.broker.connect)
        await self.real.open(lambda: aioamqp.from_url(self.node.url))
        for client in (self.fake, self.real):
            for name, kind in EXCHANGES.items():
                await client.observer.exchange_declare(client.prefix + name, kind)

    def teardown(self) -> None:
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        async with asyncio.timeout(TIME_LIMIT):
            await self.fake.close()
            await self.real.close()
            await self.broker.close()

    def calls(
        self, number: int, call: Call, new: str | None = None, gone: str | None = None
    ) -> bool:
        """Make the same call on both sides; return whether it closed the channel.

        Args:
            number: of the channel.
            call: takes the channel, and a function that adds the prefix to a name.
            new: a queue that exists if the call succeeds.
            gone: a queue that no longer exists if the call succeeds.
        """
        was_there = gone in self.queues
        self.queues.discard(gone or "")
        closes = self.step(
            lambda client: client.do(number, lambda c: call(c, client.prefix.__add__)), new
        )
        if closes and was_there and gone is not None:
            self.queues.add(gone)
        return closes

    def step(self, act: Callable[[Client], Awaitable[object]], new: str | None = None) -> bool:
        """Run an action on both sides; assert equal results and equal states."""
        return self.runner.run(self._step(act, new))

    async def _step(self, act: Callable[[Client], Awaitable[object]], new: str | None) -> bool:
        async with asyncio.timeout(2 * TIME_LIMIT):
            expected, found = await act(self.fake), await act(self.real)
        assert found == expected
        closes = isinstance(expected, tuple)
        if closes:
            known = self.fake.deliveries
            self.consumers = {k: queue for k, queue in self.consumers.items() if k in known}
        elif new is not None:
            self.queues.add(new)
        queues = sorted(self.queues)
        expected = await self.fake.read_state(queues)
        try:
            async with asyncio.timeout(TIME_LIMIT):
                while (found := await self.real.read_state(queues)) != expected:
                    pass
        except TimeoutError:
            assert found == expected
        return closes

    # ------------------------------------------------------------------------- what can be done

    @initialize(prefetch=st.sampled_from((0, 1, 2, 3)))
    def begin(self, prefetch: int) -> None:
        for queue in QUEUES:
            self.declare(queue, 0)
        for exchange in EXCHANGES:
            self.bind("q1", exchange, "a.b", 0, binds=True)
        self.consume("q1", "c1", 0, no_ack=False, prefetch=prefetch)
        self.consume("q1", "c2", 1, no_ack=False, prefetch=2)
        self.consume("q2", "c3", 1, no_ack=False, prefetch=1)
        for queue in QUEUES:
            self.fill(queue, 0, 5)

    @rule(queue=st.sampled_from(QUEUES), number=CHANNEL)
    def declare(self, queue: str, number: int) -> None:
        self.calls(number, lambda c, name: c.queue_declare(name(queue), durable=True), new=queue)

    @rule(
        queue=st.sampled_from(QUEUES),
        exchange=st.sampled_from(tuple(EXCHANGES)),
        pattern=st.sampled_from(PATTERNS),
        number=CHANNEL,
        binds=st.booleans(),
    )
    def bind(self, queue: str, exchange: str, pattern: str, number: int, binds: bool) -> None:
        def call(channel: aioamqp.Channel, name: Callable[[str], str]) -> Awaitable[object]:
            act = channel.queue_bind if binds else channel.queue_unbind
            return act(name(queue), name(exchange), pattern)

        if queue in self.queues:
            self.calls(number, call)

    @rule(
        exchange=st.sampled_from(tuple(EXCHANGES)),
        key=st.sampled_from(KEYS),
        number=CHANNEL,
        mandatory=st.booleans(),
    )
    def publish(self, exchange: str, key: str, number: int, mandatory: bool) -> None:
        self._publish(number, exchange, key, mandatory)

    @rule(queue=st.sampled_from(QUEUES), number=CHANNEL, count=st.integers(1, 4))
    def fill(self, queue: str, number: int, count: int) -> None:
        for _ in range(count):
            self._publish(number, "", queue, mandatory=True)

    def _publish(self, number: int, exchange: str, key: str, mandatory: bool) -> None:
        body = b"%d" % next(self.published)

        async def call(channel: aioamqp.Channel, name: Callable[[str], str]) -> object:
            where = (name(exchange), key) if exchange else ("", name(key))
            try:
                await channel.publish(body, *where, mandatory=mandatory)
            except aioamqp.PublishReturned as returned:
                return {"returned": returned.envelope.reply_text}
            return None

        self.calls(number, call)

    @rule(
        queue=st.sampled_from(QUEUES),
        tag=st.sampled_from(TAGS),
        number=CHANNEL,
        no_ack=st.sampled_from((False, False, False, True)),
        prefetch=st.sampled_from((1, 2, 3, 0)),
    )
    def consume(self, queue: str, tag: str, number: int, no_ack: bool, prefetch: int) -> None:
        if queue not in self.queues or (number, tag) in self.fake.deliveries:
            return  # a consumer tag in use would close the connection

        async def act(client: Client) -> object:
            await client.do(number, lambda c: c.basic_qos(prefetch_count=prefetch))
            return await client.consume(number, tag, queue, no_ack)

        self.step(act)
        self.consumers[number, tag] = queue

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number, tag = data.draw(st.sampled_from(sorted(self.consumers)))
        del self.consumers[number, tag]
        self.calls(number, lambda c, _: c.basic_cancel(tag))

    @rule(queue=st.sampled_from(QUEUES), number=CHANNEL, no_ack=st.booleans())
    def get(self, queue: str, number: int, no_ack: bool) -> None:
        async def act(client: Client) -> object:
            return await client.get(number, queue, no_ack)

        if queue in self.queues:
            self.step(act)

    def _settle_delivery(self, data: st.DataObject, how: str) -> None:
        key = data.draw(st.sampled_from(sorted(k for k, tags in self.fake.tags.items() if tags)))
        index = data.draw(st.integers(0, len(self.fake.tags[key]) - 1))

        async def act(client: Client) -> object:
            delivery_tag = client.tags[key].pop(index)
            return await client.do(key[0], lambda c: SETTLE[how](c, delivery_tag))

        self.step(act)

    @precondition(lambda self: any(self.fake.tags.values()))
    @rule(data=st.data(), how=st.sampled_from(("ack", "nack", "reject")))
    def settle(self, data: st.DataObject, how: str) -> None:
        self._settle_delivery(data, how)

    @precondition(lambda self: any(self.fake.tags.values()))
    @rule(data=st.data(), how=st.sampled_from(("requeue by nack", "requeue by reject")))
    def requeue(self, data: st.DataObject, how: str) -> None:
        self._settle_delivery(data, how)

    @precondition(lambda self: any(self.fake.tags.values()))
    @rule(data=st.data(), how=st.sampled_from(("ack", "requeue by nack")))
    def settle_another(self, data: st.DataObject, how: str) -> None:
        self._settle_delivery(data, how)

    @rule(number=CHANNEL, how=st.sampled_from(("ack", "requeue", "recover")), now=SELDOM)
    def settle_all(self, number: int, how: str, now: bool) -> None:
        if not now:
            return

        async def act(client: Client) -> object:
            for key in client.tags:
                if key[0] == number:
                    client.tags[key].clear()
            return await client.do(number, SETTLE_ALL[how])

        self.step(act)

    @rule(queue=st.sampled_from(QUEUES), number=CHANNEL, now=SELDOM)
    def purge(self, queue: str, number: int, now: bool) -> None:
        if now and queue in self.queues:
            self.calls(number, lambda c, name: c.queue_purge(name(queue)))

    @rule(number=CHANNEL, if_unused=st.booleans(), if_empty=st.booleans())
    def delete(self, number: int, if_unused: bool, if_empty: bool) -> None:
        queue = QUEUES[-1]
        is_deleted = not self.calls(
            number,
            lambda c, name: c.queue_delete(name(queue), if_unused=if_unused, if_empty=if_empty),
            gone=queue,
        )
        if is_deleted:
            self.consumers = {k: v for k, v in self.consumers.items() if v != queue}

    @rule(
        number=CHANNEL,
        which=st.sampled_from(("ack", "get", "publish", "bind", "declare")),
        now=SELDOM,
    )
    def mistake(self, number: int, which: str, now: bool) -> None:
        if not now:
            return

        async def call(channel: aioamqp.Channel, name: Callable[[str], str]) -> None:
            match which:
                case "ack":
                    await channel.basic_client_ack(1 << 40)
                    await channel.queue_declare(name("q1"), passive=True)
                case "get":
                    await channel.basic_get(name("missing"))
                case "publish":
                    await channel.publish(b"", name("missing"), "")
                case "bind":
                    await channel.queue_bind(name("q1"), name("missing"), "")
                case _:
                    await channel.queue_declare(name("q1"), durable=True, auto_delete=True)

        assert self.calls(number, call)


SETTLE: dict[str, Callable[[aioamqp.Channel, int], Awaitable[object]]] = {
    "ack": lambda c, tag: c.basic_client_ack(tag),
    "nack": lambda c, tag: c.basic_client_nack(tag, requeue=False),
    "reject": lambda c, tag: c.basic_reject(tag),
    "requeue by nack": lambda c, tag: c.basic_client_nack(tag),
    "requeue by reject": lambda c, tag: c.basic_reject(tag, requeue=True),
}

SETTLE_ALL: dict[str, Callable[[aioamqp.Channel], Awaitable[object]]] = {
    "ack": lambda c: c.basic_client_ack(0, multiple=True),
    "requeue": lambda c: c.basic_client_nack(0, multiple=True),
    "recover": lambda c: c.basic_recover(),
}


def run_sequences(machine: type[Sequences], max_examples: int, **attributes: Any) -> None:
    """Run random sequences of a machine; ``attributes`` are set on its class.

    The profile "explore" runs more of them. Only there a failing sequence is shrunk, which takes minutes.
    """
    explores = not settings().derandomize

    run_state_machine_as_test(
        type("OnRabbitMQ", (machine,), attributes),
        settings=settings(
            max_examples=200 if explores else max_examples,
            stateful_step_count=40,
            phases=tuple(Phase) if explores else (Phase.generate,),
            print_blob=False,
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_sequences_give_the_same_results_on_rabbitmq(rabbitmq_node: RabbitMQNode) -> None:
    run_sequences(Sequences, 30, node=rabbitmq_node)
