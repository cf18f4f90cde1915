"""Streams over AMQP 0-9-1: a log that keeps all messages, and that consumers read at an offset."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from amqp_codec import FieldTable, FieldValue, Int64, ReplyCode, Timestamp, field_type

from ..erlang.terms import decode_long_strings
from ..errors import BrokerError
from ..messages.events import EventType
from ..messages.headers import edited, with_header
from ..messages.message import Message, QueuedMessage
from .arguments import age
from .consumer import Consumer, ConsumingChannel
from .declaration import QueueDeclaration
from .queue import QueueHost
from .replicated import Replicated

_FILTER_VALUE: Final = "x-stream-filter-value"


class Stream(Replicated):
    """A queue that keeps its messages; an acknowledgement only gives a consumer credit."""

    TYPE = "stream"
    RANK = 2

    def __init__(self, declaration: QueueDeclaration, host: QueueHost) -> None:
        super().__init__(declaration, host)
        self._log: list[Message] = []
        self._dates: list[float] = []
        self._offsets: dict[Consumer, int] = {}
        self._unacked: dict[ConsumingChannel, int] = {}

    # ----------------------------------------------------------------------------- state

    @property
    def message_count(self) -> int:
        """The number of all messages that were published."""
        return len(self._log)

    @property
    def unacked_count(self) -> int:
        """The number of messages that are delivered and not acknowledged."""
        return sum(self._unacked.values())

    @property
    def messages(self) -> list[Message]:
        """All messages that were published, the oldest first."""
        return list(self._log)

    def counts(self) -> tuple[int, int]:
        """Return the counts of queue.declare-ok. RabbitMQ: there are never consumers."""
        return len(self._log), 0

    @property
    def accepts_dead_letters(self) -> bool:
        """Whether dead letters can be routed to it. RabbitMQ 3.10: it drops them silently."""
        return self.profile.dead_letters_reach_streams

    # ----------------------------------------------------------------------------- refusing

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Allow every deletion. RabbitMQ: it ignores the flags."""

    def check_can_reject(self) -> None:
        """Refuse basic.nack and basic.reject.

        Raises:
            BrokerError: 540.
        """
        if not self.profile.streams_settle:
            raise self._unsupported("basic.nack and basic.reject")

    def _unsupported(self, what: str, noun: str = "stream queues queue") -> BrokerError:
        text = f"{what} not supported by {noun} {self._name_in_vhost}"
        return BrokerError(ReplyCode.NOT_IMPLEMENTED, text)

    @property
    def _name_in_vhost(self) -> str:
        return self.described.removeprefix("queue ")

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message) -> bool:
        """Append a message to the log; it is always accepted.

        Raises:
            BrokerError: 541, a header is a decimal, or the filter value is no text.
        """
        if self.profile.filters_streams:
            _check_filter_value(message)
        stored = _storable(message)
        properties = stored.properties
        if self.profile.streams_set_delivery_mode and properties.delivery_mode is None:
            stored = replace(stored, properties=edited(properties, delivery_mode=1))
        self._log.append(stored)
        self._dates.append(self._agenda.clock.now())
        for consumer in self._consumers:
            self._read(consumer)
        return True

    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Refuse basic.get.

        Raises:
            BrokerError: 540.
        """
        del channel, no_ack
        raise self._unsupported("basic.get")

    def purge(self) -> int:
        """Refuse queue.purge.

        Raises:
            BrokerError: 540.
        """
        raise self._unsupported("queue.purge")

    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Increase the credit of the consumers, and deliver the next messages."""
        for queued in messages:
            assert isinstance(queued, _ReadMessage)
            queued.message.events.append((EventType.ACKED, self.name, ""))
            if channel in self._unacked:
                self._unacked[channel] -= 1
            consumer = self._successor(queued.consumer)
            if consumer is not None:
                if consumer.credit is not None:
                    consumer.credit += 1
                self._read(consumer)

    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Refuse basic.nack and basic.reject.

        Raises:
            BrokerError: 540.
        """
        self.check_can_reject()
        self.acknowledge(channel, messages)

    requeue = reject

    # ----------------------------------------------------------------------------- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        """Start deliveries to a consumer at its ``x-stream-offset``.

        Raises:
            BrokerError: 406, the consumer has no prefetch count; 540, it does not acknowledge, or
                its channel has a shared prefetch limit.
        """
        if not consumer.prefetch_count:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                "consumer prefetch count is not set for"
                f" {self.profile.prefetch_noun.format(self._name_in_vhost)}",
            )
        if consumer.no_ack:
            raise self._unsupported("automatic acknowledgement", self.profile.stream_noun)
        self.check_prefetch(consumer)
        if self.profile.filters_streams:
            _filter_of(consumer.arguments)
        self._consumers[consumer] = None
        self._offsets[consumer] = self._resolve(consumer.arguments.get("x-stream-offset", "next"))
        self._unacked.setdefault(consumer.channel, 0)
        self._agenda.call_soon(lambda: self._read(consumer))

    def _resolve(self, offset: FieldValue) -> int:
        """Return the offset as a number."""
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
            return self._since(self._agenda.clock.now() - (age(offset) or 0))
        return max(0, offset) if isinstance(offset, int) else len(self._log)

    def _since(self, date: float) -> int:
        return bisect_left(self._dates, date)

    def _read(self, consumer: Consumer) -> None:
        """Deliver while there are messages to read and the consumer has credit."""
        while consumer in self._consumers and self._offsets[consumer] < len(self._log):
            if consumer.credit == 0:
                return
            offset = self._offsets[consumer]
            self._offsets[consumer] += 1
            message = self._log[offset]
            if self.profile.filters_streams and not _passes(message, consumer.arguments):
                continue
            properties = with_header(message.properties, "x-stream-offset", Int64(offset))
            self._unacked[consumer.channel] += 1
            if consumer.credit is not None:
                consumer.credit -= 1
            message.events.append(consumer.delivered_event)
            consumer.channel.deliver(
                consumer, _ReadMessage(offset, replace(message, properties=properties), consumer)
            )

    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Add credit to what the consumer has, and return how many messages it is sent at once."""
        consumer.credit = (consumer.credit or 0) + count
        self._agenda.call_soon(lambda: self._read(consumer))
        return min(consumer.credit, len(self._log) - self._offsets[consumer])

    def resume(self, channel: ConsumingChannel) -> None:
        """Ignore it, because a stream has no consumers with a shared prefetch limit."""

    def remove_channel(self, channel: ConsumingChannel) -> None:
        """Remove the consumers of a channel."""
        self._unacked.pop(channel, None)
        self._drop_consumers([each for each in self._consumers if each.channel is channel])

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        super()._drop_consumers(consumers)
        for consumer in consumers:
            del self._offsets[consumer]

    def _drop_all(self) -> int:
        self._log.clear()
        self._dates.clear()
        self._offsets.clear()
        self._unacked.clear()
        return 0  # RabbitMQ: the reply to queue.delete does not count messages


