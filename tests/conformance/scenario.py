"""Building blocks of scenarios: a deadline, a consumer callback, queues, and errors as values."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import pytest

from aioamqp import AmqpProtocol, Channel, ChannelClosed, EmptyQueue, Envelope, Properties
from aioamqp_testing.model.profile import DEFAULT_VERSION, VERSIONS
from tests.rabbitmq import NODES

DEADLINE = 30.0
"""Seconds after which a scenario fails, below pytest's timeout for a test.

Each one takes a fraction of a second, or some seconds if it starts a node.
"""

ATTEMPTS = 10
"""How often a node may be asked until it does what it usually does."""

FAKES = {"memory-3.10": "3.10", "memory-4.0": "4.0", "memory-4.3": "4.3", "tcp": DEFAULT_VERSION}
"""The fake brokers of the scenarios, each with the version of RabbitMQ that it answers as."""

BROKERS = (*FAKES, *NODES)
"""What each scenario runs on: the fake brokers, and the nodes of the test run."""

NO_SUCH_QUEUE = "NOT_FOUND - no queue '{}' in vhost '/'"

P = ParamSpec("P")
T = TypeVar("T")


def scenario(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """Make an asyncio test that fails after ``DEADLINE`` if the broker does not reply."""

    @functools.wraps(test)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(DEADLINE):
            await test(*args, **kwargs)

    pytest.mark.asyncio(bounded)
    return bounded


def racing_scenario(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., Coroutine[Any, Any, None]]:
    """Make a scenario of an order or a delay that RabbitMQ does not promise.

    RabbitMQ: a queue is a process, and may be faster than the reader of the connection, which passes
    the requests of one write to the channel one by one, or late. That is seen on a loaded machine. So
    one of ``ATTEMPTS`` of a node counts; a fake broker has one.

    Args:
        test: takes the fixture ``name``, which is another one in each attempt.
    """

    @functools.wraps(test)
    async def repeated(broker: str, new_name: NewName, **arguments: Any) -> None:
        if broker not in FAKES:
            for _ in range(ATTEMPTS - 1):
                try:
                    async with asyncio.timeout(DEADLINE / ATTEMPTS):
                        await test(name=new_name(), **arguments)
                except (AssertionError, TimeoutError):
                    continue
                return
        await test(name=new_name(), **arguments)

    of_test = inspect.signature(test).parameters.values()
    added = list(inspect.signature(repeated, follow_wrapped=False).parameters.values())[:2]
    repeated.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*added, *(each for each in of_test if each.name != "name")]
    )
    return scenario(repeated)


class Connect(Protocol):
    """Opens a connection to the broker of the test; it is closed when the test ends."""

    async def __call__(self, **kwargs: Any) -> AmqpProtocol: ...


class NewName(Protocol):
    """Returns a new name for a queue or an exchange, which is deleted when the test ends."""

    def __call__(self) -> str: ...


class ByVersion(Protocol):
    """Selects what the broker of the test does, from what versions of RabbitMQ do.

    `by_version({"3.10": 6, "4.0": 21})` is 21 on RabbitMQ 4.0 and later, and 6 before.
    """

    def __call__(self, results: Mapping[str, T], /) -> T: ...


def selection(version: str) -> ByVersion:
    """Return the function that selects what this version does."""

    def select(results: Mapping[str, T], /) -> T:
        since = max(
            (each for each in results if numbers(each) <= numbers(version)),
            key=numbers,
        )
        return results[since]

    return select


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparing."""
    return tuple(map(int, version.split(".")))


def profile_of(version: str) -> str:
    """Return the profile of the fake broker that answers as a version, or as the last one before it."""
    return selection(version)({profile: profile for profile in VERSIONS})


class Message(NamedTuple):
    """A message with the arguments of a consumer callback."""

    body: bytes
    envelope: Envelope
    properties: Properties


class Inbox:
    """A consumer callback that keeps the messages."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(
        self, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        self._messages.put_nowait(Message(body, envelope, properties))

    async def next_message(self) -> Message:
        """Wait for the next message."""
        return await self._messages.get()

    async def bodies(self, count: int) -> list[bytes]:
        """Wait for ``count`` messages; return their bodies."""
        return [(await self.next_message()).body for _ in range(count)]

    def waiting_bodies(self) -> list[bytes]:
        """Return the bodies of the messages that were received and not read, without waiting."""
        return [self._messages.get_nowait().body for _ in range(self._messages.qsize())]


async def drain(channel: Channel, queue: str) -> list[bytes]:
    """Get all messages of a queue; return their bodies."""
    bodies = []
    try:
        while True:
            bodies.append((await channel.basic_get(queue, no_ack=True))["message"])
    except EmptyQueue:
        return bodies


async def refusal(call: Awaitable[object]) -> tuple[int, str]:
    """Return the code and the text of the channel or connection error that a call raises."""
    with pytest.raises(ChannelClosed) as refused:
        await call
    return refused.value.code, refused.value.message


async def exclusive_queue(channel: Channel, name: str, *bodies: bytes) -> str:
    """Declare an exclusive queue and publish messages to it."""
    await channel.queue_declare(name, exclusive=True)
    for body in bodies:
        await channel.basic_publish(body, "", name)
    return name


async def dead_lettering_queue(
    channel: Channel, new_name: NewName, **arguments: Any
) -> tuple[str, str]:
    """Declare two exclusive queues; the first one dead-letters to the second one.

    Args:
        channel: on which they are declared.
        new_name: returns their names.
        arguments: of the first queue, without x- and with _ for -.

    Returns:
        the names of both.
    """
    queue, dead_letter_queue = new_name(), new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    table: dict[str, Any] = {
        "dead_letter_exchange": "",
        "dead_letter_routing_key": dead_letter_queue,
    }
    await channel.queue_declare(
        queue,
        exclusive=True,
        arguments={
            f"x-{name.replace('_', '-')}": value for name, value in {**table, **arguments}.items()
        },
    )
    return queue, dead_letter_queue


async def inbox_of(channel: Channel, queue: str, **options: Any) -> Inbox:
    """Consume from a queue without acknowledgements; return the callback."""
    inbox = Inbox()
    await channel.basic_consume(inbox, queue, no_ack=True, **options)
    return inbox


async def count(channel: Channel, queue: str) -> int:
    """Return the number of ready messages of a queue."""
    return int((await channel.queue_declare(queue, passive=True))["message_count"])


async def get_and_reject(channel: Channel, queue: str) -> None:
    """Get a message and reject it."""
    await channel.basic_reject((await channel.basic_get(queue))["delivery_tag"])
