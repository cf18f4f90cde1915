"""Handlers of exchange.* and queue.* on a channel: declare, delete, bind, unbind, purge."""

from collections.abc import Callable, Mapping
from typing import Any

from amqp_codec import Method, ReplyCode, exchange, queue

from ...model import REPLY_TO, BrokerError, Queue
from ...model.vhost import one_line
from ..output import ChannelOutput
from .context import Context
from .direct_replies import ReplyConsumer


class Topology:
    """What a channel does to exchanges, queues and bindings.

    Attributes:
        handlers: what to call for each method.
    """

    def __init__(self, context: Context, output: ChannelOutput, replies: ReplyConsumer) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            exchange.Declare: self._declare_exchange,
            exchange.Delete: self._delete_exchange,
            exchange.Bind: self._bind_exchange,
            exchange.Unbind: self._unbind_exchange,
            queue.Declare: self._declare_queue,
            queue.Bind: self._bind_queue,
            queue.Unbind: self._unbind_queue,
            queue.Purge: self._purge_queue,
            queue.Delete: self._delete_queue,
        }
        self._vhost = context.vhost
        self._access = context.access
        self._owner = context.connection
        self._output = output
        self._replies = replies
        self._last_queue = ""  # the name of the queue declared last

    def queue_name(self, name: str) -> str:
        """Return the name of the queue that is meant: an empty one means the queue declared last.

        Spec: queue.bind.

        Raises:
            BrokerError: 404, none was declared.
        """
        name = name or self._last_queue
        if not name:
            raise BrokerError(ReplyCode.NOT_FOUND, "no previously declared queue")
        return name

    def find_queue(self, name: str) -> Queue:
        """Return the queue that is meant: an empty name means the queue declared last.

        Raises:
            BrokerError: 403, 404, 405.
        """
        return self._vhost.queue(self.queue_name(name), self._owner, self._access)

    # ----------------------------------------------------------------------------- exchanges

    def _declare_exchange(self, method: exchange.Declare) -> None:
        if method.passive:
            self._vhost.check_exchange(method.exchange, self._access)
        else:
            self._vhost.declare_exchange(
                method.exchange,
                method.type,
                durable=method.durable,
                auto_delete=method.auto_delete,
                internal=method.internal,
                arguments=method.arguments,
                access=self._access,
            )
        self._output.reply(method.no_wait, exchange.DeclareOk())

    def _delete_exchange(self, method: exchange.Delete) -> None:
        self._vhost.delete_exchange(
            method.exchange, if_unused=method.if_unused, access=self._access
        )
        self._output.reply(method.no_wait, exchange.DeleteOk())

    def _bind_exchange(self, method: exchange.Bind) -> None:
        self._vhost.bind_exchange(
            method.destination, method.source, method.routing_key, method.arguments, self._access
        )
        self._output.reply(method.no_wait, exchange.BindOk())

    def _unbind_exchange(self, method: exchange.Unbind) -> None:
        self._vhost.unbind_exchange(
            method.destination, method.source, method.routing_key, method.arguments, self._access
        )
        self._output.reply(method.no_wait, exchange.UnbindOk())

    # ----------------------------------------------------------------------------- queues

    def _declare_queue(self, method: queue.Declare) -> None:
        name = one_line(method.queue)
        if name.startswith(REPLY_TO):
            if self._replies.has_used(name) and not self._vhost.profile.has_reply_queues:
                # RabbitMQ: the channel would wait for itself
                raise BrokerError(ReplyCode.INTERNAL_ERROR)
            self._vhost.check_reply_queue(name)
            self._last_queue = name
            self._output.reply(method.no_wait, queue.DeclareOk(name, 0, 1))
            return
        if method.passive:
            declared = self._vhost.check_queue(method.queue, self._owner, self._access)
        else:
            declared = self._vhost.declare_queue(
                method.queue,
                self._owner,
                durable=method.durable,
                exclusive=method.exclusive,
                auto_delete=method.auto_delete,
                arguments=method.arguments,
                access=self._access,
            )
        self._last_queue = declared.name
        self._output.reply(method.no_wait, queue.DeclareOk(declared.name, *declared.counts()))

    def _bind_queue(self, method: queue.Bind) -> None:
        name, key = self.queue_name(method.queue), self._binding_key(method)
        self._vhost.bind_queue(
            name, method.exchange, key, method.arguments, self._owner, self._access
        )
        self._output.reply(method.no_wait, queue.BindOk())

    def _unbind_queue(self, method: queue.Unbind) -> None:
        name, key = self.queue_name(method.queue), self._binding_key(method)
        self._vhost.unbind_queue(
            name, method.exchange, key, method.arguments, self._owner, self._access
        )
        self._output.send(queue.UnbindOk())

    def _purge_queue(self, method: queue.Purge) -> None:
        is_reply_queue = self._vhost.has_reply_queue(method.queue)
        purged = 0 if is_reply_queue else self.find_queue(method.queue).purge()
        self._output.reply(method.no_wait, queue.PurgeOk(purged))

    def _delete_queue(self, method: queue.Delete) -> None:
        deleted = self._vhost.delete_queue(
            self.queue_name(method.queue),
            self._owner,
            if_unused=method.if_unused,
            if_empty=method.if_empty,
            access=self._access,
        )
        self._output.reply(method.no_wait, queue.DeleteOk(deleted))

    def _binding_key(self, method: queue.Bind | queue.Unbind) -> str:
        # Spec: queue.bind; without a queue and a routing key, the key is the name of the queue
        if method.queue or method.routing_key:
            return method.routing_key
        return self.queue_name("")
