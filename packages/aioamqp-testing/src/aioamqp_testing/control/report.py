"""The state of a broker in words, for whoever reads about a failed test."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..model import Binding, Consumer, Message, Queue, VirtualHost
from ..session import Session
from ..session.journal import ConnectionJournal

if TYPE_CHECKING:
    from .inspection import Inspection

_MESSAGES = 5  # of a queue
_OCTETS = 40  # of a body
_COMMANDS = 20  # of a connection
_CONNECTIONS = 10
_WIDTH = 160  # characters of a command


def describe(broker: "Inspection", commands: int = _COMMANDS) -> str:
    """Put into words what there is in a broker, and what was said last.

    Args:
        broker: in whatever state.
        commands: how many of each connection to show, the last ones.

    Returns:
        several lines: queues with their messages, bindings and consumers, exchanges that somebody
        declared, connections, and the last commands.
    """
    sessions = broker.sessions
    lines: list[str] = []
    for vhost in broker.node.vhosts.values():
        lines += [f"virtual host {vhost.name}", *_indented(_vhost(vhost, sessions))]
    lines += ["connections", *_indented(_connections(sessions))]
    if broker.refused:
        lines += ["asked for, but not supported", *_indented(broker.refused)]
    lines += ["last commands (-> from the client, <- from the broker)"]
    lines += _indented(_journals(broker.journal.connections, commands))
    return "\n".join(lines)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  none"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _vhost(vhost: VirtualHost, sessions: list[Session]) -> Iterator[str]:
    consumers = [
        (consumer, f"on {session.journal.name}, channel {channel.number}")
        for session in sessions
        for channel in session.channels
        for consumer in channel.consuming.consumers
    ]
    for queue in vhost.queues.values():
        mine = [(consumer, where) for consumer, where in consumers if consumer.queue is queue]
        yield from _queue(queue, vhost.bindings_to(queue), mine)
    for exchange in vhost.exchanges.values():
        if exchange.name and not exchange.name.startswith("amq."):
            yield f"exchange {exchange.name!r}, {exchange.TYPE}"
            bindings = vhost.bindings_to(exchange)
            yield from (f"  bound to {_binding(binding)}" for binding in bindings)


def _queue(
    queue: Queue, bindings: list[Binding], consumers: list[tuple[Consumer, str]]
) -> Iterator[str]:
    words = [f"queue {queue.name!r}"]
    words += ["durable"] * queue.durable + ["auto-delete"] * queue.auto_delete
    words += ["exclusive"] * (queue.owner is not None)
    words += [f"{name}={value!r}" for name, value in queue.arguments.items()]
    counts = f"{queue.message_count} ready, {queue.unacked_count} unacked"
    yield f"{', '.join(words)}: {counts}, {_count(queue.consumer_count, 'consumer')}"
    yield from (f"  bound to {_binding(binding)}" for binding in bindings)
    for consumer, where in consumers:
        mode = "no_ack" if consumer.no_ack else "with ack"
        room = "" if consumer.credit is None else f", room for {consumer.credit} more"
        yield f"  consumer {consumer.tag!r} {where}: {mode}{room}"
    for who, held in queue.unacked.items():
        yield from (f"  with {who}: {_message(message)}" for message in held[:_MESSAGES])
        if len(held) > _MESSAGES:
            yield f"  with {who}: {len(held) - _MESSAGES} more"
    messages = queue.messages
    yield from (f"  ready: {_message(message)}" for message in messages[:_MESSAGES])
    if len(messages) > _MESSAGES:
        yield f"  ready: {len(messages) - _MESSAGES} more"


def _binding(binding: Binding) -> str:
    arguments = f" and {binding.arguments!r}" if binding.arguments else ""
    return f"exchange {binding.source.name!r} with key {binding.routing_key!r}{arguments}"


def _message(message: Message) -> str:
    body = bytes(message.body[:_OCTETS])
    dots = "..." if len(message.body) > _OCTETS else ""
    return f"{body!r}{dots}, published to {message.exchange!r} with key {message.routing_key!r}"


def _connections(sessions: list[Session]) -> Iterator[str]:
    for session in sessions:
        who = f"user {session.user}" if session.user else "not logged in"
        state = "open" if session.is_open else "not open"
        yield f"{session.journal.name}: {state}, {who}, {_count(len(session.channels), 'channel')}"


def _journals(journals: list[ConnectionJournal], commands: int) -> Iterator[str]:
    if len(journals) > _CONNECTIONS:
        yield f"({_count(len(journals) - _CONNECTIONS, 'earlier connection')} left out)"
    for journal in journals[-_CONNECTIONS:]:
        yield journal.name
        lines = journal.lines
        if len(lines) > commands:
            yield f"     ({len(lines) - commands} earlier ones left out)"
        for line in lines[-commands:]:
            yield f"  {line if len(line) <= _WIDTH else f'{line[:_WIDTH]}...'}"
