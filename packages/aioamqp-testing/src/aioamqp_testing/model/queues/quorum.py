"""Quorum queues: counted deliveries, and requeueing to another position.

Quorum queues are replicated, which AMQP 0-9-1 does not show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from amqp_codec import FieldValue, Int64, ReplyCode

from ..errors import BrokerError
from ..messages.events import EventType
from ..messages.headers import with_header
from ..messages.message import Message, QueuedMessage
from .arguments import REJECT_PUBLISH
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .dead_letter_worker import DeadLetterWorker
from .declaration import QueueDeclaration
from .message_queue import MessageQueue
from .queue import QueueHost
from .replicated import Replicated

_REQUEUED: Final = -1  # the level of messages that are delivered before all others
_MAX_UNACKED: Final = 2000  # RabbitMQ: of a consumer without a prefetch count
_ACCEPTS_AGAIN: Final = 0.8  # the part of a limit below which publishers are accepted again


@dataclass(slots=True, eq=False)
class _CountedMessage(QueuedMessage):
    """A message in a quorum queue.

    Attributes:
        published: the message without ``x-delivery-count``, which ``message`` has as a header.
        returns: how often the message was requeued.
        consumer: the last consumer; None after basic.get.
    """

    published: Message | None = None
    returns: int = 0
    consumer: Consumer | None = None


class QuorumQueue(Replicated, MessageQueue):
    """A replicated queue."""

    TYPE = "quorum"
    _EXPIRY_TICK = 5.0

    def __init__(self, declaration: QueueDeclaration, host: QueueHost) -> None:
        super().__init__(declaration, host)
        self._is_full = False
        # until their first delivery: consumers that began while their tag held messages
        self._successors: set[Consumer] = set()
        self._worker = DeadLetterWorker(host.agenda, partial(host.publish_dead_letter, self))

    @property
    def unacked_count(self) -> int:
        """The number of messages that are delivered and not acknowledged, or kept dead letters."""
        return super().unacked_count + len(self._worker)

    @property
    def unacked(self) -> dict[str, list[Message]]:
        """The unacknowledged messages by consumer or channel."""
        unacked = super().unacked
        if self._worker:
            unacked["the dead-letter worker"] = self._worker.messages
        return unacked

    def apply_policy(self, policy: Mapping[str, FieldValue]) -> None:
        """Apply a policy, also to the messages and dead letters that the queue already has."""
        before = self.settings
        super().apply_policy(policy)
        if not self.settings.dead_letters_at_least_once:
            self._drop_dead_letters()
        elif self.settings != before:
            self._worker.retry()

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse the flags if-unused and if-empty.

        Raises:
            BrokerError: 540.
        """
        for is_set, flag in ((if_unused, "if-unused"), (if_empty, "if-empty")):
            if is_set:
                raise BrokerError(
                    ReplyCode.NOT_IMPLEMENTED,
                    f"cannot delete {self.described}. queue.delete operations with {flag} flag set"
                    " are not supported by quorum queues",
                )

    def on_redeclared(self) -> None:
        """Ignore it. RabbitMQ: only basic.get and consumers postpone the expiry of this type."""

    def counts(self) -> tuple[int, int]:
        """Return the message count and the consumer count of queue.declare-ok.

        RabbitMQ: everything that holds a message counts as a consumer, each basic.get and cancelled
        consumers too; consumers that wait for a single active consumer do not.
        """
        cancelled: set[Consumer] = set()
        gets = 0
        for unacked in self._unacked.values():
            for consumer in unacked.values():
                if consumer is None:
                    gets += 1
                elif self._successor(consumer) is None:
                    cancelled.add(consumer)
        consumers = len(self._consumers)
        if self._has_single_active:
            consumers = min(1, consumers)
        return self.message_count, consumers + len(cancelled) + gets

    # ----------------------------------------------------------------------------- messages

    def accept_dead_letter(self, message: Message) -> None:
        """Add a message that another queue has dead-lettered, also beyond a limit."""
        self._enqueue(message)

    def _new(self, message: Message) -> QueuedMessage:
        return _CountedMessage(next(self._positions), message, published=message)

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Remove the next message for basic.get, and return it, or None if the queue is empty.

        Raises:
            BrokerError: 405, the queue has a single active consumer.
        """
        if self._has_single_active:
            raise BrokerError(
                ReplyCode.RESOURCE_LOCKED,
                f"cannot obtain access to locked {self.described}. basic.get operations are not"
                " supported by quorum queues with single active consumer",
            )
        queued = super().get(channel, no_ack=no_ack)
        if isinstance(queued, _CountedMessage):
            queued.consumer = None
            if not queued.returns:
                # RabbitMQ: the count of 0 is in the headers here, but not for consumers
                queued.message = _counted(queued)
        return queued

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        assert isinstance(queued, _CountedMessage)
        queued.consumer = consumer
        if consumer in self._successors and self._crashes(consumer):
            self._unacked[consumer.channel][queued] = consumer
            self._round_robin.block(consumer)
            return
        super()._deliver(consumer, queued)
        if consumer.credit == 0:
            # RabbitMQ: it is blocked at once here, and not when its turn comes
            self._round_robin.block(consumer)

    def _crashes(self, consumer: Consumer) -> bool:
        """Return whether the first delivery to a consumer crashes its channel.

        RabbitMQ 3.10: it does if the tag still holds deliveries to an earlier consumer.
        """
        self._successors.discard(consumer)
        if self._count_held(consumer):
            self._agenda.call_soon(consumer.channel.crash)
            return True
        return False

    def _count_held(self, consumer: Consumer) -> int:
        """Return how many messages the tag of a consumer holds."""
        unacked = self._unacked.get(consumer.channel, {}).values()
        return sum(holder is not None and holder.tag == consumer.tag for holder in unacked)

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages: to the head if there is a delivery limit, else to the tail.

        RabbitMQ: each basic.get counts as a consumer of its own, whose message is requeued alone.
        """
        level = 0 if self.settings.delivery_limit is None else _REQUEUED
        of_consumers: list[QueuedMessage] = []
        for queued in self._release(channel, messages):
            assert isinstance(queued, _CountedMessage)
            if queued.consumer is None:
                self._return([queued], level)
            else:
                of_consumers.append(queued)
        self._return(of_consumers, level)

    def _in_requeue_order(
        self, unacked: Mapping[QueuedMessage, Consumer | None]
    ) -> list[QueuedMessage]:
        # RabbitMQ: by consumer, in the order of their tags
        held = sorted(unacked.items(), key=lambda item: item[1].tag if item[1] else "")
        return [queued for queued, _ in held]

    def _return(self, messages: Iterable[QueuedMessage], level: int = _REQUEUED) -> None:
        """Make messages ready again. RabbitMQ: it delivers before it checks the limits."""
        if self.is_deleted:
            return
        limit = self.settings.delivery_limit
        for queued in messages:
            assert isinstance(queued, _CountedMessage)
            queued.returns += 1
            if limit is not None and queued.returns > limit:
                self._drop(queued, Reason.DELIVERY_LIMIT)
                consumer = None if queued.consumer is None else self._successor(queued.consumer)
                if consumer is not None and consumer.credit is not None:
                    consumer.credit += 1  # RabbitMQ 3.10: it gives the credit twice
                continue
            queued.level, queued.position = level, next(self._positions)
            queued.message = _counted(queued)
            queued.redelivered = True
            self._ready.append_queued(queued)
        self._deliver_ready()
        self._drop_over_limit()

    def _drop(self, queued: QueuedMessage, reason: Reason) -> None:
        assert isinstance(queued, _CountedMessage)
        self._dead_letter(queued.published or queued.message, reason)

    def _publish_dead_letter(self, message: Message, reason: Reason) -> None:
        if self.settings.dead_letters_at_least_once:
            self._worker.add(message, reason)
        else:
            super()._publish_dead_letter(message, reason)

    def _drop_dead_letters(self) -> None:
        for message in self._worker.clear():
            message.events.append((EventType.LOST, self.name, ""))

    def _drop_all(self) -> int:
        self._drop_dead_letters()
        return super()._drop_all()

    def restart(self) -> None:
        """Keep all messages, whatever their delivery mode, because they are on disk."""
        super().restart()
        self._worker.restart()

    # ----------------------------------------------------------------------------- limits

    def _is_refused(self, message: Message) -> bool:
        """Return whether publishers are refused.

        RabbitMQ: it refuses them beyond a limit, and accepts them again well below it.
        """
        del message
        settings = self.settings
        if not self._exceeds(_lowered(settings.max_length), _lowered(settings.max_length_bytes)):
            self._is_full = False
        return self._is_full and settings.overflow == REJECT_PUBLISH

    def _exceeds(self, max_messages: int | None, max_bytes: int | None) -> bool:
        # RabbitMQ: dead letters that are kept count, too
        worker = self._worker
        return self._ready.exceeds(max_messages, max_bytes, len(worker), worker.size)

    def _drop_over_limit(self) -> bool:
        settings = self.settings
        limits = settings.max_length, settings.max_length_bytes
        # RabbitMQ: a quorum queue treats reject-publish-dlx as drop-head
        if settings.overflow == REJECT_PUBLISH:
            if self._exceeds(*limits):
                self._is_full = True
            return False
        dropped: list[QueuedMessage] = []
        while self._ready.exceeds(*limits):
            dropped.append(self._ready.pop())
        for queued in reversed(dropped):  # as RabbitMQ does; the order of dead letters shows it
            self._drop(queued, Reason.MAXLEN)
        return bool(dropped)

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Start deliveries to a consumer. RabbitMQ: several consumers may be exclusive here.

        RabbitMQ: the messages that its tag holds since an earlier consumer count as its own.

        Raises:
            BrokerError: 540, the channel of the consumer has a shared prefetch limit.
        """
        self.check_prefetch(consumer)
        if consumer.credit is None and not consumer.no_ack:
            consumer.credit = _MAX_UNACKED
        held = self._count_held(consumer)
        if held and consumer.credit is not None:
            consumer.credit = max(0, consumer.credit - held)
            self._successors.add(consumer)
        super().add_consumer(consumer)

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        self._successors.difference_update(consumers)

    def _next_active(self) -> Consumer:
        # RabbitMQ: priorities do not count here
        return next(iter(self._consumers))


def _lowered(limit: int | None) -> int | None:
    return None if limit is None else int(limit * _ACCEPTS_AGAIN)


def _counted(queued: _CountedMessage) -> Message:
    """Return the message with the number of its returns as a header."""
    published = queued.published or queued.message
    properties = with_header(published.properties, "x-delivery-count", Int64(queued.returns))
    return replace(published, properties=properties)
