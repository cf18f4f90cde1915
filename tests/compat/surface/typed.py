"""Calls of a program for type checkers: never run, but checked by mypy and pyright.

Each ``type: ignore`` marks a line that must be an error of that kind; both checkers report an ignore
that is not needed.
"""
# pyright: basic, reportUnnecessaryTypeIgnoreComment=true

import asyncio
import functools
from collections.abc import Awaitable
from typing import Any, assert_type

import aioamqp
from aioamqp import AmqpProtocol, Channel, Envelope, Message, Properties, ReturnEnvelope

# ------------------------------------------------------------------------------ valid callbacks


async def consumer(
    channel: Channel, body: bytes, envelope: Envelope, properties: Properties
) -> None: ...


def plain_consumer(a: Channel, b: bytes, c: Envelope, d: Properties) -> None: ...


def consumer_that_returns_an_awaitable(
    channel: Channel, body: bytes, envelope: Envelope, properties: Properties
) -> Awaitable[int]:
    return asyncio.sleep(0, 1)


async def lenient_consumer(*args: Any, **kwargs: Any) -> None: ...


async def wide_consumer(
    channel: object, body: bytes | str, envelope: object, properties: object, more: int = 0
) -> bool:
    return True


async def consumer_with_more(
    more: int, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
) -> None: ...


