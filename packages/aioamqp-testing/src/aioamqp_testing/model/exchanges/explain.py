"""Why a message goes where it goes: which bindings match, which do not, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amqp_codec import FieldTable

from ..erlang import terms as values
from ..messages.message import Message
from ..queues.queue import Queue
from .exchange import Binding, Exchange
from .types import DirectExchange

if TYPE_CHECKING:
    from ..vhost import VirtualHost


@dataclass(frozen=True, slots=True)
class Tried:
    """A binding that a message came by.

    Attributes:
        binding: which.
        matches: whether the message went that way.
        why: in words.
    """

    binding: Binding
    matches: bool
    why: str

    def __str__(self) -> str:
        destination = self.binding.destination
        kind = "queue" if isinstance(destination, Queue) else "exchange"
        mark = "->" if self.matches else "  "
        return f"{mark} {kind} {destination.name!r}: {self.why}"


@dataclass(slots=True)
class Stop:
    """An exchange that a message came by.

    Attributes:
        exchange: which.
        tried: its bindings, in the order in which they were made.
        alternate: the name of the alternate exchange, if the message went there.
        note: what there is to say beside that.
    """

    exchange: Exchange
    tried: list[Tried] = field(default_factory=list)
    alternate: str | None = None
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Put it into words."""
        yield f"{self.exchange.TYPE} exchange {self.exchange.name!r}:"
        yield from (f"  {tried}" for tried in self.tried)
        if self.note:
            yield f"  {self.note}"


@dataclass(slots=True)
class Route:
    """Where a message goes, and why. It is true if it goes anywhere; ``str(route)`` explains it.

    Attributes:
        message: which.
        stops: the exchanges that it comes by, in this order.
        queues: the names of the queues that it reaches.
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
        goes = f"goes to {', '.join(map(repr, self.queues))}" if self.queues else "goes nowhere"
        lines = [
            f"a message to exchange {message.exchange!r} with key {message.routing_key!r}"
            f"{with_headers} {goes}"
        ]
        lines += [f"  {line}" for stop in self.stops for line in stop.lines()]
        return "\n".join(lines)


def explain(vhost: "VirtualHost", message: Message) -> Route:
    """Say where a message would go if it were published now.

    Raises:
        BrokerError: 404, there is no such exchange.
    """
    first = vhost.exchange(message.exchange)
    queues = [queue.name for queue in vhost.route(first, message)]
    if not first.name:
        called = " or ".join(map(repr, message.routing_keys))
        found = "" if queues else ", and there is none"
        note = f"leads to the queue that is called {called}{found}"
        return Route(message, [Stop(first, note=note)], queues)
    stops: list[Stop] = []
    seen = {first.name}
    to_visit = [first]
    for exchange in to_visit:
        stop = Stop(exchange, [_tried(binding, message) for binding in exchange.outgoing])
        stops.append(stop)
        ways = [each.binding.destination for each in stop.tried if each.matches]
        following = [each for each in ways if isinstance(each, Exchange)]
        alternate = vhost.policies.alternate_of(exchange)
        if ways:
            stop.note = ""
        elif alternate is None:
            stop.note = "no binding matches" if stop.tried else "nothing is bound to it"
        elif alternate in vhost.exchanges:
            stop.alternate = alternate
            stop.note = f"no binding matches, so on to its alternate exchange {alternate!r}"
            following.append(vhost.exchanges[alternate])
        else:
            stop.note = f"no binding matches, and its alternate exchange {alternate!r} is not there"
        for each in following:
            if each.name not in seen:
                seen.add(each.name)
                to_visit.append(each)
    return Route(message, stops, queues)


def _tried(binding: Binding, message: Message) -> Tried:
    matches = _matches(binding, message)
    return Tried(binding, matches, _why(binding, message, matches=matches))


def _matches(binding: Binding, message: Message) -> bool:
    """Ask an exchange that has only this binding, so that the answer is that of the real one."""
    alone = type(binding.source)("", binding.source.name)
    alone.bind(DirectExchange("", "somewhere"), binding.routing_key, binding.arguments)
    return bool(list(alone.route(message)))


def _why(binding: Binding, message: Message, *, matches: bool) -> str:
    key, keys = binding.routing_key, " or ".join(map(repr, message.routing_keys))
    match binding.source.TYPE:
        case "fanout":
            return "a fanout exchange leads to everything that is bound to it"
        case "topic":
            return f"{keys} {'matches' if matches else 'does not match'} the pattern {key!r}"
        case "headers":
            return _compared(binding.arguments, message.properties.headers or {})
        case _:
            return f"the key of the binding is {key!r}" + ("" if matches else f", not {keys}")


def _compared(wanted: FieldTable, headers: Mapping[str, object]) -> str:
    how = str(wanted.get("x-match", "all"))
    compared = [
        _header(name, value, headers)
        for name, value in wanted.items()
        if name != "x-match" and (how.endswith("-with-x") or not name.startswith("x-"))
    ]
    return f"x-match is {how}; {'; '.join(compared) or 'there is nothing to compare'}"


def _header(name: str, value: object, headers: Mapping[str, object]) -> str:
    if name not in headers:
        return f"there is no header {name!r}"
    if value is None:
        return f"there is a header {name!r}"
    if values.same(value, headers[name]):  # type: ignore[arg-type]
        return f"the header {name!r} is {value!r}"
    return f"the header {name!r} is {headers[name]!r}, not {value!r}"
