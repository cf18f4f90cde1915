"""Types of exchanges that RabbitMQ has in plugins, and which of them a broker has."""

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import accumulate
from typing import Final

from amqp_codec import FieldTable, Int32, Int64, LongStr, ReplyCode

from ..erlang.hashing import (
    hash_header,
    hash_routing_header,
    hash_text,
    hash_texts,
    hash_undefined,
    jump_hash,
)
from ..erlang.printing import ATOMS
from ..erlang.terms import format_term, is_integer, parse_integer, type_name
from ..errors import BrokerError
from ..messages.events import EventType
from ..messages.headers import with_header
from ..messages.message import Message
from ..profile import Profile
from .exchange import Binding, Destination, Exchange, ExchangeDeclaration, ExchangeHost
from .types import TYPES

_HISTORY_LENGTH: Final = 20
_SIGNED_INTEGERS: Final = ("byte", "short", "signedint", "long")
_LONGEST_DELAY: Final = (1 << 32) - 1  # milliseconds
_LARGEST_INT32: Final = (1 << 31) - 1


class ConsistentHashExchange(Exchange):
    """An exchange that routes to one binding by a hash of the routing key or of another value.

    The binding key is the weight: how many buckets of the hash ring the destination has. RabbitMQ:
    a second binding of a destination has none.
    """

    TYPE = "x-consistent-hash"
    PLUGIN = "rabbitmq_consistent_hash_exchange"

    def __init__(self, declaration: ExchangeDeclaration, host: ExchangeHost) -> None:
        super().__init__(declaration, host)
        self._ring: list[Binding] = []  # those that have buckets, in the order of their buckets
        self._header = self._name_in("hash-header")
        self._property = self._name_in("hash-property")
        if self._header is not None and self._property is not None:
            raise _refused("hash-header and hash-property are mutually exclusive")
        if self._property not in (None, "correlation_id", "message_id", "timestamp"):
            raise _refused(f"Unsupported property: {self._property}")

    def _name_in(self, argument: str) -> str | None:
        name = self.arguments.get(argument)
        if argument in self.arguments and not isinstance(name, str):
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
        return name if isinstance(name, str) else None

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse a binding key that is no weight."""
        del arguments
        weight = parse_integer(key)
        if weight is None:
            raise _refused(f"The binding key must be an integer: {format_term(key)}")
        if weight < 1:
            raise _refused("The binding key must be greater than 0")

    def add(self, binding: Binding) -> None:
        """Add a binding, and its buckets at the end of the ring."""
        super().add(binding)
        if all(each.destination is not binding.destination for each in self._ring):
            self._ring.append(binding)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding, and the buckets of its destination, whichever binding added them."""
        super().unbind(binding)
        destination = binding.destination
        self._ring = [each for each in self._ring if each.destination is not destination]

    def matching(self, message: Message) -> list[Binding]:
        """Return the binding that the hash selects."""
        if not self._ring:
            return []
        weights = [int(binding.routing_key) for binding in self._ring]
        bucket = jump_hash(self._hash(message), sum(weights))
        return [self._ring[bisect(list(accumulate(weights)), bucket)]]

    def _hash(self, message: Message) -> int:
        properties = message.properties
        if self._header is not None:
            headers = properties.headers or {}
            if self._header not in headers:
                return hash_undefined()
            is_typed = not self._host.profile.compares_types
            return (hash_header if is_typed else hash_routing_header)(headers[self._header])
        value: str | None = message.routing_key
        if self._property == "correlation_id":
            value = properties.correlation_id
        elif self._property == "message_id":
            value = properties.message_id
        elif self._property == "timestamp":
            value = _seconds(properties.timestamp)
        return hash_undefined() if value is None else hash_text(value)


class ModulusHashExchange(Exchange):
    """An exchange that routes to one binding by a hash of the routing keys."""

    TYPE = "x-modulus-hash"
    PLUGIN = "rabbitmq_sharding"

    def matching(self, message: Message) -> list[Binding]:
        """Return the binding that the hash selects. RabbitMQ: it sorts them by key and name."""
        if not self._bindings:
            return []
        bindings = sorted(self._bindings.values(), key=_sort_key)
        return [bindings[hash_texts(message.routing_keys) % len(bindings)]]