class Worker:
    async def __call__(
        self, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None: ...

    async def method(
        self, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None: ...


async def returned(
    channel: Channel, body: bytes, envelope: ReturnEnvelope, properties: Properties
) -> None: ...


async def cancelled(channel: Channel, consumer_tag: str) -> None: ...


def failed(error: Exception) -> None: ...


async def failed_later(error: aioamqp.AioamqpException) -> None: ...


async def blocked(reason: str | None) -> None: ...


# ----------------------------------------------------------------------- invalid callbacks


async def consumer_of_three(channel: Channel, body: bytes, envelope: Envelope) -> None: ...


async def consumer_of_text(
    channel: Channel, body: str, envelope: Envelope, properties: Properties
) -> None: ...


async def consumer_with_keyword(
    channel: Channel, body: bytes, envelope: Envelope, properties: Properties, *, more: int
) -> None: ...


async def cancelled_of_one(consumer_tag: str) -> None: ...


def failed_of_none() -> None: ...


def failed_with_code(error: aioamqp.ChannelClosed) -> None: ...


def blocked_of_text(reason: str) -> None: ...


# ----------------------------------------------------------------------------------- uses of callbacks


async def consuming(channel: Channel, worker: Worker) -> None:
    await channel.basic_consume(consumer)
    await channel.basic_consume(plain_consumer, "q")
    await channel.basic_consume(consumer_that_returns_an_awaitable)
    await channel.basic_consume(lenient_consumer)
    await channel.basic_consume(wide_consumer)
    await channel.basic_consume(functools.partial(consumer_with_more, 1))
    await channel.basic_consume(worker)
    await channel.basic_consume(worker.method)
    await channel.basic_consume(lambda *args: asyncio.sleep(0, args))
    await channel.basic_consume(None)
    await channel.basic_consume(callback=consumer, queue_name="q")
    channel.consumer_callbacks["tag"] = consumer

    await channel.basic_consume(consumer_of_three)  # type: ignore[arg-type]
    await channel.basic_consume(consumer_of_text)  # type: ignore[arg-type]
    await channel.basic_consume(consumer_with_keyword)  # type: ignore[arg-type]
    await channel.basic_consume(consumer_with_more)  # type: ignore[arg-type]
    await channel.basic_consume(returned)  # type: ignore[arg-type]
    await channel.basic_consume("consumer")  # type: ignore[arg-type]
    await channel.basic_consume(lambda channel, body: None)  # type: ignore[arg-type]
    channel.consumer_callbacks["tag"] = consumer_of_three  # type: ignore[assignment]


async def returning(channel: Channel, protocol: AmqpProtocol) -> None:
    channel.return_callback = returned
    channel.return_callback = lenient_consumer
    channel.return_callback = None
    Channel(protocol, 1, returned)

    await protocol.channel(return_callback=returned)

    channel.return_callback = consumer  # type: ignore[assignment]
    await protocol.channel(return_callback=consumer)  # type: ignore[arg-type]
    Channel(protocol, 1, consumer)  # type: ignore[arg-type]


async def cancelling(channel: Channel, protocol: AmqpProtocol) -> None:
    channel.add_cancellation_callback(cancelled)
    channel.add_cancellation_callback(lambda *args, **kwargs: protocol.close())
    channel.cancellation_callbacks.append(cancelled)

    channel.add_cancellation_callback(cancelled_of_one)  # type: ignore[arg-type]
    channel.add_cancellation_callback(consumer)  # type: ignore[arg-type]


async def failing() -> None:
    await aioamqp.connect(on_error=failed)
    await aioamqp.connect(on_error=failed_later)
    await aioamqp.connect(on_error=None)
    await aioamqp.from_url("amqp://localhost/", on_error=failed)
    AmqpProtocol(on_error=failed)

    await aioamqp.connect(on_error=failed_of_none)  # type: ignore[arg-type]
    await aioamqp.connect(on_error=failed_with_code)  # type: ignore[arg-type]
    await aioamqp.from_url("amqp://localhost/", on_error=failed_of_none)  # type: ignore[arg-type]
    AmqpProtocol(on_error=failed_of_none)  # type: ignore[arg-type]


async def blocking(protocol: AmqpProtocol) -> None:
    protocol.blocked.on_change = blocked
    protocol.blocked.on_change = print

    protocol.blocked.on_change = blocked_of_text  # type: ignore[assignment]


# Annotated with the names of the callback types.
consume: aioamqp.ConsumerCallback = consumer
on_return: aioamqp.ReturnCallback = returned
cancel: aioamqp.CancellationCallback = cancelled
fail: aioamqp.ErrorCallback = failed_later
block: aioamqp.BlockedCallback = blocked


# ------------------------------------------------------------------------------- results of calls


async def connecting() -> None:
    transport, protocol = await aioamqp.connect("localhost", 5672, ssl=False, heartbeat=10)
    assert_type(transport, asyncio.Transport)
    assert_type(protocol, AmqpProtocol)
    assert_type(await aioamqp.from_url("amqp://h"), tuple[asyncio.Transport, AmqpProtocol])
    async with aioamqp.connect() as entered:
        assert_type(entered, AmqpProtocol)
    async with await protocol.channel(return_callback=returned) as channel:
        assert_type(channel, Channel)
    await asyncio.create_task(aioamqp.connect())

    await aioamqp.connect(5672)  # type: ignore[arg-type]
    await aioamqp.connect(port=b"5672")  # type: ignore[arg-type]


def reaching(protocol: AmqpProtocol) -> bool:
    """Use modules and names through the package, as programs do."""
    assert_type(aioamqp.urlparse("amqp://host").port, int | None)
    assert_type(aioamqp.exceptions.ChannelClosed().code, int)
    aioamqp.protocol.logger.info("%s %s", aioamqp.channel.Channel, aioamqp.properties.Properties)
    aioamqp.channel.logger.info("%s %s", aioamqp.envelope.Envelope, aioamqp.version.__version__)
    return protocol.state == aioamqp.protocol.OPEN and len(protocol.channels) == 0


async def calling(channel: Channel) -> None:
    assert_type(await channel.queue_declare("q"), dict[str, Any])
    assert_type(await channel.queue("q", no_wait=True), dict[str, Any] | None)
    assert_type(await channel.basic_get("q"), dict[str, Any])
    assert_type(await channel.confirm_select(), bool | None)
    async for message in channel.consume("q"):
        assert_type(message, Message)
        assert_type(message.body, bytes)
        async with message:
            await message.channel.basic_publish(b"", "", "q", {"priority": 1})

    await channel.exchange_declare("e", "direct", True, False, False, False, None, None)  # type: ignore[call-arg]
    await channel.basic_publish({}, "", "q")  # type: ignore[arg-type]
    await channel.basic_qos(prefetch_cont=1)  # type: ignore[call-arg]
