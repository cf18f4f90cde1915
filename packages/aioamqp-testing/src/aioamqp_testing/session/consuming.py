"""The broker's side of a channel, the rest of basic.*: consuming, getting, acknowledging."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from amqp_codec import Method, ReplyCode, basic

from ..model import (
    BrokerError,
    Consumer,
    ConsumingChannel,
    Delivery,
    NotSupported,
    Queue,
    QueuedMessage,
    SharedPrefetch,
    Unacked,
    VirtualHost,
)
from ..model.unacked import by_consumer
from .topology import Topology
from .unlisted import Credit

if TYPE_CHECKING:
    from .channel import Channel


class Consuming:
    """What goes out on a channel, and what becomes of it: the model's ConsumingChannel.

    Attributes:
        handlers: what to call for each method.
        prefetch: the limit that the channel's consumers share.
    """

    def __init__(self, channel: "Channel", vhost: VirtualHost, topology: Topology) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            basic.Qos: self._qos,
            basic.Consume: self._consume,
            basic.Cancel: self._cancel,
            basic.Get: self._get,
            basic.Ack: self._ack,
            basic.Nack: self._nack,
            basic.Reject: self._reject,
            basic.Recover: self._recover,
            basic.RecoverAsync: self._recover,
            Credit: self._credit,
        }
        self.prefetch = SharedPrefetch(self)
        self._channel = channel
        self._vhost = vhost
        self._topology = topology
        self._prefetch_count = 0  # for consumers to come
        self._consumers: dict[str, Consumer] = {}
        self._unacked = Unacked()
        self._last_tag = 0

    def _qos(self, method: basic.Qos) -> None:
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, text)
        if method.global_:
            self.prefetch.set(method.prefetch_count, len(self._unacked))
        else:
            self._prefetch_count = method.prefetch_count
        self._channel.send(basic.QosOk())

    def _consume(self, method: basic.Consume) -> None:
        if method.consumer_tag in self._consumers:
            text = f"attempt to reuse consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.NOT_ALLOWED, text)
        consumer = Consumer(
            method.consumer_tag or self._channel.session.node.new_name("amq.ctag-"),
            self,
            self._topology.queue(method.queue),
            no_ack=method.no_ack,
            exclusive=method.exclusive,
            prefetch_count=self._prefetch_count,
            arguments=method.arguments,
        )
        consumer.queue.add_consumer(consumer)
        self._consumers[consumer.tag] = consumer
        self._channel.reply(method.no_wait, basic.ConsumeOk(consumer.tag))

    def _cancel(self, method: basic.Cancel) -> None:
        consumer = self._consumers.pop(method.consumer_tag, None)
        if consumer is not None:
            consumer.queue.remove_consumer(consumer)
        self._channel.reply(method.no_wait, basic.CancelOk(method.consumer_tag))

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Send a message to one of its consumers."""
        tag = self._next_tag()
        if not consumer.no_ack:
            self._unacked.add(Delivery(tag, consumer.queue, consumer, queued))
        message = queued.message
        method = basic.Deliver(
            consumer.tag, tag, queued.redelivered, message.exchange, message.routing_key
        )
        self._channel.send(method, message.properties, message.body)

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Forget consumers whose queue is gone, and tell the client if it wants to know."""
        for consumer in consumers:
            if self._consumers.get(consumer.tag) is consumer:
                del self._consumers[consumer.tag]
                if self._channel.session.wants_cancel_notices:
                    self._channel.send(basic.Cancel(consumer.tag, no_wait=True))

    def _get(self, method: basic.Get) -> None:
        source = self._topology.queue(method.queue)
        queued = source.get(self, no_ack=method.no_ack)
        if queued is None:
            self._channel.send(basic.GetEmpty())
            return
        tag = self._next_tag()
        if not method.no_ack:
            self._unacked.add(Delivery(tag, source, None, queued))
        message = queued.message
        reply = basic.GetOk(
            tag, queued.redelivered, message.exchange, message.routing_key, source.message_count
        )
        self._channel.send(reply, message.properties, message.body)

    def _next_tag(self) -> int:
        self._last_tag += 1
        return self._last_tag

    # ----------------------------------------------------------------------------- acknowledging

    def _ack(self, method: basic.Ack) -> None:
        deliveries = self._unacked.take(method.delivery_tag, multiple=method.multiple)
        self._settle(deliveries, Queue.acknowledge)

    def _nack(self, method: basic.Nack) -> None:
        deliveries = self._unacked.take(method.delivery_tag, multiple=method.multiple)
        self._settle(deliveries, Queue.requeue if method.requeue else Queue.reject)

    def _reject(self, method: basic.Reject) -> None:
        deliveries = self._unacked.take(method.delivery_tag, multiple=False)
        self._settle(deliveries, Queue.requeue if method.requeue else Queue.reject)

    def _recover(self, method: basic.Recover | basic.RecoverAsync) -> None:
        if not method.requeue:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "requeue=false")
        self._settle(self._unacked.take_all(), Queue.requeue)
        if isinstance(method, basic.Recover):
            self._channel.send(basic.RecoverOk())

    def _settle(
        self,
        deliveries: list[Delivery],
        settle: Callable[[Queue, ConsumingChannel, Iterable[QueuedMessage]], None],
    ) -> None:
        for source, messages in by_consumer(deliveries):
            self._vhost.later(partial(settle, source, self, messages))
        consumed = sum(delivery.consumer is not None for delivery in deliveries)
        self._vhost.later(partial(self.prefetch.give_back, consumed))

    # ----------------------------------------------------------------------------- the end

    def fail(self) -> None:
        """End the consumers because the channel is closed by a mistake.

        RabbitMQ: queues that it consumes from have its messages back at once, other queues (those
        of basic.get, or of cancelled consumers) when the client has said close-ok.
        """
        for consumed in {consumer.queue: None for consumer in self._consumers.values()}:
            consumed.forget(self)
            self._unacked.forget(consumed)
        self._consumers.clear()

    def end(self) -> None:
        """Give everything back."""
        used = [consumer.queue for consumer in self._consumers.values()] + self._unacked.queues
        self._consumers.clear()
        self._unacked = Unacked()
        for each in dict.fromkeys(used):
            each.forget(self)

    # ----------------------------------------------------------------------------- the rest

    def _credit(self, method: Credit) -> None:
        if method.consumer_tag not in self._consumers:
            text = f"unknown consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        raise NotSupported(method.NAME)
