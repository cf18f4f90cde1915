"""What queues of all types have in common: their declaration, settings, consumers and deletion.

Queue
├── MessageQueue    delivers each message to one consumer
│   ├── ClassicQueue
│   └── QuorumQueue
└── Stream          a log that every consumer reads for itself
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from amqp_codec import FieldValue, ReplyCode

from ..agenda import Agenda
from ..errors import BrokerError
from ..messages.message import Message, QueuedMessage
from ..profile import Profile
from .arguments import Settings
from .consumer import Consumer, ConsumingChannel
from .dead_letter import Reason
from .dead_letter_worker import DeadLetter
from .declaration import QueueDeclaration
from .expiry import Checks, Lease


@dataclass(frozen=True, slots=True)
class QueueHost:
    """What a queue needs from its virtual host.

    Attributes:
        agenda: the clock, timers, and deferred work.
        profile: the version of RabbitMQ.
        on_delete: deletes a queue that has expired, or whose last consumer was removed.
        dead_letter: publishes a message of a queue to the queue's dead-letter exchange.
        publish_dead_letter: the same for a queue that keeps it until all its queues have it;
            returns whether they have.
    """

    agenda: Agenda
    profile: Profile
    on_delete: Callable[["Queue"], object]
    dead_letter: Callable[["Queue", Message, Reason], object]
    publish_dead_letter: Callable[["Queue", DeadLetter], bool]


class Queue(ABC):
    """A queue of one virtual host.

    Attributes:
        declaration: the properties and arguments that the queue was declared with.
        name: the name of the queue.
        durable: whether the queue survives a restart; an exclusive queue never does.
        auto_delete: whether the queue is deleted when its last consumer is removed.
        owner: the connection that an exclusive queue belongs to, else None.
        arguments: the optional arguments.
        settings: the arguments and the policy that are in force, merged.
        profile: the version of RabbitMQ.
        is_deleted: whether the queue is deleted; acknowledgements are still accepted then.
    """

    TYPE: ClassVar[str]
    RANK: ClassVar = 0
    """Queues of a lower rank receive a message before others."""
    requeues_on_channel_error: ClassVar[bool] = True
    """Whether a channel's messages are requeued when the channel fails, and not at close-ok."""
    shares_prefetch: ClassVar[bool] = True
    """Whether the shared prefetch limit of a channel applies to its consumers here."""

    def __init__(self, declaration: QueueDeclaration, host: QueueHost) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.durable = declaration.durable
        self.auto_delete = declaration.auto_delete
        self.owner = declaration.owner
        self.arguments = declaration.arguments
        self.settings = Settings.of(self.arguments, {}, host.profile.arguments)
        self.is_deleted = False
        self._host = host
        self._agenda = host.agenda
        self.profile = host.profile
        self._consumers: dict[Consumer, None] = {}
        self._lease = Lease(
            host.agenda,
            is_in_use=lambda: bool(self._consumers),
            on_expired=lambda: host.on_delete(self),
            checks=self._expiry_checks,
        )
        self._lease.set(self.settings.expires)

    @property
    def _expiry_checks(self) -> Checks | None:
        """When x-expires is checked; None is the exact time."""
        return None

    # ----------------------------------------------------------------------------- state

    @property
    def described(self) -> str:
        """The queue as RabbitMQ's texts name it."""
        return self.declaration.described

    @property
    @abstractmethod
    def message_count(self) -> int:
        """The number of ready messages; messages that a consumer holds do not count."""

    @property
    @abstractmethod
    def unacked_count(self) -> int:
        """The number of messages that are delivered and not acknowledged."""

    @property
    def unacked(self) -> dict[str, list[Message]]:
        """The unacknowledged messages by consumer or channel; empty for a stream."""
        return {}

    @property
    @abstractmethod
    def messages(self) -> list[Message]:
        """The ready messages, the next one first."""

    @property
    def consumers(self) -> list[Consumer]:
        """The consumers, the oldest first."""
        return list(self._consumers)

    @property
    def consumer_count(self) -> int:
        """The number of consumers, including those without credit."""
        return len(self._consumers)

    def counts(self) -> tuple[int, int]:
        """Return the message count and the consumer count of queue.declare-ok."""
        return self.message_count, self.consumer_count

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}"
            f"({self.name!r}, {self.message_count} ready, {self.unacked_count} unacked)"
        )

    @property
    def accepts_dead_letters(self) -> bool:
        """Whether dead letters can be routed to it."""
        return True

    # ------------------------------------------------------------------------------ deleting

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse to delete a queue that has consumers or ready messages.

        Raises:
            BrokerError: 406, or 540 if the type of the queue does not support the flags.
        """
        if if_empty and self.message_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{self.described} not empty")
        if if_unused and self.consumer_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{self.described} in use")

    def on_redeclared(self) -> None:
        """Postpone the expiry, because the queue is declared again, passively or not."""
        self._lease.renew()

    def apply_policy(self, policy: Mapping[str, FieldValue]) -> None:
        """Apply a policy, also to the messages that the queue already has.

        Args:
            policy: the definition, with keys such as ``max-length``; empty without a policy.
        """
        expires = self.settings.expires
        self.settings = Settings.of(self.arguments, policy, self.profile.arguments)
        if self.settings.expires != expires:
            self._lease.set(self.settings.expires)

    # ----------------------------------------------------------------------------- messages

    @abstractmethod
    def publish(self, message: Message) -> bool:
        """Add a message, and return whether it was accepted; a publisher gets a nack if not."""

    def accept_dead_letter(self, message: Message) -> None:
        """Add a message that another queue has dead-lettered."""
        self.publish(message)

    @abstractmethod
    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Remove the next message for basic.get, and return it, or None if the queue is empty.

        Raises:
            BrokerError: the queue does not support basic.get.
        """

    def restart(self) -> None:
        """Drop what does not survive a restart. RabbitMQ: it renews the expiry."""
        self._lease.renew()

    @abstractmethod
    def purge(self) -> int:
        """Drop all ready messages, and return their number; unacknowledged messages stay."""

    @abstractmethod
    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop messages that a channel has acknowledged, and deliver the next ones."""

    @abstractmethod
    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop or dead-letter messages that a channel has returned with basic.nack."""

    @abstractmethod
    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has rejected."""

    def reject_failed(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Drop or dead-letter messages that a channel has rejected with basic.reject."""
        self.reject(channel, messages)

    def requeue_failed(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Requeue messages that a channel has rejected with basic.reject."""
        self.requeue(channel, messages)

    @abstractmethod
    def check_can_reject(self) -> None:
        """Refuse basic.nack and basic.reject if the queue does not support them.

        Raises:
            BrokerError: 540.
        """

    # ----------------------------------------------------------------------------- consumers

    @abstractmethod
    def add_consumer(self, consumer: Consumer) -> None:
        """Start deliveries to a consumer.

        Raises:
            BrokerError: the queue refuses the consumer.
        """

    @abstractmethod
    def resume(self, channel: ConsumingChannel) -> None:
        """Resume deliveries to a channel whose shared prefetch limit was reached."""

    @abstractmethod
    def remove_channel(self, channel: ConsumingChannel) -> None:
        """Remove the consumers of a channel, and requeue its unacknowledged messages."""

    @abstractmethod
    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Apply basic.credit, and return the number of ready messages.

        Args:
            consumer: a consumer of the queue.
            count: the number of messages that it may be sent.
        """

    def remove_consumer(self, consumer: Consumer) -> None:
        """Cancel a consumer; its channel keeps the unacknowledged messages."""
        if consumer in self._consumers:
            self._drop_consumers([consumer])
            self._on_consumers_removed()

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            del self._consumers[consumer]

    def _successor(self, consumer: Consumer) -> Consumer | None:
        """Return the consumer that has the tag of a consumer now, which is usually the same.

        RabbitMQ: credit is counted by consumer tag. So a consumer gets it also for deliveries to
        an earlier consumer with its tag on its channel.
        """
        if consumer in self._consumers:
            return consumer
        channel, tag = consumer.channel, consumer.tag
        return next((c for c in self._consumers if c.channel is channel and c.tag == tag), None)

    def _on_consumers_removed(self) -> None:
        if self._consumers:
            return
        if self.auto_delete:
            self._host.on_delete(self)
        else:
            self._lease.renew()

    # ----------------------------------------------------------------------------- deletion

    def close(self) -> int:
        """Cancel all consumers and drop all messages; return how many were ready."""
        self.is_deleted = True
        self._lease.cancel()
        consumers: dict[ConsumingChannel, list[Consumer]] = {}
        # RabbitMQ: the consumers of a channel are cancelled in the order of their tags
        for consumer in sorted(self._consumers, key=lambda consumer: consumer.tag):
            consumers.setdefault(consumer.channel, []).append(consumer)
        for channel, cancelled in consumers.items():
            self._agenda.call_soon(partial(channel.cancel_consumers, cancelled))
        self._consumers.clear()
        return self._drop_all()

    @abstractmethod
    def _drop_all(self) -> int:
        """Drop all messages, and return how many were ready."""


def in_delivery_order(queues: list[Queue], profile: Profile) -> list[Queue]:
    """Return the queues of a message, sorted by name, in the order in which they receive it.

    RabbitMQ: it sends a message to classic queues, quorum queues and streams, in this order. They
    then deliver it all at once, so consumers may see another order now and then.
    """
    if len(queues) < 2:
        return queues
    classic = [queue for queue in queues if not queue.RANK]
    if profile.reverses_classic_queues:
        classic.reverse()
    others = [queue for queue in queues if queue.RANK]
    return classic + sorted(others, key=lambda queue: queue.RANK)
