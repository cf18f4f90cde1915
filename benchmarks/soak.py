"""Soak: what stays in memory after many channels, reconnects and deliveries.

    hatch run bench soak --url amqp://guest:guest@localhost/      on a RabbitMQ
    hatch run bench soak                                          on the fake broker over TCP

The fake broker is in the same process, and the history of messages that it keeps, up to a limit,
counts as well. Each part is done twice, and the table shows what is left after each: memory that is
kept for use again appears the first time, and a leak the second time as well.
"""

import argparse
import asyncio
import gc
import logging
import os
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

from rich.console import Console
from rich.table import Table

from aioamqp import AmqpProtocol, Backoff, Channel, Connection, Envelope, Properties
from aioamqp_testing import FakeBroker

QUEUE = "soak"
PAGE = os.sysconf("SC_PAGE_SIZE")


class Abortable(AmqpProtocol):
    """A connection whose link can be lost."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. Called by asyncio."""
        super().connection_made(transport)
        self.link = cast("asyncio.Transport", transport)


class Sample(NamedTuple):
    """What there is at one moment."""

    objects: int
    tasks: int
    descriptors: int
    kilobytes: int


def sample() -> Sample:
    """Count after garbage has been collected."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    objects, tasks = len(gc.get_objects()), len(asyncio.all_tasks())
    return Sample(objects, tasks, descriptors, resident * PAGE // 1024)


async def use_channels(connection: Connection, count: int) -> None:
    """Open and close channels."""
    for _ in range(count):
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=1)
        await channel.close()


async def reconnect(connection: Connection, count: int) -> None:
    """Lose the connection, with a channel, a queue and a consumer to restore."""
    channel = await connection.channel()
    await channel.queue_declare("soak-restored", durable=True)
    async with channel.consume("soak-restored"):
        for _ in range(count):
            protocol = cast("Abortable", connection.protocol)
            protocol.link.abort()
            await protocol.wait_closed()
            await connection.wait_open()
    await channel.queue_delete("soak-restored")
    await channel.close()


async def deliver(connection: Connection, count: int) -> None:
    """Publish messages with confirms, and consume and acknowledge them."""
    channel = await connection.channel()
    await channel.queue_declare(QUEUE, durable=True)
    await channel.basic_qos(prefetch_count=100)
    done, left = asyncio.Event(), count

    async def on_message(
        channel: Channel, _body: bytes, envelope: Envelope, _properties: Properties
    ) -> None:
        nonlocal left
        await channel.basic_client_ack(envelope.delivery_tag)
        left -= 1
        if not left:
            done.set()

    await channel.basic_consume(on_message, QUEUE)
    async with channel.publisher("", routing_key=QUEUE) as publisher:
        for _ in range(count):
            await publisher.publish_deferred(b"x" * 100)
    await done.wait()
    await channel.queue_delete(QUEUE)
    await channel.close()


async def soak(url: str, table: Table, options: argparse.Namespace) -> None:
    """Run each part twice, and add a row to the table for what is left after each."""
    parts: list[tuple[str, Callable[[Connection, int], Awaitable[None]], int]] = [
        ("channels", use_channels, options.channels),
        ("reconnects", reconnect, options.reconnects),
        ("deliveries", deliver, options.deliveries),
    ]
    async with Connection(
        url, reconnect=Backoff(initial=0.0), protocol_factory=Abortable
    ) as connection:
        before = sample()
        table.add_row("at the beginning", *map(str, before))
        for name, part, count in parts:
            for _ in range(2):
                await part(connection, count)
                now = sample()
                changes = (f"{new} ({new - old:+})" for new, old in zip(now, before, strict=True))
                table.add_row(f"after {count} {name}", *changes)
                before = now


@contextmanager
def quiet() -> Generator[None]:
    """Silence the log, which has a line for each lost connection."""
    logger = logging.getLogger("aioamqp")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


async def run(options: argparse.Namespace, table: Table) -> None:
    """Run on a broker of this program, in this process, or on another one."""
    if options.url:
        await soak(options.url, table, options)
        return
    async with FakeBroker() as broker:
        await soak(await broker.listen(), table, options)


def main(arguments: list[str]) -> int:
    """Run the soak test and print the table."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="bench soak", description=summary)
    parser.add_argument("--url", help="of a RabbitMQ; the default is a fake broker in this process")
    parser.add_argument("--channels", type=int, default=10_000, metavar="N")
    parser.add_argument("--reconnects", type=int, default=2_000, metavar="N")
    parser.add_argument("--deliveries", type=int, default=100_000, metavar="N")
    options = parser.parse_args(arguments)
    random.seed(0)
    table = Table("", "objects", "tasks", "descriptors", "resident kB")
    with quiet():
        asyncio.run(run(options, table))
    Console().print(table)
    return 0
