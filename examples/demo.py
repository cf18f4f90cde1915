"""Send numbered messages through a broker and check that each one arrives.

    hatch run demo                                          on a broker inside this program
    hatch run demo --url amqp://guest:guest@localhost/      on a RabbitMQ
    hatch run demo --chaos                                  while connections are lost

Several producers publish to one queue, from which several consumers receive and acknowledge. Each
number must arrive exactly once; otherwise the exit code is 1, with an error message. With --chaos,
connections are lost and the broker restarts meanwhile: each number must arrive at least once.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

import aioamqp
from _chaos import Chaos
from aioamqp import AmqpProtocol, Channel, Envelope, Properties, ReturnEnvelope
from aioamqp_testing import FakeBroker

PREFETCH = 100


@dataclass
class Account:
    """The outcome of each message. A message is its number, from 0 to ``total`` - 1."""

    total: int
    sent: int = 0
    returned: set[int] = field(default_factory=set[int])
    delivered: Counter[int] = field(default_factory=Counter[int])
    acknowledged: set[int] = field(default_factory=set[int])
    left_in_queue: int = 0
    may_repeat: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every message was acknowledged or returned."""
        return len(self.acknowledged) + len(self.returned) >= self.total

    @property
    def lost(self) -> list[int]:
        return [n for n in range(self.total) if n not in self.delivered and n not in self.returned]

    @property
    def duplicates(self) -> list[int]:
        return sorted(number for number, times in self.delivered.items() if times > 1)

    def complaint(self) -> str:
        """Return a sentence with all errors; empty if there are none."""
        wrong = {
            "returned as unroutable": sorted(self.returned),
            "not delivered": self.lost,
            "delivered more than once": [] if self.may_repeat else self.duplicates,
            "delivered but not acknowledged": sorted(self.delivered.keys() - self.acknowledged),
        }
        parts = [f"{len(n)} {what} (first: number {n[0]})" for what, n in wrong.items() if n]
        if self.sent < self.total:
            parts.insert(0, f"{self.total - self.sent} not sent")
        if self.left_in_queue:
            parts.append(f"{self.left_in_queue} still in the queue at the end")
        return f"Of {self.total} messages: {', '.join(parts)}." if parts else ""


class Run:
    """One run over one connection, until all messages have outcomes or the connection is lost."""

    def __init__(self, account: Account, on_progress: Callable[[], object]) -> None:
        self.account = account
        self.seconds = 0.0
        self._on_progress = on_progress
        self._ended = asyncio.Event()
        self._failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        """End the run; aioamqp calls this as ``on_error`` when the connection is lost."""
        self._failure = error
        self._ended.set()

    async def exchange_messages(
        self, protocol: AmqpProtocol, producers: int, consumers: int
    ) -> None:
        channel = await protocol.channel()
        # No name: the broker generates one. Exclusive: only this connection can use the queue, and
        # it is deleted when the connection ends.
        queue: str = (await channel.queue_declare(exclusive=True))["queue"]
        begin = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(consumers):
                    group.create_task(self._consume(protocol, queue))
                for first in range(producers):
                    numbers = range(first, self.account.total, producers)
                    group.create_task(self._produce(protocol, queue, numbers))
        finally:
            self.seconds = time.perf_counter() - begin
        # The consumers' channels are closed, so unacknowledged messages have been requeued.
        state = await channel.queue_declare(queue, passive=True)
        self.account.left_in_queue = state["message_count"]

    async def _produce(self, protocol: AmqpProtocol, queue: str, numbers: range) -> None:
        # The channel stays open until the connection closes, to receive returned messages.
        channel = await protocol.channel(return_callback=self._on_return)
        for number in numbers:
            # The empty name is the default exchange, where the routing key is the name of a queue.
            # Mandatory: an unroutable message is returned, not dropped.
            await channel.basic_publish(str(number), "", queue, mandatory=True)
            self.account.sent += 1

    async def _consume(self, protocol: AmqpProtocol, queue: str) -> None:
        channel = await protocol.channel()
        # A prefetch count, so that the consumers share the messages.
        await channel.basic_qos(prefetch_count=PREFETCH)
        await channel.basic_consume(self._on_message, queue)
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        await channel.close()

    async def _on_message(
        self, channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
    ) -> None:
        number = int(body)
        self.account.delivered[number] += 1
        await channel.basic_client_ack(envelope.delivery_tag)
        self.account.acknowledged.add(number)
        self._count()

    def _on_return(
        self, _channel: Channel, body: bytes, _envelope: ReturnEnvelope, _properties: Properties
    ) -> None:
        self.account.returned.add(int(body))
        self._count()

    def _count(self) -> None:
        self._on_progress()
        if self.account.is_complete:
            self._ended.set()


