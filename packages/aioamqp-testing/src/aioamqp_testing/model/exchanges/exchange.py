"""Exchanges, and their bindings to queues and other exchanges."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, NamedTuple, Protocol, TypeAlias

from amqp_codec import FieldTable, FieldValue

from ..erlang.arguments import Argument, Text, compare_property, exchange_name
from ..erlang.terms import equal, identical, identity
from ..messages.message import Message
from ..profile import Profile

ALTERNATE_EXCHANGE: Final = Argument("alternate-exchange", exchange_name, Text())
"""The argument of exchange.declare that RabbitMQ knows."""

_Identity: TypeAlias = tuple[bool, str, str, Hashable]


class Destination(Protocol):
    """What an exchange can route to: a queue or another exchange."""

    TYPE: ClassVar[str]

    @property
    def name(self) -> str:
        """The name of the queue or exchange."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A binding of a queue or an exchange to an exchange.

    Attributes:
        source: the exchange that routes by the binding.
        destination: the queue or exchange that is bound.
        routing_key: the binding key.
        arguments: the optional arguments.
    """

    source: "Exchange"
    destination: Destination
    routing_key: str
    arguments: FieldTable


class ExchangeDeclaration(NamedTuple):
    """What exchange.declare asks for.

    Attributes:
        vhost_name: the name of the virtual host.
        name: the name of the exchange, unique in its virtual host.
        exchange_type: such as ``direct``.
        durable: whether the exchange survives a restart of the broker.
        auto_delete: whether the exchange is deleted when its last binding is removed.
        internal: whether clients cannot publish to the exchange.
        arguments: the optional arguments.
    """

    vhost_name: str
    name: str
    exchange_type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: FieldTable

    @property
    def described(self) -> str:
        """The exchange as RabbitMQ's texts name it."""
        return f"exchange '{self.name}' in vhost '{self.vhost_name}'"

    def check_equivalence(self, received: "ExchangeDeclaration") -> None:
        """Refuse to declare the exchange again with other properties, in RabbitMQ's order.

        Raises:
            BrokerError: 406.
        """
        for name, other, own in (
            ("type", received.exchange_type, self.exchange_type),
            ("durable", received.durable, self.durable),
            ("auto_delete", received.auto_delete, self.auto_delete),
            ("internal", received.internal, self.internal),
        ):
            compare_property(name, other, own, self.described)
        ALTERNATE_EXCHANGE.compare(received.arguments, self.arguments, self.described)


@dataclass(frozen=True, slots=True)
class ExchangeHost:
    """What an exchange needs from its virtual host.

    Attributes:
        profile: the version of RabbitMQ.
        find_type: returns the class for a type of exchanges; raises a BrokerError without one.
        random: selects bindings at random.
        call_later: calls an action after a number of seconds.
        publish: routes a message from the exchange with a name, if that still exists.
        send: sends messages to a destination that was bound.
    """

    profile: Profile
    find_type: Callable[[str], "type[Exchange]"]
    random: Random
    call_later: Callable[[float, Callable[[], object]], object]
    publish: Callable[[str, Message], object]
    send: Callable[[Destination, Iterable[Message]], object]


class Exchange:
    """An exchange of one virtual host; each type is a subclass with its own rule of routing.

    Args:
        declaration: the properties and arguments that the exchange is declared with.
        host: what it needs from its virtual host.

    Attributes:
        TYPE: the type in exchange.declare, such as ``direct``.
        PLUGIN: RabbitMQ's plugin that the type belongs to; empty if RabbitMQ always has the type.
        declaration: the properties and arguments that the exchange was declared with.
        name: the name of the exchange.
        durable: whether the exchange survives a restart of the broker.
        auto_delete: whether the exchange is deleted when its last binding is removed.
        internal: whether clients cannot publish to the exchange.
        arguments: the optional arguments.

    Raises:
        BrokerError: 406, 503, 541: an argument is invalid for the type.
    """

    TYPE: ClassVar[str]
    PLUGIN: ClassVar[str] = ""

    def __init__(self, declaration: ExchangeDeclaration, host: ExchangeHost) -> None:
        self.declaration = declaration
        self._host = host
        self.name = declaration.name
        self.durable = declaration.durable
        self.auto_delete = declaration.auto_delete
        self.internal = declaration.internal
        self.arguments = declaration.arguments
        self._bindings: dict[_Identity, Binding] = {}
        self._by_key: dict[str, dict[Binding, None]] = {}

    @property
    def described(self) -> str:
        """The exchange as RabbitMQ's texts name it."""
        return self.declaration.described

    @property
    def equality(self) -> Callable[[FieldValue, FieldValue], bool]:
        """The comparison of an argument of a binding with a header."""
        return identical if self._host.profile.compares_types else equal

    @property
    def outgoing(self) -> list[Binding]:
        """The bindings that the exchange routes by, the oldest first."""
        return list(self._bindings.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def rule(self) -> str:
        """The type whose rule of routing applies."""
        return self.TYPE

    def matching(self, message: Message) -> list[Binding]:
        """Return the bindings that match a message; one may be there more than once."""
        raise NotImplementedError

    def route(self, message: Message) -> list[Binding]:
        """Return the bindings by which a message that was published is routed."""
        return self.matching(message)

    def on_bound(self, binding: Binding) -> None:
        """Act on a binding that was added.

        Raises:
            BrokerError: 541.
        """

    def restart(self) -> None:
        """Drop what does not survive a restart of the broker."""

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse a binding key or arguments that the type of the exchange cannot use.

        Raises:
            BrokerError: 406.
        """

    def check_destination(self, destination: Destination) -> None:
        """Refuse a destination that the type of the exchange cannot have.

        Raises:
            BrokerError: 406.
        """

    def find(self, destination: Destination, key: str, arguments: FieldTable) -> Binding | None:
        """Return the binding of a destination with this key and these arguments, or None."""
        return self._bindings.get(_identity(destination, key, arguments))

    def bind(self, destination: Destination, key: str, arguments: FieldTable) -> Binding:
        """Add a binding, unless there is the same one, and return it."""
        identity = _identity(destination, key, arguments)
        binding = self._bindings.get(identity)
        if binding is None:
            binding = Binding(self, destination, key, arguments)
            self.add(binding)
        return binding

    def add(self, binding: Binding) -> None:
        """Add a new binding."""
        key = binding.routing_key
        self._bindings[_identity(binding.destination, key, binding.arguments)] = binding
        self._by_key.setdefault(key, {})[binding] = None

    def unbind(self, binding: Binding) -> None:
        """Remove a binding."""
        del self._bindings[_identity(binding.destination, binding.routing_key, binding.arguments)]
        with_key = self._by_key[binding.routing_key]
        del with_key[binding]
        if not with_key:
            del self._by_key[binding.routing_key]


def _identity(destination: Destination, key: str, arguments: FieldTable) -> _Identity:
    in_order = dict(sorted(arguments.items()))  # RabbitMQ: nested tables are not sorted
    return (isinstance(destination, Exchange), destination.name, key, identity(in_order))
