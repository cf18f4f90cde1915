"""Queues that deliver each message to one consumer: delivery, acknowledgement, expiry, limits."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from math import inf
from typing import ClassVar

from amqp_codec import FieldValue

from ..agenda import SLICE
from ..messages.events import EventType, RawEvent
from ..messages.message import Message, QueuedMessage
from ..profile import Failure
from .arguments import DROP_HEAD
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .declaration import QueueDeclaration
from .expiry import ROUNDING, Reminder
from .queue import Queue, QueueHost
from .ready import ReadyMessages
from .round_robin import RoundRobin


class MessageQueue(Queue):
    """A queue that drops a message when its one consumer has acknowledged it.

    Attributes:
        active: the single active consumer, if the queue was declared with one.
    """

    def __init__(self, declaration: QueueDeclaration, host: QueueHost) -> None:
        super().__init__(declaration, host)
        self.active: Consumer | None = None
        self._has_single_active = self.arguments.get("x-single-active-consumer") is True
        self._positions = count()
        self._ready = ReadyMessages(self._new)
        self._round_robin = RoundRobin(self)
        # by channel: the messages that are not acknowledged, and their consumers
        self._unacked: dict[ConsumingChannel, dict[QueuedMessage, Consumer | None]] = {}
        self._is_delivery_pending = False
        self._acked_event: RawEvent = (EventType.ACKED, self.name, "")  # one for all messages
        self._expiry = Reminder(host.agenda, self._drop_slice_of_expired)

    # RabbitMQ: whether also a message that need not wait for a consumer can be a redelivery
    _REDELIVERS_AT_ONCE: ClassVar = True

    # ----------------------------------------------------------------------------- state

    @property
    def message_count(self) -> int:
        """The number of ready messages; messages that a consumer holds do not count."""
        return len(self._ready)

    @property
    def unacked_count(self) -> int:
        """The number of messages that are delivered and not acknowledged."""
        return sum(len(unacked) for unacked in self._unacked.values())

    @property
    def unacked(self) -> dict[str, list[Message]]:
        """The unacknowledged messages by consumer or channel."""
        messages: dict[str, list[Message]] = {}
        for channel, unacked in self._unacked.items():
            for queued, consumer in unacked.items():
                name = channel.name if consumer is None else consumer.name
                messages.setdefault(name, []).append(queued.message)
        return messages

    @property
    def messages(self) -> list[Message]:
        """The ready messages, the next one first."""
        return self._ready.messages

    def apply_policy(self, policy: Mapping[str, FieldValue]) -> None:
        """Apply a policy, also to the messages that the queue already has."""
        super().apply_policy(policy)
        if self._drop_over_limit():
            self._drop_expired()

    def check_can_reject(self) -> None:
        """Allow basic.nack and basic.reject."""

    # ----------------------------------------------------------------------------- publishing

    def publish(self, message: Message) -> bool:
        """Add a message at the tail, and return whether it was accepted.

        RabbitMQ: a consumer with credit gets it, even if it expires at once or the limit is 0.
        """
        if self.settings.overflow != DROP_HEAD and self._is_refused(message):
            return False
        self._enqueue(message)
        return True

    @abstractmethod
    def _is_refused(self, message: Message) -> bool:
        """Return whether a limit is reached, and publishers are refused then."""

    def _enqueue(self, message: Message) -> None:
        ready = self._ready
        consumer = None if len(ready) else self._round_robin.next()
        expires_at, level = self._expires_at(message), self._level_of(message)
        if consumer is not None or expires_at is not None or level:
            queued = self._new(message)
            queued.expires_at, queued.level = expires_at, level
            if consumer is not None:
                queued.redelivered = queued.redelivered and self._REDELIVERS_AT_ONCE
                ready.count_removal()
                self._deliver(consumer, queued)
                return
            ready.append_queued(queued)
        else:
            ready.append(message)
        has_dropped = self._drop_over_limit()
        if has_dropped or (expires_at is not None and ready.is_only(level)):
            # RabbitMQ: it does not look at a message that is the head because of its priority
            self._drop_expired()

    def _new(self, message: Message) -> QueuedMessage:
        is_redelivered = self._counts_failures and message.failures > 0
        return QueuedMessage(next(self._positions), message, is_redelivered)

    def _level_of(self, message: Message) -> int:
        """Return the level of a new message; lower levels are delivered first."""
        del message
        return 0

    def _expires_at(self, message: Message) -> float | None:
        ttl, expiration = self.settings.message_ttl, message.properties.expiration
        if expiration is not None:
            ttl = int(expiration) if ttl is None else min(ttl, int(expiration))
        return None if ttl is None else self._agenda.clock.time() + ttl / 1000

    # ----------------------------------------------------------------------------- delivering

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Remove the next message for basic.get, and return it, or None if the queue is empty."""
        self._lease.renew()
        if not self._has_ready():
            return None
        queued = self._ready.pop()
        event = EventType.GOT_NO_ACK if no_ack else EventType.GOT
        queued.message.events.append((event, self.name, channel.name))
        if not no_ack:
            self._unacked.setdefault(channel, {})[queued] = None
        self._has_next()  # drops messages behind it that have expired
        return queued

    def _schedule_delivery(self) -> None:
        if self._round_robin and self._ready and not self._is_delivery_pending:
            self._is_delivery_pending = True
            self._agenda.call_soon(self._deliver_ready)

    def _deliver_ready(self) -> None:
        """Deliver while there are ready messages and consumers with credit."""
        self._is_delivery_pending = False
        is_ready = self._has_ready()
        while is_ready and (consumer := self._round_robin.next()) is not None:
            self._deliver(consumer, self._ready.pop())
            is_ready = self._has_next()

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        if not consumer.no_ack:
            self._unacked[consumer.channel][queued] = consumer
        queued.message.events.append(consumer.delivered_event)
        self._agenda.steps += 1
        if consumer.credit is not None:
            consumer.credit -= 1
        consumer.channel.deliver(consumer, queued)

    # ----------------------------------------------------------------------------- settling

    # These three deliver at once. RabbitMQ: a queue gets one message for each consumer that has
    # acknowledged something, and delivers all that it can before it looks at the next.

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop messages that a channel has acknowledged, and deliver the next ones."""
        for queued in self._release(channel, messages):
            queued.message.events.append(self._acked_event)
        self._deliver_ready()

    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop or dead-letter messages that a channel has rejected with basic.nack."""
        self._reject(channel, messages, Failure.NACKED)

    def reject_failed(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop or dead-letter messages that a channel has rejected with basic.reject."""
        self._reject(channel, messages, Failure.REJECTED)

    def _reject(
        self, channel: ConsumingChannel, messages: Iterable[QueuedMessage], failure: Failure
    ) -> None:
        for queued in self._release(channel, messages):
            queued.message.events.append((EventType.REJECTED, self.name, ""))
            self._count_failure(queued, failure)
            self._drop(queued, Reason.REJECTED)
        self._deliver_ready()

    @property
    @abstractmethod
    def _counts_failures(self) -> bool:
        """Whether failed deliveries are counted, and dead letters with some are redelivered."""

    def _count_failure(self, queued: QueuedMessage, failure: Failure) -> None:
        if self._counts_failures and failure in self.profile.carried_failures:
            queued.failures += 1

    def requeue_failed(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has rejected with basic.reject."""
        failed = list(messages)
        for queued in failed:
            self._count_failure(queued, Failure.REQUEUED)
        self.requeue(channel, failed)

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has returned with basic.nack or basic.recover."""
        self._return(self._release(channel, messages))
        self._deliver_ready()

    @abstractmethod
    def _return(self, messages: Iterable[QueuedMessage]) -> None:
        """Make messages ready again that were delivered."""

    def _release(
        self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]
    ) -> list[QueuedMessage]:
        """Remove messages of a channel that it still holds, and give its consumers credit."""
        unacked = self._unacked.get(channel)
        if unacked is None:
            return []
        released: list[QueuedMessage] = []
        is_blocked = False
        for queued in messages:
            if queued not in unacked:
                continue
            released.append(queued)
            holder = unacked.pop(queued)
            consumer = None if holder is None else self._successor(holder)
            if (
                consumer is not None
                and consumer.credit is not None
                and not consumer.has_manual_credit
            ):
                is_blocked = is_blocked or not consumer.credit
                consumer.credit += 1
        if is_blocked:
            self._round_robin.unblock(channel)
            self._schedule_delivery()
        return released

    # ----------------------------------------------------------------------------- dropping

    def _drop(self, queued: QueuedMessage, reason: Reason) -> None:
        """Dead-letter a message if the queue has a dead-letter exchange."""
        self._dead_letter(with_failures(queued.message, queued.failures), reason)

    def _dead_letter(self, message: Message, reason: Reason) -> None:
        has_exchange = self.settings.dead_letter_exchange is not None
        event = EventType.DEAD_LETTERED if has_exchange else EventType.DROPPED
        message.events.append((event, self.name, reason))
        if has_exchange:
            self._publish_dead_letter(message, reason)

    def _publish_dead_letter(self, message: Message, reason: Reason) -> None:
        self._agenda.call_soon(partial(self._host.dead_letter, self, message, reason))

    def _has_ready(self) -> bool:
        """Return whether there is a message to deliver, before the first one is."""
        return self._has_next()

    def _has_next(self) -> bool:
        """Return whether there is a ready message, after those that have expired are dropped."""
        if self._ready.expires_at is not None:
            self._drop_expired()
        return len(self._ready) > 0

    def _drop_slice_of_expired(self) -> None:
        if self._drop_expired(SLICE):
            self._agenda.call_soon(self._drop_slice_of_expired)

    def _drop_expired(self, most: float = inf) -> bool:
        """Drop expired messages, and set a timer for the next one; return whether there are more.

        RabbitMQ: it checks the head only, so a message may expire late behind another one.
        """
        now = self._agenda.clock.time() + ROUNDING
        until = self._agenda.steps + most
        while (expires_at := self._ready.expires_at) is not None:
            if expires_at > now:
                self._expiry.schedule(expires_at)
                break
            if self._agenda.steps >= until:
                return True
            self._agenda.steps += 1
            self._drop(self._ready.pop_expiring(), Reason.EXPIRED)
        return False

    @abstractmethod
    def _drop_over_limit(self) -> bool:
        """Drop messages from the head while a limit is exceeded; return whether any is dropped."""

    def restart(self) -> None:
        """Drop what does not survive a restart: transient messages and channels."""
        super().restart()
        for message in self._ready.keep(lambda message: message.is_persistent):
            message.events.append((EventType.LOST, self.name, ""))

    def purge(self) -> int:
        """Drop all ready messages, and return their number; unacknowledged messages stay."""
        for message in self._ready.messages:
            message.events.append((EventType.PURGED, self.name, ""))
        return self._ready.clear()

    def _drop_all(self) -> int:
        self._expiry.cancel()
        self.active = None
        self._round_robin.clear()
        for unacked in self._unacked.values():
            for queued in unacked:
                queued.message.events.append((EventType.LOST, self.name, ""))
        self._unacked.clear()
        return self.purge()

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Start deliveries to a consumer; its first turn is after all others.

        Raises:
            BrokerError: the queue refuses the consumer.
        """
        self._consumers[consumer] = None
        self._unacked.setdefault(consumer.channel, {})
        if not self._has_single_active:
            self._round_robin.append(consumer)
        elif self.active is None:
            self._activate(consumer)
        self._schedule_delivery()

    def _activate(self, consumer: Consumer) -> None:
        self.active = consumer
        self._round_robin.append(consumer)

    @abstractmethod
    def _next_active(self) -> Consumer | None:
        """Return the next single active consumer, or None if there is nobody."""

    def remove_channel(self, channel: ConsumingChannel) -> None:
        """Remove the consumers of a channel, and requeue its unacknowledged messages."""
        unacked = self._unacked.pop(channel, None)
        if unacked is None:
            return
        consumers = [consumer for consumer in self._consumers if consumer.channel is channel]
        self._drop_consumers(consumers)
        self._round_robin.remove_channel(channel)
        for queued in unacked:
            self._count_failure(queued, Failure.CHANNEL_ENDED)
        self._return(self._in_requeue_order(unacked))
        if consumers:
            self._on_consumers_removed()

    def _in_requeue_order(
        self, unacked: Mapping[QueuedMessage, Consumer | None]
    ) -> list[QueuedMessage]:
        """Return the messages of a channel that is removed, in the order they are requeued in."""
        return list(unacked)

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        for consumer in consumers:
            self._round_robin.remove(consumer)
        if self.active in consumers:
            self.active = None
            if (active := self._next_active()) is not None:
                self._activate(active)
                self._schedule_delivery()

    def resume(self, channel: ConsumingChannel) -> None:
        """Resume deliveries to a channel whose shared prefetch limit was reached."""
        if channel in self._unacked:
            self._round_robin.resume(channel)
            self._schedule_delivery()

    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Apply basic.credit. RabbitMQ: it replaces the prefetch count of the consumer."""
        consumer.credit, consumer.has_manual_credit = count, True
        self._round_robin.unblock(consumer.channel)
        self._schedule_delivery()
        return len(self._ready)


def with_failures(message: Message, failures: int) -> Message:
    """Return a message that a queue drops, with the failures that were counted there."""
    return replace(message, failures=message.failures + failures) if failures else message
