"""What queues of all types have in common: their properties, their consumers, their end.

Queue
├── MessageQueue    hands each message to one consumer
│   ├── ClassicQueue
│   └── QuorumQueue
└── Stream          is read, by each consumer for itself
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from amqp_codec import FieldTable, FieldValue, ReplyCode

from ..erlang import arguments as declared
from ..errors import BrokerError
from ..messages.message import Message, QueuedMessage
from . import arguments as queue_arguments
from .consumer import Consumer, ConsumingChannel
from .expiry import Lease
from .settings import Settings

if TYPE_CHECKING:
    from ..exchanges.exchange import Binding
    from ..vhost import VirtualHost


class Queue(ABC):
    """A queue of one virtual host.

    Attributes:
        name: unique in its virtual host.
        durable: as declared; an exclusive queue never is.
        auto_delete: whether it goes when its last consumer goes.
        owner: the connection that an exclusive queue belongs to, else None.
        arguments: as declared.
        settings: what arguments and policy come to.
        bindings: those that lead here, in the order they were made.
        is_deleted: whether it is gone; acknowledgements for it are accepted all the same.
    """

    TYPE: ClassVar[str]
    takes_dead_letters: ClassVar[bool] = True
    hears_of_errors: ClassVar[bool] = True  # of channels, before the client has said close-ok
    _TICK: ClassVar[float | None] = None  # seconds between the looks at its expiry

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
        self.settings = Settings.of(self.arguments, {})
        self.bindings: dict[Binding, None] = {}
        self.is_deleted = False
        self._vhost = vhost
        self._consumers: dict[Consumer, None] = {}
        self._lease = Lease(
            vhost,
            lambda: bool(self._consumers),
            lambda: vhost.remove_queue(self),
            tick=self._TICK,
        )
        self._lease.set(self.settings.expires)

    # ----------------------------------------------------------------------------- looking at it

    @property
    def described(self) -> str:
        """The queue as RabbitMQ's texts name it."""
        return f"queue '{self.name}' in vhost '{self._vhost.name}'"

    @property
    @abstractmethod
    def message_count(self) -> int:
        """Messages that are ready for delivery; those with a consumer do not count."""

    @property
    @abstractmethod
    def unacked_count(self) -> int:
        """Messages that were delivered and are not acknowledged yet."""

    @property
    def unacked(self) -> dict[str, list[Message]]:
        """The messages that somebody has not acknowledged yet, by whom. A stream cannot tell."""
        return {}

    @property
    @abstractmethod
    def messages(self) -> list[Message]:
        """The messages that are ready, the next one first."""

    @property
    def consumers(self) -> list[Consumer]:
        """Its consumers, the oldest first."""
        return list(self._consumers)

    @property
    def consumer_count(self) -> int:
        """Consumers, those that have no room included."""
        return len(self._consumers)

    def counts(self) -> tuple[int, int]:
        """Return what declare-ok says of messages and consumers."""
        return self.message_count, self.consumer_count

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}"
            f"({self.name!r}, {self.message_count} ready, {self.unacked_count} unacked)"
        )

    # ----------------------------------------------------------------------------- rules of use

    @classmethod
    @abstractmethod
    def check_declaration(
        cls, described: str, *, durable: bool, exclusive: bool, auto_delete: bool
    ) -> None:
        """Refuse properties that queues of this type cannot have.

        Raises:
            BrokerError: 406.
        """

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
        queue_arguments.compare_queue(arguments, self.arguments, self.described)

    def check_deletion(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse to be deleted while there are consumers, or messages.

        Raises:
            BrokerError: 406, or 540 where the type of queue cannot tell.
        """
        if if_empty and self.message_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{self.described} not empty")
        if if_unused and self.consumer_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{self.described} in use")

    def _locked(self) -> BrokerError:
        return BrokerError(
            ReplyCode.RESOURCE_LOCKED,
            f"cannot obtain exclusive access to locked {self.described}. It could be originally"
            " declared on another connection or the exclusive property value does not match that"
            " of the original declaration.",
        )

    def renew(self) -> None:
        """Take notice that someone has use for it, which puts its expiry off."""
        self._lease.renew()

    def note_declaration(self) -> None:
        """Take notice that it is declared again, passively or not."""
        self.renew()

    def apply_policy(self, policy: Mapping[str, FieldValue]) -> None:
        """Go by a policy from now on, at once also for what is there.

        Args:
            policy: the definition, with keys such as ``max-length``; empty for none.
        """
        expires = self.settings.expires
        self.settings = Settings.of(self.arguments, policy)
        if self.settings.expires != expires:
            self._lease.set(self.settings.expires)

    # ----------------------------------------------------------------------------- messages

    @abstractmethod
    def publish(self, message: Message) -> bool:
        """Take a message in; return whether it did, or else it has to be nacked."""

    def bury(self, message: Message) -> None:
        """Take in what another queue has given up."""
        self.publish(message)

    @abstractmethod
    def get(self, channel: ConsumingChannel, *, no_ack: bool) -> QueuedMessage | None:
        """Hand out the next message to basic.get, or None when there is none.

        Raises:
            BrokerError: the queue is not for that.
        """

    def restart(self) -> None:
        """Keep only what outlives the broker. RabbitMQ: its expiry is put off."""
        self.renew()

    @abstractmethod
    def purge(self) -> int:
        """Drop all ready messages and return how many there were; unacknowledged ones stay."""

    @abstractmethod
    def acknowledge(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Forget messages that a channel has dealt with, and let its consumers have more."""

    @abstractmethod
    def reject(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Give up messages that a channel did not want."""

    @abstractmethod
    def requeue(self, channel: ConsumingChannel, messages: Iterable[QueuedMessage]) -> None:
        """Put messages back."""

    @abstractmethod
    def check_refusable(self) -> None:
        """Say whether its messages may be rejected or requeued.

        Raises:
            BrokerError: 540.
        """

    # ----------------------------------------------------------------------------- consumers

    @abstractmethod
    def add_consumer(self, consumer: Consumer) -> None:
        """Deliver to a consumer from now on.

        Raises:
            BrokerError: the queue does not take it.
        """

    @abstractmethod
    def resume(self, channel: ConsumingChannel) -> None:
        """Deliver to a channel again whose shared prefetch was reached."""

    @abstractmethod
    def forget(self, channel: ConsumingChannel) -> None:
        """End all that a channel has to do with the queue; what it held is ready again."""

    @abstractmethod
    def add_credit(self, consumer: Consumer, count: int) -> int:
        """Let a consumer have that many messages, as basic.credit says; return how many are ready.

        Args:
            consumer: one of the queue.
            count: how many messages.
        """

    def remove_consumer(self, consumer: Consumer) -> None:
        """End a subscription; what it has not acknowledged stays with its channel."""
        if consumer in self._consumers:
            self._drop_consumers([consumer])
            self._last_consumer_gone()

    def _drop_consumers(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            del self._consumers[consumer]

    def _last_consumer_gone(self) -> None:
        if self._consumers:
            return
        if self.auto_delete:
            self._vhost.remove_queue(self)
        else:
            self.renew()

    # ----------------------------------------------------------------------------- the end

    def close(self) -> int:
        """Be gone: tell the consumers so, and return how many messages were ready."""
        self.is_deleted = True
        self._lease.cancel()
        consumers: dict[ConsumingChannel, list[Consumer]] = {}
        # RabbitMQ tells the consumers of a channel in the order of their tags
        for consumer in sorted(self._consumers, key=lambda consumer: consumer.tag):
            consumers.setdefault(consumer.channel, []).append(consumer)
        for channel, mine in consumers.items():
            self._vhost.later(partial(channel.cancel_consumers, mine))
        self._consumers.clear()
        return self._drop_all()

    @abstractmethod
    def _drop_all(self) -> int:
        """Let go of everything, and return how many messages were ready."""
