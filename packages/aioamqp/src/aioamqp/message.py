"""Messages as ``Channel.consume`` gives them, and the iterator that does."""

# The iterator notes the handlers of its messages.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from amqp_codec import Command, basic
from amqp_codec import Properties as CodecProperties

from ._channel.consumer import IteratorConsumer
from ._channel.core import ChannelCore
from ._connection.recorder import NOT_NOTED, Handling
from ._methods.base import check_flags
from .envelope import Envelope
from .exceptions import AlreadySettled, AmqpClosedConnection, ChannelClosed
from .properties import Properties

if TYPE_CHECKING:
    from .channel import Channel


class Message:
    """A message that was delivered, and must be settled once: with ack, nack or reject.

    ``async with message:`` settles it: it acknowledges the message when the block ends, and rejects
    it when an exception leaves the block; ``async with message.process(requeue=True):`` requeues it
    then. If the block is cancelled, the message is requeued in any case. A message that the block
    has settled itself stays as it is.

    Attributes:
        channel: that delivered the message.
        body: its bytes.
        no_ack: whether the server expects no acknowledgement.
    """

    __slots__ = ("_codec_properties", "_core", "_envelope", "_is_settled", "_method", "_properties",
                 "body", "channel", "no_ack")  # fmt: skip

    def __init__(
        self, channel: "Channel", core: ChannelCore, delivery: Command, no_ack: bool
    ) -> None:
        method: Any = delivery.method
        codec_properties: Any = delivery.properties
        self.channel: Channel = channel
        self.body: bytes = bytes(delivery.body)
        self.no_ack: bool = no_ack
        self._core = core
        self._method: basic.Deliver = method
        self._codec_properties: CodecProperties = codec_properties
        self._envelope: Envelope | None = None
        self._properties: Properties | None = None
        self._is_settled = no_ack

    def __repr__(self) -> str:
        method = self._method
        return (
            f"<Message {method.delivery_tag + self._core.tag_offset} from exchange"
            f" {method.exchange!r} with routing key {method.routing_key!r}, {len(self.body)} bytes>"
        )

    @property
    def envelope(self) -> Envelope:
        """Its delivery tag, exchange and routing key, and whether it may be delivered again."""
        if self._envelope is None:
            method = self._method  # which is not changed: its tag is the server's
            self._envelope = Envelope(
                method.consumer_tag,
                method.delivery_tag + self._core.tag_offset,
                method.exchange,
                method.routing_key,
                method.redelivered,
            )
        return self._envelope

    @property
    def properties(self) -> Properties:
        """Its properties; see ``Properties.headers_error`` for headers that cannot be decoded."""
        if self._properties is None:
            self._properties = Properties.from_codec(self._codec_properties)
        return self._properties

    @property
    def is_settled(self) -> bool:
        """Whether the message has been settled; with ``no_ack`` it is from the start."""
        return self._is_settled

    async def ack(self, *, multiple: bool = False, timeout: float | None = None) -> bool:
        """Acknowledge the message. Spec: basic.ack.

        Args:
            multiple: and all earlier messages of this channel.
            timeout: seconds to wait while the write buffer is full; None for no limit.

        Returns:
            True. On a channel of a ``Connection`` it is False if the connection was lost since the
            message was delivered: the server has queued it again, so nothing is sent.

        Raises:
            AlreadySettled: it has been settled, or came with ``no_ack``.
            ChannelClosed, AmqpClosedConnection: the channel is closed, so the server has queued the
                message again.
            TimeoutError: the ``timeout`` has passed; nothing was sent, so it may be settled again.
        """
        if multiple is not False:
            check_flags(multiple=multiple)
        return await self._settle(basic.Ack(self._method.delivery_tag, multiple), timeout)

    async def nack(
        self, *, multiple: bool = False, requeue: bool = True, timeout: float | None = None
    ) -> bool:
        """Reject the message, and return it to the queue. RabbitMQ: nack.html.

        Args:
            multiple: and all earlier messages of this channel.
            requeue: False to drop or dead-letter it instead.
            timeout: as for ``ack``.

        Returns:
            See ``ack``.

        Raises:
            AlreadySettled, ChannelClosed, AmqpClosedConnection, TimeoutError: as for ``ack``.
        """
        check_flags(multiple=multiple, requeue=requeue)
        return await self._settle(basic.Nack(self._method.delivery_tag, multiple, requeue), timeout)

    async def reject(self, *, requeue: bool = False, timeout: float | None = None) -> bool:
        """Reject the message, and drop or dead-letter it. Spec: basic.reject.

        Args:
            requeue: True to return it to the queue instead.
            timeout: as for ``ack``.

        Returns:
            See ``ack``.

        Raises:
            AlreadySettled, ChannelClosed, AmqpClosedConnection, TimeoutError: as for ``ack``.
        """
        check_flags(requeue=requeue)
        return await self._settle(basic.Reject(self._method.delivery_tag, requeue), timeout)

    def _handling(self, queue: str) -> AbstractContextManager[Handling | None]:
        """Note that a handler of the message runs in the block, if there are instruments.

        Args:
            queue: that the message comes from.
        """
        core, method = self._core, self._method
        recorder = core.connection.recorder
        if recorder is None:
            return NOT_NOTED
        size = len(self.body)
        return recorder.handling(
            recorder.delivery(core.number, method, self._codec_properties, size, queue)
        )

    def process(self, *, requeue: bool = False) -> "Processing":
        """Settle the message by how an ``async with`` block ends.

        Args:
            requeue: whether to return the message to the queue when an exception leaves the block,
                instead of dropping or dead-lettering it.
        """
        check_flags(requeue=requeue)
        return Processing(self, requeue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.process().__aexit__(error_type, error, traceback)

    async def _settle(
        self, method: basic.Ack | basic.Nack | basic.Reject, timeout: float | None
    ) -> bool:
        self._check_unsettled()
        # Already while it waits for the write buffer, or else it could be settled twice.
        self._is_settled = True
        try:
            return await self._core.settle(method, timeout)
        except BaseException:
            self._is_settled = False
            raise

    def _check_unsettled(self) -> None:
        if self.no_ack:
            raise AlreadySettled(
                f"{self!r} came with no_ack=True: the server expects no acknowledgement, so do not"
                " settle it"
            )
        if self._is_settled:
            raise AlreadySettled(f"{self!r} has been settled already: do so once")


class Processing:
    """An ``async with`` block that settles a message when it ends. See ``Message``."""

    __slots__ = ("_message", "_requeue")

    def __init__(self, message: Message, requeue: bool) -> None:
        self._message = message
        self._requeue = requeue

    async def __aenter__(self) -> Message:
        return self._message

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        message = self._message
        if message.is_settled:
            return
        if error is None:
            await message.ack()
            return
        requeue = self._requeue or not isinstance(error, Exception)
        # If the channel is closed, the server has queued the message again; the exception of the
        # block is more important.
        with suppress(ChannelClosed, AmqpClosedConnection):
            await message.reject(requeue=requeue)


class Messages:
    """The messages of one consumer, one by one: what ``Channel.consume`` returns.

    The consumer is started when ``async with`` is entered, or else when the first message is asked
    for. Several tasks may share it: each message is given to one of them.

    The loop over it ends when the program cancels the consumer or closes the channel. It raises
    ConsumerCancelled when the server cancels the consumer, for example because the queue is
    deleted, and the error that ended the channel or the connection when the program did not.

    Leaving the ``async with`` block, or ``aclose()``, cancels the consumer and returns messages to
    the queue that have been delivered and not been asked for. Without such a block, leaving the
    loop does the same as soon as nothing refers to this object any longer.

    Attributes:
        consumer_tag: of the consumer.
    """

    def __init__(
        self,
        channel: "Channel",
        method: basic.Consume,
        start: Callable[[], Awaitable[IteratorConsumer]],
    ) -> None:
        self.consumer_tag: str = method.consumer_tag
        self._channel = channel
        self._no_ack = method.no_ack
        self._start_consumer = start
        self._starting = asyncio.Lock()
        self._consumer: IteratorConsumer | None = None
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        consumer = self._consumer or await self._start()
        if consumer is None:
            raise StopAsyncIteration
        delivery = consumer.take() or await consumer.next()
        if delivery is None:
            raise StopAsyncIteration
        return Message(self._channel, consumer.owner.core, delivery, self._no_ack)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the consumer, and return messages to the queue that have not been asked for.

        Messages that have been asked for must still be settled. This may be called again.
        """
        self._is_closed = True
        async with self._starting:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.owner.cancel(consumer)

    def __del__(self) -> None:
        consumer = getattr(self, "_consumer", None)
        if consumer is not None:
            consumer.owner.cancel_soon(consumer)

    async def _start(self) -> IteratorConsumer | None:
        async with self._starting:
            if self._consumer is None and not self._is_closed:
                self._consumer = await self._start_consumer()
            return self._consumer


class NotedMessages(Messages):
    """Messages of a consumer with instruments: the body of a loop counts as their handler.

    It begins when a task is given a message, and ends when that task asks for the next one, or
    leaves the loop.

    Attributes:
        is_loop: whether it does; a worker notes its own handlers.
    """

    def __init__(
        self,
        channel: "Channel",
        method: basic.Consume,
        start: Callable[[], Awaitable[IteratorConsumer]],
    ) -> None:
        super().__init__(channel, method, start)
        self.is_loop: bool = True
        self._queue = method.queue
        self._handlers: dict[asyncio.Task[Any], AbstractContextManager[Handling | None]] = {}

    async def __anext__(self) -> Message:
        self._end_handlers(None)
        message = await super().__anext__()
        task = asyncio.current_task()
        if self.is_loop and task is not None:
            handler = message._handling(self._queue)
            handler.__enter__()
            self._handlers[task] = handler
        return message

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_handlers(error)
        await super().__aexit__(error_type, error, traceback)

    async def aclose(self) -> None:
        """See ``Messages``."""
        self._end_handlers(None)
        await super().aclose()

    def __del__(self) -> None:
        handlers = getattr(self, "_handlers", {})
        while handlers:
            handlers.popitem()[1].__exit__(None, None, None)
        super().__del__()

    def _end_handlers(self, error: BaseException | None) -> None:
        """End that of this task, and those of tasks that have ended."""
        current = asyncio.current_task()
        for task in [each for each in self._handlers if each is current or each.done()]:
            handler = self._handlers.pop(task)
            if task is current and error is not None:
                handler.__exit__(type(error), error, error.__traceback__)
            else:
                handler.__exit__(None, None, None)
