"""Where messages go: over exchanges, bindings and alternate exchanges, to names of queues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..messages.message import Message
from ..queues.queue import Queue
from .exchange import Exchange

AlternateOf = Callable[[Exchange], str | None]
"""Says what exchange a message goes to that an exchange routes nowhere."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message that was let in, and the names of the queues it is to go to.

    RabbitMQ routes when something is published, and looks the queues up when it is delivered; in a
    transaction there can be a while between the two.
    """

    message: Message
    queues: list[str]


def route(
    exchanges: Mapping[str, Exchange], first: Exchange, message: Message, alternate_of: AlternateOf
) -> list[str]:
    """Return the names of the queues that a message reaches, each once and sorted.

    Args:
        exchanges: of the virtual host.
        first: the exchange that it is published to. The nameless one names queues that need not
            exist, and only when it is the first: nothing goes on through it.
        message: what is published.
        alternate_of: the alternate exchange of an exchange; it need not exist either.
    """
    if not first.name:
        return sorted(set(message.routing_keys))
    queues: set[str] = set()
    seen = {first.name}
    to_visit = [first]
    for exchange in to_visit:
        destinations = exchange.route(message)
        queues.update(each.name for each in destinations if isinstance(each, Queue))
        names = [each.name for each in destinations if isinstance(each, Exchange)]
        if not destinations and (alternate := alternate_of(exchange)) is not None:
            names.append(alternate)
        for name in names:
            if name in exchanges and name not in seen:
                seen.add(name)
                to_visit.append(exchanges[name])
    return sorted(queues)
