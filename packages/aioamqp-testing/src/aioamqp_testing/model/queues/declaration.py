"""The declaration of a queue: its properties and arguments as one value."""

from typing import NamedTuple

from amqp_codec import FieldTable, ReplyCode

from ..erlang.arguments import compare_property
from ..errors import BrokerError
from ..profile import Arguments
from . import arguments as queue_arguments


class QueueDeclaration(NamedTuple):
    """What queue.declare asks for, as the broker stores it.

    Attributes:
        vhost_name: the name of the virtual host.
        name: the name of the queue, unique in its virtual host.
        durable: whether the queue survives a restart of the broker; an exclusive queue never does.
        auto_delete: whether the queue is deleted when its last consumer is removed.
        owner: the connection that an exclusive queue belongs to, else None.
        arguments: optional arguments, such as ``x-message-ttl``.
        table: names the arguments that the version of RabbitMQ knows.
    """

    vhost_name: str
    name: str
    durable: bool
    auto_delete: bool
    owner: object
    arguments: FieldTable
    table: Arguments = Arguments.MIRRORED

    @property
    def described(self) -> str:
        """The queue as RabbitMQ's texts name it."""
        return f"queue '{self.name}' in vhost '{self.vhost_name}'"

    @property
    def queue_type(self) -> str:
        """The type that ``x-queue-type`` asks for."""
        return queue_arguments.queue_type(self.arguments)

    def check_access(self, connection: object) -> None:
        """Refuse an exclusive queue to every connection but its owner.

        Raises:
            BrokerError: 405.
        """
        if self.owner is not None and self.owner is not connection:
            raise self._locked()

    def check_equivalence(self, received: "QueueDeclaration") -> None:
        """Refuse to declare the queue again with other properties, in RabbitMQ's order.

        Raises:
            BrokerError: 405 or 406.
        """
        if self.owner is not received.owner:
            raise self._locked()
        compare_property("durable", received.durable, self.durable, self.described)
        compare_property("auto_delete", received.auto_delete, self.auto_delete, self.described)
        queue_arguments.compare_queue(
            received.arguments, self.arguments, self.described, self.table
        )

    def _locked(self) -> BrokerError:
        return BrokerError(
            ReplyCode.RESOURCE_LOCKED,
            f"cannot obtain exclusive access to locked {self.described}. It could be originally"
            " declared on another connection or the exclusive property value does not match that"
            " of the original declaration.",
        )
