"""Rules of the replicated types, quorum queues and streams."""

from amqp_codec import ReplyCode

from ..errors import BrokerError
from .consumer import Consumer
from .declaration import QueueDeclaration
from .queue import Queue


class Replicated(Queue):
    """A queue on several nodes, which is always durable and never exclusive."""

    requeues_on_channel_error = False
    shares_prefetch = False

    @classmethod
    def check_properties(cls, declaration: QueueDeclaration) -> None:
        """Refuse properties that a new queue of this type must not have.

        Raises:
            BrokerError: 406.
        """
        for is_wrong, name in (
            (declaration.auto_delete, "auto-delete"),
            (declaration.owner is not None, "exclusive-owner"),
            (not declaration.durable, "non-durable"),
        ):
            if is_wrong:
                raise BrokerError(
                    ReplyCode.PRECONDITION_FAILED,
                    f"invalid property '{name}' for {declaration.described}",
                )

    def restart(self) -> None:
        """Keep all messages, whatever their delivery mode, because they are on disk."""
        self._lease.renew()

    def check_prefetch(self, consumer: Consumer) -> None:
        """Refuse a consumer whose channel has a shared prefetch limit.

        Raises:
            BrokerError: 540.
        """
        if consumer.channel.prefetch.limit:
            raise BrokerError(
                ReplyCode.NOT_IMPLEMENTED, f"{self.described} does not support global qos"
            )
