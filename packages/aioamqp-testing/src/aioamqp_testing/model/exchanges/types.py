"""Types of exchanges: which bindings of each match a message."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Final

from amqp_codec import FieldTable, FieldValue, ReplyCode

from ..erlang.terms import decode_long_strings, format_term, type_name
from ..errors import BrokerError
from ..messages.message import Message
from .exchange import Binding, Exchange


class DirectExchange(Exchange):
    """An exchange that routes to the bindings whose key is a routing key of the message."""

    TYPE = "direct"

    def matching(self, message: Message) -> list[Binding]:
        """Return the bindings with one of its routing keys."""
        return [binding for key in message.routing_keys for binding in self._by_key.get(key, ())]


class FanoutExchange(Exchange):
    """An exchange that routes to all its bindings."""

    TYPE = "fanout"

    def matching(self, message: Message) -> list[Binding]:
        """Return all bindings."""
        del message
        return self.outgoing


class TopicExchange(Exchange):
    """An exchange that routes to the bindings whose pattern a routing key of the message matches.

    RabbitMQ: keys are words between dots, and a word may be empty. In a pattern, the word ``*``
    matches any one word and the word ``#`` any number of words; as a part of a word they match
    themselves. An empty key has no words.
    """

    TYPE = "topic"

    def matching(self, message: Message) -> list[Binding]:
        """Return the bindings whose pattern one of its routing keys matches."""
        return [
            binding
            for pattern, bindings in self._by_key.items()
            if any(_matches(pattern, key) for key in message.routing_keys)
            for binding in bindings
        ]

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse a pattern with too many words ``#``."""
        del arguments
        most = self._host.profile.max_hashes
        hashes = _words(key).count("#")
        if most is not None and hashes > most:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"Topic binding key '{key}' uses {hashes} '#' wildcards,"
                f" at most {most} are allowed",
            )


@lru_cache(maxsize=4096)  # programs use few keys, and use them often
def _matches(pattern: str, key: str) -> bool:
    """Match word by word; ``ends`` holds how many words the pattern so far can match."""
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
    """An exchange that routes to the bindings whose arguments are equal to headers of the message.

    RabbitMQ: x-match is whether all or any of them have to be equal. Arguments whose names begin
    with x- are ignored, unless x-match is all-with-x or any-with-x. An argument of type void
    matches any value.
    """

    TYPE = "headers"
    _HOW: ClassVar = ("all", "any", "all-with-x", "any-with-x")

    def matching(self, message: Message) -> list[Binding]:
        """Return the bindings that its headers match."""
        headers = message.properties.headers or {}
        same = self.equality
        return [
            binding for binding in self._bindings.values() if _has(headers, binding.arguments, same)
        ]

    def check_binding(self, key: str, arguments: FieldTable) -> None:
        """Refuse an unknown x-match."""
        del key
        how = decode_long_strings(arguments).get("x-match", "all")
        if how in self._HOW:
            return
        if isinstance(how, str):
            wrong = f"value {format_term(how)}; expected all, any, all-with-x, or any-with-x"
        else:
            wrong = f"type {type_name(how)} (value {format_term(how)}); expected longstr"
        raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"Invalid x-match field {wrong}")


def _has(
    headers: FieldTable, wanted: FieldTable, same: Callable[[FieldValue, FieldValue], bool]
) -> bool:
    how = str(wanted.get("x-match", "all"))
    with_x = how.endswith("-with-x")
    found = (
        name in headers and (value is None or same(value, headers[name]))
        for name, value in wanted.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    )
    return any(found) if how.startswith("any") else all(found)


TYPES: Final[Mapping[str, type[Exchange]]] = {
    each.TYPE: each for each in (DirectExchange, FanoutExchange, TopicExchange, HeadersExchange)
}
"""The types that RabbitMQ has without plugins."""

PREDECLARED: Final = (
    ("", "direct"),
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
    ("amq.topic", "topic"),
)
"""The exchanges of every new virtual host; the default exchange has the empty name."""

LOG_EXCHANGE: Final = ("amq.rabbitmq.log", "topic")
"""The exchange to which RabbitMQ can publish its log, in the first virtual host alone."""
