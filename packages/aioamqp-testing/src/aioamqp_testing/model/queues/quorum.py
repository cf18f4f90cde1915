"""Quorum queues: counted deliveries, and requeueing to another position.

Quorum queues are replicated, which AMQP 0-9-1 does not show.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

from amqp_codec import FieldTable, FieldValue, ReplyCode

from ..clock import Timer
from ..errors import BrokerError
from ..messages.events import EventType
from ..messages.headers import with_headers
from ..messages.message import Message, QueuedMessage
from ..profile import Failure
from .arguments import REJECT_PUBLISH
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .dead_letter_worker import DeadLetterWorker
from .declaration import QueueDeclaration
from .delivery_count import COUNTING, DeliveryCount
from .expiry import ROUNDING, Checks
from .message_queue import MessageQueue, with_failures
from .queue import QueueHost
from .ready import LEVELS, READY
from .replicated import Replicated

_REQUEUED: Final = -1000  # the level of messages that are delivered before all others
_USUAL: Final = 4  # the priority of messages without one
_MAX_UNACKED: Final = 2000  # RabbitMQ: of a consumer without a prefetch count
_EXPIRY_PERIOD: Final = 5.0  # seconds between two checks whether the queue has expired
_ACCEPTS_AGAIN: Final = 0.8  # the part of a limit below which publishers are accepted again


_Holder: TypeAlias = Consumer | ConsumingChannel
"""Who holds a message: a consumer, or a channel that has got it by basic.get."""


@dataclass(slots=True, eq=False)
class _CountedMessage(QueuedMessage):
    """A message in a quorum queue.

    Attributes:
        published: the message without the counts that ``message`` has as headers.
        count: how often the message was requeued.
        consumer: the last consumer; None after basic.get.
        delivered_at: the time of the clock, if there is a consumer timeout.
    """

    published: Message | None = None
    count: DeliveryCount = field(default_factory=DeliveryCount)
    consumer: Consumer | None = None
    delivered_at: float = 0.0


class QuorumQueue(Replicated, MessageQueue):
    """A replicated queue."""

    TYPE = "quorum"
    RANK = 1

    @property
    def _expiry_checks(self) -> Checks:
        return Checks(self.profile.first_expiry_check, _EXPIRY_PERIOD)

    def __init__(self, declaration: QueueDeclaration, host: QueueHost) -> None:
        super().__init__(declaration, host)
        self._is_full = False
        self._counting = COUNTING[host.profile.delivery_counting]
        self._hidden: dict[_CountedMessage, Timer] = {}  # until a retry is due
        self._hidden_bytes = 0
        self._counts_properties = False
        self._ready = READY[host.profile.priorities](self._new, self._size_of)
        self._measure()
        self._is_retiring = False  # the single active consumer, once it holds no message
        self._timers: dict[_Holder, Timer] = {}  # of the oldest delivery to each
        # what consumers have not acknowledged in time, until they settle it all the same
        self._timed_out: dict[Consumer, set[QueuedMessage]] = {}
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
        self._measure()
        self._drop_over_limit()
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
            consumers = int(self.active is not None)
        return self.message_count, consumers + len(cancelled) + gets

    # ----------------------------------------------------------------------------- messages

    @property
    def _counts_failures(self) -> bool:
        return True

    def accept_dead_letter(self, message: Message) -> None:
        """Add a message that another queue has dead-lettered, also beyond a limit."""
        self._enqueue(message)

    def _new(self, message: Message) -> QueuedMessage:
        failures = message.failures
        queued = _CountedMessage(
            next(self._positions),
            message,
            failures > 0,
            published=message,
            count=self._counting.start(failures),
        )
        if failures:
            self._show_count(queued, is_get=False)
        return queued

    def _size_of(self, entry: QueuedMessage | Message) -> int:
        """Return the bytes of a message that count for the limit."""
        if isinstance(entry, Message):
            message = entry
        else:
            assert isinstance(entry, _CountedMessage)
            message = entry.published or entry.message
        counted = len(message.properties.encode()) if self._counts_properties else 0
        return counted + len(message.body)

    def _measure(self) -> None:
        """Count the properties of messages while there is a limit of bytes, if the version does."""
        has_limit = self.settings.max_length_bytes is not None
        self._counts_properties = has_limit and self.profile.counts_properties
        self._ready.measure()
        self._hidden_bytes = sum(map(self._size_of, self._hidden))

    def _level_of(self, message: Message) -> int:
        """Return the level of a new message; lower levels are delivered first."""
        priority = message.properties.priority
        return LEVELS[self.profile.priorities](_USUAL if priority is None else priority)

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Remove the next message for basic.get, and return it, or None if the queue is empty.

        Raises:
            BrokerError: 405, the queue has a single active consumer.
        """
        if self._has_single_active:
            raise BrokerError(
                ReplyCode.RESOURCE_LOCKED,
                f"cannot obtain access to locked {self.described}. basic.get operations are not"
                f" supported by {self.profile.quorum_noun} queues with single active consumer",
            )
        queued = super().get(channel, no_ack=no_ack)
        if isinstance(queued, _CountedMessage):
            queued.consumer = None
            self._show_count(queued, is_get=True)
            if not no_ack:
                self._time(queued, channel)
        return queued

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        assert isinstance(queued, _CountedMessage)
        queued.consumer = consumer
        is_successor = consumer in self._successors and not self.profile.reuses_tags
        if is_successor and self._crashes(consumer):
            self._unacked[consumer.channel][queued] = consumer
            self._round_robin.block(consumer)
            return
        super()._deliver(consumer, queued)
        if not consumer.no_ack:
            self._time(queued, consumer)
        if consumer.credit == 0:
            # RabbitMQ: it is blocked at once here, and not when its turn comes
            self._round_robin.block(consumer)

    def _time(self, queued: "_CountedMessage", holder: _Holder) -> None:
        """Note when a message was delivered, if it must be acknowledged in time."""
        if self.profile.times_consumers:
            queued.delivered_at = self._agenda.clock.time()
            if holder not in self._timers:
                self._start_timer(holder, queued.delivered_at)

    def _timeout_of(self, holder: _Holder) -> float | None:
        """Return the seconds within which a consumer or channel must acknowledge, or None."""
        arguments: FieldTable = holder.arguments if isinstance(holder, Consumer) else {}
        for milliseconds in (arguments.get("x-consumer-timeout"), self.settings.consumer_timeout):
            if isinstance(milliseconds, int):
                return milliseconds / 1000
        return holder.ack_timeout

    def _start_timer(self, holder: _Holder, since: float) -> None:
        seconds = self._timeout_of(holder)
        if seconds is not None:
            delay = max(0.0, since + seconds - self._agenda.clock.time())
            check = partial(self._check_timeout, holder)
            self._timers[holder] = self._agenda.call_later(delay, check)

    def _held_by(self, holder: _Holder) -> "list[_CountedMessage]":
        """Return what a consumer holds, or a channel from basic.get."""
        consumer = holder if isinstance(holder, Consumer) else None
        unacked = self._unacked.get(_channel_of(holder), {}).items()
        return [
            queued
            for queued, each in unacked
            if each is consumer and isinstance(queued, _CountedMessage)
        ]

    def _check_timeout(self, holder: _Holder) -> None:
        """Requeue what was not acknowledged in time.

        RabbitMQ: the consumer gets basic.cancel, once for each time, and no more messages until it
        has settled those that were late. It counts as a consumer until its channel cancels it. The
        channel is closed for messages of basic.get, or of a consumer that was cancelled before.
        """
        del self._timers[holder]
        seconds = self._timeout_of(holder)
        held = self._held_by(holder)
        if not held or seconds is None:
            return
        since = self._agenda.clock.time() + ROUNDING - seconds
        late = [queued for queued in held if queued.delivered_at <= since]
        if len(late) < len(held):
            self._start_timer(holder, min(each.delivered_at for each in held if each not in late))
        if not late:
            return
        channel = _channel_of(holder)
        consumer = self._successor(holder) if isinstance(holder, Consumer) else None
        if consumer is None:
            self._agenda.call_soon(channel.time_out)
        else:
            self._suspend(consumer, late)
            self._agenda.call_soon(partial(channel.notify_cancelled, consumer))
        for queued in late:
            del self._unacked[channel][queued]
        # the records stay with the channel, which may settle them late
        again = [copy(queued) for queued in late]
        requeue = partial(self._return_counted, again, _REQUEUED, is_failure=False)
        self._agenda.call_soon(requeue)

    def _suspend(self, consumer: Consumer, late: "list[_CountedMessage]") -> None:
        """Stop deliveries to a consumer; another one may become the single active consumer."""
        self._timed_out.setdefault(consumer, set()).update(late)
        self._round_robin.remove(consumer)
        if self.active is consumer:
            self.active = None
            if (active := self._next_active()) is not None:
                self._activate(active)

    def _settle_late(self, messages: Iterable[QueuedMessage]) -> None:
        """Resume deliveries to consumers that have settled all that was late.

        RabbitMQ: requeueing is no way to do that.
        """
        for consumer, late in list(self._timed_out.items()):
            settled = late.intersection(messages)
            late -= settled
            if consumer.credit is not None:
                consumer.credit += len(settled)
            if late:
                continue
            del self._timed_out[consumer]
            if not self._has_single_active:
                self._round_robin.append(consumer)
            elif self.active is None:
                self._activate(consumer)
            self._schedule_delivery()

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

    def _show_count(self, queued: "_CountedMessage", *, is_get: bool) -> None:
        """Set the headers that show how often a message was delivered."""
        published = queued.published or queued.message
        headers = self._counting.headers(queued.count, is_get=is_get)
        if not headers:
            queued.message = published
            return
        properties = with_headers(
            published.properties, {**(published.properties.headers or {}), **headers}
        )
        queued.message = replace(published, properties=properties)

    def requeue_failed(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has rejected with basic.reject."""
        failed = list(messages)
        for queued in failed:
            self._count_failure(queued, Failure.REQUEUED)
        self._requeue(channel, failed, is_failure=True)

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has returned with basic.nack or basic.recover."""
        self._requeue(channel, messages, is_failure=False)

    def _requeue(
        self,
        channel: ConsumingChannel,
        messages: Iterable[QueuedMessage],
        *,
        is_failure: bool,
    ) -> None:
        """Requeue messages: to the head if there is a delivery limit, else as the version does.

        RabbitMQ: each basic.get counts as a consumer of its own, whose message is requeued alone.
        """
        is_head = self.profile.requeues_to_head or self._delivery_limit is not None
        level = _REQUEUED if is_head else 0
        of_consumers: list[QueuedMessage] = []
        for queued in self._release(channel, messages):
            assert isinstance(queued, _CountedMessage)
            if queued.consumer is None:
                self._return_counted([queued], level, is_failure=is_failure)
            else:
                of_consumers.append(queued)
        self._return_counted(of_consumers, level, is_failure=is_failure)
        self._hand_over()

    def _in_requeue_order(
        self, unacked: Mapping[QueuedMessage, Consumer | None]
    ) -> list[QueuedMessage]:
        # RabbitMQ: by consumer, in the order of their tags
        held = sorted(unacked.items(), key=lambda item: item[1].tag if item[1] else "")
        return [queued for queued, _ in held]

    @property
    def _delivery_limit(self) -> int | None:
        """The limit that is in force. RabbitMQ: since there is a default, -1 is unlimited."""
        limit, default = self.settings.delivery_limit, self.profile.delivery_limit
        if default is None or (limit is not None and limit >= 0):
            return limit
        return default if limit is None else None

    def _return(self, messages: Iterable[QueuedMessage]) -> None:
        self._return_counted(messages, _REQUEUED, is_failure=True)

    def _return_counted(
        self, messages: Iterable[QueuedMessage], level: int, *, is_failure: bool
    ) -> None:
        """Make messages ready again. RabbitMQ: it delivers before it checks the limits."""
        if self.is_deleted:
            return
        limit = self._delivery_limit
        for queued in messages:
            assert isinstance(queued, _CountedMessage)
            self._counting.add(queued.count, is_failure=is_failure)
            if limit is not None and queued.count.failures > limit:
                self._drop(queued, Reason.DELIVERY_LIMIT)
                if self.profile.gives_credit_twice and queued.consumer is not None:
                    consumer = self._successor(queued.consumer)
                    if consumer is not None and consumer.credit is not None:
                        consumer.credit += 1
                continue
            queued.level, queued.position = level, next(self._positions)
            self._show_count(queued, is_get=False)
            queued.redelivered = True
            if delay := self._retry_delay(queued, is_failure=is_failure):
                retry = partial(self._retry, queued)
                self._hidden[queued] = self._agenda.call_later(delay, retry)
                self._hidden_bytes += self._size_of(queued)
            else:
                self._ready.append_queued(queued)
        self._deliver_ready()
        self._drop_over_limit()

    def _retry_delay(self, queued: "_CountedMessage", *, is_failure: bool) -> float:
        """Return the seconds for which a requeued message is hidden."""
        settings = self.settings
        lowest, highest = settings.delayed_retry_min, settings.delayed_retry_max
        kinds = ("all", "failed" if is_failure else "returned")
        if settings.delayed_retry_type not in kinds or lowest is None:
            return 0
        # RabbitMQ: only failures make it longer, and only if a maximum is set
        delay = lowest * max(1, queued.count.failures)
        return min(delay, lowest if highest is None else highest) / 1000

    def _retry(self, queued: "_CountedMessage") -> None:
        del self._hidden[queued]
        self._hidden_bytes -= self._size_of(queued)
        self._ready.append_queued(queued)
        self._deliver_ready()
        self._drop_over_limit()

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop messages that a channel has acknowledged, and deliver the next ones."""
        settled = list(messages)
        self._settle_late(settled)
        super().acknowledge(channel, settled)
        self._hand_over()

    def _reject(
        self, channel: ConsumingChannel, messages: Iterable[QueuedMessage], failure: Failure
    ) -> None:
        settled = list(messages)
        self._settle_late(settled)
        super()._reject(channel, settled, failure)
        self._hand_over()

    def _drop(self, queued: QueuedMessage, reason: Reason) -> None:
        assert isinstance(queued, _CountedMessage)
        published = queued.published or queued.message
        self._dead_letter(with_failures(published, queued.failures), reason)

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
        self._drop_hidden(EventType.LOST)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        return super()._drop_all()

    def purge(self) -> int:
        """Drop all ready and hidden messages, and return their number; unacknowledged ones stay."""
        kept = len(self._worker) if self.profile.purges_count_dead_letters else 0
        return super().purge() + self._drop_hidden(EventType.PURGED) + kept

    def _drop_hidden(self, event: EventType) -> int:
        """Drop the messages that wait for a retry, and return their number."""
        count = len(self._hidden)
        for queued, timer in self._hidden.items():
            timer.cancel()
            queued.message.events.append((event, self.name, ""))
        self._hidden.clear()
        self._hidden_bytes = 0
        return count

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
        return self._ready.exceeds(
            max_messages,
            max_bytes,
            len(worker) + len(self._hidden),
            worker.size + self._hidden_bytes,
        )

    def _drop_over_limit(self) -> bool:
        settings = self.settings
        limits = settings.max_length, settings.max_length_bytes
        # RabbitMQ: a quorum queue treats reject-publish-dlx as drop-head
        if settings.overflow == REJECT_PUBLISH:
            if self._exceeds(*limits):
                self._is_full = True
            return False
        dropped: list[QueuedMessage] = []
        hidden = len(self._hidden), self._hidden_bytes
        while len(self._ready) and self._ready.exceeds(*limits, *hidden):
            dropped.append(self._ready.pop())
        if not self.profile.drops_in_order:
            dropped.reverse()
        for queued in dropped:  # the order of dead letters shows it
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
        self._hand_over()

    def _hand_over(self) -> None:
        """Replace the single active consumer by one of a higher priority, when it has settled."""
        active = self.active
        if active is None or not self.profile.activates_by_priority:
            return
        best = self._next_active()
        if best is None or best.priority <= active.priority:
            return
        if not self._is_retiring:
            self._round_robin.remove(active)
            self._is_retiring = True
        unacked = self._unacked.get(active.channel, {})
        if not any(holder is active for holder in unacked.values()):
            self._activate(best)
            self._schedule_delivery()

    def _activate(self, consumer: Consumer) -> None:
        self._is_retiring = False
        super()._activate(consumer)

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        for consumer in consumers:
            self._timed_out.pop(consumer, None)
            if not self._held_by(consumer):
                self._cancel_timer(consumer)
        self._successors.difference_update(consumers)
        active = self.active
        if self._is_retiring and active is not None and self._next_active() is active:
            self._activate(active)  # the one that was to replace it has ended
            self._schedule_delivery()

    def _next_active(self) -> Consumer | None:
        consumers = [each for each in self._consumers if each not in self._timed_out]
        if self.profile.activates_by_priority:
            return max(consumers, key=lambda consumer: consumer.priority, default=None)
        return next(iter(consumers), None)

    def remove_channel(self, channel: ConsumingChannel) -> None:
        """Remove the consumers of a channel, and requeue its unacknowledged messages."""
        holders = [holder for holder in self._timers if _channel_of(holder) is channel]
        super().remove_channel(channel)
        for holder in holders:
            self._cancel_timer(holder)

    def _cancel_timer(self, holder: _Holder) -> None:
        timer = self._timers.pop(holder, None)
        if timer is not None:
            timer.cancel()


def _channel_of(holder: _Holder) -> ConsumingChannel:
    return holder.channel if isinstance(holder, Consumer) else holder


def _lowered(limit: int | None) -> int | None:
    return None if limit is None else int(limit * _ACCEPTS_AGAIN)
