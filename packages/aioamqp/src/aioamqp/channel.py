"""The channel as programs see it: one method for each of AMQP's, by the names of aioamqp 0.15."""

# The protocol and its channels share their cores.
# pyright: reportPrivateUsage=false

import asyncio
import functools
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, cast

from amqp_codec import FieldTable, basic
from amqp_codec import channel as channel_methods

from ._arguments import OF_CANCELLATION, OF_ERROR, OF_MESSAGE, check_callable
from ._channel.consumer import IteratorConsumer
from ._channel.core import ChannelCore
from ._channel.requests import check_timeout
from ._delegating import DelegatingCoroutine
from ._loggers import channel_logger
from ._methods.base import alias, check_flags, check_numbers
from ._methods.basic import BasicMethods, new_tag
from ._methods.exchange import ExchangeMethods
from ._methods.publish import PublishMethods
from ._methods.queue import QueueMethods
from ._methods.tx import TxMethods
from ._overrides import OF_CHANNEL, warn_of_overrides
from .callbacks import (
    CancellationCallback,
    CheckpointCallback,
    CloseCallback,
    ConsumerCallback,
    ReturnCallback,
)
from .envelope import Envelope, ReturnEnvelope
from .message import Messages, NotedMessages
from .properties import Properties
from .publisher import MAX_BYTES, MAX_UNCONFIRMED, Publisher, Resend

if TYPE_CHECKING:
    from .protocol import AmqpProtocol

__all__ = ["Channel", "Envelope", "ReturnEnvelope", "logger"]

logger: logging.Logger = channel_logger

_P = ParamSpec("_P")

PREFETCH_COUNT: Final = 100
"""Messages that ``consume`` has on their way unless the caller sets others."""


