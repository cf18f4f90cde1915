"""The methods of a channel about transactions."""

from amqp_codec import tx

from .base import Methods


class TxMethods(Methods):
    """AMQP's class tx."""

    async def tx_select(self, *, timeout: float | None = None) -> bool | None:
        """Go into transaction mode: publishes and acknowledgements take effect at ``tx_commit``.

        The channel stays in it until it is closed, and cannot go into confirm mode. Spec:
        tx.select. RabbitMQ: semantics.html; publisher confirms are far cheaper.
        """
        return await self._do(tx.Select(), False, timeout)

    async def tx_commit(self, *, timeout: float | None = None) -> bool | None:
        """Commit the transaction; the next one begins. Spec: tx.commit."""
        return await self._end(tx.Commit(), timeout)

    async def tx_rollback(self, *, timeout: float | None = None) -> bool | None:
        """Roll the transaction back; the next one begins. Spec: tx.rollback.

        Unacknowledged messages are not delivered again by this: see ``basic_recover``.
        """
        return await self._end(tx.Rollback(), timeout)

    async def _end(self, method: tx.Commit | tx.Rollback, timeout: float | None) -> bool | None:
        recovery = self._core.recovery
        if recovery is None or not recovery.is_transacted:
            return await self._do(method, False, timeout)
        await recovery.end_transaction(method, timeout)
        return True
