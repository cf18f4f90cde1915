"""The exchanges, queues, bindings and consumers that a program has declared, as data."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, cast

from amqp_codec import Method, basic, encode_table, exchange, queue

Recover: TypeAlias = Literal["all", "transient", "none"]
"""What is declared again: everything, only what the server may have deleted, or nothing."""

RECOVER: Final[tuple[Recover, ...]] = ("all", "transient", "none")

Binding: TypeAlias = queue.Bind | exchange.Bind
Entity: TypeAlias = exchange.Declare | queue.Declare | Binding

_PARTS: Final = ("_bindings", "consumers", "exchanges", "queues")

_Key: TypeAlias = tuple[str, str, str, str, bytes]
"""Identifies a binding: the destination's type and name, source, routing key, arguments."""


class Topology:
    """What was declared on a connection and not deleted since, as the methods that did it.

    ``print`` shows it a line each. Two are equal if they have the same entities.

    Attributes:
        exchanges: by name.
        queues: by name.
        consumers: by consumer tag and the number of their channel when it was first opened.
    """

    def __init__(self) -> None:
        self.exchanges: dict[str, exchange.Declare] = {}
        self.queues: dict[str, queue.Declare] = {}
        self._bindings: dict[_Key, Binding] = {}
        self.consumers: dict[tuple[str, int], basic.Consume] = {}

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The bindings, in the order in which they were made."""
        return tuple(self._bindings.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _PARTS)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _PARTS)

    def __iter__(self) -> Iterator[Entity]:
        """Iterate over the entities in an order in which they can be declared."""
        yield from self.exchanges.values()
        yield from self.queues.values()
        yield from self._bindings.values()

    def __str__(self) -> str:
        lines = [describe(entity) for entity in self]
        lines += [
            f"consumer {tag!r} of queue {method.queue!r} on channel {number}"
            for (tag, number), method in self.consumers.items()
        ]
        return "\n".join(lines) or "nothing"

    def __repr__(self) -> str:
        counts = [f"{len(getattr(self, name))} {name.strip('_')}" for name in _PARTS]
        return f"<Topology: {', '.join(counts)}>"

    def copy(self) -> Self:
        """Return a copy, which does not change with this one."""
        duplicate = type(self)()
        for name in _PARTS:
            getattr(duplicate, name).update(getattr(self, name))
        return duplicate

    # ---------------------------------------------------------------- recording

    def record(self, method: Method, channel: int) -> None:
        """Apply a method that has succeeded: declare, delete, bind, unbind, consume, cancel.

        Others change nothing. Neither do declarations that are passive or of exchanges whose
        names begin with ``amq.``, which every server has.

        Args:
            method: the method, with the names of its queue and consumer filled in.
            channel: identifies its channel.
        """
        match method:
            case exchange.Declare() if not method.passive and _is_own(str(method.exchange)):
                self.exchanges[str(method.exchange)] = _lasting(method)
            case queue.Declare() if not method.passive:
                self.queues[str(method.queue)] = _lasting(method)
            case queue.Bind() | exchange.Bind():
                if source_of(method):  # the default exchange has its bindings of itself
                    self._bindings[_key(method)] = _lasting(method)
            case queue.Unbind() | exchange.Unbind():
                self._forget_bindings({_key(method)})
            case exchange.Delete():
                self.forget_exchange(str(method.exchange))
            case queue.Delete():
                self.forget_queue(str(method.queue))
            case basic.Consume():
                self.consumers[str(method.consumer_tag), channel] = _lasting(method)
            case basic.Cancel():
                self.forget_consumer(str(method.consumer_tag), channel)
            case _:
                pass

    def forget(self, entity: Entity) -> None:
        """Forget an exchange, a queue or a binding that cannot be declared."""
        if isinstance(entity, exchange.Declare):
            self.forget_exchange(str(entity.exchange))
        elif isinstance(entity, queue.Declare):
            self.forget_queue(str(entity.queue))
        else:
            self._forget_bindings({_key(entity)})

    def forget_exchange(self, name: str) -> None:
        """Forget an exchange and its bindings."""
        self.exchanges.pop(name, None)
        self._forget_bindings(
            {
                key
                for key, binding in self._bindings.items()
                if name in (source_of(binding), key[1] if key[0] == "exchange" else None)
            }
        )

    def forget_queue(self, name: str) -> None:
        """Forget a queue, its bindings and its consumers."""
        self.queues.pop(name, None)
        self._forget_bindings({key for key in self._bindings if key[:2] == ("queue", name)})
        for key in [key for key, method in self.consumers.items() if method.queue == name]:
            del self.consumers[key]

    def forget_consumer(self, tag: str, channel: int) -> None:
        """Forget a consumer, and its queue if that is deleted with its last consumer."""
        method = self.consumers.pop((tag, channel), None)
        if method is None:
            return
        declared = self.queues.get(str(method.queue))
        is_used = any(each.queue == method.queue for each in self.consumers.values())
        if declared is not None and declared.auto_delete and not is_used:
            self.forget_queue(str(method.queue))

    def forget_channel(self, channel: int) -> None:
        """Forget the consumers of a channel that was closed."""
        for tag, number in list(self.consumers):
            if number == channel:
                self.forget_consumer(tag, number)

    def _forget_bindings(self, keys: set[_Key]) -> None:
        """Forget bindings, and the exchanges that are deleted with their last binding."""
        sources = {source_of(b) for key in keys if (b := self._bindings.pop(key, None))}
        if not sources:
            return
        used = {source_of(binding) for binding in self._bindings.values()}
        for name in sources - used:
            declared = self.exchanges.get(name)
            if declared is not None and declared.auto_delete:
                self.forget_exchange(name)

    # ---------------------------------------------------------------- what to do with it

    def to_declare(self, recover: Recover) -> list[Entity]:
        """Return what to declare on a new connection, in order.

        Args:
            recover: "transient" leaves out what survives a restart of the server; bindings survive
                if both of their ends do.
        """
        if recover == "none":
            return []
        if recover == "all":
            return list(self)
        gone = {
            ("exchange", name): method
            for name, method in self.exchanges.items()
            if not method.durable or method.auto_delete
        } | {
            ("queue", name): method
            for name, method in self.queues.items()
            if not method.durable or method.auto_delete or method.exclusive
        }
        bindings = [
            binding
            for key, binding in self._bindings.items()
            if key[:2] in gone or ("exchange", key[2]) in gone
        ]
        return [*gone.values(), *bindings]

    def is_temporary(self, kind: str, name: str) -> bool:
        """Return whether the server deletes an exchange or a queue by itself.

        RabbitMQ: an exclusive queue ends with its connection, an auto-delete queue with its last
        consumer, an auto-delete exchange with its last binding.

        Args:
            kind: "exchange" or "queue".
            name: its name.
        """
        if kind == "exchange":
            return name in self.exchanges and bool(self.exchanges[name].auto_delete)
        declared = self.queues.get(name)
        return declared is not None and bool(declared.auto_delete or declared.exclusive)

    def to_definitions(self, virtualhost: str = "/") -> dict[str, list[dict[str, Any]]]:
        """Return the exchanges, queues and bindings in the form of RabbitMQ's definitions.

        RabbitMQ imports their JSON: definitions.html. Exclusive queues are not among them, since
        they belong to a connection, nor are the bindings of these.

        Args:
            virtualhost: that the connection uses.
        """
        kept = [method for method in self.queues.values() if not method.exclusive]
        exclusive = {("queue", name) for name, method in self.queues.items() if method.exclusive}
        return {
            "exchanges": [
                {
                    "name": method.exchange,
                    "vhost": virtualhost,
                    "type": method.type,
                    "durable": bool(method.durable),
                    "auto_delete": bool(method.auto_delete),
                    "internal": bool(method.internal),
                    "arguments": _plain(method.arguments),
                }
                for method in self.exchanges.values()
            ],
            "queues": [
                {
                    "name": method.queue,
                    "vhost": virtualhost,
                    "durable": bool(method.durable),
                    "auto_delete": bool(method.auto_delete),
                    "arguments": _plain(method.arguments),
                }
                for method in kept
            ],
            "bindings": [
                {
                    "source": source_of(binding),
                    "vhost": virtualhost,
                    "destination": key[1],
                    "destination_type": key[0],
                    "routing_key": key[3],
                    "arguments": _plain(binding.arguments),
                }
                for key, binding in self._bindings.items()
                if key[:2] not in exclusive
            ],
        }


def describe(entity: Entity) -> str:
    """Return the kind and the name of an exchange, a queue or a binding."""
    if isinstance(entity, exchange.Declare):
        return f"exchange {entity.exchange!r} ({entity.type}{_flags(entity)})"
    if isinstance(entity, queue.Declare):
        flags = _flags(entity) + (", exclusive" if entity.exclusive else "")
        return f"queue {entity.queue!r}" + (f" ({flags[2:]})" if flags else "")
    kind, name, source, key, _ = _key(entity)
    return f"binding of {kind} {name!r} to exchange {source!r} with routing key {key!r}"


def source_of(binding: Binding | queue.Unbind | exchange.Unbind) -> str:
    """Return the name of the exchange that a binding takes messages from."""
    if isinstance(binding, queue.Bind | queue.Unbind):
        return str(binding.exchange)
    return str(binding.source)


def ends_of(entity: Entity) -> tuple[tuple[str, str], ...]:
    """Return kind and name of what a binding connects; nothing for an exchange or a queue."""
    if isinstance(entity, exchange.Declare | queue.Declare):
        return ()
    kind, name, source, _, _ = _key(entity)
    return ("exchange", source), (kind, name)


def _flags(entity: exchange.Declare | queue.Declare) -> str:
    names = ("durable", "auto_delete")
    return "".join(f", {name.replace('_', '-')}" for name in names if getattr(entity, name))


def _is_own(name: str) -> bool:
    return name != "" and not name.startswith("amq.")


def _key(method: Binding | queue.Unbind | exchange.Unbind) -> _Key:
    if isinstance(method, queue.Bind | queue.Unbind):
        kind, name = "queue", method.queue
    else:
        kind, name = "exchange", method.destination
    arguments = encode_table(method.arguments)
    return kind, str(name), source_of(method), str(method.routing_key), arguments


def _lasting(method: Any) -> Any:
    """Return a copy of a method that waits for its reply, with arguments of its own."""
    duplicate = copy.copy(method)
    duplicate.no_wait = False
    duplicate.arguments = dict(method.arguments)
    return duplicate


def _plain(value: object) -> Any:
    """Return a field value as JSON has it."""
    if isinstance(value, Mapping):
        table = cast("Mapping[Any, object]", value)
        return {str(key): _plain(each) for key, each in table.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in cast("list[object]", value)]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
