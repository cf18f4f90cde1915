"""One case of the client's benchmark, with one library on a broker; prints JSON.

benchmarks/client.py runs it in the environment of the library. aioamqp 0.15 and ours share the
code, because they have the same API.
"""

import argparse
import asyncio
import importlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

BODY = b"x" * 100
PROPERTIES = {
    "content_type": "application/json",
    "delivery_mode": 1,
    "correlation_id": "9f0c1e7a-52d4",
    "message_id": "7d3b8c64-0e1f-4c5d-9a6b",
}
PREFETCH = 200
IN_FLIGHT = 100


class Aioamqp:
    """aioamqp, ours or 0.15."""

    async def open(self, host: str, port: int) -> None:
        library: Any = importlib.import_module("aioamqp")
        self.transport, self.protocol = await library.connect(host, port)
        self.channel = await self.protocol.channel()

    async def close(self) -> None:
        await self.protocol.close()
        self.transport.close()

    async def declare(self) -> str:
        declared = await self.channel.queue_declare("", exclusive=True)
        name: str = declared["queue"]
        return name

    async def publish(self, messages: int, exchange: str, key: str) -> None:
        for _ in range(messages):
            await self.channel.basic_publish(BODY, exchange, key, properties=PROPERTIES)
        await self.channel.exchange_declare("amq.fanout", "fanout", passive=True)

    async def confirm(self, messages: int, exchange: str, key: str) -> None:
        async def some() -> None:
            for _ in range(messages // IN_FLIGHT):
                await self.channel.publish(BODY, exchange, key, properties=PROPERTIES)

        await self.channel.confirm_select()
        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))

    async def consume(self, queue: str, messages: int, *, ack: bool) -> None:
        done = asyncio.Event()
        left = messages

        async def callback(channel: Any, _body: bytes, envelope: Any, _properties: Any) -> None:
            nonlocal left
            if ack:
                await channel.basic_client_ack(envelope.delivery_tag)
            left -= 1
            if not left:
                done.set()

        await self.channel.basic_qos(prefetch_count=PREFETCH)
        await self.channel.basic_consume(callback, queue_name=queue, no_ack=not ack)
        await done.wait()

    async def iterate(self, queue: str, messages: int) -> None:
        left = messages
        async with self.channel.consume(queue, prefetch_count=PREFETCH) as deliveries:
            async for message in deliveries:
                await message.ack()
                left -= 1
                if not left:
                    break


class Aiormq:
    """aiormq, the library under aio-pika."""

    async def open(self, host: str, port: int) -> None:
        self.library: Any = importlib.import_module("aiormq")
        self.connection = await self.library.connect(f"amqp://guest:guest@{host}:{port}/")
        self.channel = await self.connection.channel(publisher_confirms=False)

    async def close(self) -> None:
        await self.connection.close()

    async def declare(self) -> str:
        declared = await self.channel.queue_declare(exclusive=True)
        name: str = declared.queue
        return name

    async def publish(self, messages: int, exchange: str, key: str) -> None:
        properties = self.library.spec.Basic.Properties(**PROPERTIES)
        for _ in range(messages):
            await self.channel.basic_publish(
                BODY, exchange=exchange, routing_key=key, properties=properties
            )
        await self.channel.exchange_declare("amq.fanout", exchange_type="fanout", passive=True)

    async def confirm(self, messages: int, exchange: str, key: str) -> None:
        channel = await self.connection.channel(publisher_confirms=True)
        properties = self.library.spec.Basic.Properties(**PROPERTIES)

        async def some() -> None:
            for _ in range(messages // IN_FLIGHT):
                await channel.basic_publish(
                    BODY, exchange=exchange, routing_key=key, properties=properties
                )

        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))

    async def consume(self, queue: str, messages: int, *, ack: bool) -> None:
        done = asyncio.Event()
        left = messages

        async def callback(message: Any) -> None:
            nonlocal left
            if ack:
                await self.channel.basic_ack(message.delivery_tag)
            left -= 1
            if not left:
                done.set()

        await self.channel.basic_qos(prefetch_count=PREFETCH)
        await self.channel.basic_consume(queue, callback, no_ack=not ack)
        await done.wait()


async def timed(work: Callable[[], Awaitable[None]], messages: int) -> dict[str, float]:
    """Run ``work``; return the CPU and wall-clock seconds of this process per message."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu / messages, "wall": wall / messages}


async def run(library: str, case: str, host: str, port: int, messages: int) -> dict[str, float]:
    """Run a case after a warm-up."""
    client = Aiormq() if library == "aiormq" else Aioamqp()
    await client.open(host, port)
    await client.publish(500, "amq.fanout", "nowhere")
    if case == "publish":
        result = await timed(lambda: client.publish(messages, "amq.fanout", "nowhere"), messages)
    elif case == "publish, confirmed":
        result = await timed(lambda: client.confirm(messages, "amq.fanout", "nowhere"), messages)
    else:
        queue = await client.declare()
        await client.publish(messages, "", queue)
        ack = case != "consume"
        if case == "iterate with ack" and library == "ours":
            result = await timed(lambda: client.iterate(queue, messages), messages)  # type: ignore[union-attr]
        else:  # the others have no iterator, so it is compared with their callbacks
            result = await timed(lambda: client.consume(queue, messages, ack=ack), messages)
    await client.close()
    return result


def main() -> None:
    """Run the case named on the command line."""
    parser = argparse.ArgumentParser()
    for name in ("library", "case", "host"):
        parser.add_argument(name)
    parser.add_argument("port", type=int)
    parser.add_argument("messages", type=int)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(**vars(options)))))


if __name__ == "__main__":
    main()
