"""Exchanges and the bindings that lead from them to queues and to other exchanges."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from amqp_codec import FieldTable

from ..erlang import arguments as declared
from ..erlang import terms as values
from ..messages.message import Message
from ..queues.queue import Queue

Destination: TypeAlias = "Queue | Exchange"
_Identity: TypeAlias = tuple[type, str, str, Hashable]


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A way from an exchange to a queue or another exchange."""

    source: "Exchange"
    destination: Destination
    routing_key: str
    arguments: FieldTable


class Exchange:
    """An exchange of one virtual host; each type is a subclass that says how it routes.

    Attributes:
        TYPE: what exchange.declare calls it, such as direct.
        name: unique in its virtual host.
        durable: as declared.
        auto_delete: whether it goes with the last binding that leads away from it.
        internal: whether only other exchanges may publish to it.
        arguments: as declared.
        bindings: those that lead here from other exchanges.
    """

    TYPE: ClassVar[str] = ""

    def __init__(
        self,
        vhost_name: str,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: FieldTable | None = None,
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments: FieldTable = arguments or {}
        self.bindings: dict[Binding, None] = {}
        self._vhost_name = vhost_name
        self._outgoing: dict[_Identity, Binding] = {}
        self._by_key: dict[str, dict[Binding, None]] = {}

    @property
    def described(self) -> str:
        """The exchange as RabbitMQ's texts name it."""
        return f"exchange '{self.name}' in vhost '{self._vhost_name}'"

    @property
    def outgoing(self) -> list[Binding]:
        """The bindings that lead away from here, in the order they were made."""
        return list(self._outgoing.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def route(self, message: Message) -> list[Destination]:
        """Return where a message goes from here; a destination may come more than once."""
        raise NotImplementedError

    def find(self, destination: Destination, key: str, arguments: FieldTable) -> Binding | None:
        """Return the binding to a destination with this key and these arguments."""
        return self._outgoing.get(_identity(destination, key, arguments))

    def bind(self, destination: Destination, key: str, arguments: FieldTable) -> None:
        """Add a binding, unless there is the same one."""
        identity = _identity(destination, key, arguments)
        if identity not in self._outgoing:
            binding = self._outgoing[identity] = Binding(self, destination, key, arguments)
            destination.bindings[binding] = None
            self._by_key.setdefault(key, {})[binding] = None

    def unbind(self, binding: Binding) -> None:
        """Remove one of its bindings."""
        identity = _identity(binding.destination, binding.routing_key, binding.arguments)
        del self._outgoing[identity]
        del binding.destination.bindings[binding]
        with_key = self._by_key[binding.routing_key]
        del with_key[binding]
        if not with_key:
            del self._by_key[binding.routing_key]

    def check_binding(self, arguments: FieldTable) -> None:
        """Refuse arguments of a binding that the type cannot do anything with.

        Raises:
            BrokerError: 406.
        """

    def check_equivalence(
        self,
        *,
        exchange_type: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: FieldTable,
    ) -> None:
        """Refuse to declare it again with other properties, in RabbitMQ's order.

        Raises:
            BrokerError: 406.
        """
        for name, received, current in (
            ("type", exchange_type, self.TYPE),
            ("durable", durable, self.durable),
            ("auto_delete", auto_delete, self.auto_delete),
            ("internal", internal, self.internal),
        ):
            declared.compare_property(name, received, current, self.described)
        declared.compare("alternate-exchange", arguments, self.arguments, self.described)


def _identity(destination: Destination, key: str, arguments: FieldTable) -> _Identity:
    kind = Queue if isinstance(destination, Queue) else Exchange
    in_order = dict(sorted(arguments.items()))  # RabbitMQ: it does not sort tables within
    return (kind, destination.name, key, values.identity(in_order))
