"""A consumer of a queue, and the limit that consumers of one channel can share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from amqp_codec import FieldTable, FieldValue, Int64

from ..errors import NotSupported
from .arguments import check_consumer

if TYPE_CHECKING:
    from ..messages.message import QueuedMessage
    from .queue import Queue


class ConsumingChannel(Protocol):
    """What the model needs of a channel: someone to hand messages to."""

    @property
    def name(self) -> str:
        """What to call it where people read about it."""
        ...

    @property
    def prefetch(self) -> "SharedPrefetch":
        """The limit that all its consumers share."""
        ...

    def deliver(self, consumer: "Consumer", queued: "QueuedMessage") -> None:
        """Send a message to a consumer; it is the channel's until acknowledged, unless no_ack."""

    def cancel_consumers(self, consumers: "list[Consumer]") -> None:
        """Take notice that a queue is gone, and these consumers of this channel with it."""


class Consumer:
    """A subscription of a channel to a queue.

    Attributes:
        tag: unique on its channel.
        channel: where deliveries go to.
        queue: where they come from.
        no_ack: whether a message is gone from the queue as soon as it is delivered.
        exclusive: whether no one else may consume from the queue meanwhile.
        prefetch_count: how many messages it may have unacknowledged; 0 is any number.
        arguments: as declared.
        priority: of several that have room, who gets a message first.
        name: what to call it where people read about it.
        room: how many more messages it takes at the moment; None is any number.
        is_credited: whether room is credit, as basic.credit gives it, so that only this makes more.
    """

    __slots__ = (
        "arguments",
        "channel",
        "exclusive",
        "is_credited",
        "name",
        "no_ack",
        "prefetch_count",
        "priority",
        "queue",
        "room",
        "tag",
    )

    def __init__(
        self,
        tag: str,
        channel: ConsumingChannel,
        queue: "Queue",
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch_count: int = 0,
        arguments: FieldTable | None = None,
    ) -> None:
        self.arguments: FieldTable = arguments or {}
        check_consumer(self.arguments, queue.TYPE, queue.described)
        self.tag = tag
        self.name = f"consumer {tag!r} on {channel.name}"
        self.channel = channel
        self.queue = queue
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch_count = prefetch_count
        self.room = prefetch_count if prefetch_count and not no_ack else None
        self.is_credited = False
        priority = self.arguments.get("x-priority", 0)
        self.priority = priority if isinstance(priority, int) else 0
        self._take_credit(self.arguments.get("x-credit"))

    def _take_credit(self, credit: FieldValue) -> None:
        """Begin with credit instead of a prefetch count. RabbitMQ ignores what is not as here."""
        if isinstance(credit, Mapping):
            count, drain = credit.get("credit"), credit.get("drain")
            if isinstance(count, Int64) and isinstance(drain, bool):
                if drain:
                    raise NotSupported("a consumer with x-credit that drains the queue")
                self.room, self.is_credited = int(count), True

    @property
    def is_full(self) -> bool:
        """Whether it takes no more at the moment."""
        return self.room == 0

    def __repr__(self) -> str:
        return f"Consumer({self.tag!r} of {self.queue.described})"


class SharedPrefetch:
    """The limit of basic.qos with global=1: unacknowledged messages of all a channel's consumers.

    RabbitMQ asks it for each single delivery; a queue that was told no stops delivering to the
    channel until there is room again. Two oddities are RabbitMQ's own: a message from basic.get
    counts when the limit is set, though its acknowledgement makes no room; and a consumer with
    no_ack is not counted, but has to wait all the same.
    """

    __slots__ = ("_channel", "_is_paused", "_outstanding", "_waiting", "limit")

    def __init__(self, channel: ConsumingChannel) -> None:
        self.limit = 0
        self._channel = channel
        self._outstanding = 0
        self._is_paused = False
        self._waiting: dict[Queue, None] = {}

    @property
    def is_reached(self) -> bool:
        """Whether no more messages may be delivered on the channel."""
        return self._is_paused or 0 < self.limit <= self._outstanding

    def set(self, limit: int, unacked: int) -> None:
        """Change the limit.

        Args:
            limit: 0 takes it away.
            unacked: what the channel has not acknowledged yet, messages of basic.get included.
        """
        was_reached = self.is_reached
        if not limit:
            self._outstanding = 0
        elif not self.limit:
            self._outstanding = unacked
        self.limit = limit
        self._resume(was_reached)

    def take(self, queue: "Queue", no_ack: bool) -> bool:
        """Ask for room for one message; a queue that gets none is resumed when there is some."""
        if self.is_reached:
            self._waiting[queue] = None
            return False
        if self.limit and not no_ack:
            self._outstanding += 1
        return True

    def give_back(self, count: int) -> None:
        """Make room for as many messages as consumers have acknowledged."""
        was_reached = self.is_reached
        self._outstanding = max(0, self._outstanding - count)
        self._resume(was_reached)

    def pause(self) -> None:
        """Let no more messages be delivered on the channel: its client is not reading."""
        self._is_paused = True

    def resume(self) -> None:
        """Let the queues that had to wait deliver again, as far as the limit has room."""
        was_reached, self._is_paused = self.is_reached, False
        self._resume(was_reached)

    def _resume(self, was_reached: bool) -> None:
        if was_reached and not self.is_reached:
            waiting, self._waiting = self._waiting, {}
            for queue in waiting:
                queue.resume(self._channel)
