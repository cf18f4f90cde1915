"""The methods of a channel about consuming and acknowledging."""

import os
from typing import Any

from amqp_codec import Command, FieldTable, basic

from .._arguments import OF_CHECKPOINT, OF_MESSAGE, check_callable
from .._channel.consumer import Consumer
from .._channel.consumers import Consumers, Resumption
from .._channel.core import ChannelCore
from .._channel.requests import check_timeout
from .._loggers import channel_logger
from ..callbacks import CheckpointCallback, ConsumerCallback
from ..exceptions import EmptyQueue, InvalidArgument
from ..properties import Properties
from .base import Methods, alias, check_flags, check_numbers


def new_tag(channel_id: int) -> str:
    """Return a consumer tag that is not in use."""
    return f"ctag{channel_id}.{os.urandom(16).hex()}"


class BasicMethods(Methods):
    """AMQP's class basic without publishing, by the names of 0.15."""

    def _resumption(
        self, restart: bool, on_checkpoint: CheckpointCallback | None
    ) -> Resumption | None:
        """Check how a consumer is to continue after an interruption."""
        check_flags(restart=restart)
        check_callable("on_checkpoint", on_checkpoint, OF_CHECKPOINT)
        if not restart and on_checkpoint is None:
            return None
        if self._core.recovery is None:
            name = "restart" if restart else "on_checkpoint"
            raise InvalidArgument("needs a channel of a Connection", (name,))
        return Resumption(restart, on_checkpoint)

    async def basic_qos(
        self,
        prefetch_size: int = 0,
        prefetch_count: int = 0,
        connection_global: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Limit how many deliveries may be unacknowledged. Spec: basic.qos.

        Args:
            prefetch_size: bytes; RabbitMQ supports only 0, no limit.
            prefetch_count: messages; 0 for no limit.
            connection_global: RabbitMQ: for the channel as a whole, not for each new consumer. By
                default 4.3 limits each consumer nevertheless, of which a warning is logged.
            timeout: see ``Channel``.
        """
        check_numbers(prefetch_size=prefetch_size, prefetch_count=prefetch_count)
        check_flags(connection_global=connection_global)
        method = basic.Qos(prefetch_size, prefetch_count, connection_global)
        server = self._core.connection.server
        if connection_global and not server.limits_channels:
            channel_logger.warning(
                "%s limits each consumer of channel %d instead of all of them together, unless"
                " deprecated_features.permit.global_qos = true is set in rabbitmq.conf: call"
                " basic_qos without connection_global",
                server.name,
                self._core.number,
            )
        done = await self._do(method, False, timeout)
        consumers = self._core.consumers
        if connection_global:
            consumers.channel_qos = method
        else:
            consumers.qos = method
        return done

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
        concurrent: bool = False,
        restart: bool = False,
        on_checkpoint: CheckpointCallback | None = None,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Start a consumer that calls a callback with the messages of a queue. Spec: basic.consume.

        The callback is called as ``callback(channel, body, envelope, properties)``, and its result
        is awaited. It gets one message at a time, in the order of delivery, and not before this
        call has returned. The callbacks of one channel run one at a time, those for returned
        messages and cancelled consumers among them. It may call any method of any channel, and
        runs in a copy of the context of this call. Whatever it raises is logged, the message stays
        unacknowledged and the next one follows; SystemExit and KeyboardInterrupt end the event
        loop, as in every task.

        Args:
            callback: a coroutine function, or any other that takes these arguments.
            queue_name: empty for the queue that was declared last on this channel.
            consumer_tag: empty for a new one.
            no_local: RabbitMQ: ignored.
            no_ack: the server expects no acknowledgements.
            exclusive: no other consumer may consume from the queue.
            no_wait: see ``Channel``.
            arguments: such as ``{"x-priority": 10}``.
            queue: another name of ``queue_name``.
            concurrent: run the callback beside the other callbacks of the channel, still with one
                message at a time.
            restart: see ``Channel.consume``.
            on_checkpoint: see there.
            timeout: see ``Channel``.

        Returns:
            The ``consumer_tag``.
        """
        check_callable("callback", callback, OF_MESSAGE)
        check_flags(no_local=no_local, no_ack=no_ack, exclusive=exclusive, no_wait=no_wait)
        check_timeout(timeout)
        tag = consumer_tag or new_tag(self._core.number)
        queue_name = alias("queue_name", queue_name, "queue", queue, absent="")
        method = basic.Consume(queue_name, tag, no_local, no_ack, exclusive, no_wait, arguments)
        check_flags(concurrent=concurrent)
        resumption = self._resumption(restart, on_checkpoint)
        if self._core.recovery is None:
            self._core.requests.check(method)

        async def send(core: ChannelCore, seconds: float | None) -> None:
            await core.consumers.consume(method, callback, seconds, concurrent, resumption)

        await self._over(method, timeout, send)
        self.last_consumer_tag: str | None = tag
        return {"consumer_tag": tag}

    async def basic_cancel(
        self,
        consumer_tag: str,
        no_wait: bool = False,
        *,
        drain: float | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any] | None:
        """Cancel a consumer. Spec: basic.cancel.

        Messages that have been delivered are still passed to its callback; with ``no_wait`` also
        those on their way. If they came with ``no_ack``, this call returns when its callback has
        returned for the last one, or after 5 seconds; unless the callback itself makes the call.

        Args:
            consumer_tag: of the consumer.
            no_wait: see ``Channel``.
            drain: seconds to wait until the callback has returned for the last message; messages
                that are still waiting then are returned to the queue. None not to wait.
            timeout: see ``Channel``.

        Returns:
            The ``consumer_tag``; None with ``no_wait``.
        """
        check_flags(no_wait=no_wait)
        method = basic.Cancel(consumer_tag, no_wait)
        check_timeout(drain, "drain")
        if no_wait:
            await self._do(method, True, timeout)
            return None

        async def send(
            core: ChannelCore, seconds: float | None
        ) -> tuple[Consumers, list[Consumer]]:
            core.requests.check(method)
            cancelled = core.consumers.with_tag(consumer_tag)
            await core.requests.request(
                method, seconds, lambda _: core.consumers.handle_cancel_ok(consumer_tag)
            )
            core.consumers.handle_cancel_ok(consumer_tag)
            return core.consumers, cancelled

        consumers, cancelled = await self._over(method, timeout, send)
        await consumers.wait_handled(cancelled, drain)
        return {"consumer_tag": consumer_tag}

    async def basic_get(
        self,
        queue_name: str = "",
        no_ack: bool = False,
        *,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Get one message from a queue. Spec: basic.get.

        If the call is cancelled or times out, its message is returned to the queue, unless
        ``no_ack`` is set.

        Returns:
            ``delivery_tag``, ``redelivered``, ``exchange_name``, ``routing_key``,
            ``message_count``, the ``message`` itself and its ``properties``.

        Raises:
            EmptyQueue: the queue is empty.
        """
        check_flags(no_ack=no_ack)
        queue_name = alias("queue_name", queue_name, "queue", queue, absent="")
        core = self._core

        def return_to_queue(reply: Command) -> None:
            if isinstance(reply.method, basic.GetOk) and not no_ack:
                core.requests.send(basic.Nack(reply.method.delivery_tag, requeue=True))

        async def send(used: ChannelCore, seconds: float | None) -> Command:
            nonlocal core
            core = used
            return await core.requests.request(method, seconds, return_to_queue)

        method = basic.Get(queue_name, no_ack)
        command = await self._over(method, timeout, send)
        reply = command.method
        if not isinstance(reply, basic.GetOk):
            empty = EmptyQueue()
            empty.sentence = f"There is no message in the queue {queue_name!r}"
            raise empty
        assert command.properties is not None
        core.consumers.last_tag = max(core.consumers.last_tag, reply.delivery_tag)
        if core.connection.recorder is not None:
            core.connection.recorder.delivered(core.number, command, queue_name, no_ack)
        return {
            "delivery_tag": reply.delivery_tag + core.tag_offset,
            "redelivered": reply.redelivered,
            "exchange_name": reply.exchange,
            "routing_key": reply.routing_key,
            "message_count": reply.message_count,
            "message": command.body,
            "properties": Properties.from_codec(command.properties),
        }

    async def basic_client_ack(
        self, delivery_tag: int, multiple: bool = False, *, timeout: float | None = None
    ) -> bool | None:
        """Acknowledge a message. Spec: basic.ack.

        As ``basic_client_nack`` and ``basic_reject``, it waits only while the write buffer is full,
        and sends nothing if it is cancelled or times out then.

        Args:
            delivery_tag: of the message.
            multiple: and of all earlier messages of this channel.
            timeout: seconds to wait; None for no limit.

        Returns:
            None. On a channel of a ``Connection`` True, or False for a message that was delivered
            before the connection was lost: the server has queued it again, so nothing is sent.
        """
        if multiple is not False or type(delivery_tag) is not int:
            check_numbers(delivery_tag=delivery_tag)
            check_flags(multiple=multiple)
        core, method = self._core, basic.Ack(delivery_tag, multiple)
        if core.tag_offset and core.is_stale(method):
            return False
        is_sent = await core.settle(method, timeout)
        return None if core.recovery is None else is_sent

    async def basic_client_nack(
        self,
        delivery_tag: int,
        multiple: bool = False,
        requeue: bool = True,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Reject a message, or several. RabbitMQ: nack.html.

        Args:
            delivery_tag: of the message.
            multiple: and of all earlier messages of this channel.
            requeue: return it to the queue, instead of dropping or dead-lettering it.
            timeout: see ``basic_client_ack``.
        """
        check_numbers(delivery_tag=delivery_tag)
        check_flags(multiple=multiple, requeue=requeue)
        core, method = self._core, basic.Nack(delivery_tag, multiple, requeue)
        if core.tag_offset and core.is_stale(method):
            return False
        is_sent = await core.settle(method, timeout)
        return None if core.recovery is None else is_sent

    async def basic_reject(
        self, delivery_tag: int, requeue: bool = False, *, timeout: float | None = None
    ) -> bool | None:
        """Reject a message. Spec: basic.reject.

        Args:
            delivery_tag: of the message.
            requeue: return it to the queue, instead of dropping or dead-lettering it.
            timeout: see ``basic_client_ack``.
        """
        check_numbers(delivery_tag=delivery_tag)
        check_flags(requeue=requeue)
        core, method = self._core, basic.Reject(delivery_tag, requeue)
        if core.tag_offset and core.is_stale(method):
            return False
        is_sent = await core.settle(method, timeout)
        return None if core.recovery is None else is_sent

    async def basic_recover(
        self, requeue: bool = True, *, timeout: float | None = None
    ) -> bool | None:
        """Deliver all unacknowledged messages of this channel again. Spec: basic.recover.

        Args:
            requeue: to any consumer of the queue. RabbitMQ: False is not supported, it closes the
                connection.
            timeout: see ``Channel``.
        """
        check_flags(requeue=requeue)
        return await self._do(basic.Recover(requeue), False, timeout)

    async def basic_recover_async(self, requeue: bool = True) -> None:
        """Deliver unacknowledged messages again, without a reply. Spec: basic.recover-async."""
        check_flags(requeue=requeue)
        await self._send(basic.RecoverAsync(requeue))

    basic_ack = basic_client_ack
    basic_nack = basic_client_nack
