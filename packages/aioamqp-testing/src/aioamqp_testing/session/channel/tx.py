"""Handlers of tx.* on a channel: select, commit, rollback."""

from collections.abc import Callable, Mapping
from typing import Any

from amqp_codec import Method, ReplyCode, tx

from ...model import BrokerError, Outcome
from ..output import ChannelOutput
from .consuming import Consuming
from .publishing import Publishing
from .transaction import Transaction


class Tx:
    """What a channel does about its transaction.

    Attributes:
        handlers: what to call for each method.
    """

    def __init__(
        self,
        output: ChannelOutput,
        publishing: Publishing,
        consuming: Consuming,
        transaction: Transaction,
    ) -> None:
        self.handlers: Mapping[type[Method], Callable[[Any], None]] = {
            tx.Select: self._select,
            tx.Commit: self._commit,
            tx.Rollback: self._roll_back,
        }
        self._output = output
        self._publishing = publishing
        self._consuming = consuming
        self._transaction = transaction
        self._is_partial = False  # whether a queue had no room for a part of the transaction

    def _select(self, _: tx.Select) -> None:
        if self._publishing.is_in_confirm_mode:
            raise _refused("cannot switch from confirm to tx mode")
        self._transaction.is_selected = True
        self._output.send(tx.SelectOk())

    def _commit(self, _: tx.Commit) -> None:
        """Deliver and settle what was held back; commit-ok comes when the queues have all of it.

        RabbitMQ: by then the channel has processed what the client has sent behind the commit.
        """
        transaction = self._transaction
        self._check_selected()
        outcomes = [self._publishing.deliver(*held) for held in transaction.publications]
        for deliveries, how in transaction.settlements:
            self._consuming.settle(deliveries, how)
        transaction.clear()
        self._is_partial = Outcome.REFUSED in outcomes
        if self._is_partial or Outcome.ACCEPTED in outcomes:
            transaction.is_committing = True
            self._output.defer()
        else:
            self._output.send(tx.CommitOk())

    def complete_commit(self) -> BrokerError | None:
        """Send commit-ok, or return the error that closes the channel instead."""
        self._transaction.is_committing = False
        if self._is_partial:
            return _refused("partial tx completion")
        self._output.send(tx.CommitOk())
        return None

    def _roll_back(self, _: tx.Rollback) -> None:
        self._check_selected()
        self._consuming.restore(self._transaction.deliveries)
        self._transaction.clear()
        self._output.send(tx.RollbackOk())

    def _check_selected(self) -> None:
        if not self._transaction.is_selected:
            raise _refused("channel is not transactional")


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)
