"""The difference between the topology that a test expects and the one in a virtual host."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..model import Exchange, Queue, VirtualHost

Declaration = Mapping[str, Any]

_QUEUE: Final = ("type", "durable", "auto_delete", "exclusive", "arguments")
_EXCHANGE: Final = ("type", "durable", "auto_delete", "internal", "arguments")


@dataclass(frozen=True, slots=True)
class ExpectedTopology:
    """The topology that a test expects. None for a part that is not compared.

    Attributes:
        queues: name -> the properties to compare.
        exchanges: the same.
        bindings: exchange, destination, routing key.
    """

    queues: Mapping[str, Declaration] | None
    exchanges: Mapping[str, Declaration] | None
    bindings: list[tuple[str, str, str]] | None

    @classmethod
    def of(
        cls,
        *,
        queues: Iterable[str] | Mapping[str, Declaration] | None,
        exchanges: Iterable[str] | Mapping[str, str | Declaration] | None,
        bindings: Iterable[tuple[str, str, str]] | None,
    ) -> "ExpectedTopology":
        """Convert the arguments of ``assert_topology``.

        Raises:
            ValueError: a property is unknown.
        """
        return cls(
            _declarations("queue", queues, _QUEUE),
            _declarations("exchange", exchanges, _EXCHANGE),
            None if bindings is None else list(bindings),
        )


def _declarations(
    noun: str,
    expected: Iterable[str] | Mapping[str, str | Declaration] | None,
    known: tuple[str, ...],
) -> Mapping[str, Declaration] | None:
    if expected is None:
        return None
    if isinstance(expected, str):
        raise ValueError(f"pass the {noun} names as a list, not as the string {expected!r}")
    if not isinstance(expected, Mapping):
        return {name: {} for name in expected}
    declarations: dict[str, Declaration] = {}
    for name, properties in expected.items():
        declarations[name] = {"type": properties} if isinstance(properties, str) else properties
        for each in declarations[name]:
            if each not in known:
                raise ValueError(f"a {noun} has no property {each!r}; use {', '.join(known)}")
    return declarations


def difference(vhost: VirtualHost, expected: ExpectedTopology) -> list[str]:
    """List what is missing, with ``-``, and what is unexpected, with ``+``."""
    lines: list[str] = []
    if expected.queues is not None:
        actual = {queue.name: _queue(queue) for queue in vhost.queues.values()}
        lines += _differing("queue", expected.queues, actual)
    if expected.exchanges is not None:
        declared = [each for name, each in vhost.exchanges.items() if not _is_predeclared(name)]
        actual = {exchange.name: _exchange(exchange) for exchange in declared}
        lines += _differing("exchange", expected.exchanges, actual)
    if expected.bindings is not None:
        lines += _differing_bindings(expected.bindings, vhost)
    return lines


def _is_predeclared(name: str) -> bool:
    return not name or name.startswith("amq.")


def _queue(queue: Queue) -> Declaration:
    return {
        "type": queue.TYPE,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": dict(queue.arguments),
    }


def _exchange(exchange: Exchange) -> Declaration:
    return {
        "type": exchange.TYPE,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": dict(exchange.arguments),
    }


def _differing(
    noun: str, expected: Mapping[str, Declaration], actual: Mapping[str, Declaration]
) -> Iterator[str]:
    for name, properties in expected.items():
        if name not in actual:
            yield f"- {noun} {name!r}{_format(properties)}"
            continue
        differing = [each for each, value in properties.items() if actual[name][each] != value]
        if differing:
            yield f"- {noun} {name!r}{_format({each: properties[each] for each in differing})}"
            yield f"+ {noun} {name!r}{_format({each: actual[name][each] for each in differing})}"
    yield from (f"+ {noun} {name!r}" for name in actual if name not in expected)


def _format(properties: Declaration) -> str:
    return "".join(f", {name}={value!r}" for name, value in properties.items())


def _differing_bindings(expected: list[tuple[str, str, str]], vhost: VirtualHost) -> Iterator[str]:
    actual = [
        (exchange.name, binding.destination.name, binding.routing_key)
        for exchange in vhost.exchanges.values()
        for binding in exchange.outgoing
    ]
    yield from (f"- {_binding(*each)}" for each in expected if each not in actual)
    yield from (f"+ {_binding(*each)}" for each in actual if each not in expected)


def _binding(exchange: str, destination: str, key: str) -> str:
    return f"binding of {destination!r} to exchange {exchange!r} with key {key!r}"
