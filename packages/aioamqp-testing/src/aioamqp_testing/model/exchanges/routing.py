"""Routing: the way of a message from exchange to exchange, to the names of queues."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..messages.message import Message
from .exchange import Binding, Exchange

AlternateOf: TypeAlias = Callable[[Exchange], str | None]
"""Returns the name of the alternate exchange of an exchange, which need not exist, or None."""

Step: TypeAlias = tuple[Exchange, list[Binding], str | None]
"""An exchange on the way of a message, its bindings that match, and its alternate exchange if none
does."""


@dataclass(frozen=True, slots=True)
class Publication:
    """An accepted message, and the names of the queues that it is routed to.

    RabbitMQ routes a message when it is published, and looks the queues up when it delivers the
    message; in a transaction, time passes between the two.
    """

    message: Message
    queues: list[str]


def walk(
    exchanges: Mapping[str, Exchange],
    first: Exchange,
    message: Message,
    alternate_of: AlternateOf,
    *,
    is_published: bool = True,
) -> Iterator[Step]:
    """Yield the exchanges that route a message, in order, each once.

    Args:
        exchanges: the exchanges of the virtual host, by name.
        first: the exchange that the message is published to, which is not the default one.
        message: the message.
        alternate_of: returns the alternate exchange of an exchange.
        is_published: whether the message was published, and is not only compared with bindings.
    """
    seen = {first.name}
    to_visit = [first]
    for exchange in to_visit:
        matched = exchange.route(message) if is_published else exchange.matching(message)
        alternate = None if matched else alternate_of(exchange)
        yield exchange, matched, alternate
        names = [
            binding.destination.name
            for binding in matched
            if isinstance(binding.destination, Exchange)
        ]
        if alternate is not None:
            names.append(alternate)
        for name in names:
            if name in exchanges and name not in seen:
                seen.add(name)
                to_visit.append(exchanges[name])


def route(
    exchanges: Mapping[str, Exchange], first: Exchange, message: Message, alternate_of: AlternateOf
) -> list[str]:
    """Return the names of the queues that a message is routed to, each once and sorted.

    The default exchange routes to queues that need not exist, but only messages that are published
    to it: no other exchange routes a message through it.
    """
    if not first.name:
        return sorted(set(message.routing_keys))
    return reached_by(walk(exchanges, first, message, alternate_of))


def reached_by(steps: Iterable[Step]) -> list[str]:
    """Return the names of the queues that the steps of a message lead to, each once and sorted."""
    return sorted(
        {
            binding.destination.name
            for _, matched, _ in steps
            for binding in matched
            if not isinstance(binding.destination, Exchange)
        }
    )