class Channel(ExchangeMethods, QueueMethods, PublishMethods, BasicMethods, TxMethods):
    """A channel of a connection, as ``AmqpProtocol.channel`` opens it.

    What its methods have in common:

    - ``no_wait=True`` does not wait for the server; if the server objects, it closes the channel.
    - ``timeout`` is in seconds; TimeoutError if the server has not answered by then. A call that
      times out, or is cancelled, may still have its effect.
    - ChannelClosed or AmqpClosedConnection if the channel or the connection is closed.
    - InvalidArgument, which is a TypeError and a ValueError, before anything is sent.

    ``async with protocol.channel() as channel:`` closes the channel when the block ends.

    Attributes:
        last_consumer_tag: of the latest consumer, also if aioamqp made the tag.
        consumer_queues: always empty, as in 0.15; so is ``response_future`` always None.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Warn of overridden methods that 0.15 called, and this version does not."""
        super().__init_subclass__(**kwargs)
        warn_of_overrides(cls, Channel, OF_CHANNEL)

    def __init__(
        self,
        protocol: "AmqpProtocol",
        channel_id: int,
        return_callback: ReturnCallback | None = None,
    ) -> None:
        check_callable("return_callback", return_callback, OF_MESSAGE)
        core = ChannelCore(protocol._connection, channel_id, protocol, self, return_callback)
        super().__init__(core)
        self._reopening = asyncio.Lock()
        self.consumer_queues: dict[str, Any] = {}
        self.response_future: None = None

    @property
    def protocol(self) -> "AmqpProtocol":
        """The connection."""
        return cast("AmqpProtocol", self._core.protocol)

    @property
    def channel_id(self) -> int:
        """The number of the channel, from 1."""
        return self._core.number

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the channel."""
        return not self._core.has_ended

    @property
    def close_event(self) -> asyncio.Event:
        """Set when the channel is closed."""
        return self._core.close_event

    @property
    def return_callback(self) -> ReturnCallback | None:
        """The callback for returned messages; it may be replaced at any time.

        It is called as ``callback(channel, body, envelope, properties)`` with a ReturnEnvelope.
        """
        return self._core.return_callback

    @return_callback.setter
    def return_callback(self, callback: ReturnCallback | None) -> None:
        check_callable("return_callback", callback, OF_MESSAGE)
        self._core.return_callback = callback

    @property
    def consumer_callbacks(self) -> dict[str, ConsumerCallback | None]:
        """The callbacks of consumers, by consumer tag; looked up for each delivery."""
        return self._core.consumers.callbacks

    @property
    def cancellation_callbacks(self) -> list[CancellationCallback]:
        """The callbacks that are called when the server cancels a consumer."""
        return self._core.cancellation_callbacks

    @property
    def cancelled_consumers(self) -> set[str]:
        """The tags of the consumers that the server has cancelled."""
        return self._core.cancelled_consumers

    @property
    def on_close(self) -> CloseCallback | None:
        """The callback for the end of the channel, if the program has not closed it.

        It is called once, as ``callback(error)``, with the error that pending calls raise: a
        ChannelClosed with the server's code and text, or the error that ended the connection. It is
        a coroutine function or a plain one, and does not wait for other callbacks of the channel.
        If the channel has ended already, it is called at once.
        """
        return self._core.on_close

    @on_close.setter
    def on_close(self, callback: CloseCallback | None) -> None:
        check_callable("on_close", callback, OF_ERROR)
        self._core.on_close = callback

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_open:
            await self.close()

    async def open(self, *, timeout: float | None = None) -> bool:
        """Open the channel again after either side has closed it.

        ``AmqpProtocol.channel`` has opened it for the first time. It may get another number. Its
        callbacks for returned messages, cancelled consumers and its end are kept; consumers,
        prefetch limits, confirm mode and transactions are not: the server knows nothing of them.

        Raises:
            AmqpClosedConnection: the connection has ended.
            NoChannelAvailable: all channel numbers are in use.
        """
        check_timeout(timeout)
        if self.is_open and not self._reopening.locked():
            await self._core.requests.request(channel_methods.Open(), timeout)
            return True
        try:
            async with asyncio.timeout(timeout), self._reopening:
                if not self.is_open:
                    await self._reopen()
        except TimeoutError:
            text = f"The server has not opened the channel within {timeout} seconds"
            raise TimeoutError(text) from None
        return True

    async def _reopen(self) -> None:
        old, protocol = self._core, self.protocol
        if old.recovery is not None:
            protocol = cast("AmqpProtocol", await old.recovery.link.wait_protocol())
        connection = protocol._connection
        connection.check_open()
        await old.wait_closed()
        connection.check_open()
        number = connection.numbers.allocate()
        core = ChannelCore(connection, number, protocol, self, old.return_callback)
        core.on_close = old.on_close
        core.cancellation_callbacks = old.cancellation_callbacks
        self._core = core
        protocol.channels[number] = self
        try:
            await core.requests.request(channel_methods.Open())
            core.check_open()  # the connection may have been lost behind the reply
        except BaseException:
            core.abandon(0, "The call that opened the channel was given up")
            core.recovery = old.recovery  # which has ended, and knows the connection to come
            raise
        if old.recovery is not None:
            core.recovery = old.recovery
            core.recovery.is_transacted = False
            core.consumers.unacked = {}
            core.recovery.resume()

    async def close(
        self,
        reply_code: int = 0,
        reply_text: str = "Normal Shutdown",
        *,
        drain: float | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Close the channel, and wait until its number is free: the server has agreed.

        Messages that wait for a consumer's callback are dropped; the server queues all messages
        again that have not been acknowledged. Those that were delivered with ``no_ack``, which it
        does not have any longer, are handled before: within ``timeout`` seconds, or they are lost.

        Args:
            reply_code: for the server.
            reply_text: for the server.
            drain: seconds in which callbacks that run may finish, and acknowledge their messages,
                after deliveries have been stopped. None to close at once; a callback that runs
                cannot acknowledge its message then, which is delivered again.
            timeout: seconds in which the server must agree.

        Raises:
            ChannelClosed: it is closed already.
            TimeoutError: the server does not answer, within 5 seconds unless ``timeout`` is given.
        """
        check_numbers(reply_code=reply_code)
        await self._core.close(reply_code, reply_text, timeout, drain)
        return True

    async def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the channel has ended, in whatever way; may be called at any time.

        Raises:
            TimeoutError: it has not ended after so many seconds.
        """
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                await self._core.wait_closed()
        except TimeoutError:
            text = f"Channel {self.channel_id} is not closed after {timeout} seconds"
            raise TimeoutError(text) from None

    async def flow(self, active: bool, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask the server to stop its deliveries, or to resume them. Spec: channel.flow.

        RabbitMQ: stopping is not supported, it closes the connection; see ``basic_qos``.

        Returns:
            Whether the server is ``active`` now.
        """
        check_flags(active=active)
        reply = await self._request(channel_methods.Flow(active), channel_methods.FlowOk, timeout)
        return {"active": reply.active}

    def consume(
        self,
        queue_name: str = "",
        *,
        queue: str | None = None,
        prefetch_count: int | None = PREFETCH_COUNT,
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: FieldTable | None = None,
        restart: bool = False,
        on_checkpoint: CheckpointCallback | None = None,
        timeout: float | None = None,
    ) -> Messages:
        """Consume from a queue with ``async for``.

            async for message in channel.consume("orders"):
                async with message:
                    ...

        Nothing is sent before the first message is asked for, or ``async with`` is entered, which
        is better where the loop may be left before its end: see ``Messages``.

        Args:
            queue_name: empty for the queue that was declared last on this channel.
            queue: another name of ``queue_name``.
            prefetch_count: messages that may be delivered and not settled yet; 0 for no limit. It
                is set by ``basic.qos`` and so holds for later consumers of the channel too, until
                they ask for another. None leaves it as it is; with ``no_ack`` it has no meaning.
            consumer_tag: empty for a new one.
            no_local: RabbitMQ: ignored.
            no_ack: the server expects no acknowledgements.
            exclusive: no other consumer may consume from the queue.
            arguments: such as ``{"x-priority": 10}``.
            restart: whether to go on when the server has cancelled the consumer and its queue is
                back, on a channel of a ``Connection``.
            on_checkpoint: called as ``callback(offset)`` for a stream, on such a channel, with the
                offset up to which all messages are settled; from the next one on the consumer
                continues on another connection.
            timeout: seconds in which the server must agree to the consumer.

        Raises:
            InvalidArgument: an argument cannot be sent.
        """
        check_flags(no_local=no_local, no_ack=no_ack, exclusive=exclusive)
        check_numbers(prefetch_count=prefetch_count)
        check_timeout(timeout)
        resumption = self._resumption(restart, on_checkpoint)
        tag = consumer_tag or new_tag(self.channel_id)
        queue_name = alias("queue_name", queue_name, "queue", queue, absent="")
        method = basic.Consume(queue_name, tag, no_local, no_ack, exclusive, False, arguments)
        qos = None if prefetch_count is None or no_ack else basic.Qos(0, prefetch_count)
        encoder = self._core.connection.encoder
        for each in (method, qos):
            if each is not None:
                encoder.encode_method(self.channel_id, each)  # which checks the arguments
        if self._core.recovery is not None:
            self._core.recovery.complete(method)

        def start() -> Awaitable[IteratorConsumer]:
            return self._over(
                method,
                timeout,
                lambda core, seconds: core.consumers.iterate(method, qos, seconds, resumption),
            )

        kind = Messages if self._core.connection.recorder is None else NotedMessages
        return kind(self, method, start)

    def publisher(
        self,
        exchange: str,
        *,
        routing_key: str = "",
        properties: Mapping[str, Any] | Properties | None = None,
        mandatory: bool = False,
        resend: Resend = "never",
        max_unconfirmed: int = MAX_UNCONFIRMED,
        max_bytes: int = MAX_BYTES,
        blocked_timeout: float | None = None,
    ) -> Publisher:
        """Return a Publisher: many messages with publisher confirms, without a task for each.

        Args:
            exchange: to publish to; empty for the default exchange.
            routing_key: of messages for which no other is given.
            properties: of messages for which no others are given; see ``basic_publish``.
            mandatory: whether messages that no queue takes fail with PublishReturned.
            resend: what to send again after the connection was lost and recovered, on a channel of
                a ``Connection``: "never" for nothing, so that its error is raised; "unsent" for
                what has not been written; "unconfirmed" also for what the server may have or not,
                so that there may be duplicates. These have the header ``x-resent`` with the value
                True, and a ``message_id`` that does not change, by which a consumer can drop them.
                A message over which the server may have closed three connections is given up.
            max_unconfirmed: messages that may be unconfirmed at a time; others wait.
            max_bytes: their bytes, likewise.
            blocked_timeout: seconds to wait while the server blocks the connection (0 to fail at
                once), after which PublishNotSent is raised; None for no limit.

        Raises:
            InvalidArgument: an argument cannot be sent, or ``resend`` is set on a channel that does
                not recover.
        """
        return Publisher(
            self,
            exchange,
            routing_key=routing_key,
            properties=properties,
            mandatory=mandatory,
            resend=resend,
            max_unconfirmed=max_unconfirmed,
            max_bytes=max_bytes,
            blocked_timeout=blocked_timeout,
        )

    def add_cancellation_callback(self, callback: CancellationCallback) -> None:
        """Call a callback when the server cancels a consumer of this channel.

        It is called as ``callback(channel, consumer_tag)`` and may call any method, such as consume
        again. RabbitMQ: consumer-cancel.html, for example when the queue is deleted.
        """
        check_callable("callback", callback, OF_CANCELLATION)
        self.cancellation_callbacks.append(callback)


class ChannelOpening(DelegatingCoroutine[Channel]):
    """A channel that is being opened: await it, or enter it with ``async with``.

    Both return the channel; leaving the block closes it. It is a coroutine for
    ``asyncio.create_task`` and the like.
    """

    __slots__ = ("_channel",)

    def __init__(self, coroutine: Coroutine[Any, Any, Channel]) -> None:
        super().__init__(coroutine)
        self._channel: Channel | None = None

    async def __aenter__(self) -> Channel:
        self._channel = await self._coroutine
        return self._channel

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._channel is not None
        await self._channel.__aexit__(error_type, error, traceback)


def opening(
    function: Callable[_P, Coroutine[Any, Any, Channel]],
) -> Callable[_P, ChannelOpening]:
    """Return a function whose result can also be entered with ``async with``."""

    @functools.wraps(function)
    def enterable(*args: _P.args, **kwargs: _P.kwargs) -> ChannelOpening:
        return ChannelOpening(function(*args, **kwargs))

    # So mock.patch replaces it with an AsyncMock, as in 0.15.
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(enterable)
    enterable._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return enterable
