"""The demo with ``--chaos``: connections are lost and the broker restarts during the run."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol

from aioamqp import Backoff, Channel, Connection, Envelope, Properties, StateChange, dialing
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset

QUEUE = "chaos"
PERSISTENT = {"delivery_mode": 2}
BACKOFF = Backoff(initial=0.02, maximum=0.2)


class Account(Protocol):
    """Counts the outcome of each message."""

    total: int
    sent: int
    delivered: Any
    acknowledged: set[int]

    @property
    def is_complete(self) -> bool:
        """Whether every message was acknowledged."""
        ...

    def complaint(self) -> str:
        """Return a sentence with all errors."""
        ...


class Chaos:
    """One run on a broker in memory that is in trouble.

    Args:
        account: of the messages.
        on_progress: called for each message that is acknowledged.
        on_state: called with the connection's state in words.
    """

    def __init__(
        self,
        account: Account,
        on_progress: Callable[[], object],
        on_state: Callable[[str], object],
    ) -> None:
        self.account = account
        self.counts = {"connections lost": 0, "broker restarts": 0}
        self._on_progress = on_progress
        self._on_state = on_state
        self._ended = asyncio.Event()

    async def play(self, producers: int, consumers: int) -> None:
        """Run until every message is acknowledged."""
        async with FakeBroker() as broker:
            with dialing(broker.dial):
                trouble = asyncio.create_task(self._make_trouble(broker))
                try:
                    await self._exchange_messages(producers, consumers)
                finally:
                    trouble.cancel()
                    await asyncio.gather(trouble, return_exceptions=True)

    async def _exchange_messages(self, producers: int, consumers: int) -> None:
        async with Connection(
            "amqp://broker/", reconnect=BACKOFF, on_state_change=self._on_change
        ) as connection:
            channel = await connection.channel()
            await channel.queue_declare(QUEUE, durable=True)
            for _ in range(consumers):
                await self._consume(await connection.channel())
            async with asyncio.TaskGroup() as group:
                for first in range(producers):
                    numbers = range(first, self.account.total, producers)
                    group.create_task(self._produce(connection, numbers))
            await self._ended.wait()

    async def _produce(self, connection: Connection, numbers: range) -> None:
        channel = await connection.channel()
        publisher = channel.publisher(
            "", routing_key=QUEUE, properties=PERSISTENT, resend="unconfirmed"
        )
        async with publisher:
            for number in numbers:
                await publisher.publish_deferred(str(number).encode())
                self.account.sent += 1
                if number % 50 == 0:
                    await asyncio.sleep(0.01)

    async def _consume(self, channel: Channel) -> None:
        await channel.basic_qos(prefetch_count=20)
        await channel.basic_consume(self._on_message, QUEUE)

    async def _on_message(
        self, channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
    ) -> None:
        number = int(body)
        self.account.delivered[number] += 1
        if not await channel.basic_client_ack(envelope.delivery_tag):
            return  # the connection was lost: the message comes again
        if number not in self.account.acknowledged:
            self.account.acknowledged.add(number)
            self._on_progress()
        if self.account.is_complete:
            self._ended.set()

    async def _make_trouble(self, broker: FakeBroker) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.05, 0.15))
            if random.random() < 0.3:
                self.counts["broker restarts"] += 1
                await broker.restart()
            elif broker.sessions:
                self.counts["connections lost"] += 1
                broker.faults.add(Reset())

    def _on_change(self, change: StateChange) -> None:
        self._on_state(change.new.name.lower())
