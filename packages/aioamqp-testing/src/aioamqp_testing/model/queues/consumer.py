"""Consumers of a queue, and the prefetch limit that all consumers of a channel share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from amqp_codec import FieldTable, FieldValue, Int64

from ..errors import NotSupported
from ..messages.events import EventType, RawEvent
from ..messages.message import QueuedMessage
from .arguments import check_consumer

if TYPE_CHECKING:
    from .queue import Queue


class ConsumingChannel(Protocol):
    """What a queue needs from a channel."""

    @property
    def name(self) -> str:
        """The name of the channel in the history of messages."""
        ...

    @property
    def prefetch(self) -> "SharedPrefetch":
        """The prefetch limit that its consumers share."""
        ...

    @property
    def ack_timeout(self) -> float | None:
        """The seconds within which its client must acknowledge, unless a queue has others."""
        ...

    def deliver(self, consumer: "Consumer", queued: QueuedMessage) -> None:
        """Send a message to a consumer; unless no_ack, the channel acknowledges it later."""

    def crash(self) -> None:
        """Close the connection with an internal error, because RabbitMQ's channel crashes."""

    def notify_cancelled(self, consumer: "Consumer") -> None:
        """Send basic.cancel to a client that has not acknowledged in time."""

    def time_out(self) -> None:
        """Close the channel, because its client has not acknowledged in time."""

    def cancel_consumers(self, consumers: "list[Consumer]") -> None:
        """Cancel consumers of this channel, because their queue is deleted."""


class Consumer:
    """A consumer of a queue.

    Attributes:
        tag: the consumer tag, unique on its channel.
        channel: the channel that deliveries are sent on.
        queue: the queue that the consumer reads from.
        no_ack: whether a message is acknowledged by its delivery.
        exclusive: whether the queue refuses other consumers meanwhile.
        prefetch_count: the limit of its unacknowledged messages; 0 is unlimited.
        arguments: the optional arguments.
        ack_timeout: the seconds within which it must acknowledge, unless its queue has others.
        priority: of several consumers with credit, the highest priority gets the next message.
        name: the name of the consumer in the history of messages.
        delivered_event: the event of every message that is delivered to the consumer.
        credit: how many more messages can be delivered now; None is unlimited.
        has_manual_credit: whether only basic.credit adds credit, and acknowledgements do not.
    """

    __slots__ = (
        "ack_timeout",
        "arguments",
        "channel",
        "credit",
        "delivered_event",
        "exclusive",
        "has_manual_credit",
        "name",
        "no_ack",
        "prefetch_count",
        "priority",
        "queue",
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
        ack_timeout: float | None = None,
    ) -> None:
        self.ack_timeout = ack_timeout
        self.arguments: FieldTable = arguments or {}
        profile = queue.profile
        check_consumer(self.arguments, queue.TYPE, queue.described, profile.arguments)
        self.tag = tag
        self.name = f"consumer {tag!r} on {channel.name}"
        self.channel = channel
        self.queue = queue
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch_count = prefetch_count
        self.credit = prefetch_count if prefetch_count and not no_ack else None
        self.has_manual_credit = False
        what = EventType.DELIVERED_NO_ACK if no_ack else EventType.DELIVERED
        self.delivered_event: RawEvent = (what, queue.name, self.name)
        priority = self.arguments.get("x-priority", 0)
        self.priority = priority if isinstance(priority, int) else 0
        if profile.has_credit:
            self._set_initial_credit(self.arguments.get("x-credit"))

    def _set_initial_credit(self, argument: FieldValue) -> None:
        """Start with the credit of ``x-credit``. RabbitMQ ignores it in any other form."""
        if isinstance(argument, Mapping):
            count, drain = argument.get("credit"), argument.get("drain")
            if isinstance(count, Int64) and isinstance(drain, bool):
                if drain:
                    raise NotSupported("a consumer with x-credit that drains the queue")
                self.credit, self.has_manual_credit = int(count), True

    def __repr__(self) -> str:
        return f"Consumer({self.tag!r} of {self.queue.described})"


class SharedPrefetch:
    """The limit of basic.qos with global=1: unacknowledged messages of all a channel's consumers.

    RabbitMQ: classic queues ask it for every single delivery; a queue that is refused stops
    delivering to the channel until the limit is no longer reached. Some oddities are RabbitMQ's
    own. A message of basic.get counts if the limit is set later, although its acknowledgement does
    not lower the count. A consumer with no_ack is not counted, but has to wait all the same.
    Quorum queues and streams ignore a limit that is set after their consumers have started, but
    their messages lower the count when they are acknowledged, even below 0.
    """

    __slots__ = ("_channel", "_first", "_is_paused", "_unacked", "_waiting", "limit")

    def __init__(self, channel: ConsumingChannel) -> None:
        self.limit = 0
        self._channel = channel
        self._unacked = 0
        self._is_paused = False
        self._waiting: dict[Queue, None] = {}
        self._first: Queue | None = None  # of those that waited last time

    @property
    def is_reached(self) -> bool:
        """Whether no more messages may be delivered on the channel."""
        return self._is_paused or 0 < self.limit <= self._unacked

    def set(self, limit: int, unacked: int) -> None:
        """Change the limit.

        Args:
            limit: 0 is unlimited.
            unacked: the unacknowledged messages of the channel, those of basic.get included.
        """
        if not limit:
            self._unacked = 0
        elif not self.limit:
            self._unacked = unacked
        self.limit = limit
        self.resume_queues()

    def acquire(self, queue: "Queue", no_ack: bool) -> bool:
        """Count one delivery if the limit is not reached; otherwise resume the queue later."""
        if self.limit and queue.shares_prefetch:
            if not self.is_reached:
                if not no_ack:
                    self._unacked += 1
                return True
        elif not self._is_paused:
            return True
        self._waiting[queue] = None
        return False

    def release(self, count: int) -> None:
        """Count messages of consumers that are acknowledged."""
        if self._unacked:
            self._unacked -= count

    def pause(self) -> None:
        """Stop all deliveries on the channel, because the client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """Start deliveries on the channel again, as far as the limit allows."""
        self._is_paused = False
        self._resume()

    def resume_queues(self) -> None:
        """Resume the queues that were refused, unless the limit is still reached."""
        if not self.is_reached:
            self._resume()

    def _resume(self) -> None:
        """Resume queues in turns, because the first one may use the limit up again.

        RabbitMQ: it begins with a random queue.
        """
        if not self._waiting:
            return
        queues, self._waiting = list(self._waiting), {}
        if queues[0] is self._first:
            queues.append(queues.pop(0))
        self._first = queues[0]
        for queue in queues:
            queue.resume(self._channel)
