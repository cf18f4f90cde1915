"""What a worker does with messages whose handler has failed, and how it publishes them again."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from .channel import Channel
from .connection import Connection
from .exceptions import AioamqpException, AmqpClosedConnection, ChannelClosed, InvalidArgument
from .message import Message
from .properties import Properties

Disposal: TypeAlias = Literal["reject", "requeue", "dead-letter", "stop"]
"""What to do with a message that is not tried again after a delay: see ``Worker``."""

DISPOSALS: Final[tuple[Disposal, ...]] = ("reject", "requeue", "dead-letter", "stop")

ATTEMPTS: Final = "x-aioamqp-attempts"
"""The header that counts how often the handler of a message has failed."""

ERROR: Final = "x-aioamqp-error"
"""The header with the type and the text of the exception that the handler raised last."""

EXCHANGE: Final = "x-aioamqp-exchange"
ROUTING_KEY: Final = "x-aioamqp-routing-key"
"""The headers that say where a message was published to before a worker published it again."""

MAX_ERROR: Final = 1000
"""Characters of an error that are published: all headers of a message must fit into one frame."""
_MAX_MILLISECONDS: Final = 2**32 - 1  # RabbitMQ: ttl.html

_NOT_COPIED: Final = frozenset({
    "CC", "BCC",  # RabbitMQ: sender-selected.html, they would route the message to other queues
    "x-death",  # RabbitMQ: dlx.html, a message that seems to go in a circle is dropped
    "x-delivery-count", "x-acquired-count",  # RabbitMQ: quorum-queues.html, of the delivery
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a message again after a delay, and after a longer one if that fails, too.

    The message waits in a queue of the server, not in the program: the worker declares one for each
    delay, publishes the message to it, waits for the publisher confirm, and acknowledges the
    delivery. After the delay the server dead-letters it to the work queue, behind what is there.
    So a message is not lost if the program ends meanwhile, but it may be handled twice if the
    connection is lost between the publisher confirm and the acknowledgement.

    The queues are named after the work queue and the delay in milliseconds, such as
    ``orders.retry.10000``, and are durable. They are not deleted, since they may have messages.

    Attributes:
        delays: seconds before the second attempt, the third, and so on.
        then: what to do when the last attempt has failed: see ``Worker``.
    """

    delays: tuple[float, ...] = (1, 10, 60)
    then: Disposal = "dead-letter"

    def __post_init__(self) -> None:
        given = cast("object", self.delays)
        if not isinstance(given, list | tuple) or not given:
            raise InvalidArgument("must be seconds, for one delay or several", ("delays",))
        for delay in cast("list[object]", given):
            if isinstance(delay, bool) or not isinstance(delay, int | float):
                kind = type(delay).__name__
                raise InvalidArgument(f"must be numbers of seconds, not {kind}", ("delays",))
            if not 0 < delay * 1000 <= _MAX_MILLISECONDS:  # which NaN is not, either
                text = f"must be more than 0 and at most {_MAX_MILLISECONDS // 1000} seconds"
                raise InvalidArgument(text, ("delays",))
        object.__setattr__(self, "delays", tuple(self.delays))
        check_disposal(self.then, "then")


Policy: TypeAlias = Disposal | Retry
"""What a worker does with a message whose handler has failed."""

PolicyFunction: TypeAlias = Callable[[Message, Exception], Policy]
"""Returns the policy for a message by the exception that its handler has raised."""


def check_connection(value: object) -> None:
    """Check the connection of a worker or of an RPC client.

    Raises:
        InvalidArgument: it is none that recovers.
    """
    if not isinstance(value, Connection):
        text = f"must be an aioamqp.Connection, not {type(value).__name__}"
        raise InvalidArgument(text, ("connection",))


def check_disposal(value: object, name: str) -> None:
    """Check a policy that is a string.

    Raises:
        InvalidArgument: there is none of that name.
    """
    if value not in DISPOSALS:
        known = ", ".join(map(repr, DISPOSALS))
        raise InvalidArgument(f"must be one of {known}, not {value!r:.80}", (name,))


def check_policy(value: object) -> None:
    """Check a policy.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, Retry):
        check_disposal(value, "on_exception")


def attempts_of(message: Message) -> int:
    """Return how often the handler of a message has failed before, by its header."""
    attempts = (message.properties.headers or {}).get(ATTEMPTS)
    return attempts if isinstance(attempts, int) and attempts > 0 else 0


def text_of(error: Exception) -> str:
    """Return the text of an exception as it can be published: cut, and valid UTF-8."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the program may fail to describe itself
        text = ""
    return text[:MAX_ERROR].encode(errors="replace").decode()


