"""Handlers of the rest of basic.* on a channel: consuming, getting, acknowledging, prefetch."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any

from amqp_codec import Method, ReplyCode, basic

from ...model import (
    REPLY_TO,
    BrokerError,
    Consumer,
    Delivery,
    Message,
    Queue,
    QueuedMessage,
    SharedPrefetch,
    Unacked,
)
from ...model.deprecated import DeprecatedFeatureWarning
from ...model.profile import GLOBAL_QOS
from ...model.queues.unacked import group_by_consumer
from ..output import ChannelOutput
from ..reader.undocumented import Credit, CreditOk
from .ack_timeout import AckTimeout, timed_out
from .context import Context
from .direct_replies import ReplyConsumer
from .mailbox import Mailbox
from .topology import Topology
from .transaction import Settle, Transaction


class Consuming:
    """What is delivered on a channel, and how it is settled: the model's ConsumingChannel.

    Attributes:
        handlers: what to call for each method.
        name: the name of the channel for reports.
        prefetch: the limit that the channel's consumers share.
        mailbox: deliveries and notices from queues.
        deliver: delivers a message of a queue to one of its consumers here.
    """

    def __init__(
        self,
        number: int,
        context: Context,
        output: ChannelOutput,
        topology: Topology,
        replies: ReplyConsumer,
        transaction: Transaction,
    ) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            basic.Qos: self._set_qos,
            basic.Consume: self._consume,
            basic.Cancel: self._cancel,
            basic.Get: self._get,
            basic.Ack: self._ack,
            basic.Nack: self._nack,
            basic.Reject: self._reject,
            basic.Recover: self._recover,
            basic.RecoverAsync: self._recover,
            Credit: self._set_credit,
        }
        self.name = f"{context.connection.name} channel {number}"
        self._number = number
        self.prefetch = SharedPrefetch(self)
        self._vhost = context.vhost
        self._new_name = context.node.new_name
        self._profile = context.node.profile
        self._output = output
        self._topology = topology
        self._replies = replies
        self._transaction = transaction
        self._prefetch_count = 0  # of consumers to come
        self._consumers: dict[str, Consumer] = {}
        self._sends_cancel = context.wants_cancel_notices
        self._unacked = Unacked()
        self._last_tag = 0
        self.mailbox = Mailbox(number, context.deferred, self._send_delivery)
        self.deliver = self.mailbox.put_delivery
        self._fail = partial(context.fail_channel, number)
        self.ack_timeout = context.node.consumer_timeout
        self._timeout = AckTimeout(
            number,
            context.vhost,
            self.ack_timeout,
            lambda: next(iter(self._unacked), None),
            self._fail,
        )

    @property
    def consumers(self) -> list[Consumer]:
        """The consumers of the channel, in the order in which they came."""
        return list(self._consumers.values())

    @property
    def unacked(self) -> list[Delivery]:
        """The deliveries that are not acknowledged, the oldest first."""
        return list(self._unacked)

    # ----------------------------------------------------------------------------- consumers

    def _set_qos(self, method: basic.Qos) -> None:
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, text)
        if method.global_ and not self._profile.shares_prefetch:
            self._warn_of_global_qos()
            self._prefetch_count = method.prefetch_count
        elif method.global_:
            self.prefetch.set(method.prefetch_count, len(self._unacked))
        else:
            # RabbitMQ: a limit of the other kind removes the shared one
            self.prefetch.set(0, len(self._unacked))
            self._prefetch_count = method.prefetch_count
        self._output.send(basic.QosOk())

    def _warn_of_global_qos(self) -> None:
        # RabbitMQ: it is denied, but only a warning in the log shows it
        use = "basic.qos with global=true, which now limits each consumer for itself,"
        with suppress(DeprecatedFeatureWarning):
            self._vhost.deprecated.warn(GLOBAL_QOS, use)

    def _consume(self, method: basic.Consume) -> None:
        queue_name = self._topology.queue_name(method.queue)
        if method.consumer_tag in self._consumers:
            text = f"attempt to reuse consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.NOT_ALLOWED, text)
        tag = method.consumer_tag or self._new_name("amq.ctag-")
        if queue_name == REPLY_TO:
            self._replies.start(tag, self._deliver_reply, no_ack=method.no_ack)
            self._output.reply(method.no_wait, basic.ConsumeOk(tag))
            return
        if self._vhost.has_reply_queue(queue_name):
            described = f"queue '{queue_name}' in vhost '{self._vhost.name}'"
            text = f"only creator channel may consume from {described}"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        consumer = Consumer(
            tag,
            self,
            self._topology.find_queue(queue_name),
            no_ack=method.no_ack,
            exclusive=method.exclusive,
            prefetch_count=self._prefetch_count,
            arguments=method.arguments,
            ack_timeout=self.ack_timeout,
        )
        consumer.queue.add_consumer(consumer)
        self._consumers[consumer.tag] = consumer
        if not method.no_wait:
            self.mailbox.put_notice(partial(self._send_consume_ok, consumer.tag))

    def _send_consume_ok(self, tag: str) -> None:
        if tag not in self._consumers and self._profile.cancels_at_once:
            return
        self._output.send(basic.ConsumeOk(tag))
        if tag not in self._consumers:
            # RabbitMQ: it crashes over a consumer that was cancelled before it had begun
            raise BrokerError(ReplyCode.INTERNAL_ERROR)

    def _cancel(self, method: basic.Cancel) -> None:
        tag = method.consumer_tag
        consumer = None
        if tag == self._replies.tag:
            self._replies.stop()
        else:
            consumer = self._consumers.pop(tag, None)
        if consumer is None:
            self._output.reply(method.no_wait, basic.CancelOk(tag))
            return
        consumer.queue.remove_consumer(consumer)
        if not method.no_wait:
            self.mailbox.put_notice(partial(self._output.send, basic.CancelOk(tag)))

    def notify_cancelled(self, consumer: Consumer) -> None:
        """Send basic.cancel to a client that has not acknowledged in time.

        RabbitMQ: if the client does not understand it, the channel is closed.
        """
        if self._sends_cancel:
            cancel = basic.Cancel(consumer.tag, no_wait=True)
            self.mailbox.put_notice(partial(self._output.send, cancel))
        else:
            self.time_out()

    def time_out(self) -> None:
        """Close the channel, because its client has not acknowledged in time."""
        self.mailbox.put_notice(partial(self._fail, timed_out(self._number, -1)))

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Remove consumers whose queue is deleted, and send basic.cancel if the client wants it."""
        self.mailbox.put_notice(partial(self._cancel_consumers, consumers))

    def _cancel_consumers(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            if self._consumers.get(consumer.tag) is consumer:
                del self._consumers[consumer.tag]
                if self._sends_cancel:
                    self._output.send(basic.Cancel(consumer.tag, no_wait=True))

    def _set_credit(self, method: Credit) -> None:
        if not self._profile.has_credit:
            raise BrokerError(ReplyCode.COMMAND_INVALID, "unimplemented method")
        consumer = self._consumers.get(method.consumer_tag)
        if consumer is None:
            text = f"unknown consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        ready = consumer.queue.add_credit(consumer, method.credit)
        is_drained = method.drain and method.credit > ready
        self.mailbox.put_notice(partial(self._send_credit_ok, ready, is_drained=is_drained))

    def _send_credit_ok(self, ready: int, *, is_drained: bool) -> None:
        self._output.send(CreditOk(ready))
        if is_drained:
            # RabbitMQ 3.10: it crashes when it notifies a client that the queue is drained
            raise BrokerError(ReplyCode.INTERNAL_ERROR)

    # ----------------------------------------------------------------------------- deliveries

    def send_deliveries(self) -> None:
        """Send the deliveries that were deferred and drop the notices, because the channel ends."""
        for consumer, queued in self.mailbox.take_deliveries():
            self._send_delivery(consumer, queued)

    def _send_delivery(self, consumer: Consumer, queued: QueuedMessage) -> None:
        self._last_tag += 1
        if not consumer.no_ack:
            self._add_unacked(consumer.queue, consumer, queued)
        message = queued.message
        method = basic.Deliver(
            consumer.tag,
            self._last_tag,
            queued.redelivered,
            message.exchange,
            message.routing_key,
        )
        self._output.send(method, message.properties, message.body)

    def _get(self, method: basic.Get) -> None:
        if self._vhost.has_reply_queue(method.queue):
            described = f"volatile queue '{method.queue}' in vhost '{self._vhost.name}'"
            text = f"basic.get not supported by {described}"
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, text)
        source = self._topology.find_queue(method.queue)
        queued = source.get(self, no_ack=method.no_ack)
        if queued is None:
            self._output.send(basic.GetEmpty())
            return
        self._last_tag += 1
        if not method.no_ack:
            self._add_unacked(source, None, queued)
        message = queued.message
        reply = basic.GetOk(
            self._last_tag,
            queued.redelivered,
            message.exchange,
            message.routing_key,
            source.message_count,
        )
        self._output.send(reply, message.properties, message.body)

    def _add_unacked(self, source: Queue, consumer: Consumer | None, queued: QueuedMessage) -> None:
        sent = self._vhost.clock.time()
        self._unacked.add(Delivery(self._last_tag, source, consumer, queued, sent))
        if not (self._timeout.is_running or self._profile.times_consumers):
            self._timeout.start()

    def crash(self) -> None:
        """Close the connection with an internal error, because RabbitMQ's channel crashes."""
        self.mailbox.put_notice(partial(self._fail, BrokerError(ReplyCode.INTERNAL_ERROR)))

    def _deliver_reply(self, message: Message) -> None:
        """Deliver a direct reply."""
        self.mailbox.put_notice(partial(self._send_reply, message))

    def _send_reply(self, message: Message) -> None:
        if self._replies.tag is not None:
            # RabbitMQ: a direct reply has the next delivery tag, and uses it up if it has a queue
            tag = self._last_tag + 1
            self._last_tag += self._profile.has_reply_queues
            method = basic.Deliver(
                self._replies.tag, tag, False, message.exchange, message.routing_key
            )
            self._output.send(method, message.properties, message.body)

    # ----------------------------------------------------------------------------- acknowledging

    def _ack(self, method: basic.Ack) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=method.multiple)
        self._settle_now_or_at_commit(deliveries, attrgetter("acknowledge"))

    def _nack(self, method: basic.Nack) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=method.multiple)
        self._refuse(deliveries, "requeue" if method.requeue else "reject")

    def _reject(self, method: basic.Reject) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=False)
        self._refuse(deliveries, "requeue_failed" if method.requeue else "reject_failed")

    def _refuse(self, deliveries: list[Delivery], how: str) -> None:
        _check_can_reject(deliveries)
        self._settle_now_or_at_commit(deliveries, attrgetter(how))

    def _recover(self, method: basic.Recover | basic.RecoverAsync) -> None:
        if not method.requeue:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "requeue=false")
        deliveries = self._unacked.pop_all()
        try:
            _check_can_reject(deliveries)
        except BrokerError:
            # RabbitMQ: here it is not prepared for a queue whose messages cannot be requeued
            raise BrokerError(ReplyCode.INTERNAL_ERROR) from None
        self.settle(deliveries, attrgetter("requeue"))
        if isinstance(method, basic.Recover):
            self._output.send(basic.RecoverOk())

    def _settle_now_or_at_commit(self, deliveries: list[Delivery], how: Settle) -> None:
        if self._transaction.is_selected:
            self._transaction.settlements.append((deliveries, how))
        else:
            self.settle(deliveries, how)

    def settle(self, deliveries: list[Delivery], how: Settle) -> None:
        """Settle messages in their queues.

        RabbitMQ: the shared prefetch limit has counted them when the queues look at it, but it
        resumes the queues that it has refused only afterwards.
        """
        call_soon = self._vhost.agenda.call_soon
        if self.prefetch.limit:
            consumed = sum(delivery.consumer is not None for delivery in deliveries)
            call_soon(partial(self.prefetch.release, consumed))
        for source, messages in group_by_consumer(deliveries):
            call_soon(partial(how(source), self, messages))
        if self.prefetch.limit:
            call_soon(self.prefetch.resume_queues)

    def restore(self, deliveries: list[Delivery]) -> None:
        """Count deliveries as unacknowledged again, because a transaction did not settle them."""
        self._unacked.restore(deliveries)

    # ----------------------------------------------------------------------------- the end

    def fail(self) -> None:
        """Stop the consumers because of an error on the channel.

        RabbitMQ: classic queues that the channel consumes from get its messages back at once, other
        queues (those of basic.get, or of cancelled consumers) when the client has sent close-ok, or
        the connection is closed. So do queues of other types, which go on delivering until then.
        """
        self._stop()
        consumed = {consumer.queue: None for consumer in self._consumers.values()}
        unsent = {consumer.queue: None for consumer, _ in self.mailbox.take_deliveries()}
        for source in consumed | unsent:
            if source.requeues_on_channel_error or source not in consumed:
                source.remove_channel(self)
                self._unacked.drop_queue(source)
        self._consumers = {
            tag: consumer
            for tag, consumer in self._consumers.items()
            if not consumer.queue.requeues_on_channel_error
        }

    def end(self) -> None:
        """Stop the consumers and return all messages to their queues."""
        self._stop()
        used = [consumer.queue for consumer in self._consumers.values()] + self._unacked.queues
        used += [consumer.queue for consumer, _ in self.mailbox.take_deliveries()]
        self._consumers.clear()
        self._unacked.pop_all()
        for each in dict.fromkeys(used):
            each.remove_channel(self)

    def _stop(self) -> None:
        self._sends_cancel = False
        self._timeout.cancel()
        self._replies.stop()
        self.restore(self._transaction.deliveries)


def _check_can_reject(deliveries: list[Delivery]) -> None:
    """Refuse to requeue or reject messages of queues that do not take them back.

    Raises:
        BrokerError: 540.
    """
    for source in dict.fromkeys(delivery.queue for delivery in deliveries):
        source.check_can_reject()
