"""Worker of the client's benchmark: runs cases with one library; runs in the library's environment.

It reads one JSON object a line, {"case", "url", "queue", "count"}, and answers each with one: the
result by metric, {"cannot": reason} or {"error": text}.
"""

import argparse
import asyncio
import gc
import importlib
import json
import os
import statistics
import sys
import tracemalloc
from typing import IO, Any, Self

from benchmarks.cases import CASES, Case

from .client import Client, Stopwatch

LIBRARIES = {
    "ours": "event_loop.Aioamqp",
    "aioamqp 0.15": "event_loop.Aioamqp015",
    "aiormq": "event_loop.Aiormq",
    "aio-pika": "event_loop.AioPika",
    "pika": "blocking.Pika",
    "py-amqp": "blocking.PyAmqp",
    "amqpstorm": "blocking.AmqpStorm",
    "one write a message": "floors.OneWrite",
    "frame by frame": "floors.FrameByFrame",
    "reading alone": "floors.ReadingAlone",
    "one copy": "floors.OneCopy",
}
"""The class for each library, and for each floor."""

Result = dict[str, float | str]


def client_of(library: str) -> Client:
    """Return a client of a library that is not connected."""
    module, _, name = LIBRARIES[library].partition(".")
    client: Client = getattr(importlib.import_module(f".{module}", __package__), name)()
    return client


async def run(library: str, case: Case, url: str, queue: str, count: int) -> Result:
    """Run a case, and return what was measured by metric: seconds per message, or bytes."""
    client = client_of(library)
    if (reason := client.cannot.get(case.needs)) is not None:
        return {"cannot": reason}
    if case.kind == "connection memory":
        return {"memory": await memory_of_connections(library, url, count)}
    await client.open(url)
    if case.kind == "channel memory":
        result = await memory_of_channels(client, count)
    else:
        await client.open_channels(case.channels)
        gc.collect()
        result = await measured(client, case, queue, count)
    await client.close()
    return result


async def measured(client: Client, case: Case, queue: str, count: int) -> Result:
    """Run a case on an open connection."""
    body = b"x" * case.size
    if case.kind in ("publish memory", "consume memory", "unconfirmed"):
        return {"memory": await peak_memory(client, case, queue, body, count)}
    client.prepare(queue, body)
    latencies: list[float] = []
    with Stopwatch() as watch:
        if case.kind == "publish":
            await client.publish(queue, body, count)
            await client.flush()
        elif case.kind == "confirm":
            await client.confirm(queue, body, count, min(count, case.in_flight))
        elif case.kind == "deferred":
            await client.deferred(queue, body, count)
        elif case.kind == "prepared":
            await client.unconfirmed(queue, body, count)
            await client.flush()
        elif case.kind == "consume":
            await client.consume(queue, count, ack=case.ack, prefetch=case.prefetch)
        elif case.kind == "iterate":
            await client.iterate(queue, count, ack=case.ack, prefetch=case.prefetch)
        elif case.kind == "get":
            await client.get(queue, count)
        elif case.kind == "call":
            latencies = await client.call(queue, body, count)
    result: Result = {"cpu": watch.cpu / count, "wall": watch.wall / count}
    if len(latencies) > 1:
        hundredths = statistics.quantiles(latencies, n=100)
        result |= {"p50": hundredths[49], "p99": hundredths[98]}
    return result


class Memory:
    """The bytes that Python allocates in a ``with`` block: at its end, and at most."""

    def __enter__(self) -> Self:
        gc.collect()
        tracemalloc.start()
        self._before = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(self, *_: object) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        gc.collect()
        now = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        self.left, self.peak = now - self._before, peak - self._before


async def memory_of_channels(client: Client, count: int) -> Result:
    await client.open_channels(5)
    with Memory() as memory:
        await client.open_channels(count)
    return {"memory": memory.left / count}


async def memory_of_connections(library: str, url: str, count: int) -> float:
    clients = [client_of(library) for _ in range(count + 2)]
    for client in clients[:2]:
        await client.open(url)
    with Memory() as memory:
        for client in clients[2:]:
            await client.open(url)
    for client in clients:
        await client.close()
    return memory.left / count


async def peak_memory(client: Client, case: Case, queue: str, body: bytes, count: int) -> float:
    """Return the bytes that a call needs besides its body; for 100,000 unconfirmed messages."""
    if case.kind == "unconfirmed":
        with Memory() as memory:
            kept = await client.unconfirmed(queue, body, count)
        for task in kept:
            task.cancel()
        return memory.left / count * 100_000
    if case.kind == "publish memory":
        with Memory() as memory:
            await client.publish(queue, body, count)
            await client.flush()
        return memory.peak
    with Memory() as memory:
        await client.consume(queue, count, ack=False, prefetch=0)
    return memory.peak


def answer(library: str, line: str, loop_factory: Any) -> Result:
    """Run the case of one line of JSON."""
    job = json.loads(line)
    case = CASES[job.pop("case")]
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(run(library, case, **job))
    except Exception as error:  # noqa: BLE001  the table shows it
        return {"error": f"{type(error).__name__}: {error}"}


def serve(jobs: IO[str], results: IO[str], library: str, loop_factory: Any) -> None:
    """Answer every line."""
    for line in jobs:
        print(json.dumps(answer(library, line, loop_factory)), file=results, flush=True)


def main() -> None:
    """Serve on standard input and output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    factory = importlib.import_module("uvloop").new_event_loop if options.uvloop else None
    # What a library prints must not get between the results.
    with os.fdopen(os.dup(1), "w") as results:
        os.dup2(2, 1)
        serve(sys.stdin, results, options.library, factory)


if __name__ == "__main__":
    main()