def describe_error(error: Exception) -> str:
    """Return the type and the text of an exception, for a header."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def properties_to_retry(message: Message, error: Exception) -> Properties:
    """Return the properties with which a message is published again.

    Left out are those that belong to its first publishing: the user ID, which RabbitMQ compares
    with the login of the publisher, and the expiration.
    """
    codec = message.properties.to_codec()
    codec.user_id = codec.expiration = None
    old: dict[str, Any] = dict(message.properties.headers or {})
    codec.headers = {
        EXCHANGE: message.envelope.exchange_name,
        ROUTING_KEY: message.envelope.routing_key,
        **{name: value for name, value in old.items() if name not in _NOT_COPIED},
        ATTEMPTS: attempts_of(message) + 1,
        ERROR: describe_error(error),
    }
    return Properties.from_codec(codec)


class OwnChannel:
    """A channel that is opened when it is needed, and again after the server has closed it.

    Args:
        connection: to open it on.
        confirms: whether to put it in confirm mode.
    """

    def __init__(self, connection: Connection, *, confirms: bool) -> None:
        self._connection = connection
        self._confirms = confirms
        self._opening = asyncio.Lock()
        self._channel: Channel | None = None

    async def get(self) -> Channel:
        """Return the channel, open.

        Raises:
            AmqpClosedConnection, ChannelClosed: it cannot be opened.
        """
        async with self._opening:
            if self._channel is None or not self._channel.is_open:
                self._channel = channel = await self._connection.channel()
                if self._confirms:
                    await channel.confirm_select()
                return channel
            if self._confirms and not self._channel.publisher_confirms:
                await self._channel.confirm_select()  # the call that opened it was cancelled
            return self._channel

    async def close(self) -> None:
        """Close the channel, if it is open."""
        if self._channel is not None and self._channel.is_open:
            with suppress(AmqpClosedConnection, ChannelClosed, TimeoutError):
                await self._channel.close()


class Republisher:
    """Publishes the messages of a work queue again: to its delay queues, or as dead letters.

    Args:
        connection: to publish on, over a channel of its own.
        queue: the work queue.
        dead_letter_queue: see ``Worker``.
    """

    def __init__(self, connection: Connection, queue: str, dead_letter_queue: str | None) -> None:
        self._queue = queue
        self._dead_letter_queue = dead_letter_queue
        self._channel = OwnChannel(connection, confirms=True)
        self._declared: set[str] = set()

    async def declare(self, policy: object) -> None:
        """Declare the queues that a policy needs, and check that the one for dead letters exists.

        Raises:
            ChannelClosed: the server refuses: with 406 if a queue of that name is different, with
                404 if there is none for dead letters.
        """
        if isinstance(policy, Retry):
            for delay in policy.delays:
                await self._declare_delay(delay)
        if self._dead_letter_queue is not None:
            await (await self._channel.get()).queue_declare(self._dead_letter_queue, passive=True)

    async def delay(self, message: Message, error: Exception, delay: float) -> None:
        """Publish a message to come back after a delay, and wait for the publisher confirm.

        Raises:
            AioamqpException, InvalidArgument: it was not confirmed.
        """
        await self._publish(message, await self._declare_delay(delay), error)

    async def dead_letter(self, message: Message, error: Exception) -> None:
        """Publish a message to the queue for dead letters, and wait for the publisher confirm.

        Raises:
            AioamqpException, InvalidArgument: it was not confirmed.
        """
        assert self._dead_letter_queue is not None
        await self._publish(message, self._dead_letter_queue, error)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def _declare_delay(self, delay: float) -> str:
        milliseconds = math.ceil(delay * 1000)
        name = f"{self._queue}.retry.{milliseconds}"
        if name not in self._declared:
            arguments: dict[str, Any] = {
                "x-message-ttl": milliseconds,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self._queue,
            }
            channel = await self._channel.get()
            await channel.queue_declare(name, durable=True, arguments=arguments)
            self._declared.add(name)
        return name

    async def _publish(self, message: Message, queue: str, error: Exception) -> None:
        properties = properties_to_retry(message, error)
        channel = await self._channel.get()
        try:
            await channel.publish(message.body, "", queue, properties, mandatory=True)
        except AioamqpException:
            self._declared.discard(queue)  # somebody may have deleted it
            raise
