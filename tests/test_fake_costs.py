"""Costs of the fake broker in function calls; measured time would depend on the load of the machine.

The limits are a third above today's costs; `hatch run bench fake` prints the figures.
"""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import aioamqp
from aioamqp_testing import FakeBroker, ManualClock


class Calls:
    """The number of calls of Python functions."""

    def __init__(self) -> None:
        self.count = 0

    def count_call(self, frame: FrameType, event: str, argument: object) -> None:
        self.count += event == "call"


@contextmanager
def counting_calls() -> Iterator[Calls]:
    calls = Calls()
    before = sys.getprofile()
    sys.setprofile(calls.count_call)
    try:
        yield calls
    finally:
        sys.setprofile(before)


async def deliver(channel: aioamqp.Channel, count: int) -> None:
    """Publish messages and acknowledge them when they are delivered."""
    done = asyncio.Event()
    left = count

    async def callback(channel: Any, _body: bytes, envelope: Any, _properties: Any) -> None:
        nonlocal left
        await channel.basic_client_ack(envelope.delivery_tag)
        left -= 1
        if not left:
            done.set()

    queue = (await channel.queue_declare("", exclusive=True))["queue"]
    await channel.basic_qos(prefetch_count=200)
    await channel.basic_consume(callback, queue)
    for _ in range(count):
        await channel.basic_publish(b"x" * 100, "", queue)
    await done.wait()
    await channel.queue_delete(queue)


async def calls_of(work: Callable[[int], Awaitable[None]]) -> float:
    """Return the number of calls per unit of work, without calls that are made once."""
    totals = []
    for number in (200, 400):
        with counting_calls() as calls:
            await work(number)
        totals.append(calls.count)
    return (totals[1] - totals[0]) / 200


def test_a_message_published_delivered_and_acknowledged_costs_few_calls() -> None:
    async def main() -> float:
        async with FakeBroker() as broker:
            _, protocol = await broker.connect()

            async def work(number: int) -> None:
                await deliver(await protocol.channel(), number)

            calls = await calls_of(work)
            await protocol.close()
            return calls

    assert asyncio.run(main()) < 230


def test_a_broker_with_a_connection_and_a_channel_costs_few_calls() -> None:
    async def work(number: int) -> None:
        for _ in range(number):
            async with FakeBroker() as broker:
                _, protocol = await broker.connect()
                await protocol.channel()
                await protocol.close()

    assert asyncio.run(calls_of(work)) < 1700


def test_the_cost_of_a_timer_does_not_depend_on_their_number() -> None:
    async def work(number: int) -> None:
        clock = ManualClock()
        for each in range(number):
            clock.call_later(each * 7919 % number, int)
        clock.advance(number)

    assert asyncio.run(calls_of(work)) <= 3


def test_messages_published_together_are_written_together() -> None:
    writes: list[bytes] = []

    class CountsWrites(aioamqp.AmqpProtocol):
        def connection_made(self, transport: Any) -> None:
            write = transport.write

            def count(data: bytes) -> None:
                writes.append(data)
                write(data)

            transport.write = count
            super().connection_made(transport)

    async def main() -> None:
        async with FakeBroker() as broker:
            _, protocol = await broker.connect(protocol_factory=CountsWrites)
            channel = await protocol.channel()
            await channel.queue_declare("orders", durable=True)
            writes.clear()
            for _ in range(100):
                await channel.basic_publish(b"x", "", "orders")
            await channel.queue_declare("orders", passive=True)
            assert broker.vhost.queues["orders"].message_count == 100
            await protocol.close()

    asyncio.run(main())

    assert 0 < len(writes) <= 4


NOT_IMPORTED = {
    "aioamqp",
    "aioamqp_testing.pytest_plugin",
    "aioamqp_testing.plugin.rabbitmq",
    "pytest",
}


def test_importing_aioamqp_testing_does_not_import_client_or_pytest() -> None:
    program = "import sys, asyncio, aioamqp_testing; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) & NOT_IMPORTED == set()


PLUGIN = {
    "aioamqp_testing",
    "aioamqp_testing.plugin",
    "aioamqp_testing.plugin.backend",
    "aioamqp_testing.pytest_plugin",
    "aioamqp_testing.version",
}
"""What the pytest plugin loads beyond pytest, in every run of pytest."""


def test_importing_the_pytest_plugin_imports_neither_client_nor_broker() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import aioamqp_testing.pytest_plugin;"
        " print(*sys.modules.keys() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) == PLUGIN
