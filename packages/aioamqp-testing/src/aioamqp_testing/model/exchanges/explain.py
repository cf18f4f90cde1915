"""Explanation of a route: which bindings match a message, which do not, and why."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from amqp_codec import FieldTable, FieldValue

from ..messages.message import Message
from .exchange import Binding, Exchange
from .plugins import DelayedExchange, delay_of
from .routing import AlternateOf, Step, reached_by, route, walk


@dataclass(frozen=True, slots=True)
class Tried:
    """A binding that was compared with a message.

    Attributes:
        binding: the binding.
        matches: whether it matches.
        why: why it does, or does not.
    """

    binding: Binding
    matches: bool
    why: str

    def __str__(self) -> str:
        destination = self.binding.destination
        kind = "exchange" if isinstance(destination, Exchange) else "queue"
        mark = "->" if self.matches else "  "
        return f"{mark} {kind} {destination.name!r}: {self.why}"


@dataclass(frozen=True, slots=True)
class Stop:
    """An exchange on the way of a message.

    Attributes:
        exchange: the exchange.
        tried: its bindings, the oldest first.
        alternate: the name of the alternate exchange, if the message went there.
        note: a remark about the exchange.
    """

    exchange: Exchange
    tried: list[Tried]
    alternate: str | None = None
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Describe the exchange and its bindings."""
        yield f"{self.exchange.TYPE} exchange {self.exchange.name!r}:"
        yield from (f"  {tried}" for tried in self.tried)
        if self.note:
            yield f"  {self.note}"


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a message; it is true if the message reaches a queue. ``str(route)`` explains it.

    Attributes:
        message: the message.
        stops: the exchanges on the way, in order.
        queues: the names of the queues that the message reaches.
    """

    message: Message
    stops: list[Stop]
    queues: list[str]

    def __bool__(self) -> bool:
        return bool(self.queues)

    @property
    def matched(self) -> list[Binding]:
        """The bindings that match."""
        return [tried.binding for stop in self.stops for tried in stop.tried if tried.matches]

    def __str__(self) -> str:
        message = self.message
        headers = message.properties.headers
        with_headers = f" and headers {dict(headers)!r}" if headers else ""
        to = f"goes to {', '.join(map(repr, self.queues))}" if self.queues else "goes nowhere"
        lines = [
            f"a message to exchange {message.exchange!r} with key {message.routing_key!r}"
            f"{with_headers} {to}"
        ]
        lines += [f"  {line}" for stop in self.stops for line in stop.lines()]
        return "\n".join(lines)


def explain(
    exchanges: Mapping[str, Exchange],
    queues: Container[str],
    message: Message,
    alternate_of: AlternateOf,
) -> Route:
    """Return where a message would be routed to if it were published now.

    Args:
        exchanges: the exchanges of the virtual host, by name; that of the message exists.
        queues: the names of the queues that exist.
        message: the message.
        alternate_of: returns the alternate exchange of an exchange.
    """
    first = exchanges[message.exchange]
    if first.name:
        steps = list(walk(exchanges, first, message, alternate_of, is_published=False))
        reached = [name for name in reached_by(steps) if name in queues]
        stops = [_stop(step, exchanges, message) for step in steps]
    else:
        reached = [
            name for name in route(exchanges, first, message, alternate_of) if name in queues
        ]
        keys = " or ".join(map(repr, message.routing_keys))
        missing = "" if reached else ", which does not exist"
        stops = [Stop(first, [], note=f"routes to the queue with the name {keys}{missing}")]
    return Route(message, stops, reached)


def _stop(step: Step, exchanges: Container[str], message: Message) -> Stop:
    exchange, matched, alternate = step
    tried = [
        Tried(binding, matches := binding in matched, _why(binding, message, matches=matches))
        for binding in exchange.outgoing
    ]
    if matched:
        return Stop(exchange, tried, note=_delay(exchange, message))
    note = "no binding matches" if tried else "nothing is bound to it"
    if alternate is None:
        return Stop(exchange, tried, note=note)
    if alternate not in exchanges:
        note = f"{note}, and its alternate exchange {alternate!r} does not exist"
        return Stop(exchange, tried, note=note)
    note = f"{note}, so it routes to its alternate exchange {alternate!r}"
    return Stop(exchange, tried, alternate, note)


def _delay(exchange: Exchange, message: Message) -> str:
    delay = delay_of(message) if isinstance(exchange, DelayedExchange) else None
    return "" if delay is None else f"it delays the message by {delay} ms"


def _why(binding: Binding, message: Message, *, matches: bool) -> str:
    key, keys = binding.routing_key, " or ".join(map(repr, message.routing_keys))
    match binding.source.rule:
        case "fanout":
            return "a fanout exchange routes to all its bindings"
        case "x-recent-history":
            return "an x-recent-history exchange routes to all its bindings"
        case "x-random" | "x-local-random" as rule:
            return f"an {rule} exchange routes to one of its bindings"
        case "x-consistent-hash" | "x-modulus-hash":
            return f"the hash {'selects' if matches else 'does not select'} this binding"
        case "topic":
            return f"{keys} {'matches' if matches else 'does not match'} the pattern {key!r}"
        case "headers":
            return _compared(binding, message.properties.headers or {})
        case _:
            return f"the binding key is {key!r}" + ("" if matches else f", not {keys}")


def _compared(binding: Binding, headers: FieldTable) -> str:
    wanted, is_same = binding.arguments, binding.source.equality
    how = str(wanted.get("x-match", "all"))
    compared = [
        _header(name, value, headers, is_same)
        for name, value in wanted.items()
        if name != "x-match" and (how.endswith("-with-x") or not name.startswith("x-"))
    ]
    return f"x-match is {how}; {'; '.join(compared) or 'there is nothing to compare'}"


def _header(
    name: str,
    value: FieldValue,
    headers: FieldTable,
    is_same: Callable[[FieldValue, FieldValue], bool],
) -> str:
    if name not in headers:
        return f"there is no header {name!r}"
    if value is None:
        return f"there is a header {name!r}"
    if is_same(value, headers[name]):
        return f"the header {name!r} is {value!r}"
    return f"the header {name!r} is {headers[name]!r}, not {value!r}"
