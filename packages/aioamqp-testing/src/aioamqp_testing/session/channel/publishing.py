"""Handlers of basic.publish and confirm.* on a channel: publishing, returned messages, confirms."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amqp_codec import DecodeError, Method, Properties, ReplyCode, basic, confirm

from ...model import BrokerError, Message, Outcome, Publication
from ..output import ChannelOutput
from ..reader.deep_headers import with_deep_headers
from .confirms import Confirms
from .context import Context
from .direct_replies import ReplyConsumer
from .transaction import Transaction


class Publishing:
    """Publishing on a channel, with returned messages and publisher confirms.

    Attributes:
        handlers: what to call for each method; basic.publish has content, and a call of its own.
    """

    def __init__(
        self,
        context: Context,
        output: ChannelOutput,
        replies: ReplyConsumer,
        transaction: Transaction,
    ) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            confirm.Select: self._select_confirms,
        }
        self._node = context.node
        self._vhost = context.vhost
        self._access = context.access
        self._output = output
        self._replies = replies
        self._transaction = transaction
        self._confirms = Confirms()

    @property
    def is_in_confirm_mode(self) -> bool:
        """Whether the channel is in confirm mode."""
        return self._confirms.is_selected

    def publish(self, method: basic.Publish, properties: Properties, body: bytes) -> None:
        """Route a message and deliver it to its queues, or hold it back until tx.commit.

        Raises:
            BrokerError: 403, 404, 406, 540, 541.
        """
        if method.immediate:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
        if len(body) > self._node.max_message_size:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"message size {len(body)} is larger than configured max size"
                f" {self._node.max_message_size}",
            )
        message = Message(method.exchange, method.routing_key, properties, body)
        try:
            publication = self._accept(message)
        except DecodeError:  # of the headers, which are decoded here for the first time
            publication = self._accept_deep(message)
        if self._transaction.is_selected:
            self._transaction.publications.append((publication, method.mandatory))
            return
        outcome = self.deliver(publication, method.mandatory)
        confirms = self._confirms
        if confirms.is_selected:
            number = confirms.add(is_accepted=outcome is not Outcome.REFUSED)
            if outcome is Outcome.UNROUTED and not self._output.is_intercepted:
                self._output.send(confirms.confirm(number))
            else:
                self._output.defer()

    def _accept(self, message: Message) -> Publication:
        return self._vhost.accept(message, self._access, self._replies.address)

    def _accept_deep(self, message: Message) -> Publication:
        """Accept a message whose headers are nested deeper than the codec decodes.

        Raises:
            BrokerError: 541, the headers are damaged; others as ``publish``.
        """
        try:
            properties = with_deep_headers(message.properties)
        except DecodeError:
            raise BrokerError(ReplyCode.INTERNAL_ERROR) from None
        return self._accept(replace(message, properties=properties))

    def deliver(self, publication: Publication, mandatory: bool) -> Outcome:
        """Deliver a message to its queues, or return it if it is mandatory and there are none."""
        outcome = self._vhost.deliver(publication)
        if outcome is Outcome.UNROUTED and mandatory:
            message = publication.message
            returned = basic.Return(
                int(ReplyCode.NO_ROUTE), "NO_ROUTE", message.exchange, message.routing_key
            )
            self._output.send(returned, message.properties, message.body)
        return outcome

    def send_confirms(self) -> None:
        """Send the publisher confirms that were deferred."""
        for method in self._confirms.confirm_all():
            self._output.send(method)

    def take_outcomes(self) -> dict[int, bool]:
        """Return publish number -> whether the message was accepted; others send the confirms."""
        return self._confirms.take_all()

    def end(self) -> None:
        """Drop what is not confirmed or committed. RabbitMQ: it never is, then."""
        self._confirms = Confirms()
        self._transaction.clear()

    def _select_confirms(self, method: confirm.Select) -> None:
        if self._transaction.is_selected:
            text = "cannot switch from tx to confirm mode"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        self._confirms.is_selected = True
        self._output.reply(method.no_wait, confirm.SelectOk())
