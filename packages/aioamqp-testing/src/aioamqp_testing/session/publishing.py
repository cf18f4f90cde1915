"""The broker's side of a channel, basic.publish, confirm.* and tx.*: what comes in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from amqp_codec import DecodeError, Method, Properties, ReplyCode, basic, confirm, tx

from ..model import BrokerError, Message, NotSupported, VirtualHost
from .confirms import Confirms

if TYPE_CHECKING:
    from .channel import Channel


class Publishing:
    """What is published on a channel, and what its publisher is told.

    Attributes:
        handlers: what to call for each method; basic.publish has content, and a call of its own.
    """

    def __init__(self, channel: "Channel", vhost: VirtualHost) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            confirm.Select: self._select_confirms,
            tx.Select: self._transaction,
            tx.Commit: self._transaction,
            tx.Rollback: self._transaction,
        }
        self._channel = channel
        self._vhost = vhost
        self._confirms = Confirms()

    def publish(self, method: basic.Publish, properties: Properties, body: bytes) -> None:
        """Route a message, and say what becomes of it.

        Raises:
            BrokerError: 403, 404, 406, 540, 541.
        """
        if method.immediate:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
        largest = self._channel.session.node.max_message_size
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
        is_routed = self._vhost.publish(message, self._channel.session.user)
        if not is_routed and method.mandatory:
            returned = basic.Return(
                int(ReplyCode.NO_ROUTE), "NO_ROUTE", method.exchange, method.routing_key
            )
            self._channel.send(returned, properties, body)
        if self._confirms.is_selected:
            number = self._confirms.publish()
            if is_routed:
                self._channel.session.has_unconfirmed(self._channel)
            else:
                self._channel.send(self._confirms.confirm(number))

    def _select_confirms(self, method: confirm.Select) -> None:
        self._confirms.select()
        self._channel.reply(method.no_wait, confirm.SelectOk())

    def confirm_all(self) -> None:
        """Confirm what the queues have taken."""
        ack = self._confirms.confirm_all()
        if ack is not None:
            self._channel.send(ack)

    def end(self) -> None:
        """Forget what is not confirmed yet: RabbitMQ never confirms it then."""
        self._confirms = Confirms()

    def _transaction(self, method: Method) -> None:
        raise NotSupported(method.NAME)
