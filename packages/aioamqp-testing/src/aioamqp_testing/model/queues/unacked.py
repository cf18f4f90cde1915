"""What a channel has been given and has not acknowledged yet."""

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
    """A message on its way.

    Attributes:
        tag: its delivery tag, counted by the channel.
        queue: where it comes from.
        consumer: whom it was delivered to; None for basic.get.
        queued: the message and its place in the queue.
        sent: when, by the clock.
    """

    tag: int
    queue: Queue
    consumer: Consumer | None
    queued: QueuedMessage
    sent: float = 0.0


class Unacked:
    """The deliveries of one channel that wait for their acknowledgement, by delivery tag."""

    def __init__(self) -> None:
        self._deliveries: dict[int, Delivery] = {}

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries.values())

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def oldest(self) -> float | None:
        """When the oldest delivery was sent, None when there is none."""
        return next((delivery.sent for delivery in self._deliveries.values()), None)

    def add(self, delivery: Delivery) -> None:
        """Remember a delivery; tags only grow."""
        self._deliveries[delivery.tag] = delivery

    def take(self, tag: int, *, multiple: bool) -> list[Delivery]:
        """Take out what an acknowledgement is about.

        Args:
            tag: a delivery tag; 0 with multiple means all there is, even if that is nothing.
            multiple: whether all earlier ones are meant too.

        Raises:
            BrokerError: 406, there is no such delivery; nothing is taken then.
        """
        if multiple and not tag:
            return self.take_all()
        if tag not in self._deliveries:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        if not multiple:
            return [self._deliveries.pop(tag)]
        tags = [earlier for earlier in self._deliveries if earlier <= tag]
        return [self._deliveries.pop(earlier) for earlier in tags]

    def take_all(self) -> list[Delivery]:
        """Take out everything."""
        deliveries, self._deliveries = list(self._deliveries.values()), {}
        return deliveries

    def restore(self, deliveries: Iterable[Delivery]) -> None:
        """Put deliveries back in that were taken out."""
        restored = [*self._deliveries.values(), *deliveries]
        self._deliveries = {each.tag: each for each in sorted(restored, key=attrgetter("tag"))}

    def forget(self, queue: Queue) -> None:
        """Drop what came from a queue: the queue has it back."""
        self._deliveries = {
            tag: delivery
            for tag, delivery in self._deliveries.items()
            if delivery.queue is not queue
        }

    @property
    def queues(self) -> list[Queue]:
        """The queues that the deliveries came from, each once."""
        return list(dict.fromkeys(delivery.queue for delivery in self._deliveries.values()))


def by_consumer(deliveries: Sequence[Delivery]) -> list[tuple[Queue, list[QueuedMessage]]]:
    """Sort deliveries into one group a queue and consumer.

    RabbitMQ tells a queue about the acknowledged messages consumer by consumer, in the order of the
    consumer tags and those of basic.get first. It shows when several get room at once: the order of
    the groups is the order of the next turns.
    """
    if len(deliveries) == 1:
        return [(deliveries[0].queue, [deliveries[0].queued])]
    groups: dict[tuple[str, bool, str], tuple[Queue, list[QueuedMessage]]] = {}
    for delivery in deliveries:
        consumer = delivery.consumer
        key = (delivery.queue.name, consumer is not None, consumer.tag if consumer else "")
        groups.setdefault(key, (delivery.queue, []))[1].append(delivery.queued)
    return [groups[key] for key in sorted(groups)]
