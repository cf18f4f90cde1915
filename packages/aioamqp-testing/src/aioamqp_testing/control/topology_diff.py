"""What a test wants to be declared in a virtual host, and how that differs from what is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..model import Exchange, Queue, VirtualHost

Properties = Mapping[str, Any]

_QUEUE: Final = ("type", "durable", "auto_delete", "exclusive", "arguments")
_EXCHANGE: Final = ("type", "durable", "auto_delete", "internal", "arguments")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topology as a test describes it; None for what does not matter.

    Attributes:
        queues: name -> the properties that matter.
        exchanges: the same.
        bindings: exchange, destination, routing key.
    """

    queues: Mapping[str, Properties] | None
    exchanges: Mapping[str, Properties] | None
    bindings: list[tuple[str, str, str]] | None

    @classmethod
    def of(
        cls,
        *,
        queues: Iterable[str] | Mapping[str, Properties] | None,
        exchanges: Iterable[str] | Mapping[str, str | Properties] | None,
        bindings: Iterable[tuple[str, str, str]] | None,
    ) -> "Wanted":
        """Read what a test says.

        Raises:
            ValueError: it asks for a property that there is not.
        """
        wanted_queues = _read("queue", queues, _QUEUE)
        wanted_exchanges = _read("exchange", exchanges, _EXCHANGE)
        return cls(wanted_queues, wanted_exchanges, None if bindings is None else list(bindings))


def _read(
    kind: str,
    wanted: Iterable[str] | Mapping[str, str | Properties] | None,
    known: tuple[str, ...],
) -> Mapping[str, Properties] | None:
    if wanted is None:
        return None
    if isinstance(wanted, str):
        raise ValueError(f"give the names of several {kind}s, in a list, not {wanted!r}")
    if not isinstance(wanted, Mapping):
        return {name: {} for name in wanted}
    read: dict[str, Properties] = {}
    for name, properties in wanted.items():
        read[name] = {"type": properties} if isinstance(properties, str) else properties
        for each in read[name]:
            if each not in known:
                raise ValueError(
                    f"a {kind} has no {each!r} that could be asked for; it has {', '.join(known)}"
                )
    return read


def difference(vhost: VirtualHost, wanted: Wanted) -> list[str]:
    """List what is missing, with ``-``, and what is there instead, with ``+``."""
    lines: list[str] = []
    if wanted.queues is not None:
        actual = {queue.name: _queue(queue) for queue in vhost.queues.values()}
        lines += _differing("queue", wanted.queues, actual)
    if wanted.exchanges is not None:
        declared = [each for name, each in vhost.exchanges.items() if not _is_predeclared(name)]
        actual = {exchange.name: _exchange(exchange) for exchange in declared}
        lines += _differing("exchange", wanted.exchanges, actual)
    if wanted.bindings is not None:
        lines += _differing_bindings(wanted.bindings, vhost)
    return lines


def _is_predeclared(name: str) -> bool:
    return not name or name.startswith("amq.")


def _queue(queue: Queue) -> Properties:
    return {
        "type": queue.TYPE,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": dict(queue.arguments),
    }


def _exchange(exchange: Exchange) -> Properties:
    return {
        "type": exchange.TYPE,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": dict(exchange.arguments),
    }


def _differing(
    kind: str, wanted: Mapping[str, Properties], actual: Mapping[str, Properties]
) -> Iterator[str]:
    for name, properties in wanted.items():
        if name not in actual:
            yield f"- {kind} {name!r}{_shown(properties)}"
            continue
        differing = [each for each, value in properties.items() if actual[name][each] != value]
        if differing:
            yield f"- {kind} {name!r}{_shown({each: properties[each] for each in differing})}"
            yield f"+ {kind} {name!r}{_shown({each: actual[name][each] for each in differing})}"
    yield from (f"+ {kind} {name!r}" for name in actual if name not in wanted)


def _shown(properties: Properties) -> str:
    return "".join(f", {name}={value!r}" for name, value in properties.items())


def _differing_bindings(wanted: list[tuple[str, str, str]], vhost: VirtualHost) -> Iterator[str]:
    actual = [
        (exchange.name, binding.destination.name, binding.routing_key)
        for exchange in vhost.exchanges.values()
        for binding in exchange.outgoing
    ]
    yield from (f"- {_binding(*each)}" for each in wanted if each not in actual)
    yield from (f"+ {_binding(*each)}" for each in actual if each not in wanted)


def _binding(exchange: str, destination: str, key: str) -> str:
    return f"binding of {destination!r} to exchange {exchange!r} with key {key!r}"
