"""A stream over AMQP 0-9-1: a log that consumers read from where they like, and that keeps all."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from amqp_codec import FieldTable, FieldValue, Int64, ReplyCode, Timestamp, field_type

from ..errors import BrokerError
from ..messages.headers import edited, with_header
from ..messages.history import Happened
from ..messages.message import Message, QueuedMessage
from .arguments import age
from .consumer import Consumer, ConsumingChannel
from .replicated import Replicated

if TYPE_CHECKING:
    from ..vhost import VirtualHost


class Stream(Replicated):
    """A queue that is read and not used up; acknowledging only lets a consumer have more."""

    TYPE = "stream"
    takes_dead_letters = False  # RabbitMQ 3.10 drops them without a word

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
        self._log: list[Message] = []
        self._dates: list[float] = []
        self._offsets: dict[Consumer, int] = {}
        self._unacked: dict[ConsumingChannel, int] = {}

    # ----------------------------------------------------------------------------- looking at it

    @property
    def message_count(self) -> int:
        """All that was ever published."""
        return len(self._log)

    @property
    def unacked_count(self) -> int:
        """Messages that were delivered and are not acknowledged yet."""
        return sum(self._unacked.values())

    @property
    def messages(self) -> list[Message]:
        """All that was ever published, the oldest first."""
        return list(self._log)

    def counts(self) -> tuple[int, int]:
        """Return what declare-ok says. RabbitMQ: there are never consumers."""
        return len(self._log), 0

    # ----------------------------------------------------------------------------- rules of use

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Let it be deleted. RabbitMQ: it does not look whether it is used or empty."""

    def check_refusable(self) -> None:
        """Refuse to have anything back.

        Raises:
            BrokerError: 540.
        """
        raise self._unsupported("basic.nack and basic.reject")

    def _unsupported(self, what: str) -> BrokerError:
        text = f"{what} not supported by stream queues {self.described}"
        return BrokerError(ReplyCode.NOT_IMPLEMENTED, text)

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message) -> bool:
        """Write a message behind the others; it is never refused.

        Raises:
            BrokerError: 541, a header is a decimal.
        """
        self._log.append(_storable(message))
        self._dates.append(self._vhost.clock.now())
        for consumer in self._consumers:
            self._read(consumer)
        return True

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Refuse: a stream is for consumers.

        Raises:
            BrokerError: 540.
        """
        del channel, no_ack
        raise self._unsupported("basic.get")

    def purge(self) -> int:
        """Refuse: a stream keeps what it has.

        Raises:
            BrokerError: 540.
        """
        raise self._unsupported("queue.purge")

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Let the consumers of a channel have as many more. They are known by their messages."""
        for queued in messages:
            assert isinstance(queued, _ReadMessage)
            queued.message.events.append((Happened.ACKED, self.name, ""))
            if channel in self._unacked:
                self._unacked[channel] -= 1
            if queued.reader.room is not None:
                queued.reader.room += 1
            self._read(queued.reader)

    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Refuse: see ``check_refusable``.

        Raises:
            BrokerError: 540.
        """
        del channel, messages
        self.check_refusable()

    requeue = reject

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer read from its x-stream-offset on.

        Raises:
            BrokerError: 406, it has no prefetch count; 540, it does not acknowledge, or its channel
                has a shared prefetch.
        """
        if not consumer.prefetch_count:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"consumer prefetch count is not set for '{self.described}'",
            )
        if consumer.no_ack:
            raise self._unsupported("automatic acknowledgement")
        self.check_prefetch(consumer)
        self._consumers[consumer] = None
        self._offsets[consumer] = self._start(consumer.arguments.get("x-stream-offset", "next"))
        self._unacked.setdefault(consumer.channel, 0)
        self._vhost.later(lambda: self._read(consumer))

    def _start(self, offset: FieldValue) -> int:
        """Return the first offset that a consumer wants."""
        if isinstance(offset, bytes | bytearray):
            offset = offset.decode()
        if offset == "first":
            return 0
        if offset == "last":
            return max(0, len(self._log) - 1)
        if isinstance(offset, datetime):
            return self._since(offset.timestamp())
        if isinstance(offset, Timestamp):
            return self._since(int(offset))
        if isinstance(offset, str) and offset != "next":
            return self._since(self._vhost.clock.now() - (age(offset) or 0))
        return max(0, offset) if isinstance(offset, int) else len(self._log)

    def _since(self, date: float) -> int:
        return bisect_left(self._dates, date)

    def _read(self, consumer: Consumer) -> None:
        """Deliver while there is something to read and the consumer has room."""
        while consumer in self._consumers and self._offsets[consumer] < len(self._log):
            if consumer.is_full:
                return
            offset = self._offsets[consumer]
            self._offsets[consumer] += 1
            message = self._log[offset]
            properties = with_header(message.properties, "x-stream-offset", Int64(offset))
            self._unacked[consumer.channel] += 1
            if consumer.room is not None:
                consumer.room -= 1
            message.events.append((Happened.DELIVERED, self.name, consumer.name))
            consumer.channel.deliver(
                consumer, _ReadMessage(offset, replace(message, properties=properties), consumer)
            )

    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Let a consumer have that many more messages; return how many it gets at once."""
        consumer.room = (consumer.room or 0) + count
        self._vhost.later(lambda: self._read(consumer))
        return min(consumer.room, len(self._log) - self._offsets[consumer])

    def resume(self, channel: ConsumingChannel) -> None:
        """Do nothing: there is no shared prefetch here."""

    def forget(self, channel: ConsumingChannel) -> None:
        """End all that a channel has to do with the stream."""
        self._unacked.pop(channel, None)
        mine = [consumer for consumer in self._consumers if consumer.channel is channel]
        self._drop_consumers(mine)

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        for consumer in consumers:
            del self._offsets[consumer]

    def _drop_all(self) -> int:
        self._log.clear()
        self._dates.clear()
        self._offsets.clear()
        self._unacked.clear()
        return 0  # RabbitMQ does not say how many there were


def _storable(message: Message) -> Message:
    """Return a message as it comes out again. RabbitMQ stores it in the form of AMQP 1.0."""
    properties = message.properties
    headers = properties.headers or {}
    if any(field_type(value) == "D" for value in headers.values()):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ does not know what to make of it
    kept = {name: value for name, value in headers.items() if field_type(value) not in "AF"}
    if len(kept) == len(headers) and properties.cluster_id is None:
        return message
    return replace(message, properties=edited(properties, headers=kept, cluster_id=None))


class _ReadMessage(QueuedMessage):
    """A message that was read.

    Attributes:
        reader: by which consumer.
    """

    __slots__ = ("reader",)

    def __init__(self, offset: int, message: Message, reader: Consumer) -> None:
        super().__init__(offset, message)
        self.reader = reader
