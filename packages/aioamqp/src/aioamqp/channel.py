"""The channel as programs see it: one method a call, by the names of aioamqp 0.15."""

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from amqp_codec import FieldTable, basic
from amqp_codec import channel as wire

from ._channel.core import ChannelCore
from ._loggers import channel_logger
from ._methods.basic import BasicMethods, new_tag
from ._methods.exchange import ExchangeMethods
from ._methods.publish import PublishMethods
from ._methods.queue import QueueMethods
from ._methods.tx import TxMethods
from .callbacks import CancellationCallback, ConsumerCallback, ReturnCallback, check_callable
from .envelope import Envelope, ReturnEnvelope
from .messages import Messages

if TYPE_CHECKING:
    from .protocol import AmqpProtocol

__all__ = ["Channel", "Envelope", "ReturnEnvelope", "logger"]

logger: logging.Logger = channel_logger

PREFETCH_COUNT: Final = 100
"""Messages that ``consume`` has on their way where the caller does not say."""


class Channel(ExchangeMethods, QueueMethods, PublishMethods, BasicMethods, TxMethods):
    """A channel of a connection, as ``AmqpProtocol.channel`` opens it.

    What its calls have in common:

    - ``no_wait=True`` does not wait for the server; its objection then closes the channel later.
    - ``timeout`` is in seconds; TimeoutError when the server has not answered by then. Such a call,
      or one that is cancelled, may still have its effect.
    - ChannelClosed or AmqpClosedConnection when the channel or the connection is over or ends.
    - InvalidArgument, which is a TypeError and a ValueError, before anything is sent.

    ``async with await protocol.channel() as channel:`` closes the channel when the block ends.

    Attributes:
        protocol: the connection.
        channel_id: its number, from 1.
        return_callback: called as ``callback(channel, body, envelope, properties)`` with a
            ReturnEnvelope when a mandatory message comes back; may be replaced at any time.
        consumer_callbacks: what to call with deliveries, by consumer tag; looked up every time.
        cancellation_callbacks: what to call when the server cancels a consumer.
        cancelled_consumers: the tags of those that it has cancelled.
        last_consumer_tag: of the latest consumer, whoever made the tag up.
        close_event: set when the channel is over.
        inbound: takes what the server sends; not for programs.
        consumer_queues: always empty, as in 0.15; so is ``response_future`` always None.
    """

    def __init__(
        self,
        protocol: "AmqpProtocol",
        channel_id: int,
        return_callback: ReturnCallback | None = None,
    ) -> None:
        self.protocol = protocol
        self.channel_id = channel_id
        self.return_callback = return_callback
        self.consumer_callbacks: dict[str, ConsumerCallback | None] = {}
        self.cancellation_callbacks: list[CancellationCallback] = []
        self.cancelled_consumers: set[str] = set()
        self.last_consumer_tag: str | None = None
        self.close_event: asyncio.Event = asyncio.Event()
        self.consumer_queues: dict[str, Any] = {}
        self.response_future: None = None
        self._wire = protocol.wire
        self.inbound: ChannelCore = ChannelCore(self, protocol.wire)
        self._dialogue = self.inbound.dialogue
        self._consumers = self.inbound.consumers
        self._confirms = self.inbound.confirms

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
        """Open the channel; ``AmqpProtocol.channel`` has done so already."""
        await self._dialogue.request(wire.Open(), timeout)
        return True

    async def close(
        self,
        reply_code: int = 0,
        reply_text: str = "Normal Shutdown",
        *,
        timeout: float | None = None,
    ) -> bool:
        """Close the channel: it is over at once, and its number free when the server agrees.

        Messages that wait for a consumer's callback are dropped; the server queues again what has
        not been acknowledged.

        Raises:
            ChannelClosed: it is over already.
            TimeoutError: the server does not answer, within 5 seconds unless ``timeout`` is given.
        """
        await self._dialogue.close(reply_code, reply_text, timeout)
        return True

    async def flow(self, active: bool, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask the server to stop its deliveries, or to go on with them. Spec: channel.flow.

        RabbitMQ: stopping is not supported, it closes the connection; see ``basic_qos``.

        Returns:
            Whether the server is ``active`` now.
        """
        reply = await self._ask(wire.Flow(active), wire.FlowOk, timeout)
        return {"active": reply.active}

    def consume(
        self,
        queue_name: str = "",
        *,
        prefetch_count: int | None = PREFETCH_COUNT,
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: FieldTable | None = None,
        timeout: float | None = None,
    ) -> Messages:
        """Consume from a queue with ``async for``.

            async for message in channel.consume("orders"):
                async with message:
                    ...

        Nothing is sent before the first message is asked for, or ``async with`` is entered, which
        is the tidier way where the loop may be left before its end. See ``Messages`` for that.

        Args:
            queue_name: empty for the one that was declared last on this channel.
            prefetch_count: messages that may be delivered and not settled yet; 0 for no limit. It
                is set by ``basic.qos`` and so holds for later consumers of the channel too, until
                they ask for another. None leaves it as it is; with ``no_ack`` it has no meaning.
            consumer_tag: empty to have one made up.
            no_local: RabbitMQ: ignored.
            no_ack: let the server take what it delivers for acknowledged.
            exclusive: let nobody else consume from the queue.
            arguments: such as ``{"x-priority": 10}``.
            timeout: seconds in which the server must agree to the consumer.
        """
        tag = consumer_tag or new_tag(self.channel_id)
        method = basic.Consume(queue_name, tag, no_local, no_ack, exclusive, False, arguments)
        qos = None if prefetch_count is None or no_ack else basic.Qos(0, prefetch_count)
        return Messages(self, self._consumers, method, qos, timeout)

    def add_cancellation_callback(self, callback: CancellationCallback) -> None:
        """Have a callback called when the server cancels a consumer of this channel.

        It is called as ``callback(channel, consumer_tag)`` and may make any call, such as consuming
        again. RabbitMQ: consumer-cancel.html, for example when the queue is deleted.
        """
        check_callable("callback", callback)
        self.cancellation_callbacks.append(callback)
