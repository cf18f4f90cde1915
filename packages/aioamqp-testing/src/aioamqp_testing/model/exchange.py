"""Exchanges and the bindings that lead from them to queues and to other exchanges."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from amqp_codec import FieldTable, ReplyCode

from . import arguments as declared
from .errors import BrokerError, NotSupported
from .queue import Queue

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
        name: unique in its virtual host.
        type: such as direct.
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
        self.type = self.TYPE
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments: FieldTable = arguments or {}
        self.bindings: dict[Binding, None] = {}
        self._vhost_name = vhost_name
        self._outgoing: dict[_Identity, Binding] = {}

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

    def route(self, routing_key: str, headers: FieldTable | None) -> Iterable[Destination]:
        """Return where a message goes from here; a destination may come more than once.

        Args:
            routing_key: as published.
            headers: as published.
        """
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
            self._added(binding)

    def unbind(self, binding: Binding) -> None:
        """Remove one of its bindings."""
        identity = _identity(binding.destination, binding.routing_key, binding.arguments)
        del self._outgoing[identity]
        del binding.destination.bindings[binding]
        self._removed(binding)

    def _added(self, binding: Binding) -> None:
        """Take a new binding into whatever the type routes by."""

    def _removed(self, binding: Binding) -> None:
        """Take a binding out again."""

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
            ("type", exchange_type, self.type),
            ("durable", durable, self.durable),
            ("auto_delete", auto_delete, self.auto_delete),
            ("internal", internal, self.internal),
        ):
            declared.compare_property(name, received, current, self.described)
        declared.compare("alternate-exchange", arguments, self.arguments, self.described)


def _identity(destination: Destination, key: str, arguments: FieldTable) -> _Identity:
    kind = Queue if isinstance(destination, Queue) else Exchange
    return (kind, destination.name, key, declared.identity(arguments))


class DirectExchange(Exchange):
    """Routes to the bindings whose key is the message's."""

    TYPE = "direct"

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
        super().__init__(
            vhost_name,
            name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )
        self._by_key: dict[str, dict[Binding, None]] = {}

    def route(self, routing_key: str, headers: FieldTable | None) -> Iterable[Destination]:
        """Return the destinations of the bindings with this key."""
        del headers
        return [binding.destination for binding in self._by_key.get(routing_key, ())]

    def _added(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, {})[binding] = None

    def _removed(self, binding: Binding) -> None:
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]


class DefaultExchange(Exchange):
    """The nameless exchange, which every queue is bound to by its name."""

    TYPE = "direct"

    def __init__(self, vhost_name: str, queues: Mapping[str, Queue]) -> None:
        super().__init__(vhost_name, "", durable=True)
        self._queues = queues

    def route(self, routing_key: str, headers: FieldTable | None) -> Iterable[Destination]:
        """Return the queue with this name, if there is one."""
        del headers
        if routing_key.startswith("amq.rabbitmq.reply-to."):
            raise NotSupported("a reply to amq.rabbitmq.reply-to")
        queue = self._queues.get(routing_key)
        return () if queue is None else (queue,)


class UnsupportedExchange(Exchange):
    """A predeclared exchange of a type that this broker cannot route by yet.

    Nothing can be bound to it, so what is published to it is unroutable, as in RabbitMQ.
    """

    def __init__(self, vhost_name: str, name: str, exchange_type: str, *, internal: bool) -> None:
        super().__init__(vhost_name, name, durable=True, internal=internal)
        self.type = exchange_type

    def route(self, routing_key: str, headers: FieldTable | None) -> Iterable[Destination]:
        """Return nothing: there are no bindings."""
        del routing_key, headers
        return ()

    def bind(self, destination: Destination, key: str, arguments: FieldTable) -> None:
        """Refuse to bind.

        Raises:
            NotSupported: always.
        """
        del key, arguments
        raise NotSupported(f"binding {destination.described} to an exchange of type {self.type}")


TYPES: Final[Mapping[str, type[DirectExchange]]] = {"direct": DirectExchange}
"""The types that can be declared."""

_UNSUPPORTED: Final = ("fanout", "topic", "headers")

_ATOMS: Final = frozenset(
    ("true", "false", "ok", "error", "none", "undefined", "queue", "exchange", "binding", "message")
)
"""Some words that Erlang knows as atoms; RabbitMQ's text is another one for them."""

PREDECLARED: Final = (
    ("amq.fanout", "fanout"),
    ("amq.topic", "topic"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
)
"""Exchanges that every virtual host has, beside the default one and amq.direct."""


def check_type(exchange_type: str) -> None:
    """Refuse a type that RabbitMQ does not know.

    Raises:
        BrokerError: 503.
    """
    if exchange_type not in TYPES and exchange_type not in _UNSUPPORTED:
        word = "invalid" if exchange_type in _ATOMS else "unknown"
        raise BrokerError(ReplyCode.COMMAND_INVALID, f"{word} exchange type '{exchange_type}'")
