"""The calls of a channel that are about consuming and acknowledging."""

import uuid
from typing import Any

from amqp_codec import Command, FieldTable, basic

from ..callbacks import ConsumerCallback, check_callable
from ..exceptions import EmptyQueue
from ..properties import Properties
from .base import Methods


def new_tag(channel_id: int) -> str:
    """Make up a consumer tag that nobody else has."""
    return f"ctag{channel_id}.{uuid.uuid4().hex}"


class BasicMethods(Methods):
    """The class basic of AMQP without publishing, by the names of 0.15."""

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
        callback: ConsumerCallback | None,
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
        check_callable("callback", callback)
        tag = consumer_tag or new_tag(self.channel_id)
        method = basic.Consume(queue_name, tag, no_local, no_ack, exclusive, no_wait, arguments)
        await self._consumers.consume(method, callback, timeout)
        self.last_consumer_tag: str | None = tag
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
            if isinstance(command.method, basic.GetOk) and not no_ack:
                self._dialogue.send(basic.Nack(command.method.delivery_tag, requeue=True))

        command = await self._dialogue.request(basic.Get(queue_name, no_ack), timeout, give_back)
        reply = command.method
        if not isinstance(reply, basic.GetOk):
            empty = EmptyQueue()
            empty.sentence = f"There is no message in the queue {queue_name!r}"
            raise empty
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

        As do ``basic_client_nack`` and ``basic_reject``, it waits only while the connection cannot
        take more, and sends nothing if it is cancelled then.

        Args:
            delivery_tag: of the message.
            multiple: and all before it on this channel.
        """
        if self._wire.is_full:
            await self._writable()
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
        if self._wire.is_full:
            await self._writable()
        self._dialogue.send(basic.Nack(delivery_tag, multiple, requeue))

    async def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Tell the server that a message has not been handled. Spec: basic.reject.

        Args:
            delivery_tag: of the message.
            requeue: queue it again, rather than drop or dead-letter it.
        """
        if self._wire.is_full:
            await self._writable()
        self._dialogue.send(basic.Reject(delivery_tag, requeue))

    async def basic_recover(
        self, requeue: bool = True, *, timeout: float | None = None
    ) -> bool | None:
        """Have all that is not acknowledged on this channel delivered again. Spec: basic.recover.

        Args:
            requeue: to any consumer of its queue. RabbitMQ: False is not supported, it closes the
                connection.
            timeout: see ``Channel``.
        """
        return await self._do(basic.Recover(requeue), False, timeout)

    async def basic_recover_async(self, requeue: bool = True) -> None:
        """Do as ``basic_recover`` does, without an answer. Spec: basic.recover-async."""
        self._dialogue.send(basic.RecoverAsync(requeue))

    async def _writable(self) -> None:
        self._dialogue.check_open()
        await self._wire.writable()

    basic_ack = basic_client_ack
    basic_nack = basic_client_nack
