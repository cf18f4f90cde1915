"""The broker's side of a channel, the rest of basic.*: consuming, getting, acknowledging."""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

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
    VirtualHost,
)
from ...model.queues.unacked import group_by_consumer
from ..reader.undocumented import Credit, CreditOk
from .ack_timeout import AckTimeout
from .mailbox import Mailbox
from .topology import Topology
from .tx import Settle

if TYPE_CHECKING:
    from .channel import Channel


class Consuming:
    """What goes out on a channel, and what becomes of it: the model's ConsumingChannel.

    Attributes:
        handlers: what to call for each method.
        name: the connection's, and the number of the channel.
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
        self.name = f"{channel.session.name} channel {channel.number}"
        self.prefetch = SharedPrefetch(self)
        self._channel = channel
        self._vhost = vhost
        self._topology = topology
        self._prefetch_count = 0  # for consumers to come
        self._consumers: dict[str, Consumer] = {}
        self._unacked = Unacked()
        self._replies: tuple[str, str] | None = None  # consumer tag and address
        self._addresses: set[str] = set()  # those of before, too
        self._last_tag = 0
        self._mailbox = Mailbox()
        self._timeout = AckTimeout(
            vhost,
            channel.session.node.consumer_timeout,
            lambda: self._unacked.oldest_sent_at,
            lambda error: channel.session.fail_channel(channel, error),
            channel.number,
        )

    @property
    def consumers(self) -> list[Consumer]:
        """Its consumers, in the order in which they came."""
        return list(self._consumers.values())

    @property
    def unacked(self) -> list[Delivery]:
        """What it has not acknowledged, the oldest first."""
        return list(self._unacked)

    def _qos(self, method: basic.Qos) -> None:
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, text)
        if method.global_:
            self.prefetch.set(method.prefetch_count, len(self._unacked))
        else:
            # RabbitMQ: a limit of the other kind takes the shared one away
            self.prefetch.set(0, len(self._unacked))
            self._prefetch_count = method.prefetch_count
        self._channel.send(basic.QosOk())

    def _consume(self, method: basic.Consume) -> None:
        queue_name = self._topology.queue_name(method.queue)
        if method.consumer_tag in self._consumers:
            text = f"attempt to reuse consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.NOT_ALLOWED, text)
        tag = method.consumer_tag or self._channel.session.node.new_name("amq.ctag-")
        if queue_name == REPLY_TO:
            self._consume_replies(tag, no_ack=method.no_ack)
            self._channel.reply(method.no_wait, basic.ConsumeOk(tag))
            return
        consumer = Consumer(
            tag,
            self,
            self._topology.queue(queue_name),
            no_ack=method.no_ack,
            exclusive=method.exclusive,
            prefetch_count=self._prefetch_count,
            arguments=method.arguments,
        )
        consumer.queue.add_consumer(consumer)
        self._consumers[consumer.tag] = consumer
        if not method.no_wait:
            self._hear(partial(self._has_begun, consumer.tag))

    def _cancel(self, method: basic.Cancel) -> None:
        if self._replies is not None and method.consumer_tag == self._replies[0]:
            self._end_replies()
            self._channel.reply(method.no_wait, basic.CancelOk(method.consumer_tag))
            return
        consumer = self._consumers.pop(method.consumer_tag, None)
        if consumer is None:
            self._channel.reply(method.no_wait, basic.CancelOk(method.consumer_tag))
            return
        consumer.queue.remove_consumer(consumer)
        if not method.no_wait:
            self._hear(partial(self._channel.send, basic.CancelOk(method.consumer_tag)))

    def _has_begun(self, tag: str) -> None:
        self._channel.send(basic.ConsumeOk(tag))
        if tag not in self._consumers:
            # RabbitMQ stumbles over a consumer that was cancelled before it had begun
            raise BrokerError(ReplyCode.INTERNAL_ERROR)

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Take a message from a queue for one of its consumers."""
        due, mailbox = self._channel.session.due, self._mailbox
        if not due.is_busy:
            self._deliver(consumer, queued)
            return
        if not mailbox:
            due.catch_up(self._channel)
        mailbox.put_parcel((consumer, queued))
        if mailbox.is_full:
            self.read_mail()

    def _hear(self, notice: Callable[[], None]) -> None:
        """Do something when it is its turn among what queues say."""
        due = self._channel.session.due
        if not due.is_busy:
            notice()
            return
        due.catch_up(self._channel)
        self._mailbox.put(notice)

    def read_mail(self) -> None:
        """Deal with what queues have said.

        Raises:
            BrokerError: 541.
        """
        for letter in self._mailbox.take():
            if isinstance(letter, tuple):
                self._deliver(*letter)
            else:
                letter()

    def send_rest(self) -> None:
        """Send what is on its way to consumers, because the channel ends."""
        for consumer, queued in self._mailbox.take_parcels():
            self._deliver(consumer, queued)

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        tag = self._next_tag()
        if not consumer.no_ack:
            self._expect_ack(tag, consumer.queue, consumer, queued)
        message = queued.message
        method = basic.Deliver(
            consumer.tag, tag, queued.redelivered, message.exchange, message.routing_key
        )
        self._channel.send(method, message.properties, message.body)

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Forget consumers whose queue is gone, and tell the client if it wants to know."""
        self._hear(partial(self._cancel_consumers, consumers))

    def _cancel_consumers(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            if self._consumers.get(consumer.tag) is consumer:
                del self._consumers[consumer.tag]
                if self._channel.session.wants_cancel_notices and self._channel.is_open:
                    self._channel.send(basic.Cancel(consumer.tag, no_wait=True))

    def _get(self, method: basic.Get) -> None:
        source = self._topology.queue(method.queue)
        queued = source.get(self, no_ack=method.no_ack)
        if queued is None:
            self._channel.send(basic.GetEmpty())
            return
        tag = self._next_tag()
        if not method.no_ack:
            self._expect_ack(tag, source, None, queued)
        message = queued.message
        reply = basic.GetOk(
            tag, queued.redelivered, message.exchange, message.routing_key, source.message_count
        )
        self._channel.send(reply, message.properties, message.body)

    def _expect_ack(
        self, tag: int, source: Queue, consumer: Consumer | None, queued: QueuedMessage
    ) -> None:
        sent = self._vhost.clock.time()
        self._unacked.add(Delivery(tag, source, consumer, queued, sent))
        self._timeout.watch()

    def _next_tag(self) -> int:
        self._last_tag += 1
        return self._last_tag

    # ----------------------------------------------------------------------------- acknowledging

    def _ack(self, method: basic.Ack) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=method.multiple)
        self._settle(deliveries, attrgetter("acknowledge"))

    def _nack(self, method: basic.Nack) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=method.multiple)
        self._refuse(deliveries, requeue=method.requeue)

    def _reject(self, method: basic.Reject) -> None:
        deliveries = self._unacked.pop(method.delivery_tag, multiple=False)
        self._refuse(deliveries, requeue=method.requeue)

    def _refuse(self, deliveries: list[Delivery], *, requeue: bool) -> None:
        _check_refusable(deliveries)
        self._settle(deliveries, attrgetter("requeue" if requeue else "reject"))

    def _recover(self, method: basic.Recover | basic.RecoverAsync) -> None:
        if not method.requeue:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "requeue=false")
        deliveries = self._unacked.pop_all()
        try:
            _check_refusable(deliveries)
        except BrokerError:
            # RabbitMQ: here it is not prepared for a queue that takes nothing back
            raise BrokerError(ReplyCode.INTERNAL_ERROR) from None
        self.wait_idle(deliveries, attrgetter("requeue"))
        if isinstance(method, basic.Recover):
            self._channel.send(basic.RecoverOk())

    def _settle(self, deliveries: list[Delivery], how: Settle) -> None:
        if self._channel.transaction.is_selected:
            self._channel.transaction.settlements.append((deliveries, how))
        else:
            self.wait_idle(deliveries, how)

    def wait_idle(self, deliveries: list[Delivery], how: Settle) -> None:
        """Tell the queues what becomes of messages that are not the channel's any more."""
        for source, messages in group_by_consumer(deliveries):
            self._vhost.agenda.call_soon(partial(how(source), self, messages))
        if self.prefetch.limit:
            consumed = sum(delivery.consumer is not None for delivery in deliveries)
            self._vhost.agenda.call_soon(partial(self.prefetch.release, consumed))

    def take_back(self, deliveries: list[Delivery]) -> None:
        """Count messages among those that are not acknowledged again."""
        self._unacked.restore(deliveries)

    # ----------------------------------------------------------------------------- direct replies

    @property
    def reply_to(self) -> str | None:
        """The address for direct replies to this channel, if it consumes them."""
        return None if self._replies is None else self._replies[1]

    def _consume_replies(self, tag: str, *, no_ack: bool) -> None:
        if not no_ack:
            text = "reply consumer cannot acknowledge"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        if self._replies is not None:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, "reply consumer already set")
        address = self._vhost.replies.open(self._deliver_reply)
        self._replies = (tag, address)
        self._addresses.add(address)

    def has_had(self, address: str) -> bool:
        """Tell whether direct replies at an address come here, or did so."""
        return address in self._addresses

    def _deliver_reply(self, message: Message) -> None:
        """Send an answer when it is its turn."""
        self._hear(partial(self._send_reply, message))

    def _send_reply(self, message: Message) -> None:
        """Send an answer. RabbitMQ: it has the next delivery tag, which is not used up."""
        if self._replies is not None:
            tag, _ = self._replies
            method = basic.Deliver(
                tag, self._last_tag + 1, False, message.exchange, message.routing_key
            )
            self._channel.send(method, message.properties, message.body)

    def _end_replies(self) -> None:
        if self._replies is not None:
            self._vhost.replies.close(self._replies[1])
            self._replies = None

    # ----------------------------------------------------------------------------- the end

    def fail(self) -> None:
        """End the consumers because the channel is closed by a mistake.

        RabbitMQ: classic queues that it consumes from have its messages back at once, other queues
        (those of basic.get, or of cancelled consumers) when the client has said close-ok. So have
        queues of other types, which go on delivering until then.
        """
        self.take_back(self._channel.transaction.deliveries)
        for consumed in {consumer.queue: None for consumer in self._consumers.values()}:
            if consumed.requeues_on_channel_error:
                consumed.remove_channel(self)
                self._unacked.drop_queue(consumed)
        self._consumers = {
            tag: consumer
            for tag, consumer in self._consumers.items()
            if not consumer.queue.requeues_on_channel_error
        }
        self._timeout.cancel()
        self._end_replies()

    def end(self) -> None:
        """Give everything back."""
        self._timeout.cancel()
        self.take_back(self._channel.transaction.deliveries)
        used = [consumer.queue for consumer in self._consumers.values()] + self._unacked.queues
        used += [consumer.queue for consumer, _ in self._mailbox.take_parcels()]
        self._consumers.clear()
        self._unacked = Unacked()
        self._end_replies()
        for each in dict.fromkeys(used):
            each.remove_channel(self)

    # ----------------------------------------------------------------------------- the rest

    def _credit(self, method: Credit) -> None:
        consumer = self._consumers.get(method.consumer_tag)
        if consumer is None:
            text = f"unknown consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        ready = consumer.queue.add_credit(consumer, method.credit)
        is_drained = method.drain and method.credit > ready
        self._hear(partial(self._has_credit, ready, is_drained=is_drained))

    def _has_credit(self, ready: int, *, is_drained: bool) -> None:
        self._channel.send(CreditOk(ready))
        if is_drained:
            # RabbitMQ 3.10 stumbles over telling the client that there is no more
            raise BrokerError(ReplyCode.INTERNAL_ERROR)


def _check_refusable(deliveries: list[Delivery]) -> None:
    """Say whether the queues that messages came from take them back.

    Raises:
        BrokerError: 540.
    """
    for source in dict.fromkeys(delivery.queue for delivery in deliveries):
        source.check_can_reject()
