"""Queues that hand each message to one consumer: turns, acknowledgements, expiry and limits."""

from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from amqp_codec import FieldTable, FieldValue

from ..messages.history import Happened, trim
from ..messages.message import Message, QueuedMessage
from . import dead_letter
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .expiry import ROUNDING, Reminder
from .queue import Queue
from .ready import ReadyMessages
from .round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..vhost import VirtualHost

DROP_HEAD: Final = "drop-head"


class ChannelRecord:
    """What a queue knows about one channel.

    Attributes:
        unacked: messages that the channel has, by position, and for which consumer.
        waiting: its consumers that had no room when it was their turn.
        suspended: whether the channel's shared prefetch said no.
    """

    __slots__ = ("suspended", "unacked", "waiting")

    def __init__(self) -> None:
        self.unacked: dict[int, tuple[QueuedMessage, Consumer | None]] = {}
        self.waiting: list[Consumer] = []
        self.suspended = False


class MessageQueue(Queue):
    """A queue whose messages each go to one consumer, and are gone when that one says so.

    Attributes:
        active: with a single active consumer, the one that has deliveries.
    """

    def __init__(
        self,
        vhost: "VirtualHost",
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object = None,
        arguments: FieldTable | None = None,
    ) -> None:
        super().__init__(
            vhost,
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=owner,
            arguments=arguments,
        )
        self.active: Consumer | None = None
        self._has_single_active = self.arguments.get("x-single-active-consumer") is True
        self._positions = count()
        self._ready = ReadyMessages()
        self._round_robin = RoundRobin()
        self._records: dict[ConsumingChannel, ChannelRecord] = {}
        self._is_awake = False
        self._expiry = Reminder(vhost, self._drop_expired)

    # ----------------------------------------------------------------------------- looking at it

    @property
    def message_count(self) -> int:
        """Messages that are ready for delivery; those with a consumer do not count."""
        return len(self._ready)

    @property
    def unacked_count(self) -> int:
        """Messages that were delivered and are not acknowledged yet."""
        return sum(len(holder.unacked) for holder in self._records.values())

    @property
    def unacked(self) -> dict[str, list[Message]]:
        """The messages that are with somebody who has not acknowledged them, by whom."""
        held: dict[str, list[Message]] = {}
        for channel, holder in self._records.items():
            for queued, consumer in holder.unacked.values():
                name = channel.name if consumer is None else consumer.name
                held.setdefault(name, []).append(queued.message)
        return held

    @property
    def messages(self) -> list[Message]:
        """The messages that are ready, the next one first."""
        return self._ready.messages

    def apply_policy(self, policy: "Mapping[str, FieldValue]") -> None:
        """Go by a policy from now on, at once also for what is there."""
        super().apply_policy(policy)
        self._drop_over_limit()

    # ----------------------------------------------------------------------------- rules of use

    @classmethod
    def check_declaration(
        cls, described: str, *, durable: bool, exclusive: bool, auto_delete: bool
    ) -> None:
        """Let it have any properties."""

    def check_refusable(self) -> None:
        """Let its messages be rejected and requeued."""

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message) -> bool:
        """Take a message in at the tail; return whether it did, or else it has to be nacked.

        RabbitMQ: a consumer that is ready gets it, even if it expires at once, or nothing may wait.
        """
        if self.settings.overflow != DROP_HEAD and self._is_refused(message):
            return False
        self._take(message)
        return True

    def _take(self, message: Message) -> None:
        queued = self._new(message)
        if not self._ready:
            consumer = self._next_consumer()
            if consumer is not None:
                self._deliver(consumer, queued)
                return
        self._ready.push(queued)
        self._drop_over_limit()
        if queued.expires_at is not None and self._ready.head is queued:
            self._drop_expired()

    def _new(self, message: Message) -> QueuedMessage:
        return QueuedMessage(next(self._positions), message, expires_at=self._expiry_of(message))

    def _expiry_of(self, message: Message) -> float | None:
        ttl, own = self.settings.message_ttl, message.properties.expiration
        if own is not None:
            ttl = int(own) if ttl is None else min(ttl, int(own))
        return None if ttl is None else self._vhost.clock.time() + ttl / 1000

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Hand out the next message to basic.get, or None when there is none."""
        self.renew()
        if not self._has_next():
            return None
        queued = self._ready.pop()
        fetched = Happened.TAKEN if no_ack else Happened.FETCHED
        queued.message.events.append((fetched, self.name, channel.name))
        if not no_ack:
            self._record(channel).unacked[queued.position] = (queued, None)
        self._has_next()
        return queued

    def restart(self) -> None:
        """Keep only what is persistent; the channels that had the rest are gone."""
        super().restart()
        for message in self._ready.keep(lambda queued: queued.message.is_persistent):
            message.events.append((Happened.LOST, self.name, ""))

    def purge(self) -> int:
        """Drop all ready messages and return how many there were; unacknowledged ones stay."""
        for message in self._ready.messages:
            message.events.append((Happened.PURGED, self.name, ""))
        return self._ready.clear()

    # These three deliver at once. RabbitMQ: a queue gets one notice for each consumer that has
    # acknowledged something, and deals with it to the end before it looks at the next.

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Forget messages that a channel has dealt with, and let its consumers have more."""
        for queued in self._release(channel, messages):
            queued.message.events.append((Happened.ACKED, self.name, ""))
        self._deliver_ready()

    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Give up messages that a channel did not want."""
        for queued in self._release(channel, messages):
            queued.message.events.append((Happened.REJECTED, self.name, ""))
            self._give_up(queued, Reason.REJECTED)
        self._deliver_ready()

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Put messages back to where they were."""
        self._put_back(self._release(channel, messages))
        self._deliver_ready()

    def _release(
        self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]
    ) -> list[QueuedMessage]:
        holder = self._records.get(channel)
        if holder is None:
            return []
        released: list[QueuedMessage] = []
        has_room = False
        for queued in messages:
            held = holder.unacked.pop(queued.position, None)
            if held is None:
                continue
            released.append(queued)
            consumer = held[1]
            if consumer is not None and consumer.room is not None and not consumer.is_credited:
                has_room = has_room or not consumer.room
                consumer.room += 1
        if has_room:
            self._unblock(holder)
        return released

    def _put_back(self, messages: Iterable[QueuedMessage]) -> None:
        if self.is_deleted:
            return
        for queued in messages:
            queued.redelivered = True
            queued.message.events.append((Happened.REQUEUED, self.name, ""))
            trim(queued.message.events)
            self._ready.push(queued)
        self._drop_over_limit()
        if self._has_next():
            self._wake()

    def _record(self, channel: ConsumingChannel) -> ChannelRecord:
        holder = self._records.get(channel)
        if holder is None:
            holder = self._records[channel] = ChannelRecord()
        return holder

    # ----------------------------------------------------------------------------- giving up

    def _give_up(self, queued: QueuedMessage, reason: Reason) -> None:
        """Let go of a message for which there may be a dead-letter exchange."""
        self._dead_letter(queued.message, reason)

    def _dead_letter(self, message: Message, reason: Reason) -> None:
        goes_on = self.settings.dead_letter_exchange is not None
        given_up = Happened.DEAD_LETTERED if goes_on else Happened.DROPPED
        message.events.append((given_up, self.name, reason))
        if goes_on:
            self._vhost.later(partial(dead_letter.publish, self._vhost, self, message, reason))

    def _has_next(self) -> bool:
        """Tell whether there is a message to hand out; those whose time is over go first."""
        head = self._ready.head
        if head is None or head.expires_at is None:
            return head is not None
        self._drop_expired()
        return len(self._ready) > 0

    def _drop_expired(self) -> None:
        """Give up what has expired, and come again when the next one does.

        RabbitMQ: it looks at the head only, so a message may outstay its time behind another one.
        """
        now = self._vhost.clock.time() + ROUNDING
        while (head := self._ready.head) is not None and head.expires_at is not None:
            if head.expires_at > now:
                self._expiry.at(head.expires_at)
                return
            self._give_up(self._ready.pop(), Reason.EXPIRED)

    def _is_refused(self, message: Message) -> bool:
        """Tell whether there is no room for a message, and it is the new ones that give way."""
        return self._is_over(len(self._ready) + 1, self._ready.octets + len(message.body))

    def _is_over(self, messages: int, octets: int) -> bool:
        settings = self.settings
        return (settings.max_length is not None and messages > settings.max_length) or (
            settings.max_length_bytes is not None and octets > settings.max_length_bytes
        )

    def _drop_over_limit(self) -> None:
        if self.settings.overflow == DROP_HEAD:
            while self._is_over(len(self._ready), self._ready.octets):
                self._give_up(self._ready.pop(), Reason.MAXLEN)

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer have its turns, after those that are there.

        Raises:
            BrokerError: 403, it or another one is exclusive.
        """
        self._consumers[consumer] = None
        self._record(consumer.channel)
        if not self._has_single_active:
            self._round_robin.append(consumer)
        elif self.active is None:
            self._activate(consumer)
        self._wake()

    def _activate(self, consumer: Consumer) -> None:
        self.active = consumer
        self._round_robin.append(consumer)

    def forget(self, channel: ConsumingChannel) -> None:
        """End all that a channel has to do with the queue; what it held is ready again."""
        holder = self._records.pop(channel, None)
        if holder is None:
            return
        mine = [consumer for consumer in self._consumers if consumer.channel is channel]
        self._drop_consumers(mine)
        self._put_back(self._held(holder))
        if mine:
            self._last_consumer_gone()

    def _held(self, holder: ChannelRecord) -> list[QueuedMessage]:
        """Return what a channel had, in the order in which it comes back."""
        return [queued for queued, _ in holder.unacked.values()]

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        for consumer in consumers:
            self._round_robin.remove(consumer)
            holder = self._records.get(consumer.channel)
            if holder is not None and consumer in holder.waiting:
                holder.waiting.remove(consumer)
        if self.active in consumers:
            self.active = None
            if self._consumers:
                self._activate(self._next_active())
                self._wake()

    def _next_active(self) -> Consumer:
        """Return which of its consumers is to be the single active one."""
        # of several with the highest priority, max returns the first
        return max(self._consumers, key=lambda consumer: consumer.priority)

    def resume(self, channel: ConsumingChannel) -> None:
        """Deliver to a channel again whose shared prefetch was reached."""
        holder = self._records.get(channel)
        if holder is not None:
            holder.suspended = False
            self._unblock(holder)

    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Let a consumer have that many messages; RabbitMQ: its prefetch count is no more then."""
        consumer.room, consumer.is_credited = count, True
        self._unblock(self._record(consumer.channel))
        return len(self._ready)

    def _unblock(self, holder: ChannelRecord) -> None:
        """Give those consumers a turn again that have room of their own. The order stays."""
        for consumer in holder.waiting:
            if not consumer.is_full:
                self._round_robin.append(consumer)
        holder.waiting = [consumer for consumer in holder.waiting if consumer.is_full]
        self._wake()

    # ----------------------------------------------------------------------------- delivering

    def _wake(self) -> None:
        if self._round_robin and self._ready and not self._is_awake:
            self._is_awake = True
            self._vhost.later(self._deliver_ready)

    def _deliver_ready(self) -> None:
        """Deliver while there are messages and consumers with room."""
        self._is_awake = False
        while self._has_next() and (consumer := self._next_consumer()) is not None:
            self._deliver(consumer, self._ready.pop())

    def _next_consumer(self) -> Consumer | None:
        """Return whose turn it is, None when nobody has room.

        RabbitMQ: consumers take strict turns; one that has no room when its turn comes leaves the
        circle, and comes back to its end when it has room again.
        """
        while self._round_robin:
            consumer = self._round_robin.popleft()
            holder = self._records[consumer.channel]
            if holder.suspended or consumer.is_full:
                holder.waiting.append(consumer)
            elif not consumer.channel.prefetch.take(self, consumer.no_ack):
                holder.suspended = True
                holder.waiting.append(consumer)
            else:
                self._round_robin.append(consumer)
                return consumer
        return None

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        if not consumer.no_ack:
            self._records[consumer.channel].unacked[queued.position] = (queued, consumer)
        delivered = Happened.CONSUMED if consumer.no_ack else Happened.DELIVERED
        queued.message.events.append((delivered, self.name, consumer.name))
        if consumer.room is not None:
            consumer.room -= 1
        consumer.channel.deliver(consumer, queued)

    # ----------------------------------------------------------------------------- the end

    def _drop_all(self) -> int:
        self._expiry.cancel()
        self.active = None
        self._round_robin.clear()
        for holder in self._records.values():
            for queued, _ in holder.unacked.values():
                queued.message.events.append((Happened.LOST, self.name, ""))
        self._records.clear()
        return self.purge()