@asynccontextmanager
async def connected(url: str | None, run: Run) -> AsyncGenerator[AmqpProtocol]:
    """Connect to the broker at a URL, or to one in memory that exists for this run."""
    if url is not None:
        async with aioamqp.from_url(url, on_error=run.fail) as protocol:
            yield protocol
    else:
        async with FakeBroker() as broker:
            _, protocol = await broker.connect(on_error=run.fail)
            yield protocol
            await protocol.close()


async def play(options: argparse.Namespace, run: Run) -> None:
    """Perform the run, with a deadline."""
    deadline = asyncio.timeout(options.deadline)
    try:
        async with deadline, connected(options.url, run) as protocol:
            await run.exchange_messages(protocol, options.producers, options.consumers)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        late = f"Not finished after {options.deadline:g} seconds. {run.account.complaint()}"
        raise TimeoutError(late) from error


async def play_chaos(options: argparse.Namespace, chaos: Chaos) -> None:
    """Perform the run with ``--chaos``, with a deadline."""
    try:
        async with asyncio.timeout(options.deadline):
            await chaos.play(options.producers, options.consumers)
    except TimeoutError as error:
        late = f"Not finished after {options.deadline:g} seconds. {chaos.account.complaint()}"
        raise TimeoutError(late) from error


def explain(error: BaseException) -> str:
    """Return a sentence for an exception."""
    if isinstance(error, aioamqp.ChannelClosed):
        return f"The broker closed the channel or the connection: {error.code} {error.message}"
    if isinstance(error, ValueError):
        return f"The URL cannot be used: {error}"
    return str(error) or type(error).__name__


def summary(account: Account, seconds: float, troubles: dict[str, int]) -> Table:
    table = Table.grid("", Column(justify="right"), padding=(0, 2))
    rows = {
        "sent": account.sent,
        "routed": account.sent - len(account.returned),
        "delivered": account.delivered.total(),
        "acknowledged": len(account.acknowledged),
        "duplicates": len(account.duplicates),
        "lost": len(account.lost),
        "seconds": f"{seconds:.2f}",
        "messages per second": f"{len(account.acknowledged) / seconds:.0f}",
        **troubles,
    }
    for what, value in rows.items():
        table.add_row(what, str(value))
    return table


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="of a RabbitMQ; the default is a broker inside this program")
    parser.add_argument("--messages", type=positive, default=5000, metavar="N")
    parser.add_argument("--producers", type=positive, default=4, metavar="P")
    parser.add_argument("--consumers", type=positive, default=4, metavar="C")
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="lose connections and restart the broker, which is inside this program, meanwhile",
    )
    parser.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS")
    options = parser.parse_args()
    if options.chaos and options.url:
        parser.error(
            "--chaos restarts the broker, so it needs the one inside this program: no --url"
        )

    # Errors are printed once, at the end, so aioamqp's log is silenced.
    logging.getLogger("aioamqp").addHandler(logging.NullHandler())
    console = Console()
    account = Account(options.messages, may_repeat=options.chaos)
    complaint, exit_code = "", 0
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("acknowledged", total=account.total)
        run = Run(account, lambda: progress.advance(bar))
        chaos = Chaos(
            account,
            lambda: progress.advance(bar),
            lambda state: progress.update(bar, description=f"acknowledged ({state})"),
        )
        begin = time.perf_counter()
        try:
            if options.chaos:
                asyncio.run(play_chaos(options, chaos))
                run.seconds = time.perf_counter() - begin
            else:
                asyncio.run(play(options, run))
        # from_url() raises ValueError for an invalid URL.
        except* (aioamqp.AioamqpException, OSError, ValueError) as errors:
            complaint, exit_code = explain(errors.exceptions[0]), 1
        except* KeyboardInterrupt:
            done = f"{len(account.acknowledged)} of {account.total}"
            complaint, exit_code = f"Interrupted after {done} messages were acknowledged.", 130
    if run.seconds and exit_code != 130:
        console.print(summary(account, run.seconds, chaos.counts if options.chaos else {}))
    if not complaint:
        complaint = account.complaint()
        exit_code = 1 if complaint else 0
    if complaint:
        print(complaint, file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
