"""The calls of a channel that are about transactions."""

from amqp_codec import tx

from .base import Methods


class TxMethods(Methods):
    """The class tx of AMQP."""

    async def tx_select(self, *, timeout: float | None = None) -> bool | None:
        """Let what is published and acknowledged from here on wait for ``tx_commit``.

        It holds for as long as the channel lives, and excludes confirm mode. Spec: tx.select.
        RabbitMQ: semantics.html; confirms are far cheaper.
        """
        return await self._do(tx.Select(), False, timeout)

    async def tx_commit(self, *, timeout: float | None = None) -> bool | None:
        """Let it have its effect; the next transaction begins. Spec: tx.commit."""
        return await self._do(tx.Commit(), False, timeout)

    async def tx_rollback(self, *, timeout: float | None = None) -> bool | None:
        """Give it up; the next transaction begins. Spec: tx.rollback.

        What has been delivered is not delivered again by this: see ``basic_recover``.
        """
        return await self._do(tx.Rollback(), False, timeout)
