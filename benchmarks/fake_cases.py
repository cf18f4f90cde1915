"""One case of the fake broker's benchmark; prints JSON.

benchmarks/fake.py runs it in a separate process, in which the client and the fake broker share one
event loop, so the CPU time of the process includes both.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aioamqp
from aioamqp_testing import FakeBroker, ManualClock

BODY = b"x" * 100
PREFETCH = 200
IN_FLIGHT = 100

Measure = dict[str, float]


async def timed(work: Callable[[], Awaitable[object]], count: int) -> Measure:
    """Run ``work``; return the CPU and wall-clock seconds per repetition."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu / count, "wall": wall / count}


async def brokers(count: int) -> Measure:
    """Open a broker, a connection and a channel, and close them."""

    async def work(rounds: int) -> None:
        for _ in range(rounds):
            async with FakeBroker() as broker:
                _, protocol = await broker.connect()
                await protocol.channel()
                await protocol.close()

    await work(10)
    return await timed(lambda: work(count), count)


async def first_connections(url: str, count: int) -> Measure:
    """Open a listening broker and a connection to it; on RabbitMQ only the connection."""

    async def work(rounds: int) -> None:
        for _ in range(rounds):
            if url:
                async with aioamqp.from_url(url):
                    continue
            async with FakeBroker() as broker, aioamqp.from_url(await broker.listen()):
                pass

    await work(10)
    return await timed(lambda: work(count), count)


@asynccontextmanager
async def connected(url: str, *, over_tcp: bool) -> AsyncGenerator[aioamqp.AmqpProtocol]:
    """Connect to RabbitMQ, or to a fake broker."""
    if url:
        async with aioamqp.from_url(url) as protocol:
            yield protocol
        return
    async with FakeBroker() as broker:
        if over_tcp:
            async with aioamqp.from_url(await broker.listen()) as protocol:
                yield protocol
        else:
            _, protocol = await broker.connect()
            async with protocol_closed(protocol):
                yield protocol


@asynccontextmanager
async def protocol_closed(protocol: aioamqp.AmqpProtocol) -> AsyncGenerator[None]:
    """Close a connection at the end of the block."""
    try:
        yield
    finally:
        await protocol.close()


async def deliver(channel: aioamqp.Channel, count: int) -> None:
    """Publish, consume and acknowledge messages."""
    queue: str = (await channel.queue_declare("", exclusive=True))["queue"]
    done = asyncio.Event()
    left = count

    async def callback(channel: Any, _body: bytes, envelope: Any, _properties: Any) -> None:
        nonlocal left
        await channel.basic_client_ack(envelope.delivery_tag)
        left -= 1
        if not left:
            done.set()

    await channel.basic_qos(prefetch_count=PREFETCH)
    await channel.basic_consume(callback, queue_name=queue)
    for _ in range(count):
        await channel.basic_publish(BODY, "", queue)
    await done.wait()
    await channel.queue_delete(queue)  # its answer follows the last ack


async def confirm(channel: aioamqp.Channel, count: int) -> None:
    """Publish to a queue, with a hundred messages unconfirmed at any time."""
    queue: str = (await channel.queue_declare("", exclusive=True))["queue"]
    await channel.confirm_select()

    async def some() -> None:
        for _ in range(count // IN_FLIGHT):
            await channel.publish(BODY, "", queue)

    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
    await channel.queue_delete(queue)


async def messages(
    work: Callable[[aioamqp.Channel, int], Awaitable[None]], url: str, count: int, over_tcp: bool
) -> Measure:
    """Run a case on a channel after a warm-up."""
    async with connected(url, over_tcp=over_tcp) as protocol:
        await work(await protocol.channel(), count // 10)
        channel = await protocol.channel()
        return await timed(lambda: work(channel, count), count)


async def timers(count: int) -> Measure:
    """Fire timers that were set in no particular order; the result is for all of them."""
    clock = ManualClock()
    fired = 0

    def fire() -> None:
        nonlocal fired
        fired += 1

    for number in range(count):
        clock.call_later(1 + number * 7919 % count / 100, fire)

    async def work() -> None:
        clock.advance(30 * 60)

    measure = await timed(work, 1)
    assert fired == count
    return measure


CASES: Final[dict[str, Callable[[str, int], Awaitable[Measure]]]] = {
    "broker, connection, channel": lambda _, count: brokers(count),
    "first connection over TCP": first_connections,
    "deliver, in memory": lambda url, count: messages(deliver, url, count, over_tcp=False),
    "deliver, over TCP": lambda url, count: messages(deliver, url, count, over_tcp=True),
    "confirm, in memory": lambda url, count: messages(confirm, url, count, over_tcp=False),
    "confirm, over TCP": lambda url, count: messages(confirm, url, count, over_tcp=True),
    "100,000 timers": lambda _, count: timers(count),
}


async def run(case: str, url: str, count: int) -> Measure:
    """Run a case by its name."""
    return await CASES[case](url, count)


def main() -> None:
    """Run the case named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("url", help="of RabbitMQ; empty for the fake broker")
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.case, options.url, options.count))))


if __name__ == "__main__":
    main()
