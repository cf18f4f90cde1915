"""A quorum queue, as its clients see it: counted deliveries, and another place for what comes back.

That it lives on several nodes does not show over AMQP 0-9-1.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from amqp_codec import Int64, ReplyCode

from ..errors import BrokerError
from ..messages.headers import with_header
from ..messages.message import Message, QueuedMessage
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .message_queue import ChannelRecord, MessageQueue
from .replicated import Replicated

_RETURNED: Final = -1  # the level of messages that go before all others
_MOST_UNACKED: Final = 2000  # RabbitMQ: of a consumer without a prefetch count
_BELOW: Final = 0.8  # of a limit, when publishers are let in again


@dataclass(slots=True, eq=False)
class _CountedMessage(QueuedMessage):
    """A message in a quorum queue.

    Attributes:
        published: the message without the count, which ``message`` has among its headers.
        returns: how often it came back.
        consumer: who was the last to have it; None after basic.get.
    """

    published: Message | None = None
    returns: int = 0
    consumer: Consumer | None = None


class QuorumQueue(Replicated, MessageQueue):
    """A replicated queue."""

    TYPE = "quorum"
    _TICK = 5.0

    _is_full = False

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse to look whether it is used or empty.

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

    def note_declaration(self) -> None:
        """Do nothing. RabbitMQ: only basic.get and consumers put the expiry of this type off."""

    def counts(self) -> tuple[int, int]:
        """Return what declare-ok says of messages and consumers.

        RabbitMQ: whoever has a message counts, each basic.get and consumers that are cancelled too;
        those that wait for a single active consumer to go do not.
        """
        gone: set[Consumer] = set()
        gets = 0
        for holder in self._records.values():
            for _, consumer in holder.unacked.values():
                if consumer is None:
                    gets += 1
                elif consumer not in self._consumers:
                    gone.add(consumer)
        consumers = len(self._consumers)
        if self._has_single_active:
            consumers = min(1, consumers)
        return self.message_count, consumers + len(gone) + gets

    # ----------------------------------------------------------------------------- messages

    def bury(self, message: Message) -> None:
        """Take in what another queue has given up. RabbitMQ: only publishers are refused."""
        self._take(message)

    def _new(self, message: Message) -> QueuedMessage:
        return _CountedMessage(
            next(self._positions), message, expires_at=self._expiry_of(message), published=message
        )

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Hand out the next message to basic.get, or None when there is none.

        Raises:
            BrokerError: 405, it has a single active consumer.
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
                # RabbitMQ counts from the first time on here, but not for consumers
                queued.message = _counted(queued)
        return queued

    def _deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        assert isinstance(queued, _CountedMessage)
        queued.consumer = consumer
        super()._deliver(consumer, queued)
        if consumer.is_full:
            # RabbitMQ: here it leaves the circle at once, and not when its turn comes
            self._round_robin.remove(consumer)
            self._records[consumer.channel].waiting.append(consumer)

    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Put messages back: to the head where deliveries are limited, else to the tail.

        RabbitMQ: each basic.get counts as a consumer of its own, whose messages come back alone.
        """
        level = 0 if self.settings.delivery_limit is None else _RETURNED
        of_consumers: list[QueuedMessage] = []
        for queued in self._release(channel, messages):
            assert isinstance(queued, _CountedMessage)
            if queued.consumer is None:
                self._return([queued], level)
            else:
                of_consumers.append(queued)
        self._return(of_consumers, level)

    def _held(self, holder: ChannelRecord) -> list[QueuedMessage]:
        """Return what a channel had. RabbitMQ: by consumer, in the order of their tags."""
        held = sorted(holder.unacked.values(), key=lambda item: item[1].tag if item[1] else "")
        return [queued for queued, _ in held]

    def _put_back(self, messages: Iterable[QueuedMessage]) -> None:
        self._return(messages, _RETURNED)

    def _return(self, messages: Iterable[QueuedMessage], level: int) -> None:
        """Take messages back. RabbitMQ delivers before it looks at the limits of the queue."""
        if self.is_deleted:
            return
        limit = self.settings.delivery_limit
        for queued in messages:
            assert isinstance(queued, _CountedMessage)
            queued.returns += 1
            if limit is not None and queued.returns > limit:
                self._give_up(queued, Reason.DELIVERY_LIMIT)
                if queued.consumer is not None and queued.consumer.room is not None:
                    queued.consumer.room += 1  # RabbitMQ 3.10 gives it room twice
                continue
            queued.level, queued.position = level, next(self._positions)
            queued.message = _counted(queued)
            queued.redelivered = True
            self._ready.push(queued)
        self._deliver_ready()
        self._drop_over_limit()

    def _give_up(self, queued: QueuedMessage, reason: Reason) -> None:
        assert isinstance(queued, _CountedMessage)
        self._dead_letter(queued.published or queued.message, reason)

    def _is_refused(self, message: Message) -> bool:
        """Tell whether publishers have to wait.

        RabbitMQ: it stops them when it is beyond a limit, and lets them in again well below it.
        """
        del message
        if self._is_below(self.settings.max_length, len(self._ready)) and self._is_below(
            self.settings.max_length_bytes, self._ready.octets
        ):
            self._is_full = False
        return self._is_full and self.settings.overflow == "reject-publish"

    @staticmethod
    def _is_below(limit: int | None, value: int) -> bool:
        return limit is None or value <= int(limit * _BELOW)

    def _drop_over_limit(self) -> None:
        # RabbitMQ: a quorum queue takes reject-publish-dlx for drop-head
        if self.settings.overflow == "reject-publish":
            if self._is_over(len(self._ready), self._ready.octets):
                self._is_full = True
            return
        dropped: list[QueuedMessage] = []
        while self._is_over(len(self._ready), self._ready.octets):
            dropped.append(self._ready.pop())
        for queued in reversed(dropped):  # as RabbitMQ does; it shows in the order of dead letters
            self._give_up(queued, Reason.MAXLEN)

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer have its turns; RabbitMQ lets several be exclusive here.

        Raises:
            BrokerError: 540, its channel has a shared prefetch.
        """
        self.check_prefetch(consumer)
        if consumer.room is None and not consumer.no_ack:
            consumer.room = _MOST_UNACKED
        super().add_consumer(consumer)

    def _next_active(self) -> Consumer:
        """Return the one that waits the longest. RabbitMQ: priorities do not count here."""
        return next(iter(self._consumers))


def _counted(queued: _CountedMessage) -> Message:
    """Return the message with the count of its returns among the headers."""
    published = queued.published or queued.message
    properties = with_header(published.properties, "x-delivery-count", Int64(queued.returns))
    return replace(published, properties=properties)
