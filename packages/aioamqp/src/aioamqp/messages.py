"""``Channel.consume``: the messages of a queue for ``async for``."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from amqp_codec import basic

from ._channel.consumer import IteratorConsumer
from .message import Message

if TYPE_CHECKING:
    from ._channel.consumers import Consumers
    from .channel import Channel


class Messages:
    """Gives the messages of one consumer one by one, as ``Channel.consume`` says.

    It begins to consume when it is entered with ``async with``, or else asked for its first
    message. Several tasks may share it: each message goes to one of them.

    The loop over it ends when the program cancels the consumer or closes the channel. It raises
    ConsumerCancelled when the server cancels it, for example because the queue is deleted, and what
    ended the channel or the connection when that was not the program's wish.

    Leaving the ``async with`` block, or ``aclose()``, cancels the consumer and gives back what has
    been delivered and not been asked for. Where there is no such block, leaving the loop does the
    same as soon as nothing refers to this any more.

    Attributes:
        consumer_tag: of the consumer.
    """

    def __init__(
        self,
        channel: "Channel",
        consumers: "Consumers",
        method: basic.Consume,
        qos: basic.Qos | None,
        timeout: float | None,
    ) -> None:
        self.consumer_tag: str = method.consumer_tag
        self._channel = channel
        self._consumers = consumers
        self._method = method
        self._qos = qos
        self._timeout = timeout
        self._starting = asyncio.Lock()
        self._consumer: IteratorConsumer | None = None
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        consumer = self._consumer or await self._start()
        delivery = None if consumer is None else await consumer.next()
        if delivery is None:
            raise StopAsyncIteration
        return Message(self._channel, delivery, self._method.no_ack)

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
        """Consume no more, and give back what has not been asked for.

        What has been given is still to be settled. This may be called more than once.
        """
        self._is_closed = True
        async with self._starting:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await self._consumers.leave(consumer)

    def __del__(self) -> None:
        consumer = getattr(self, "_consumer", None)
        if consumer is not None:
            self._consumers.leave_soon(consumer)

    async def _start(self) -> IteratorConsumer | None:
        async with self._starting:
            if self._consumer is None and not self._is_closed:
                self._consumer = await self._consumers.pull(self._method, self._qos, self._timeout)
            return self._consumer
