"""Random exchanges, bindings and messages, compared on the fake broker and RabbitMQ.

To look for new ones: `hatch run test tests/conformance/test_random_topologies.py
--hypothesis-profile=explore`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aioamqp_testing import FakeBroker
from amqp_codec import Command, Int64, exchange, queue
from tests.conformance.client import MethodOrCommand, ScriptedClient, method_of, publish
from tests.conformance.scenario import profile_of
from tests.rabbitmq import RabbitMQNode

PREFIX = "random-topology-"
QUEUES = ("q1", "q2", "q3", "q4")
EXCHANGES = ("x1", "x2", "x3", "x4")
TYPES = ("direct", "fanout", "topic", "headers")
WORDS = ("", "a", "a.b", "b.a", ".", "a.", "a..b", "A")
PATTERNS = (*WORDS, "*", "#", "*.b", "a.*", "a.#", "#.b", "*.*", "#.a.#", "*.#", "#.#", "a*")
VALUES = (1, 1.0, Int64(1), "1", True, None, [1])
HEADERS = st.dictionaries(st.sampled_from(("a", "x-c")), st.sampled_from(VALUES), max_size=2)
HOW = ("all", "any", "all-with-x", "any-with-x")


@dataclass(frozen=True)
class Binding:
    source: str
    destination: str
    key: str
    arguments: dict[str, Any]

    def bind(self) -> MethodOrCommand:
        source, destination = PREFIX + self.source, PREFIX + self.destination
        if self.destination in QUEUES:
            return queue.Bind(destination, source, self.key, arguments=self.arguments)
        return exchange.Bind(destination, source, self.key, arguments=self.arguments)

    def unbind(self) -> MethodOrCommand:
        source, destination = PREFIX + self.source, PREFIX + self.destination
        if self.destination in QUEUES:
            return queue.Unbind(destination, source, self.key, self.arguments)
        return exchange.Unbind(destination, source, self.key, arguments=self.arguments)


@dataclass(frozen=True)
class Sent:
    exchange: str
    key: str
    copies: list[str]
    headers: dict[str, Any]

    def publish(self, body: bytes) -> MethodOrCommand:
        headers = {**self.headers, "CC": self.copies[:1], "BCC": self.copies[1:]}
        name = PREFIX + self.exchange if self.exchange else ""
        return publish(self.key, name, body, mandatory=True, headers=headers)


@dataclass(frozen=True)
class Plan:
    """What is declared, bound, unbound, deleted, and then published."""

    types: list[str]
    alternates: list[str | None]
    bindings: list[Binding]
    unbound: list[Binding]
    deleted: str
    messages: list[Sent] = field(default_factory=list)

    def topology(self) -> list[MethodOrCommand]:
        declared: list[MethodOrCommand] = [
            queue.Declare(PREFIX + name, exclusive=True) for name in QUEUES
        ]
        for name, kind, alternate in zip(EXCHANGES, self.types, self.alternates, strict=True):
            arguments = {} if alternate is None else {"alternate-exchange": alternate}
            declared.append(exchange.Declare(PREFIX + name, kind, arguments=arguments))
        bound = [binding.bind() for binding in self.bindings]
        undone = [binding.unbind() for binding in self.unbound]
        gone: MethodOrCommand = exchange.Delete(PREFIX + self.deleted)
        if self.deleted in QUEUES:
            gone = queue.Delete(PREFIX + self.deleted)
        return [*declared, *bound, *undone, gone]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    key = st.sampled_from((*WORDS, *(PREFIX + name for name in QUEUES)))
    alternate = st.sampled_from((None, "", "missing", *EXCHANGES)).map(
        lambda name: PREFIX + name if name else name
    )
    arguments = st.builds(
        lambda headers, how: headers if how is None else {**headers, "x-match": how},
        HEADERS,
        st.sampled_from((None, *HOW)),
    )
    binding = st.builds(
        Binding,
        st.sampled_from(EXCHANGES),
        st.sampled_from(QUEUES + EXCHANGES),
        st.sampled_from(PATTERNS),
        arguments | st.just({}),
    )
    bindings = draw(st.lists(binding, min_size=4, max_size=16))
    sent = st.builds(
        Sent, st.sampled_from((*EXCHANGES, "")), key, st.lists(key, max_size=2), HEADERS
    )
    return Plan(
        draw(st.lists(st.sampled_from(TYPES), min_size=4, max_size=4)),
        draw(st.lists(alternate, min_size=4, max_size=4)),
        bindings,
        draw(st.lists(st.sampled_from(bindings) | binding, max_size=3)),
        draw(st.sampled_from(("none", *QUEUES, *EXCHANGES))),
        draw(st.lists(sent, min_size=10, max_size=30)),
    )


async def outcome(client: ScriptedClient, plan: Plan) -> object:
    """Carry out a plan; return the replies, the returned messages, and the contents of all queues."""
    answers = await client.call(*plan.topology())
    returned: list[object] = []
    for number, message in enumerate(plan.messages):
        for reply in await client.call(message.publish(b"%d" % number)):
            content = reply.body if isinstance(reply, Command) else b""
            returned.append((method_of(reply), bytes(content)))
    got: dict[str, object] = {}
    for name in QUEUES:
        (declared,) = await client.call(queue.Declare(PREFIX + name, exclusive=True))
        assert isinstance(declared, queue.DeclareOk)
        got[name] = await client.bodies(PREFIX + name)
    await client.call(*(queue.Delete(PREFIX + name) for name in QUEUES))
    await client.call(*(exchange.Delete(PREFIX + name) for name in EXCHANGES))
    return answers, returned, got


@pytest.mark.slow
def test_messages_reach_the_same_queues_in_random_topologies(rabbitmq_node: RabbitMQNode) -> None:
    """Rows 123-130, 132, 133, 135 and 137."""
    address = urlsplit(rabbitmq_node.url)
    fake, rabbitmq = ScriptedClient(), ScriptedClient()
    explores = not settings().derandomize

    async def connect() -> FakeBroker:
        broker = await FakeBroker(rabbitmq=profile_of(rabbitmq_node.version)).__aenter__()
        await broker.dial(lambda: fake)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: rabbitmq, address.hostname or "", address.port or 0)
        for client in (fake, rabbitmq):
            assert await client.log_in("guest", "guest", "/", 1) is None
        return broker

    async def both(plan: Plan) -> None:
        async with asyncio.timeout(20):
            assert await outcome(fake, plan) == await outcome(rabbitmq, plan)

    async def close(broker: FakeBroker) -> None:
        for client in (fake, rabbitmq):
            await client.close()
        await broker.close()

    with asyncio.Runner() as runner:
        broker = runner.run(connect())

        @settings(
            max_examples=1000 if explores else 50,
            phases=tuple(Phase) if explores else (Phase.generate,),
            print_blob=False,
        )
        @given(plans())
        def compare(plan: Plan) -> None:
            runner.run(both(plan))

        try:
            compare()
        finally:
            runner.run(close(broker))
