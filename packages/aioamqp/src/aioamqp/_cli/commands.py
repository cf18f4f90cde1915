"""What the commands do, each as a coroutine on a connection."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from ..channel import Channel
from ..constants import DeliveryMode
from ..exceptions import EmptyQueue
from ..properties import Properties
from ..publisher import Publisher
from .records import InvalidRecord, Record, dump, parse
from .standard_streams import announce_input, read_input, read_lines, write_bytes, write_record
from .top import top

Command: TypeAlias = Callable[[Channel, argparse.Namespace], Awaitable[None]]


class CommandFailed(Exception):
    """A command cannot do what it was asked to do; the text says why."""


async def publish(channel: Channel, options: argparse.Namespace) -> None:
    """Publish the messages of the command line or of standard input."""
    common = _common_properties(options)
    publishers: dict[str, Publisher] = {}
    count = 0
    invalid = None
    try:
        async for record in _messages_to_publish(options):
            exchange = options.exchange if record.exchange is None else record.exchange
            if exchange not in publishers:
                publishers[exchange] = channel.publisher(exchange, mandatory=not options.unroutable)
            properties = {**common, **record.properties}
            if "headers" in common:
                properties["headers"] = common["headers"] | record.properties.get("headers", {})
            routing_key = options.routing_key if record.routing_key is None else record.routing_key
            await publishers[exchange].publish_deferred(
                record.body, routing_key=routing_key, properties=properties
            )
            count += 1
    except (CommandFailed, ValueError) as error:
        invalid = error  # the messages before it are published
    for publisher in publishers.values():
        await publisher.flush()
    write_record({"confirmed": count})
    if invalid is not None:
        raise invalid


async def consume(channel: Channel, options: argparse.Namespace) -> None:
    """Print messages as they arrive."""
    count = 0
    async with channel.consume(
        options.queue,
        prefetch_count=options.prefetch,
        no_ack=options.no_ack,
        exclusive=options.exclusive,
        arguments=dict(options.argument) or None,
    ) as messages:
        while count != options.count:
            try:
                async with asyncio.timeout(options.idle):
                    message = await anext(messages)
            except TimeoutError:
                return
            envelope = message.envelope
            _write_message(
                options,
                message.body,
                envelope.exchange_name or "",
                envelope.routing_key or "",
                bool(envelope.is_redeliver),
                message.properties,
            )
            if not options.no_ack:
                await message.ack()
            count += 1


async def get(channel: Channel, options: argparse.Namespace) -> None:
    """Print messages that are in a queue."""
    last_tag = None
    try:
        for _ in range(options.count):
            found = await channel.basic_get(options.queue)
            last_tag = found["delivery_tag"]
            _write_message(
                options,
                found["message"],
                found["exchange_name"],
                found["routing_key"],
                found["redelivered"],
                found["properties"],
            )
            if not options.requeue:
                await channel.basic_client_ack(last_tag)
    except EmptyQueue:
        if last_tag is None:
            raise
    if options.requeue and last_tag is not None:
        await channel.basic_client_nack(last_tag, multiple=True)


async def declare(channel: Channel, options: argparse.Namespace) -> None:
    """Create a queue, an exchange or a binding."""
    arguments = dict(options.argument)
    if options.kind == "queue":
        if options.type is not None:
            arguments["x-queue-type"] = options.type
        found = await channel.queue_declare(
            options.queue,
            passive=options.passive,
            durable=not options.transient,
            auto_delete=options.auto_delete,
            arguments=arguments,
        )
        write_record(
            {
                "queue": found["queue"],
                "messages": found["message_count"],
                "consumers": found["consumer_count"],
            }
        )
    elif options.kind == "exchange":
        await channel.exchange_declare(
            options.exchange,
            options.type,
            passive=options.passive,
            durable=not options.transient,
            auto_delete=options.auto_delete,
            arguments=arguments,
        )
        write_record({"exchange": options.exchange})
    else:
        await channel.queue_bind(
            options.queue, options.exchange, options.routing_key, arguments=arguments
        )
        _write_binding(options)


async def delete(channel: Channel, options: argparse.Namespace) -> None:
    """Delete a queue, an exchange or a binding.

    RabbitMQ deletes also what does not exist. For a person that is a typing error.
    """
    if options.kind == "queue":
        found = await channel.queue_declare(options.queue, passive=True)
        await channel.queue_delete(
            options.queue, if_unused=options.if_unused, if_empty=options.if_empty
        )
        write_record({"queue": options.queue, "deleted_messages": found["message_count"]})
    elif options.kind == "exchange":
        await channel.exchange_declare(options.exchange, passive=True)
        await channel.exchange_delete(options.exchange, if_unused=options.if_unused)
        write_record({"exchange": options.exchange})
    else:
        arguments = dict(options.argument)
        await channel.queue_unbind(
            options.queue, options.exchange, options.routing_key, arguments=arguments
        )
        _write_binding(options)


def _write_binding(options: argparse.Namespace) -> None:
    names = ("queue", "exchange", "routing_key")
    write_record({name: getattr(options, name) for name in names})


async def purge(channel: Channel, options: argparse.Namespace) -> None:
    """Delete the ready messages of a queue."""
    found = await channel.queue_purge(options.queue)
    assert isinstance(found, dict)
    write_record({"queue": options.queue, "purged": found["message_count"]})


COMMANDS: Final[Mapping[str, Command]] = {
    "publish": publish,
    "consume": consume,
    "get": get,
    "declare": declare,
    "delete": delete,
    "purge": purge,
    "top": top,
}


async def _messages_to_publish(options: argparse.Namespace) -> AsyncIterator[Record]:
    if options.body is not None:
        if options.lines or options.json:
            raise CommandFailed("--lines and --json read standard input: leave BODY out")
        yield Record(body=options.body.encode(errors="surrogateescape"), properties={})
    elif options.lines:
        announce_input("A message for each line")
        async for line in read_lines():
            yield Record(body=line.removesuffix(b"\n").removesuffix(b"\r"), properties={})
    elif options.json:
        number = 0
        announce_input("A JSON object for each message")
        async for line in read_lines():
            number += 1
            if line.strip():
                try:
                    yield parse(line)
                except InvalidRecord as error:
                    raise CommandFailed(
                        f"line {number} of standard input cannot be published: {error}"
                    ) from None
    else:
        announce_input("The body")
        yield Record(body=await read_input(), properties={})


def _common_properties(options: argparse.Namespace) -> dict[str, Any]:
    properties: dict[str, Any] = {"delivery_mode": DeliveryMode.PERSISTENT}
    for name, text in options.property:
        properties[name] = text
        if name in ("delivery_mode", "priority", "timestamp"):
            if not text.isdecimal():
                raise CommandFailed(f"the property {name} must be a number, not {text!r}")
            properties[name] = int(text)
    if options.header:
        properties["headers"] = dict(options.header)
    return properties


def _write_message(
    options: argparse.Namespace,
    body: bytes,
    exchange: str,
    routing_key: str,
    redelivered: bool,
    properties: Properties,
) -> None:
    if options.bodies:
        write_bytes(body)
    else:
        write_bytes(dump(body, exchange, routing_key, redelivered, properties).encode())
