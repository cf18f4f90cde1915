"""Round robin: which consumer of a queue gets the next message."""

from collections import deque

from .consumer import Consumer, ConsumingChannel
from .queue import Queue


class RoundRobin:
    """The consumers of a queue: those with a higher priority first, equal ones in strict turns.

    RabbitMQ: a consumer without credit is blocked when its turn comes, and not before. It joins the
    end of the circle again when it has credit. A channel whose shared prefetch limit is reached is
    suspended: all its consumers are blocked when their turns come.
    """

    __slots__ = ("_blocked", "_levels", "_queue", "_suspended")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._levels: dict[int, deque[Consumer]] = {}  # by priority, the highest one first
        self._blocked: dict[ConsumingChannel, list[Consumer]] = {}
        self._suspended: set[ConsumingChannel] = set()

    def __bool__(self) -> bool:
        """Whether any consumer is not blocked, as far as is known before its turn comes."""
        return any(self._levels.values())

    def append(self, consumer: Consumer) -> None:
        """Add a consumer after all others of its priority."""
        level = self._levels.get(consumer.priority)
        if level is None:
            level = self._levels[consumer.priority] = deque()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        level.append(consumer)

    def next(self) -> Consumer | None:
        """Return the consumer of the next message, or None if all consumers are blocked."""
        for level in self._levels.values():
            while level:
                consumer = level.popleft()
                channel = consumer.channel
                if channel not in self._suspended and consumer.credit != 0:
                    if channel.prefetch.acquire(self._queue, consumer.no_ack):
                        level.append(consumer)
                        return consumer
                    self._suspended.add(channel)
                self._blocked.setdefault(channel, []).append(consumer)
        return None

    def block(self, consumer: Consumer) -> None:
        """Block a consumer before its turn comes."""
        self._leave_circle(consumer)
        self._blocked.setdefault(consumer.channel, []).append(consumer)

    def unblock(self, channel: ConsumingChannel) -> None:
        """Put the blocked consumers of a channel that have credit back, in their order."""
        blocked = self._blocked.pop(channel, None)
        if blocked is None:
            return
        for consumer in blocked:
            if consumer.credit != 0:
                self.append(consumer)
        still_blocked = [consumer for consumer in blocked if consumer.credit == 0]
        if still_blocked:
            self._blocked[channel] = still_blocked

    def resume(self, channel: ConsumingChannel) -> None:
        """Unblock a channel whose shared prefetch limit is no longer reached."""
        self._suspended.discard(channel)
        self.unblock(channel)

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer, blocked or not; nothing happens if it is not here."""
        self._leave_circle(consumer)
        blocked = self._blocked.get(consumer.channel, [])
        if consumer in blocked:
            blocked.remove(consumer)

    def _leave_circle(self, consumer: Consumer) -> None:
        level = self._levels.get(consumer.priority)
        if level is not None and consumer in level:
            level.remove(consumer)

    def remove_channel(self, channel: ConsumingChannel) -> None:
        """Forget a channel, whose consumers are removed already."""
        self._blocked.pop(channel, None)
        self._suspended.discard(channel)

    def clear(self) -> None:
        """Remove all consumers."""
        self._levels.clear()
        self._blocked.clear()
        self._suspended.clear()
