"""Classic queues: priorities, exclusive consumers, and requeueing to the original position."""

from collections.abc import Iterable

from amqp_codec import ReplyCode

from ..errors import BrokerError
from ..messages.events import EventType, trim_events
from ..messages.message import Message, QueuedMessage
from .arguments import DROP_HEAD
from .consumer import Consumer
from .dead_letter import Reason
from .message_queue import MessageQueue


class ClassicQueue(MessageQueue):
    """A queue on one node, which keeps the order of its messages."""

    TYPE = "classic"
    _REDELIVERS_AT_ONCE = False

    @property
    def _counts_failures(self) -> bool:
        return self.profile.counts_in_classic_queues

    def _level_of(self, message: Message) -> int:
        """Rank a message by its priority. RabbitMQ: x-max-priority is the highest one."""
        highest = self.arguments.get("x-max-priority")
        if not isinstance(highest, int):
            return 0
        return -min(message.properties.priority or 0, highest)

    def restart(self) -> None:
        """Drop what does not survive a restart: transient messages and channels."""
        super().restart()
        if self.profile.redelivers_after_restart:
            self._ready.mark_redelivered()

    def _return(self, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages to their original positions."""
        if self.is_deleted:
            return
        for queued in messages:
            queued.redelivered = True
            queued.message.events.append((EventType.REQUEUED, self.name, ""))
            trim_events(queued.message.events)
            self._ready.put_back(queued)
        self._drop_over_limit()
        if self._has_next():
            self._schedule_delivery()

    def _is_refused(self, message: Message) -> bool:
        settings = self.settings
        is_refused = self._ready.exceeds(
            settings.max_length, settings.max_length_bytes, 1, len(message.body)
        )
        if is_refused and settings.overflow == "reject-publish-dlx":
            self._dead_letter(message, Reason.MAXLEN)
        return is_refused

    def _drop_over_limit(self) -> bool:
        settings = self.settings
        before = len(self._ready)
        if settings.overflow == DROP_HEAD:
            while self._ready.exceeds(settings.max_length, settings.max_length_bytes):
                self._drop(self._ready.pop(), Reason.MAXLEN)
        return len(self._ready) < before

    def _has_ready(self) -> bool:
        """Return whether there is a message to deliver.

        RabbitMQ: it looks at the expiry of the next message when it has delivered or dropped one,
        and when the timer for an earlier head is over. So a message in front of the head, because
        of its priority, is delivered even if it has expired.
        """
        if self._ready.expires_at is not None:
            self._expiry.run_if_due()
        return len(self._ready) > 0

    def add_consumer(self, consumer: Consumer) -> None:
        """Start deliveries to a consumer; its first turn is after all others.

        Raises:
            BrokerError: 403, the consumer or another one is exclusive.
        """
        if any(other.exclusive for other in self._consumers) or (
            consumer.exclusive and (self._consumers or self._has_single_active)
        ):
            raise BrokerError(ReplyCode.ACCESS_REFUSED, f"{self.described} in exclusive use")
        super().add_consumer(consumer)

    def _next_active(self) -> Consumer | None:
        # of several with the highest priority, max returns the first
        return max(self._consumers, key=lambda consumer: consumer.priority, default=None)
