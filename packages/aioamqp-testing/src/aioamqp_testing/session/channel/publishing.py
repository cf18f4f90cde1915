"""The broker's side of a channel, basic.publish, confirm.* and tx.*: what comes in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from amqp_codec import DecodeError, Method, Properties, ReplyCode, basic, confirm, tx

from ...model import BrokerError, Message, Outcome, Publication, VirtualHost
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
            tx.Select: self._select_transactions,
            tx.Commit: self._commit,
            tx.Rollback: self._roll_back,
        }
        self._channel = channel
        self._vhost = vhost
        self._transaction = channel.transaction
        self._confirms = Confirms()
        self._is_partial = False  # whether a queue had no room for a part of the transaction

    def publish(self, method: basic.Publish, properties: Properties, body: bytes) -> None:
        """Route a message, and say what becomes of it.

        Raises:
            BrokerError: 403, 404, 406, 540, 541.
        """
        if method.immediate:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
        session = self._channel.session
        largest = session.node.max_message_size
        if len(body) > largest:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"message size {len(body)} is larger than configured max size {largest}",
            )
        message = Message(method.exchange, method.routing_key, properties, body)
        reply_to = self._channel.consuming.reply_to
        try:
            publication = self._vhost.accept(message, session.access, reply_to)
        except DecodeError:  # of the headers, which nobody has looked at before
            raise BrokerError(ReplyCode.INTERNAL_ERROR) from None
        if self._transaction.is_selected:
            self._transaction.publications.append((publication, method.mandatory))
            return
        outcome = self._deliver(publication, method.mandatory)
        if self._confirms.is_selected:
            number = self._confirms.publish()
            if outcome is Outcome.UNROUTED and session.interceptor is None:
                self._channel.send(self._confirms.confirm(number))
                return
            if outcome is Outcome.REFUSED:
                self._confirms.refuse(number)
            session.due.catch_up(self._channel)

    def _deliver(self, publication: Publication, mandatory: bool) -> Outcome:
        outcome = self._vhost.deliver(publication)
        if outcome is Outcome.UNROUTED and mandatory:
            message = publication.message
            returned = basic.Return(
                int(ReplyCode.NO_ROUTE), "NO_ROUTE", message.exchange, message.routing_key
            )
            self._channel.send(returned, message.properties, message.body)
        return outcome

    # ----------------------------------------------------------------------------- confirms

    def _select_confirms(self, method: confirm.Select) -> None:
        if self._transaction.is_selected:
            raise _refused("cannot switch from tx to confirm mode")
        self._confirms.select()
        self._channel.reply(method.no_wait, confirm.SelectOk())

    def confirm_all(self) -> None:
        """Confirm what the queues have taken, and say what they have not."""
        interceptor = self._channel.session.interceptor
        if self._transaction.is_committing:
            self._complete()
        elif interceptor is not None:
            interceptor.on_confirm(self._channel, self._confirms.take_all())
        else:
            for method in self._confirms.confirm_all():
                self._channel.send(method)

    def end(self) -> None:
        """Forget what is not confirmed or committed yet: RabbitMQ never does it then."""
        self._confirms = Confirms()
        self._transaction.clear()

    # ----------------------------------------------------------------------------- transactions

    def _select_transactions(self, _: tx.Select) -> None:
        if self._confirms.is_selected:
            raise _refused("cannot switch from confirm to tx mode")
        self._transaction.is_selected = True
        self._channel.send(tx.SelectOk())

    def _commit(self, _: tx.Commit) -> None:
        """Do what was held back; commit-ok comes when the queues have all of it.

        RabbitMQ: a message is in the queues, and they say so, some time after the channel has
        looked at what the client has sent behind the commit.
        """
        transaction = self._transaction
        self._check_transactional()
        outcomes = [self._deliver(*held) for held in transaction.publications]
        for deliveries, wait_idle in transaction.settlements:
            self._channel.consuming.wait_idle(deliveries, wait_idle)
        transaction.clear()
        transaction.is_committing = True
        self._is_partial = Outcome.REFUSED in outcomes
        if any(outcomes):
            self._channel.session.due.catch_up(self._channel)
        else:
            self._complete()

    def _complete(self) -> None:
        self._transaction.is_committing = False
        if self._is_partial:
            self._channel.fail(_refused("partial tx completion"), tx.Commit.INDEX)
        else:
            self._channel.send(tx.CommitOk())

    def _roll_back(self, _: tx.Rollback) -> None:
        self._check_transactional()
        self._channel.consuming.take_back(self._transaction.deliveries)
        self._transaction.clear()
        self._channel.send(tx.RollbackOk())

    def _check_transactional(self) -> None:
        if not self._transaction.is_selected:
            raise _refused("channel is not transactional")


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)
