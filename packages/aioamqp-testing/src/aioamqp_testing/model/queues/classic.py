"""A classic queue: priorities, exclusive consumers, and messages that come back to their place."""

from amqp_codec import ReplyCode

from ..errors import BrokerError
from ..messages.message import Message, QueuedMessage
from .consumer import Consumer
from .dead_letter import Reason
from .message_queue import MessageQueue


class ClassicQueue(MessageQueue):
    """A queue on one node, which keeps its messages in order whatever becomes of them."""

    TYPE = "classic"

    def _new(self, message: Message) -> QueuedMessage:
        """Let messages of a higher priority go first. RabbitMQ: too high a one is the highest."""
        queued = super()._new(message)
        highest = self.arguments.get("x-max-priority")
        if isinstance(highest, int):
            queued.level = -min(message.properties.priority or 0, highest)
        return queued

    def _is_refused(self, message: Message) -> bool:
        is_refused = super()._is_refused(message)
        if is_refused and self.settings.overflow == "reject-publish-dlx":
            self._dead_letter(message, Reason.MAXLEN)
        return is_refused

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer have its turns, after those that are there.

        Raises:
            BrokerError: 403, it or another one is exclusive.
        """
        if any(other.exclusive for other in self._consumers) or (
            consumer.exclusive and (self._consumers or self._has_single_active)
        ):
            raise BrokerError(ReplyCode.ACCESS_REFUSED, f"{self.described} in exclusive use")
        super().add_consumer(consumer)