class RandomExchange(Exchange):
    """An exchange that routes to one binding at random; the choices are the same in every run."""

    TYPE = "x-random"
    PLUGIN = "rabbitmq_random_exchange"

    def matching(self, message: Message) -> list[Binding]:
        """Return all bindings, since each of them may be selected."""
        del message
        return self.outgoing

    def route(self, message: Message) -> list[Binding]:
        """Return one of the bindings."""
        del message
        return [self._host.random.choice(self.outgoing)] if self._bindings else []


class LocalRandomExchange(RandomExchange):
    """A random exchange to the queues on the node of the publisher, which is the only one here."""

    TYPE = "x-local-random"
    PLUGIN = ""

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse a binding key."""
        del arguments
        if key:
            raise _refused(f"Non empty binding '{key}' key not permitted")

    def check_destination(self, destination: Destination) -> None:
        """Refuse exchanges, and all queues but classic ones."""
        if isinstance(destination, Exchange):
            raise _refused("Destination not found")
        if destination.TYPE != "classic":
            text = f"Queue type rabbit_{destination.TYPE}_queue not valid for this exchange type"
            raise _refused(text)


class RecentHistoryExchange(Exchange):
    """An exchange that routes to all bindings, and sends its last messages to new ones."""

    TYPE = "x-recent-history"
    PLUGIN = "rabbitmq_recent_history_exchange"
    _LENGTH = "x-recent-history-length"

    def __init__(self, declaration: ExchangeDeclaration, host: ExchangeHost) -> None:
        super().__init__(declaration, host)
        length = self.arguments.get(self._LENGTH, _HISTORY_LENGTH)
        if type_name(length) not in _SIGNED_INTEGERS or not isinstance(length, int) or length < 1:
            raise _refused(
                f"Invalid argument {format_term(length)}, '{self._LENGTH}' must be a positive"
                " integer"
            )
        self._recent: deque[Message] = deque(maxlen=length)

    def matching(self, message: Message) -> list[Binding]:
        """Return all bindings."""
        del message
        return self.outgoing

    def route(self, message: Message) -> list[Binding]:
        """Keep the message, unless its header forbids that, and return all bindings."""
        headers = message.properties.headers or {}
        if headers.get("x-recent-history-no-store") is not True:
            self._recent.append(message)
        return self.outgoing

    def on_bound(self, binding: Binding) -> None:
        """Send the last messages to a new destination.

        RabbitMQ: to an exchange the newest one comes first, to a queue the oldest one.
        """
        messages = list(self._recent)
        if isinstance(binding.destination, Exchange):
            messages.reverse()
        self._host.send(binding.destination, messages)

    def restart(self) -> None:
        """Drop the last messages. RabbitMQ: they are only kept in memory."""
        self._recent.clear()


class DelayedExchange(Exchange):
    """An exchange that routes a message with the header x-delay after so many milliseconds.

    The argument x-delayed-type names the type of exchanges that it routes like. RabbitMQ: until
    then the message is unroutable, so it is returned if it is mandatory, and an alternate exchange
    routes it too. The exchange keeps transient messages over a restart as well.
    """

    TYPE = "x-delayed-message"
    PLUGIN = "rabbitmq_delayed_message_exchange"

    def __init__(self, declaration: ExchangeDeclaration, host: ExchangeHost) -> None:
        super().__init__(declaration, host)
        wanted = self.arguments.get("x-delayed-type")
        if isinstance(wanted, bytes | bytearray | memoryview):
            wanted = bytes(wanted).decode("utf-8", "surrogateescape")
        if not isinstance(wanted, str):
            raise _refused("Invalid argument, 'x-delayed-type' must be an existing exchange type")
        if wanted == self.TYPE:
            raise _refused(f"Invalid argument, '{wanted}' can't be used for 'x-delayed-type'")
        self._inner = host.find_type(wanted)(declaration, host)

    @property
    def rule(self) -> str:
        """The type that the exchange routes like."""
        return self._inner.TYPE

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse what that type refuses."""
        self._inner.check_binding(key, arguments)

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        super().add(binding)
        self._inner.add(binding)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding."""
        super().unbind(binding)
        self._inner.unbind(binding)

    def on_bound(self, binding: Binding) -> None:
        """Act on a binding that was added, as that type does."""
        self._inner.on_bound(binding)

    def restart(self) -> None:
        """Drop what that type drops."""
        self._inner.restart()

    def matching(self, message: Message) -> list[Binding]:
        """Return the bindings that match, now or after the delay."""
        return self._inner.matching(message)

    def route(self, message: Message) -> list[Binding]:
        """Return no bindings for a message with a delay, and route it again later."""
        delay = delay_of(message)
        if delay is None:
            return self._inner.route(message)
        message.events.append((EventType.DELAYED, self.name, f"{delay} ms"))
        negative = Int32(-delay) if delay <= _LARGEST_INT32 else Int64(-delay)
        properties = with_header(message.properties, "x-delay", negative)
        later = replace(message, properties=properties)
        self._host.call_later(delay / 1000, partial(self._host.publish, self.name, later))
        return []


def delay_of(message: Message) -> int | None:
    """Return the milliseconds by which a DelayedExchange delays a message; None if it does not.

    RabbitMQ: a string of digits is a delay too. A delay that is negative, or above 2**32 - 1, is
    ignored.

    Raises:
        BrokerError: 541, the string has other characters, or the delay is a decimal.
    """
    value = (message.properties.headers or {}).get("x-delay")
    if isinstance(value, str | LongStr | Decimal):
        delay = parse_integer(value) if isinstance(value, str) else None
        if delay is None:
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
    elif isinstance(value, float) or (isinstance(value, int) and is_integer(value)):
        delay = int(value)
    else:
        return None
    return delay if 0 < delay <= _LONGEST_DELAY else None


PLUGINS: Final[Mapping[str, type[Exchange]]] = {
    each.PLUGIN: each
    for each in (
        ConsistentHashExchange,
        DelayedExchange,
        ModulusHashExchange,
        RandomExchange,
        RecentHistoryExchange,
    )
}
"""The plugins that a broker can have, and the type of exchanges of each."""


_TYPES_IN_CORE: Final = (ModulusHashExchange, LocalRandomExchange)
"""Types that newer versions have without a plugin."""


class ExchangeTypes:
    """The types of exchanges that one broker has.

    Args:
        plugins: the names of the plugins that it has, as ``rabbitmq-plugins list`` shows them.
        profile: the version of RabbitMQ, which may have types without their plugins.

    Attributes:
        missing: the types that clients have asked for without their plugin -> that plugin.

    Raises:
        ValueError: a plugin is unknown.
    """

    def __init__(self, plugins: Iterable[str], profile: Profile) -> None:
        self.missing: dict[str, str] = {}
        names = (plugins,) if isinstance(plugins, str) else tuple(plugins)
        unknown = [name for name in names if name not in PLUGINS]
        if unknown or isinstance(plugins, str):
            raise ValueError(
                f"plugins must be a list of names, and these are known: {', '.join(PLUGINS)};"
                f" not {plugins if isinstance(plugins, str) else unknown[0]!r}"
            )
        available = [PLUGINS[name] for name in names]
        available += [each for each in _TYPES_IN_CORE if each.TYPE in profile.exchange_types]
        self._types = {**TYPES, **{each.TYPE: each for each in available}}
        self._known_words = profile.known_words | ATOMS
        self._unknown = ReplyCode(profile.unknown_exchange_type)

    @property
    def names(self) -> list[str]:
        """The names of the types."""
        return sorted(self._types)

    def find(self, exchange_type: str) -> type[Exchange]:
        """Return the class for a type.

        Raises:
            BrokerError: 406 or 503.
        """
        found = self._types.get(exchange_type)
        if found is not None:
            return found
        for plugin, each in PLUGINS.items():
            if exchange_type == each.TYPE:
                self.missing[exchange_type] = plugin
        word = "invalid" if exchange_type in self._known_words else "unknown"
        raise BrokerError(self._unknown, f"{word} exchange type '{exchange_type}'")


def _seconds(timestamp: datetime | int | None) -> str | None:
    if isinstance(timestamp, datetime):
        timestamp = int(timestamp.timestamp())
    return None if timestamp is None else str(timestamp)


def _sort_key(binding: Binding) -> tuple[bytes, bool, bytes]:
    key, name = (
        each.encode("utf-8", "surrogateescape")
        for each in (binding.routing_key, binding.destination.name)
    )
    return key, not isinstance(binding.destination, Exchange), name


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)
