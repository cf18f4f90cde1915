"""What the fake broker costs, counted: a test that measures time fails on a busy machine.

The limits leave a third of room above what is needed today; `hatch run bench fake` has the figures.
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
    """How many functions of Python were called."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        self.count += event == "call"


@contextmanager
def counted() -> Iterator[Calls]:
    calls = Calls()
    before = sys.getprofile()
    sys.setprofile(calls.note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


async def deliver(channel: aioamqp.Channel, count: int) -> None:
    """Publish messages and acknowledge them as they come."""
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
    """Count the calls for one more of what the work does: what is done once does not count."""
    totals = []
    for number in (200, 400):
        with counted() as calls:
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

    assert asyncio.run(calls_of(work)) < 1600


def test_a_timer_that_goes_off_costs_the_same_among_many() -> None:
    async def work(number: int) -> None:
        clock = ManualClock()
        for each in range(number):
            clock.call_later(each * 7919 % number, int)
        clock.advance(number)

    assert asyncio.run(calls_of(work)) <= 3


def test_messages_on_their_way_travel_together() -> None:
    writes = 0

    async def main() -> None:
        nonlocal writes
        async with FakeBroker() as broker:
            _, protocol = await broker.connect()
            assert protocol._stream_reader is not None
            transport = protocol._stream_reader._transport
            channel = await protocol.channel()
            await channel.queue_declare("orders")
            write = transport.write

            def count(data: bytes) -> None:
                nonlocal writes
                writes += 1
                write(data)

            transport.write = count  # type: ignore[method-assign, assignment]
            for _ in range(100):
                await channel.basic_publish(b"x", "", "orders")
            await channel.queue_declare("orders", passive=True)
            assert broker.vhost.queues["orders"].message_count == 100
            await protocol.close()

    asyncio.run(main())

    assert 0 < writes <= 4


NOT_NEEDED_BY_MOST = {
    "aioamqp",
    "aioamqp_testing.pytest_plugin",
    "aioamqp_testing.plugin.rabbitmq",
    "pytest",
}


def test_the_import_leaves_out_what_most_tests_do_not_need() -> None:
    program = "import sys, asyncio, aioamqp_testing; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) & NOT_NEEDED_BY_MOST == set()


def test_the_plugin_imports_no_client_before_a_test_asks_for_one() -> None:
    program = "import sys, aioamqp_testing.pytest_plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    assert not loaded & {"aioamqp", "aioamqp_testing.plugin.rabbitmq"}
