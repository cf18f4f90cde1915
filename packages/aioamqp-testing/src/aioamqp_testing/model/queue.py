"""A classic queue: messages in order, consumers in turn, and what is not acknowledged yet."""

import heapq
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from amqp_codec import FieldTable, ReplyCode

from . import arguments as declared
from .consumer import Consumer, ConsumingChannel
from .errors import BrokerError
from .message import Message, QueuedMessage

if TYPE_CHECKING:
    from .exchange import Binding
    from .vhost import VirtualHost


class _Holder:
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


class Queue:
    """A queue of one virtual host.

    Attributes:
        name: unique in its virtual host.
        durable: as declared; an exclusive queue never is.
        auto_delete: whether it goes when its last consumer goes.
        owner: the connection that an exclusive queue belongs to, else None.
        arguments: as declared.
        bindings: those that lead here, in the order they were made.
        is_deleted: whether it is gone; acknowledgements for it are accepted all the same.
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
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        self.arguments: FieldTable = arguments or {}
        self.bindings: dict[Binding, None] = {}
        self.is_deleted = False
        self._vhost = vhost
        self._positions = count()
        self._ready: list[tuple[int, QueuedMessage]] = []  # a heap: first what was published first
        self._turns: deque[Consumer] = deque()
        self._consumers: dict[Consumer, None] = {}
        self._holders: dict[ConsumingChannel, _Holder] = {}
        self._is_awake = False

    # ----------------------------------------------------------------------------- looking at it

    @property
    def described(self) -> str:
        """The queue as RabbitMQ's texts name it."""
        return f"queue '{self.name}' in vhost '{self._vhost.name}'"

    @property
    def message_count(self) -> int:
        """Messages that are ready for delivery; those with a consumer do not count."""
        return len(self._ready)

    @property
    def unacked_count(self) -> int:
        """Messages that were delivered and are not acknowledged yet."""
        return sum(len(holder.unacked) for holder in self._holders.values())

    @property
    def consumer_count(self) -> int:
        """Consumers, those that have no room included."""
        return len(self._consumers)

    @property
    def messages(self) -> list[Message]:
        """The messages that are ready, the next one first."""
        return [queued.message for _, queued in sorted(self._ready)]

    def __repr__(self) -> str:
        return f"Queue({self.name!r}, {self.message_count} ready, {self.unacked_count} unacked)"

    # ----------------------------------------------------------------------------- rules of use

    def check_access(self, owner: object) -> None:
        """Let only its owner use an exclusive queue.

        Raises:
            BrokerError: 405.
        """
        if self.owner is not None and self.owner is not owner:
            raise self._locked()

    def check_equivalence(
        self, *, durable: bool, auto_delete: bool, arguments: FieldTable, owner: object
    ) -> None:
        """Refuse to declare it again with other properties, in RabbitMQ's order.

        Raises:
            BrokerError: 405 or 406.
        """
        if self.owner is not owner:
            raise self._locked()
        declared.compare_property("durable", durable, self.durable, self.described)
        declared.compare_property("auto_delete", auto_delete, self.auto_delete, self.described)
        declared.compare_queue(arguments, self.arguments, self.described)

    def _locked(self) -> BrokerError:
        return BrokerError(
            ReplyCode.RESOURCE_LOCKED,
            f"cannot obtain exclusive access to locked {self.described}. It could be originally"
            " declared on another connection or the exclusive property value does not match that"
            " of the original declaration.",
        )

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message) -> None:
        """Take a message in at the tail."""
        position = next(self._positions)
        heapq.heappush(self._ready, (position, QueuedMessage(position, message)))
        self._wake()

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Hand out the next message to basic.get, or None when there is none."""
        if not self._ready:
            return None
        _, queued = heapq.heappop(self._ready)
        if not no_ack:
            self._holder(channel).unacked[queued.position] = (queued, None)
        return queued

    def restart(self) -> None:
        """Keep only what is persistent."""
        self._ready = [item for item in self._ready if item[1].message.is_persistent]
        heapq.heapify(self._ready)

    def purge(self) -> int:
        """Drop all ready messages and return how many there were; unacknowledged ones stay."""
        purged = len(self._ready)
        self._ready.clear()
        return purged

    # These three deliver at once. RabbitMQ: a queue gets one notice for each consumer that has
    # acknowledged something, and deals with it to the end before it looks at the next.

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Forget messages that a channel has dealt with, and let its consumers have more."""
        self._release(channel, messages)
        self._deliver_ready()

    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop messages that a channel did not want."""
        self._release(channel, messages)
        self._deliver_ready()

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Put messages back to where they were."""
        self._put_back(self._release(channel, messages))
        self._deliver_ready()

    def _release(
        self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]
    ) -> list[QueuedMessage]:
        holder = self._holders.get(channel)
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
            if consumer is not None and consumer.room is not None:
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
            heapq.heappush(self._ready, (queued.position, queued))
        self._wake()

    def _holder(self, channel: ConsumingChannel) -> _Holder:
        holder = self._holders.get(channel)
        if holder is None:
            holder = self._holders[channel] = _Holder()
        return holder

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer have its turns, after those that are there.

        Raises:
            BrokerError: 403, it or another one is exclusive.
        """
        if any(other.exclusive for other in self._consumers) or (
            consumer.exclusive and self._consumers
        ):
            raise BrokerError(ReplyCode.ACCESS_REFUSED, f"{self.described} in exclusive use")
        self._consumers[consumer] = None
        self._holder(consumer.channel)
        self._turns.append(consumer)
        self._wake()

    def remove_consumer(self, consumer: Consumer) -> None:
        """End a subscription; what it has not acknowledged stays with its channel."""
        if consumer not in self._consumers:
            return
        self._drop_consumers([consumer])
        self._delete_if_unused()

    def forget(self, channel: ConsumingChannel) -> None:
        """End all that a channel has to do with the queue; what it held is ready again."""
        holder = self._holders.pop(channel, None)
        if holder is None:
            return
        mine = [consumer for consumer in self._consumers if consumer.channel is channel]
        self._drop_consumers(mine)
        self._put_back([queued for queued, _ in holder.unacked.values()])
        if mine:
            self._delete_if_unused()

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            del self._consumers[consumer]
            if consumer in self._turns:
                self._turns.remove(consumer)
            holder = self._holders.get(consumer.channel)
            if holder is not None and consumer in holder.waiting:
                holder.waiting.remove(consumer)

    def _delete_if_unused(self) -> None:
        if self.auto_delete and not self._consumers:
            self._vhost.remove_queue(self)

    def resume(self, channel: ConsumingChannel) -> None:
        """Deliver to a channel again whose shared prefetch was reached."""
        holder = self._holders.get(channel)
        if holder is not None:
            holder.suspended = False
            self._unblock(holder)

    def _unblock(self, holder: _Holder) -> None:
        """Give those consumers a turn again that have room of their own. The order stays."""
        self._turns.extend(consumer for consumer in holder.waiting if consumer.room != 0)
        holder.waiting = [consumer for consumer in holder.waiting if consumer.room == 0]
        self._wake()

    # ----------------------------------------------------------------------------- delivering

    def _wake(self) -> None:
        if self._turns and self._ready and not self._is_awake:
            self._is_awake = True
            self._vhost.later(self._deliver_ready)

    def _deliver_ready(self) -> None:
        """Deliver while there are messages and consumers with room.

        RabbitMQ: consumers take strict turns; one that has no room when its turn comes leaves the
        circle, and comes back to its end when it has room again.
        """
        self._is_awake = False
        while self._ready and self._turns:
            consumer = self._turns.popleft()
            holder = self._holders[consumer.channel]
            if holder.suspended or consumer.room == 0:
                holder.waiting.append(consumer)
            elif not consumer.channel.prefetch.take(self, consumer.no_ack):
                holder.suspended = True
                holder.waiting.append(consumer)
            else:
                self._turns.append(consumer)
                self._deliver(consumer, holder)

    def _deliver(self, consumer: Consumer, holder: _Holder) -> None:
        _, queued = heapq.heappop(self._ready)
        if not consumer.no_ack:
            holder.unacked[queued.position] = (queued, consumer)
            if consumer.room is not None:
                consumer.room -= 1
        consumer.channel.deliver(consumer, queued)

    # ----------------------------------------------------------------------------- the end

    def close(self) -> int:
        """Be gone: tell the consumers so, and return how many messages were ready."""
        self.is_deleted = True
        consumers: dict[ConsumingChannel, list[Consumer]] = {}
        # RabbitMQ tells the consumers of a channel in the order of their tags
        for consumer in sorted(self._consumers, key=lambda consumer: consumer.tag):
            consumers.setdefault(consumer.channel, []).append(consumer)
        for channel, mine in consumers.items():
            self._vhost.later(partial(channel.cancel_consumers, mine))
        self._consumers.clear()
        self._turns.clear()
        self._holders.clear()
        return self.purge()
