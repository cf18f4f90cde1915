"""The types of exchanges: how each one says where a message goes."""

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Final

from amqp_codec import FieldTable, ReplyCode

from ..erlang import printing as erlang
from ..erlang import terms as values
from ..errors import BrokerError
from ..messages.message import Message
from .exchange import Destination, Exchange


class DirectExchange(Exchange):
    """Routes to the bindings whose key is the message's."""

    TYPE = "direct"

    def route(self, message: Message) -> list[Destination]:
        """Return the destinations of the bindings with one of its keys."""
        return [
            binding.destination
            for key in message.routing_keys
            for binding in self._by_key.get(key, ())
        ]


class FanoutExchange(Exchange):
    """Routes to all bindings."""

    TYPE = "fanout"

    def route(self, message: Message) -> list[Destination]:
        """Return every destination."""
        del message
        return [binding.destination for binding in self._outgoing.values()]


class TopicExchange(Exchange):
    """Routes to the bindings whose key is a pattern that the message's key matches.

    RabbitMQ: keys are words between dots, and a word may be empty. In a pattern, the word ``*``
    stands for any one word and the word ``#`` for any number of them; inside a word neither means
    anything. An empty key has no words.
    """

    TYPE = "topic"

    def route(self, message: Message) -> list[Destination]:
        """Return the destinations of the bindings whose pattern one of its keys matches."""
        return [
            binding.destination
            for pattern, bindings in self._by_key.items()
            if any(_matches(pattern, key) for key in message.routing_keys)
            for binding in bindings
        ]


@lru_cache(maxsize=4096)  # programs use few keys, and the same ones again and again
def _matches(pattern: str, key: str) -> bool:
    """Match word by word; ``ends`` is how many words the pattern so far may have taken."""
    words = _words(key)
    ends = {0}
    for expected in _words(pattern):
        if expected == "#":
            ends = set(range(min(ends), len(words) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(words) and expected in ("*", words[end])}
        if not ends:
            return False
    return len(words) in ends


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


class HeadersExchange(Exchange):
    """Routes to the bindings whose arguments are among the message's headers.

    RabbitMQ: x-match says whether all or any of them have to be there. Arguments whose names begin
    with x- do not count, unless it says all-with-x or any-with-x. An argument of type void asks
    only for the name.
    """

    TYPE = "headers"
    _HOW: ClassVar = ("all", "any", "all-with-x", "any-with-x")

    def route(self, message: Message) -> list[Destination]:
        """Return the destinations of the bindings that its headers match."""
        headers = message.properties.headers or {}
        return [
            binding.destination
            for binding in self._outgoing.values()
            if _has(headers, binding.arguments)
        ]

    def check_binding(self, arguments: FieldTable) -> None:
        """Refuse an x-match that says nothing."""
        how = values.with_text(arguments).get("x-match", "all")
        if how in self._HOW:
            return
        if isinstance(how, str):
            wrong = f"value {values.shown(how)}; expected all, any, all-with-x, or any-with-x"
        else:
            wrong = f"type {values.kind_of(how)} (value {values.shown(how)}); expected longstr"
        raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"Invalid x-match field {wrong}")


def _has(headers: FieldTable, wanted: FieldTable) -> bool:
    how = str(wanted.get("x-match", "all"))
    with_x = how.endswith("-with-x")
    found = (
        name in headers and (value is None or values.same(value, headers[name]))
        for name, value in wanted.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    )
    return any(found) if how.startswith("any") else all(found)


TYPES: Final[Mapping[str, type[Exchange]]] = {
    each.TYPE: each for each in (DirectExchange, FanoutExchange, TopicExchange, HeadersExchange)
}
"""The types that can be declared, by name."""

PREDECLARED: Final = (
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
    ("amq.topic", "topic"),
)
"""Exchanges that every virtual host has, beside the default one."""


def check_type(exchange_type: str) -> None:
    """Refuse a type that RabbitMQ does not know.

    Raises:
        BrokerError: 503.
    """
    if exchange_type not in TYPES:
        word = "invalid" if exchange_type in erlang.ATOMS else "unknown"
        raise BrokerError(ReplyCode.COMMAND_INVALID, f"{word} exchange type '{exchange_type}'")
