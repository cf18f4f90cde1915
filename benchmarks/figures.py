"""Figures of ours alone, each with a target: import times, and whether costs are flat.

`python -m benchmarks.figures NAME URL` measures one in this process; prints JSON.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import aioamqp

from .broker import BrokerConnection
from .clients.client import PROPERTIES, Stopwatch
from .environments import ROOT, cache
from .result import Figure
from .turns import queue_name

BODY = b"x" * 100
FLAT = 1.2
PREFETCH = 200

IMPORTS: Final = {
    "import of aioamqp against asyncio": (
        "import asyncio",
        "import aioamqp",
        1.3,
    ),
    "import of the pytest plugin": (
        "import pytest",
        "import aioamqp_testing.pytest_plugin",
        50.0,
    ),
}
"""What is imported first, what then, and the target: for both as a multiple of the first where the
name has "against", and otherwise for the second in milliseconds."""

IMPORT = """
import time
begin = time.process_time()
{first}
middle = time.process_time()
{second}
end = time.process_time()
print(middle - begin, end - middle)
"""


def import_figure(name: str, *, quick: bool) -> list[Figure]:
    """Measure an import in processes of its own, with bytecode from an earlier import."""
    first, second, target = IMPORTS[name]
    program = IMPORT.format(first=first, second=second)
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    pairs: list[tuple[float, float]] = []
    for number in range(8 if quick else 21):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=variables,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        before, after = map(float, done.stdout.split())
        if number:  # the first one writes the bytecode
            pairs.append((before, after))
    if "against" in name:
        ratio = statistics.median((before + after) / before for before, after in pairs)
        medians = (statistics.median(part) * 1000 for part in zip(*pairs, strict=True))
        return [Figure(name, ratio, target, detail=" + ".join(f"{n:.0f}" for n in medians) + " ms")]
    return [Figure(name, 1000 * statistics.median(after for _, after in pairs), target, "ms")]


async def publishing(channels: Sequence[Any], broker: BrokerConnection, count: int) -> float:
    """Return the CPU seconds of a publish, over channels in turn."""
    queue, share = queue_name(), max(1, count // len(channels))
    broker.declare(queue)
    with Stopwatch() as watch:
        for channel in channels:
            for _ in range(share):
                await channel.basic_publish(BODY, "", queue, properties=PROPERTIES)
        await channels[-1].basic_qos(prefetch_count=PREFETCH)
    expected = share * len(channels)
    if broker.count(queue, expected) != expected:
        raise RuntimeError(f"The queue does not have the {expected} messages that were published")
    broker.delete(queue)
    return watch.cpu / expected


async def consuming(channels: Sequence[Any], broker: BrokerConnection, count: int) -> float:
    """Return the CPU seconds of a delivery with its acknowledgement, to all channels."""
    queue, done, left = queue_name(), asyncio.Event(), count
    broker.declare(queue)

    async def callback(channel: Any, _body: bytes, envelope: Any, _properties: Any) -> None:
        nonlocal left
        await channel.basic_client_ack(envelope.delivery_tag)
        left -= 1
        if not left:
            done.set()

    tags: list[str] = []
    for channel in channels:
        await channel.basic_qos(prefetch_count=PREFETCH)
        tags.append((await channel.basic_consume(callback, queue))["consumer_tag"])
    broker.publish(queue, len(BODY), count)  # meanwhile the event loop does not run
    with Stopwatch() as watch:
        await done.wait()
    for channel, tag in zip(channels, tags, strict=True):
        await channel.basic_cancel(tag)
    broker.delete(queue)
    return watch.cpu / count


async def flat(
    name: str, sizes: dict[int, Sequence[Any]], broker: BrokerConnection, *, quick: bool
) -> list[Figure]:
    """Measure the cost of a message with few and many channels, alternating.

    Args:
        name: what there are few and many of.
        sizes: the channels to use, by how many there are.
        broker: to fill and count queues.
        quick: whether to use fewer messages.
    """
    count, turns = (5000, 4) if quick else (20_000, 7)
    costs: dict[str, dict[int, list[float]]] = {}
    for turn in range(turns + 1):
        for size, channels in sizes.items():
            for what, work in (("publish", publishing), ("deliver and ack", consuming)):
                cost = await work(channels, broker, count)
                if turn:  # the first one is for warming up
                    costs.setdefault(what, {}).setdefault(size, []).append(cost)
    figures: list[Figure] = []
    for what, by_size in costs.items():
        medians = [statistics.median(found) for found in by_size.values()]
        title = f"{what}: dearest against cheapest of {', '.join(f'{n:,}' for n in sizes)} {name}"
        figures.append(Figure(title, max(medians) / min(medians), FLAT, detail=shown(medians)))
    return figures


async def flat_channels(url: str, *, quick: bool) -> list[Figure]:
    """Measure with many channels on one connection."""
    sizes: dict[int, Sequence[Any]] = {}
    protocols: list[aioamqp.AmqpProtocol] = []
    with BrokerConnection(url) as broker:
        for size in (1, 100, 1000):
            _, protocol = await aioamqp.from_url(url, heartbeat=0)
            protocols.append(protocol)
            sizes[size] = [await protocol.channel() for _ in range(size)]
        figures = await flat("channels", sizes, broker, quick=quick)
    for protocol in protocols:
        await protocol.close()
    return figures


async def flat_connections(url: str, *, quick: bool) -> list[Figure]:
    """Measure with a channel each on many connections."""
    with BrokerConnection(url) as broker:
        protocols = [(await aioamqp.from_url(url, heartbeat=0))[1] for _ in range(111)]
        channels = [await protocol.channel() for protocol in protocols]
        sizes: dict[int, Sequence[Any]] = {
            1: channels[:1],
            10: channels[1:11],
            100: channels[11:],
        }
        figures = await flat("connections", sizes, broker, quick=quick)
    for protocol in protocols:
        await protocol.close()
    return figures


async def flat_messages(url: str, *, quick: bool) -> list[Figure]:
    """Measure the first and the last of many messages on one channel, with confirms and acks."""
    total = 50_000 if quick else 1_000_000
    blocks, tenth = 50, 5
    costs: dict[str, list[float]] = {"publish with confirm": [], "deliver and ack": []}
    with BrokerConnection(url) as broker:
        async with aioamqp.from_url(url, heartbeat=0) as protocol:
            channel = await protocol.channel()
            queue, received = queue_name(), asyncio.Semaphore(0)
            broker.declare(queue)
            consumer = await protocol.channel()
            left = 0

            async def callback(channel: Any, _body: bytes, envelope: Any, _: Any) -> None:
                nonlocal left
                await channel.basic_client_ack(envelope.delivery_tag)
                left -= 1
                if not left:
                    received.release()

            publisher = channel.publisher("", routing_key=queue, properties=PROPERTIES)
            await consumer.basic_qos(prefetch_count=PREFETCH)
            for _ in range(blocks):
                left = total // blocks
                with Stopwatch() as watch:
                    for _ in range(total // blocks):
                        await publisher.publish_deferred(BODY)
                    await publisher.flush()
                costs["publish with confirm"].append(watch.cpu)
                tag = (await consumer.basic_consume(callback, queue))["consumer_tag"]
                with Stopwatch() as watch:
                    await received.acquire()
                costs["deliver and ack"].append(watch.cpu)
                await consumer.basic_cancel(tag)
        broker.delete(queue)
    figures: list[Figure] = []
    for what, found in costs.items():
        medians = [statistics.median(part) for part in (found[:tenth], found[-tenth:])]
        title = f"{what}: last tenth of {total:,} messages against the first"
        each = [median / (total // blocks) for median in medians]
        figures.append(Figure(title, medians[1] / medians[0], FLAT, detail=shown(each)))
    return figures


def shown(seconds: Sequence[float]) -> str:
    """Return the text for costs."""
    return ", ".join(f"{each * 1e6:.1f}" for each in seconds) + " us"


FLATNESS: Final[dict[str, Callable[..., Awaitable[list[Figure]]]]] = {
    "flat over channels": flat_channels,
    "flat over connections": flat_connections,
    "flat over messages": flat_messages,
}

FIGURES: Final = (*IMPORTS, *FLATNESS)


def measure_figure(name: str, url: str, *, quick: bool) -> list[Figure]:
    """Measure a figure in a process of its own."""
    if name in IMPORTS:
        return import_figure(name, quick=quick)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "benchmarks.figures", name, url, *(["--quick"] * quick)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [Figure(**figure) for figure in json.loads(done.stdout)]


async def run(name: str, url: str, *, quick: bool) -> list[Figure]:
    """Measure whether a cost is flat."""
    return await FLATNESS[name](url, quick=quick)


def main() -> None:
    """Measure the figure named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=FLATNESS)
    parser.add_argument("url")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(run(options.name, options.url, quick=options.quick))
    print(json.dumps([asdict(figure) for figure in figures]))


if __name__ == "__main__":
    main()
