"""What quorum queues and streams cannot be, because they live on several nodes."""

from amqp_codec import ReplyCode

from ..errors import BrokerError
from .consumer import Consumer
from .queue import Queue


class Replicated(Queue):
    """A queue that is never for one connection, or for one consumer's channel, only."""

    hears_of_errors = False

    @classmethod
    def check_declaration(
        cls, described: str, *, durable: bool, exclusive: bool, auto_delete: bool
    ) -> None:
        """Refuse what it cannot be.

        Raises:
            BrokerError: 406.
        """
        for is_wrong, name in (
            (auto_delete, "auto-delete"),
            (exclusive, "exclusive-owner"),
            (not durable, "non-durable"),
        ):
            if is_wrong:
                raise BrokerError(
                    ReplyCode.PRECONDITION_FAILED, f"invalid property '{name}' for {described}"
                )

    def restart(self) -> None:
        """Keep everything: all messages in it are on disks, whatever their delivery mode."""
        self.renew()

    def check_prefetch(self, consumer: Consumer) -> None:
        """Refuse a consumer whose channel has a limit for all its consumers.

        Raises:
            BrokerError: 540.
        """
        if consumer.channel.prefetch.limit:
            raise BrokerError(
                ReplyCode.NOT_IMPLEMENTED, f"{self.described} does not support global qos"
            )
