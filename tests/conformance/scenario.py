"""What scenarios are written with: a deadline, a consumer's callback, and refusals as values."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, ParamSpec, Protocol

import pytest

from aioamqp import AmqpProtocol, Channel, ChannelClosed, EmptyQueue, Envelope, Properties

DEADLINE = 10.0
"""Seconds after which a scenario is taken for stuck; each one takes a fraction of one."""

BROKERS = ("memory", "tcp", "rabbitmq")

NO_SUCH_QUEUE = "NOT_FOUND - no queue '{}' in vhost '/'"

P = ParamSpec("P")


def scenario(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """Make a test of it that ends in time, whatever the broker leaves unanswered."""

    @functools.wraps(test)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(DEADLINE):
            await test(*args, **kwargs)

    pytest.mark.asyncio(bounded)
    return bounded


class Connect(Protocol):
    """Opens a connection to the broker of the test, which is closed when the test ends."""

    async def __call__(self, **kwargs: Any) -> AmqpProtocol: ...


class NewName(Protocol):
    """Makes up a name for a queue or an exchange, which is deleted when the test ends."""

    def __call__(self) -> str: ...


class Message(NamedTuple):
    """A message as a consumer's callback gets it."""

    body: bytes
    envelope: Envelope
    properties: Properties


class Inbox:
    """A consumer's callback that keeps what it is called with."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(
        self, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        self._messages.put_nowait(Message(body, envelope, properties))

    async def take(self) -> Message:
        """Wait for the next message."""
        return await self._messages.get()

    async def bodies(self, count: int) -> list[bytes]:
        """Wait for some messages; return what is in them."""
        return [(await self.take()).body for _ in range(count)]

    def rest(self) -> list[bytes]:
        """Return what is in the messages that have come and were not taken."""
        return [self._messages.get_nowait().body for _ in range(self._messages.qsize())]


async def drained(channel: Channel, queue: str) -> list[bytes]:
    """Take all messages out of a queue."""
    bodies = []
    try:
        while True:
            bodies.append((await channel.basic_get(queue, no_ack=True))["message"])
    except EmptyQueue:
        return bodies


async def refusal(call: Awaitable[object]) -> tuple[int, str]:
    """Return the code and the text with which the server refuses a call."""
    with pytest.raises(ChannelClosed) as refused:
        await call
    return refused.value.code, refused.value.message


async def exclusive_queue(channel: Channel, name: str, *bodies: bytes) -> str:
    """Declare a queue of this connection's own and publish to it."""
    await channel.queue_declare(name, exclusive=True)
    for body in bodies:
        await channel.basic_publish(body, "", name)
    return name


async def mortal_queue(channel: Channel, new_name: NewName, **arguments: Any) -> tuple[str, str]:
    """Declare a queue of this connection's own and another one for its dead letters.

    Args:
        channel: to declare on.
        new_name: makes up the names.
        arguments: of the first queue, without x- and with _ for -.

    Returns:
        the names of both.
    """
    queue, grave = new_name(), new_name()
    await channel.queue_declare(grave, exclusive=True)
    table: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": grave}
    await channel.queue_declare(
        queue,
        exclusive=True,
        arguments={
            f"x-{name.replace('_', '-')}": value for name, value in {**table, **arguments}.items()
        },
    )
    return queue, grave


async def inbox_of(channel: Channel, queue: str, **options: Any) -> Inbox:
    """Consume from a queue, without acknowledging."""
    inbox = Inbox()
    await channel.basic_consume(inbox, queue, no_ack=True, **options)
    return inbox


async def count(channel: Channel, queue: str) -> int:
    """Return how many messages are ready."""
    return int((await channel.queue_declare(queue, passive=True))["message_count"])


async def rejected(channel: Channel, queue: str) -> None:
    """Get a message and reject it."""
    await channel.basic_reject((await channel.basic_get(queue))["delivery_tag"])