def _passes(message: Message, arguments: FieldTable) -> bool:
    """Return whether a message passes the filter of a consumer, ``x-stream-filter``.

    RabbitMQ: an empty value is none. It filters whole chunks by a Bloom filter, so a consumer may
    receive other messages, too.
    """
    wanted = _filter_of(arguments)
    if wanted is None:
        return True
    headers = decode_long_strings(message.properties.headers or {})
    value = headers.get(_FILTER_VALUE, "")
    is_unfiltered = not value and arguments.get("x-stream-match-unfiltered") is True
    return is_unfiltered or value in wanted


def _filter_of(arguments: FieldTable) -> list[str] | None:
    """Return the values of ``x-stream-filter``, or None if there is no filter.

    Raises:
        BrokerError: 541, there is no text among several values.
    """
    argument = decode_long_strings(arguments).get("x-stream-filter")
    if isinstance(argument, str):
        return [argument]
    if not isinstance(argument, list):
        return None
    values = [each for each in argument if isinstance(each, str)]
    if not values:
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: the channel crashes
    return values


def _check_filter_value(message: Message) -> None:
    """Refuse a filter value that is no text: RabbitMQ's channel crashes over it."""
    value = decode_long_strings(message.properties.headers or {}).get(_FILTER_VALUE, "")
    if not isinstance(value, str):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)


def _storable(message: Message) -> Message:
    """Return a message as consumers get it. RabbitMQ: it converts messages to AMQP 1.0."""
    properties = message.properties
    headers = properties.headers or {}
    if any(field_type(value) == "D" for value in headers.values()):
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: the conversion fails
    kept = {name: value for name, value in headers.items() if field_type(value) not in "AF"}
    if len(kept) == len(headers) and properties.cluster_id is None:
        return message
    return replace(message, properties=edited(properties, headers=kept, cluster_id=None))


class _ReadMessage(QueuedMessage):
    """A message that was delivered from a stream.

    Attributes:
        consumer: the consumer that has read it.
    """

    __slots__ = ("consumer",)

    def __init__(self, offset: int, message: Message, consumer: Consumer) -> None:
        super().__init__(offset, message)
        self.consumer = consumer
