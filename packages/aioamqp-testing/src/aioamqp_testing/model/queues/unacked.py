"""Unacknowledged deliveries of a channel, by delivery tag."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from amqp_codec import ReplyCode

from ..errors import BrokerError
from ..messages.message import QueuedMessage
from .consumer import Consumer
from .queue import Queue


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that was sent to a client.

    Attributes:
        tag: the delivery tag.
        queue: the queue that the message is from.
        consumer: the consumer; None for basic.get.
        queued: the message and its position in the queue.
        sent_at: the time of the clock.
    """

    tag: int
    queue: Queue
    consumer: Consumer | None
    queued: QueuedMessage
    sent_at: float = 0.0


class Unacked:
    """The deliveries of one channel that are not acknowledged, by delivery tag."""

    def __init__(self) -> None:
        self._deliveries: dict[int, Delivery] = {}

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries.values())

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def queues(self) -> list[Queue]:
        """The queues of the deliveries, each once."""
        return list(dict.fromkeys(delivery.queue for delivery in self._deliveries.values()))

    def add(self, delivery: Delivery) -> None:
        """Add a delivery; its tag is higher than all others."""
        self._deliveries[delivery.tag] = delivery

    def pop(self, tag: int, *, multiple: bool) -> list[Delivery]:
        """Remove and return the deliveries that an acknowledgement covers.

        Args:
            tag: a delivery tag; 0 with ``multiple`` covers all deliveries, even if there is none.
            multiple: whether all earlier deliveries are covered too.

        Raises:
            BrokerError: 406, there is no such delivery; no delivery is removed then.
        """
        if multiple and not tag:
            return self.pop_all()
        if tag not in self._deliveries:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        if not multiple:
            return [self._deliveries.pop(tag)]
        tags = [earlier for earlier in self._deliveries if earlier <= tag]
        return [self._deliveries.pop(earlier) for earlier in tags]

    def pop_all(self) -> list[Delivery]:
        """Remove and return all deliveries."""
        deliveries, self._deliveries = list(self._deliveries.values()), {}
        return deliveries

    def restore(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries again that ``pop`` has removed."""
        restored = [*self._deliveries.values(), *deliveries]
        self._deliveries = {each.tag: each for each in sorted(restored, key=attrgetter("tag"))}

    def drop_queue(self, queue: Queue) -> None:
        """Drop the deliveries of a queue that has requeued their messages."""
        self._deliveries = {
            tag: delivery
            for tag, delivery in self._deliveries.items()
            if delivery.queue is not queue
        }


def group_by_consumer(
    deliveries: Sequence[Delivery],
) -> list[tuple[Queue, list[QueuedMessage]]]:
    """Group the messages of deliveries by queue and consumer.

    RabbitMQ tells a queue about the acknowledged messages of one consumer after the other, in the
    order of the consumer tags, and those of basic.get first. It shows when several consumers are
    unblocked at once: the order of the groups is the order of their next turns.
    """
    if len(deliveries) == 1:
        return [(deliveries[0].queue, [deliveries[0].queued])]
    groups: dict[tuple[str, bool, str], tuple[Queue, list[QueuedMessage]]] = {}
    for delivery in deliveries:
        consumer = delivery.consumer
        key = (delivery.queue.name, consumer is not None, consumer.tag if consumer else "")
        groups.setdefault(key, (delivery.queue, []))[1].append(delivery.queued)
    return [groups[key] for key in sorted(groups)]
