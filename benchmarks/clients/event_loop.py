"""Libraries for asyncio: aioamqp, ours and 0.15, aiormq and aio-pika."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from .client import NOT_PREPARED, PROPERTIES, REPLY_TO, Client, in_turn

MAX_MESSAGE_SIZE = 1 << 27


class Countdown:
    """Waits until something has happened so many times."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.Event()

    def count(self) -> None:
        """Count one."""
        self.left -= 1
        if not self.left:
            self.done.set()


async def side_by_side(work: Callable[[], Awaitable[Any]], count: int, in_flight: int) -> None:
    """Await ``work`` so many times, with so many of them at the same time."""

    async def some(share: int) -> None:
        for _ in range(share):
            await work()

    each, more = divmod(count, in_flight)
    await asyncio.gather(*(some(each + (number < more)) for number in range(in_flight)))


async def timed_calls(
    send: Callable[[], Awaitable[Any]], replies: "asyncio.Queue[None]", count: int
) -> list[float]:
    """Send requests one after the other; return the seconds until each reply."""
    seconds: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await send()
        await replies.get()
        seconds.append(time.perf_counter() - began)
    return seconds


class Aioamqp015(Client):
    """aioamqp 0.15."""

    cannot: ClassVar[Mapping[str, str]] = {
        "deferred": "offers no confirms without waiting for each",
        "prepared": NOT_PREPARED,
        "iterate": "has no iterator",
        "confirm 100": "100 tasks that publish with confirms on one channel never end",
        "unconfirmed": "100 tasks that publish with confirms on one channel never end",
    }

    async def open(self, url: str) -> None:
        library: Any = importlib.import_module("aioamqp")
        self.transport, self.protocol = await library.from_url(url)

    async def close(self) -> None:
        await self.protocol.close()
        self.transport.close()

    async def open_channels(self, count: int) -> None:
        self.channels += [await self.protocol.channel() for _ in range(count)]

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            await channel.basic_publish(body, "", queue, properties=PROPERTIES)

    async def flush(self) -> None:
        await self.channels[-1].basic_qos(prefetch_count=0)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        channel = self.channels[0]
        await channel.confirm_select()
        await side_by_side(
            lambda: channel.publish(body, "", queue, properties=PROPERTIES), count, in_flight
        )

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        countdown = Countdown(count)

        async def callback(channel: Any, _body: bytes, envelope: Any, _properties: Any) -> None:
            if ack:
                await channel.basic_client_ack(envelope.delivery_tag)
            countdown.count()

        channel = self.channels[0]
        await channel.basic_qos(prefetch_count=prefetch)
        await channel.basic_consume(callback, queue_name=queue, no_ack=not ack)
        await countdown.done.wait()

    async def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            await self.channels[0].basic_get(queue, no_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        replies: asyncio.Queue[None] = asyncio.Queue()

        async def on_reply(_channel: Any, _body: bytes, _envelope: Any, _properties: Any) -> None:
            replies.put_nowait(None)

        channel = self.channels[0]
        await channel.basic_consume(on_reply, queue_name=REPLY_TO, no_ack=True)
        properties = {**PROPERTIES, "reply_to": REPLY_TO, "correlation_id": "1"}
        return await timed_calls(
            lambda: channel.basic_publish(body, "", queue, properties=properties), replies, count
        )


class Aioamqp(Aioamqp015):
    """aioamqp of this repository: the same calls, and those that 0.15 has not."""

    cannot: ClassVar[Mapping[str, str]] = {}

    async def open(self, url: str) -> None:
        library: Any = importlib.import_module("aioamqp")
        # RabbitMQ 4 may be configured for larger messages, but does not tell its limit.
        opening = library.from_url(url, max_message_size=MAX_MESSAGE_SIZE)
        self.transport, self.protocol = await opening

    async def deferred(self, queue: str, body: bytes, count: int) -> None:
        async with self._publisher(queue) as publisher:
            for _ in range(count):
                await publisher.publish_deferred(body)

    async def unconfirmed(self, queue: str, body: bytes, count: int) -> list[Any]:
        publisher = self._publisher(queue, max_unconfirmed=count, max_bytes=1 << 40)
        for _ in range(count):
            await publisher.publish_deferred(body)
        return []

    def _publisher(self, queue: str, **limits: int) -> Any:
        return self.channels[0].publisher("", routing_key=queue, properties=PROPERTIES, **limits)

    async def iterate(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        left = count
        messages = self.channels[0].consume(queue, prefetch_count=prefetch, no_ack=not ack)
        async with messages:
            async for message in messages:
                if ack:
                    await message.ack()
                left -= 1
                if not left:
                    break


class Aiormq(Client):
    """aiormq, the library under aio-pika."""

    cannot: ClassVar[Mapping[str, str]] = {
        "deferred": "offers no confirms without a task each",
        "prepared": NOT_PREPARED,
        "iterate": "has no iterator",
    }

    async def open(self, url: str) -> None:
        self.library: Any = importlib.import_module("aiormq")
        self.connection = await self.library.connect(url)
        self.properties = self.library.spec.Basic.Properties(**PROPERTIES)

    async def close(self) -> None:
        await self.connection.close()

    async def open_channels(self, count: int) -> None:
        for _ in range(count):
            self.channels.append(await self.connection.channel(publisher_confirms=False))

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            await channel.basic_publish(body, routing_key=queue, properties=self.properties)

    async def flush(self) -> None:
        await self.channels[-1].basic_qos(prefetch_count=0)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        channel = await self.connection.channel(publisher_confirms=True)
        await side_by_side(
            lambda: channel.basic_publish(body, routing_key=queue, properties=self.properties),
            count,
            in_flight,
        )

    async def unconfirmed(self, queue: str, body: bytes, count: int) -> list[Any]:
        channel = await self.connection.channel(publisher_confirms=True)

        async def one() -> None:
            await channel.basic_publish(body, routing_key=queue, properties=self.properties)

        return await until_all_wait([asyncio.ensure_future(one()) for _ in range(count)])

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        countdown, channel = Countdown(count), self.channels[0]

        async def callback(message: Any) -> None:
            if ack:
                await channel.basic_ack(message.delivery_tag)
            countdown.count()

        await channel.basic_qos(prefetch_count=prefetch)
        await channel.basic_consume(queue, callback, no_ack=not ack)
        await countdown.done.wait()

    async def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            await self.channels[0].basic_get(queue, no_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        replies: asyncio.Queue[None] = asyncio.Queue()

        async def on_reply(_message: Any) -> None:
            replies.put_nowait(None)

        channel = self.channels[0]
        await channel.basic_consume(REPLY_TO, on_reply, no_ack=True)
        properties = self.library.spec.Basic.Properties(
            **PROPERTIES, reply_to=REPLY_TO, correlation_id="1"
        )
        return await timed_calls(
            lambda: channel.basic_publish(body, routing_key=queue, properties=properties),
            replies,
            count,
        )


class AioPika(Client):
    """aio-pika."""

    cannot: ClassVar[Mapping[str, str]] = {
        "deferred": "offers no confirms without a task each",
        "prepared": NOT_PREPARED,
    }

    async def open(self, url: str) -> None:
        self.library: Any = importlib.import_module("aio_pika")
        self.connection = await self.library.connect(url)

    async def close(self) -> None:
        await self.connection.close()

    async def open_channels(self, count: int) -> None:
        for _ in range(count):
            self.channels.append(await self.connection.channel(publisher_confirms=False))

    def _message(self, body: bytes, **more: str) -> Any:
        return self.library.Message(body, **PROPERTIES, **more)

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            await channel.default_exchange.publish(self._message(body), queue)

    async def flush(self) -> None:
        await self.channels[-1].set_qos(prefetch_count=0)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        exchange = (await self.connection.channel()).default_exchange
        await side_by_side(
            lambda: exchange.publish(self._message(body), queue, mandatory=False), count, in_flight
        )

    async def unconfirmed(self, queue: str, body: bytes, count: int) -> list[Any]:
        exchange = (await self.connection.channel()).default_exchange

        async def one() -> None:
            await exchange.publish(self._message(body), queue, mandatory=False)

        return await until_all_wait([asyncio.ensure_future(one()) for _ in range(count)])

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        countdown, channel = Countdown(count), self.channels[0]

        async def callback(message: Any) -> None:
            if ack:
                await message.ack()
            countdown.count()

        await channel.set_qos(prefetch_count=prefetch)
        await (await channel.get_queue(queue, ensure=False)).consume(callback, no_ack=not ack)
        await countdown.done.wait()

    async def iterate(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        channel, left = self.channels[0], count
        await channel.set_qos(prefetch_count=prefetch)
        source = await channel.get_queue(queue, ensure=False)
        async with source.iterator(no_ack=not ack) as messages:
            async for message in messages:
                if ack:
                    await message.ack()
                left -= 1
                if not left:
                    break

    async def get(self, queue: str, count: int) -> None:
        source = await self.channels[0].get_queue(queue, ensure=False)
        for _ in range(count):
            await source.get(no_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        replies: asyncio.Queue[None] = asyncio.Queue()

        async def on_reply(_message: Any) -> None:
            replies.put_nowait(None)

        channel = self.channels[0]
        source = await channel.get_queue(REPLY_TO, ensure=False)
        await source.consume(on_reply, no_ack=True)
        exchange = channel.default_exchange
        return await timed_calls(
            lambda: exchange.publish(
                self._message(body, reply_to=REPLY_TO, correlation_id="1"), queue
            ),
            replies,
            count,
        )


async def until_all_wait(tasks: list[Any]) -> list[Any]:
    """Return the tasks when each has run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks
