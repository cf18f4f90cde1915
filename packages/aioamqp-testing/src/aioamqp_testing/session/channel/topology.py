"""The broker's side of a channel, exchange.* and queue.*: declaring, deleting, binding."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from amqp_codec import Method, ReplyCode, exchange, queue

from ...model import REPLY_TO, BrokerError, Queue, VirtualHost
from ...model.vhost import one_line

if TYPE_CHECKING:
    from .channel import Channel


class Topology:
    """What a channel does to exchanges, queues and bindings.

    Attributes:
        handlers: what to call for each method.
    """

    def __init__(self, channel: "Channel", vhost: VirtualHost) -> None:
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
        self._channel = channel
        self._session = channel.session
        self._vhost = vhost
        self._last_queue: str | None = None

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
                access=self._session.access,
            )
        self._channel.reply(method.no_wait, exchange.DeclareOk())

    def _delete_exchange(self, method: exchange.Delete) -> None:
        self._vhost.delete_exchange(
            method.exchange, if_unused=method.if_unused, access=self._session.access
        )
        self._channel.reply(method.no_wait, exchange.DeleteOk())

    def _bind_exchange(self, method: exchange.Bind) -> None:
        self._vhost.bind_exchange(
            method.destination,
            method.source,
            method.routing_key,
            method.arguments,
            self._session.access,
        )
        self._channel.reply(method.no_wait, exchange.BindOk())

    def _unbind_exchange(self, method: exchange.Unbind) -> None:
        self._vhost.unbind_exchange(
            method.destination,
            method.source,
            method.routing_key,
            method.arguments,
            self._session.access,
        )
        self._channel.reply(method.no_wait, exchange.UnbindOk())

    def _declare_queue(self, method: queue.Declare) -> None:
        name = one_line(method.queue)
        if name.startswith(REPLY_TO):
            if self._channel.consuming.has_had(name):
                raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: it would wait for itself
            self._vhost.check_reply_queue(name)
            self._last_queue = name
            self._channel.reply(method.no_wait, queue.DeclareOk(name, 0, 1))
            return
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
                access=self._session.access,
            )
        self._last_queue = declared.name
        self._channel.reply(method.no_wait, queue.DeclareOk(declared.name, *declared.counts()))

    def _bind_queue(self, method: queue.Bind) -> None:
        name, key = self.queue_name(method.queue), self._binding_key(method)
        self._vhost.bind_queue(
            name, method.exchange, key, method.arguments, self._session, self._session.access
        )
        self._channel.reply(method.no_wait, queue.BindOk())

    def _unbind_queue(self, method: queue.Unbind) -> None:
        name, key = self.queue_name(method.queue), self._binding_key(method)
        self._vhost.unbind_queue(
            name, method.exchange, key, method.arguments, self._session, self._session.access
        )
        self._channel.send(queue.UnbindOk())

    def _purge_queue(self, method: queue.Purge) -> None:
        purged = self.queue(method.queue).purge()
        self._channel.reply(method.no_wait, queue.PurgeOk(purged))

    def _delete_queue(self, method: queue.Delete) -> None:
        deleted = self._vhost.delete_queue(
            self.queue_name(method.queue),
            self._session,
            if_unused=method.if_unused,
            if_empty=method.if_empty,
            access=self._session.access,
        )
        self._channel.reply(method.no_wait, queue.DeleteOk(deleted))

    def queue_name(self, name: str) -> str:
        """Let an empty name mean the queue declared last on this channel. Spec: queue.bind.

        Raises:
            BrokerError: 404, none was declared.
        """
        name = name or self._last_queue or ""
        if not name:
            raise BrokerError(ReplyCode.NOT_FOUND, "no previously declared queue")
        return name

    def _binding_key(self, method: queue.Bind | queue.Unbind) -> str:
        if method.queue or method.routing_key:
            return method.routing_key
        return self.queue_name("")

    def queue(self, name: str) -> Queue:
        """Return the queue that a method means, an empty name being the last one declared here.

        Raises:
            BrokerError: 403, 404, 405.
        """
        return self._vhost.queue(self.queue_name(name), self._session, self._session.access)
