"""The broker's side of one channel: a handler a method, which asks the model and replies."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from amqp_codec import (
    Command,
    DecodeError,
    Method,
    Properties,
    ReplyCode,
    basic,
    channel,
    confirm,
    exchange,
    queue,
    tx,
)

from ..model import (
    BrokerError,
    Consumer,
    Delivery,
    Message,
    NotSupported,
    Queue,
    QueuedMessage,
    SharedPrefetch,
    Unacked,
    VirtualHost,
)
from ..model.unacked import by_consumer
from .assembly import Assembler
from .confirms import Confirms
from .unlisted import AccessRequest, AccessRequestOk, Credit

if TYPE_CHECKING:
    from .connection import Session


class _State(Enum):
    NEW = "a frame has come, channel.open has not"
    OPEN = "commands are taken"
    CLOSING = "channel.close is sent, close-ok has not come"


class Channel:
    """One channel of a session.

    Attributes:
        number: 1 to 65535.
        assembler: for the frames of this channel.
        prefetch: the limit that its consumers share.
        is_gone: whether nothing more is to be expected of it, so that its number is free.
    """

    def __init__(self, session: "Session", vhost: VirtualHost, number: int) -> None:
        self.number = number
        self.assembler = Assembler()
        self.prefetch = SharedPrefetch(self)
        self.is_gone = False
        self._session = session
        self._vhost = vhost
        self._state = _State.NEW
        self._last_queue: str | None = None
        self._prefetch_count = 0  # for consumers to come
        self._consumers: dict[str, Consumer] = {}
        self._unacked = Unacked()
        self._last_tag = 0
        self._confirms = Confirms()

    @property
    def consumers(self) -> list[Consumer]:
        """Its consumers, the oldest first."""
        return list(self._consumers.values())

    def handle(self, command: Command) -> None:
        """Do what a command says.

        Raises:
            BrokerError: the client has made a mistake; its code says what is to be closed.
        """
        method = command.method
        if self._state is _State.NEW:
            if not isinstance(method, channel.Open):
                raise BrokerError(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")
            self._state = _State.OPEN
            self.send(channel.OpenOk())
        elif isinstance(method, channel.Open):
            raise BrokerError(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        elif self._state is _State.CLOSING:
            self._handle_closing(method)
        elif isinstance(method, basic.Publish):
            self._publish(method, command.properties or Properties(), bytes(command.body))
        else:
            handler = self._HANDLERS.get(type(method))
            if handler is None:
                raise BrokerError(ReplyCode.COMMAND_INVALID, "unimplemented method")
            handler(self, method)

    def _handle_closing(self, method: Method) -> None:
        # everything else was sent before the client knew
        if isinstance(method, channel.Close):
            self.send(channel.CloseOk())
        elif isinstance(method, channel.CloseOk):
            self.end()

    def send(self, method: Method, properties: Properties | None = None, body: bytes = b"") -> None:
        """Send a command on this channel."""
        self._session.send(Command(self.number, method, properties, body))

    def _reply(self, no_wait: bool, method: Method) -> None:
        if not no_wait:
            self.send(method)

    # ----------------------------------------------------------------------------- the end

    def fail(self, error: BrokerError, index: int) -> None:
        """Close it because of a mistake.

        RabbitMQ: queues that it consumes from have its messages back at once, other queues (those
        of basic.get, or of cancelled consumers) when the client has said close-ok.
        """
        for consumed in {consumer.queue: None for consumer in self._consumers.values()}:
            consumed.forget(self)
            self._unacked.forget(consumed)
        self._consumers.clear()
        self._confirms = Confirms()  # what is not confirmed yet never is
        self._state = _State.CLOSING
        close = channel.Close(int(error.reply_code), error.reply_text, index >> 16, index & 0xFFFF)
        self.send(close)

    def end(self) -> None:
        """Give everything back; the channel is no more."""
        self.is_gone = True
        self._confirms = Confirms()  # RabbitMQ: a channel does not wait for its confirms
        used = [consumer.queue for consumer in self._consumers.values()] + self._unacked.queues
        self._consumers.clear()
        self._unacked = Unacked()
        for each in dict.fromkeys(used):
            each.forget(self)

    def _close(self, _: channel.Close) -> None:
        self.end()
        self.send(channel.CloseOk())

    def _flow(self, method: channel.Flow) -> None:
        if not method.active:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "active=false")
        self.send(channel.FlowOk(active=True))

    # ----------------------------------------------------------------------------- topology

    def _declare_exchange(self, method: exchange.Declare) -> None:
        if method.passive:
            self._vhost.check_exchange(method.exchange)
        else:
            self._vhost.declare_exchange(
                method.exchange,
                method.type,
                durable=method.durable,
                auto_delete=method.auto_delete,
                internal=method.internal,
                arguments=method.arguments,
            )
        self._reply(method.no_wait, exchange.DeclareOk())

    def _delete_exchange(self, method: exchange.Delete) -> None:
        self._vhost.delete_exchange(method.exchange, if_unused=method.if_unused)
        self._reply(method.no_wait, exchange.DeleteOk())

    def _bind_exchange(self, method: exchange.Bind) -> None:
        self._vhost.bind_exchange(
            method.destination, method.source, method.routing_key, method.arguments
        )
        self._reply(method.no_wait, exchange.BindOk())

    def _unbind_exchange(self, method: exchange.Unbind) -> None:
        self._vhost.unbind_exchange(
            method.destination, method.source, method.routing_key, method.arguments
        )
        self._reply(method.no_wait, exchange.UnbindOk())

    def _declare_queue(self, method: queue.Declare) -> None:
        if method.passive:
            declared = self._vhost.check_queue(method.queue, self._session)
        else:
            declared = self._vhost.declare_queue(
                method.queue,
                self._session,
                durable=method.durable,
                exclusive=method.exclusive,
                auto_delete=method.auto_delete,
                arguments=method.arguments,
            )
        self._last_queue = declared.name
        counts = (declared.message_count, declared.consumer_count)
        self._reply(method.no_wait, queue.DeclareOk(declared.name, *counts))

    def _bind_queue(self, method: queue.Bind) -> None:
        name, key = self._queue_name(method.queue), self._binding_key(method)
        self._vhost.bind_queue(name, method.exchange, key, method.arguments, self._session)
        self._reply(method.no_wait, queue.BindOk())

    def _unbind_queue(self, method: queue.Unbind) -> None:
        name, key = self._queue_name(method.queue), self._binding_key(method)
        self._vhost.unbind_queue(name, method.exchange, key, method.arguments, self._session)
        self.send(queue.UnbindOk())

    def _purge_queue(self, method: queue.Purge) -> None:
        purged = self._queue(method.queue).purge()
        self._reply(method.no_wait, queue.PurgeOk(purged))

    def _delete_queue(self, method: queue.Delete) -> None:
        deleted = self._vhost.delete_queue(
            self._queue_name(method.queue),
            self._session,
            if_unused=method.if_unused,
            if_empty=method.if_empty,
        )
        self._reply(method.no_wait, queue.DeleteOk(deleted))

    def _queue_name(self, name: str) -> str:
        """Let an empty name mean the queue declared last on this channel. Spec: queue.bind."""
        name = name or self._last_queue or ""
        if not name:
            raise BrokerError(ReplyCode.NOT_FOUND, "no previously declared queue")
        return name

    def _binding_key(self, method: queue.Bind | queue.Unbind) -> str:
        if method.queue or method.routing_key:
            return method.routing_key
        return self._queue_name("")

    def _queue(self, name: str) -> Queue:
        return self._vhost.queue(self._queue_name(name), self._session)

    # ----------------------------------------------------------------------------- publishing

    def _publish(self, method: basic.Publish, properties: Properties, body: bytes) -> None:
        if method.immediate:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
        largest = self._session.node.max_message_size
        if len(body) > largest:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"message size {len(body)} is larger than configured max size {largest}",
            )
        try:
            properties.headers  # noqa: B018 (it is decoded when it is asked for, like here)
        except DecodeError:
            raise BrokerError(ReplyCode.INTERNAL_ERROR) from None
        message = Message(method.exchange, method.routing_key, properties, body)
        is_routed = self._vhost.publish(message, self._session.user)
        if not is_routed and method.mandatory:
            returned = basic.Return(
                int(ReplyCode.NO_ROUTE), "NO_ROUTE", method.exchange, method.routing_key
            )
            self.send(returned, properties, body)
        if self._confirms.is_selected:
            number = self._confirms.publish()
            if is_routed:
                self._session.has_unconfirmed(self)
            else:
                self.send(self._confirms.confirm(number))

    def _select_confirms(self, method: confirm.Select) -> None:
        self._confirms.select()
        self._reply(method.no_wait, confirm.SelectOk())

    def confirm_all(self) -> None:
        """Confirm what the queues have taken."""
        ack = self._confirms.confirm_all()
        if ack is not None:
            self.send(ack)

    # ----------------------------------------------------------------------------- consuming

    def _qos(self, method: basic.Qos) -> None:
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, text)
        if method.global_:
            self.prefetch.set(method.prefetch_count, len(self._unacked))
        else:
            self._prefetch_count = method.prefetch_count
        self.send(basic.QosOk())

    def _consume(self, method: basic.Consume) -> None:
        if method.consumer_tag in self._consumers:
            text = f"attempt to reuse consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.NOT_ALLOWED, text)
        consumer = Consumer(
            method.consumer_tag or self._session.node.new_name("amq.ctag-"),
            self,
            self._queue(method.queue),
            no_ack=method.no_ack,
            exclusive=method.exclusive,
            prefetch_count=self._prefetch_count,
            arguments=method.arguments,
        )
        consumer.queue.add_consumer(consumer)
        self._consumers[consumer.tag] = consumer
        self._reply(method.no_wait, basic.ConsumeOk(consumer.tag))

    def _cancel(self, method: basic.Cancel) -> None:
        consumer = self._consumers.pop(method.consumer_tag, None)
        if consumer is not None:
            consumer.queue.remove_consumer(consumer)
        self._reply(method.no_wait, basic.CancelOk(method.consumer_tag))

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Send a message to one of its consumers."""
        tag = self._next_tag()
        if not consumer.no_ack:
            self._unacked.add(Delivery(tag, consumer.queue, consumer, queued))
        message = queued.message
        method = basic.Deliver(
            consumer.tag, tag, queued.redelivered, message.exchange, message.routing_key
        )
        self.send(method, message.properties, message.body)

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Forget consumers whose queue is gone, and tell the client if it wants to know."""
        for consumer in consumers:
            if self._consumers.get(consumer.tag) is consumer:
                del self._consumers[consumer.tag]
                if self._session.wants_cancel_notices:
                    self.send(basic.Cancel(consumer.tag, no_wait=True))

    def _get(self, method: basic.Get) -> None:
        source = self._queue(method.queue)
        queued = source.get(self, no_ack=method.no_ack)
        if queued is None:
            self.send(basic.GetEmpty())
            return
        tag = self._next_tag()
        if not method.no_ack:
            self._unacked.add(Delivery(tag, source, None, queued))
        message = queued.message
        reply = basic.GetOk(
            tag, queued.redelivered, message.exchange, message.routing_key, source.message_count
        )
        self.send(reply, message.properties, message.body)

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
            self.send(basic.RecoverOk())

    def _settle(
        self,
        deliveries: list[Delivery],
        settle: Callable[[Queue, "Channel", Iterable[QueuedMessage]], None],
    ) -> None:
        for source, messages in by_consumer(deliveries):
            self._vhost.later(partial(settle, source, self, messages))
        consumed = sum(delivery.consumer is not None for delivery in deliveries)
        self._vhost.later(partial(self.prefetch.give_back, consumed))

    # ----------------------------------------------------------------------------- the rest

    def _request_access(self, _: AccessRequest) -> None:
        self.send(AccessRequestOk())

    def _credit(self, method: Credit) -> None:
        if method.consumer_tag not in self._consumers:
            text = f"unknown consumer tag '{method.consumer_tag}'"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        raise NotSupported(method.NAME)

    def _transaction(self, method: Method) -> None:
        raise NotSupported(method.NAME)

    # ----------------------------------------------------------------------------- the table

    _HANDLERS: ClassVar[Mapping[type[Method], Callable[[Any, Any], None]]] = {
        channel.Close: _close,
        channel.Flow: _flow,
        exchange.Declare: _declare_exchange,
        exchange.Delete: _delete_exchange,
        exchange.Bind: _bind_exchange,
        exchange.Unbind: _unbind_exchange,
        queue.Declare: _declare_queue,
        queue.Bind: _bind_queue,
        queue.Unbind: _unbind_queue,
        queue.Purge: _purge_queue,
        queue.Delete: _delete_queue,
        basic.Qos: _qos,
        basic.Consume: _consume,
        basic.Cancel: _cancel,
        basic.Get: _get,
        basic.Ack: _ack,
        basic.Nack: _nack,
        basic.Reject: _reject,
        basic.Recover: _recover,
        basic.RecoverAsync: _recover,
        confirm.Select: _select_confirms,
        tx.Select: _transaction,
        tx.Commit: _transaction,
        tx.Rollback: _transaction,
        AccessRequest: _request_access,
        Credit: _credit,
    }
