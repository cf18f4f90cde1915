"""The channel as programs see it: one method a call, by the names of aioamqp 0.15."""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from amqp_codec import Command, FieldTable, Method, basic
from amqp_codec import channel as wire_channel
from amqp_codec import exchange as wire_exchange
from amqp_codec import queue as wire_queue

from .callbacks import Callback
from .envelope import Envelope, ReturnEnvelope
from .exceptions import EmptyQueue
from .inbound import Inbound
from .properties import Properties, to_codec

if TYPE_CHECKING:
    from .protocol import AmqpProtocol

__all__ = ["Channel", "Envelope", "ReturnEnvelope", "logger"]

logger = logging.getLogger("aioamqp.channel")

_Reply = TypeVar("_Reply", bound=Method)


class Channel:
    """A channel of a connection, as ``AmqpProtocol.channel`` opens it.

    What its calls have in common:

    - ``no_wait=True`` does not wait for the server; its objection then closes the channel later.
    - ``timeout`` is in seconds; TimeoutError when the server has not answered by then. Such a call,
      or one that is cancelled, may still have its effect.
    - ChannelClosed or AmqpClosedConnection when the channel or the connection is over or ends.
    - InvalidArgument, which is a TypeError and a ValueError, before anything is sent.

    Attributes:
        protocol: the connection.
        channel_id: its number, from 1.
        return_callback: called as ``callback(channel, body, envelope, properties)`` with a
            ReturnEnvelope when a mandatory message comes back; may be replaced at any time.
        consumer_callbacks: what to call with deliveries, by consumer tag; looked up every time.
        cancellation_callbacks: what to call when the server cancels a consumer.
        cancelled_consumers: the tags of those that it has cancelled.
        last_consumer_tag: the latest tag that was made up here.
        close_event: set when the channel is over.
        inbound: takes what the server sends; not for programs.
    """

    def __init__(
        self,
        protocol: "AmqpProtocol",
        channel_id: int,
        return_callback: Callback | None = None,
    ) -> None:
        self.protocol = protocol
        self.channel_id = channel_id
        self.return_callback = return_callback
        self.consumer_callbacks: dict[str, Callback | None] = {}
        self.cancellation_callbacks: list[Callback] = []
        self.cancelled_consumers: set[str] = set()
        self.last_consumer_tag: str | None = None
        self.close_event = asyncio.Event()
        self._wire = protocol.wire
        self.inbound = Inbound(self, protocol.wire)
        self._dialogue = self.inbound.dialogue
        self._consumers = self.inbound.consumers

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the channel."""
        return not self.close_event.is_set()

    # ---------------------------------------------------------------- channel

    async def open(self, *, timeout: float | None = None) -> bool:
        """Open the channel; ``AmqpProtocol.channel`` has done so already."""
        await self._dialogue.request(wire_channel.Open(), timeout)
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

    # ---------------------------------------------------------------- exchange

    async def exchange_declare(
        self,
        exchange_name: str,
        type_name: str = "direct",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Create an exchange, or check that it exists. Spec: exchange.declare."""
        method = wire_exchange.Declare(
            exchange_name,
            type_name,
            passive,
            durable,
            auto_delete,
            no_wait=no_wait,
            arguments=arguments,
        )
        return await self._do(method, no_wait, timeout)

    async def exchange_delete(
        self,
        exchange_name: str,
        if_unused: bool = False,
        no_wait: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Delete an exchange. Spec: exchange.delete."""
        method = wire_exchange.Delete(exchange_name, if_unused, no_wait)
        return await self._do(method, no_wait, timeout)

    exchange = exchange_declare

    # ---------------------------------------------------------------- queue

    @overload
    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: Literal[False] = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]: ...

    @overload
    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any] | None: ...

    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any] | None:
        """Create a queue, or check that it exists. Spec: queue.declare.

        Args:
            queue_name: empty or None to let the server make one up.
            passive: only check that it exists.
            durable: let it outlive the server.
            exclusive: for this connection only, and deleted with it.
            auto_delete: delete it when its last consumer is gone.
            no_wait: see ``Channel``.
            arguments: such as ``{"x-max-length": 10}``.
            timeout: see ``Channel``.

        Returns:
            The ``queue`` name, ``message_count`` and ``consumer_count``; None with ``no_wait``.
        """
        method = wire_queue.Declare(
            "" if queue_name is None else queue_name,
            passive,
            durable,
            exclusive,
            auto_delete,
            no_wait,
            arguments,
        )
        if no_wait:
            self._dialogue.send(method)
            return None
        reply = await self._ask(method, wire_queue.DeclareOk, timeout)
        return {
            "queue": reply.queue,
            "message_count": reply.message_count,
            "consumer_count": reply.consumer_count,
        }

    async def queue_delete(
        self,
        queue_name: str,
        if_unused: bool = False,
        if_empty: bool = False,
        no_wait: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Delete a queue. Spec: queue.delete."""
        method = wire_queue.Delete(queue_name, if_unused, if_empty, no_wait)
        return await self._do(method, no_wait, timeout)

    async def queue_bind(
        self,
        queue_name: str,
        exchange_name: str,
        routing_key: str,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Let messages flow from an exchange to a queue. Spec: queue.bind."""
        method = wire_queue.Bind(queue_name, exchange_name, routing_key, no_wait, arguments)
        return await self._do(method, no_wait, timeout)

    async def queue_purge(
        self, queue_name: str, no_wait: bool = False, *, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Drop all messages of a queue that wait for delivery. Spec: queue.purge.

        Returns:
            The ``message_count`` that was dropped; None with ``no_wait``.
        """
        method = wire_queue.Purge(queue_name, no_wait)
        if no_wait:
            self._dialogue.send(method)
            return None
        reply = await self._ask(method, wire_queue.PurgeOk, timeout)
        return {"message_count": reply.message_count}

    queue = queue_declare

    # ---------------------------------------------------------------- basic

    async def basic_publish(
        self,
        payload: bytes | bytearray | memoryview | str,
        exchange_name: str,
        routing_key: str,
        properties: Mapping[str, Any] | Properties | None = None,
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        """Publish a message. Spec: basic.publish.

        It is written together with what else is written in the same turn of the event loop. The
        call waits only while the connection cannot take more; cancelled then, nothing is sent.

        Args:
            payload: the body; a string is sent as UTF-8.
            exchange_name: empty for the default exchange.
            routing_key: for the default exchange, the name of a queue.
            properties: by the names of ``Properties``.
            mandatory: give the message to ``return_callback`` if no queue takes it.
            immediate: RabbitMQ: not supported, it closes the connection.

        Raises:
            InvalidArgument: something of it cannot be sent; nothing has been.
        """
        if isinstance(payload, str):
            payload = payload.encode()
        self._dialogue.check_open()
        wire = self._wire
        octets = wire.encode_publish(
            self.channel_id,
            exchange_name,
            routing_key,
            mandatory,
            immediate,
            to_codec(properties),
            payload,
        )
        while wire.is_paused or not self.inbound.may_publish.is_set():
            await wire.writable()
            await self.inbound.may_publish.wait()
            self._dialogue.check_open()
        wire.write(octets)

    async def basic_qos(
        self,
        prefetch_size: int = 0,
        prefetch_count: int = 0,
        connection_global: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Limit how much is delivered before it is acknowledged. Spec: basic.qos.

        Args:
            prefetch_size: octets; RabbitMQ knows only 0, no limit.
            prefetch_count: messages; 0 for no limit.
            connection_global: RabbitMQ: for the channel as a whole, not for each new consumer.
            timeout: see ``Channel``.
        """
        method = basic.Qos(prefetch_size, prefetch_count, connection_global)
        return await self._do(method, False, timeout)

    async def basic_consume(
        self,
        callback: Callback | None,
        queue_name: str = "",
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Have the messages of a queue delivered to a callback. Spec: basic.consume.

        The callback is called as ``callback(channel, body, envelope, properties)`` and what it
        returns is awaited. It has one message at a time, in the order of delivery, and not before
        this call has returned. It may make any call of any channel. If it fails, the failure is
        logged, the message stays unacknowledged and the next one follows.

        Args:
            callback: a coroutine function, or any other that takes these arguments.
            queue_name: empty for the one that was declared last on this channel.
            consumer_tag: empty to have one made up.
            no_local: RabbitMQ: ignored.
            no_ack: let the server take what it delivers for acknowledged.
            exclusive: let nobody else consume from the queue.
            no_wait: see ``Channel``.
            arguments: such as ``{"x-priority": 10}``.
            timeout: see ``Channel``.

        Returns:
            The ``consumer_tag``.
        """
        tag = consumer_tag or f"ctag{self.channel_id}.{uuid.uuid4().hex}"
        method = basic.Consume(queue_name, tag, no_local, no_ack, exclusive, no_wait, arguments)
        await self._consumers.consume(method, callback, timeout)
        if not consumer_tag:
            self.last_consumer_tag = tag
        return {"consumer_tag": tag}

    async def basic_cancel(
        self, consumer_tag: str, no_wait: bool = False, *, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Have no more messages delivered to a consumer. Spec: basic.cancel.

        Those that have been delivered still go to its callback; with ``no_wait`` also those on
        their way.

        Returns:
            The ``consumer_tag``; None with ``no_wait``.
        """
        method = basic.Cancel(consumer_tag, no_wait)
        if no_wait:
            self._dialogue.send(method)
            return None
        await self._dialogue.request(
            method, timeout, lambda _: self._consumers.cancelled(consumer_tag)
        )
        self._consumers.cancelled(consumer_tag)
        return {"consumer_tag": consumer_tag}

    async def basic_get(
        self, queue_name: str = "", no_ack: bool = False, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Take one message from a queue. Spec: basic.get.

        A call that is cancelled or runs out of time gives its message back to the queue, unless
        ``no_ack`` is set.

        Returns:
            ``delivery_tag``, ``redelivered``, ``exchange_name``, ``routing_key``,
            ``message_count``, the ``message`` itself and its ``properties``.

        Raises:
            EmptyQueue: there is none.
        """

        def give_back(command: Command) -> None:
            if isinstance(command.method, basic.GetOk) and not no_ack and self.is_open:
                self._dialogue.send(basic.Nack(command.method.delivery_tag, requeue=True))

        command = await self._dialogue.request(basic.Get(queue_name, no_ack), timeout, give_back)
        reply = command.method
        if not isinstance(reply, basic.GetOk):
            raise EmptyQueue
        assert command.properties is not None
        return {
            "delivery_tag": reply.delivery_tag,
            "redelivered": reply.redelivered,
            "exchange_name": reply.exchange,
            "routing_key": reply.routing_key,
            "message_count": reply.message_count,
            "message": command.body,
            "properties": Properties.from_codec(command.properties),
        }

    async def basic_client_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Tell the server that a message has been handled. Spec: basic.ack.

        Args:
            delivery_tag: of the message.
            multiple: and all before it on this channel.
        """
        self._dialogue.send(basic.Ack(delivery_tag, multiple))

    async def basic_client_nack(
        self, delivery_tag: int, multiple: bool = False, requeue: bool = True
    ) -> None:
        """Tell the server that a message has not been handled. RabbitMQ: nack.html.

        Args:
            delivery_tag: of the message.
            multiple: and all before it on this channel.
            requeue: queue it again, rather than drop or dead-letter it.
        """
        self._dialogue.send(basic.Nack(delivery_tag, multiple, requeue))

    async def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Tell the server that a message has not been handled. Spec: basic.reject.

        Args:
            delivery_tag: of the message.
            requeue: queue it again, rather than drop or dead-letter it.
        """
        self._dialogue.send(basic.Reject(delivery_tag, requeue))

    basic_ack = basic_client_ack
    basic_nack = basic_client_nack

    def add_cancellation_callback(self, callback: Callback) -> None:
        """Have a callback called when the server cancels a consumer of this channel.

        It is called as ``callback(channel, consumer_tag)`` and may make any call, such as consuming
        again. RabbitMQ: consumer-cancel.html, for example when the queue is deleted.
        """
        self.cancellation_callbacks.append(callback)

    # ---------------------------------------------------------------- inside

    async def _do(self, method: Method, no_wait: bool, timeout: float | None) -> bool | None:
        if no_wait:
            self._dialogue.send(method)
            return None
        await self._dialogue.request(method, timeout)
        return True

    async def _ask(self, method: Method, reply: type[_Reply], timeout: float | None) -> _Reply:
        answer = (await self._dialogue.request(method, timeout)).method
        assert isinstance(answer, reply)
        return answer
