"""The report on the state of a broker, which pytest shows with a failed test."""

from collections.abc import Iterable, Iterator

from ..model import Binding, Consumer, Message, Node, Queue, VirtualHost
from ..session import Session
from ..session.journal import ConnectionJournal, Journal

_MAX_MESSAGES = 5  # of a queue
_MAX_BYTES = 40  # of a body
_MAX_CONNECTIONS = 10
_MAX_WIDTH = 160  # characters of a command


def report(node: Node, sessions: list[Session], journal: Journal, commands: int) -> str:
    """Return a report on the state of a broker.

    Args:
        node: the broker.
        sessions: its connections.
        journal: what was sent on them.
        commands: how many commands to show for each connection; the last ones are shown.

    Returns:
        several lines: queues with their messages, bindings and consumers, declared exchanges,
        connections, what needs a plugin, the version, and the last commands.
    """
    lines: list[str] = []
    for vhost in node.vhosts.values():
        lines += [f"virtual host {vhost.name}", *_indented(_vhost(vhost, sessions))]
    lines += ["connections", *_indented(_connections(sessions))]
    if node.refused:
        lines += ["used, but not supported", *_indented(node.refused)]
    if node.exchange_types.missing:
        lines += ["types of exchanges that need a plugin", *_indented(_plugins(node))]
    lines += ["answers as", f"  RabbitMQ {node.profile.version}"]
    lines += ["last commands (-> from the client, <- from the broker)"]
    lines += _indented(_journals(journal.connections, commands))
    return "\n".join(lines)


def _plugins(node: Node) -> Iterator[str]:
    for exchange_type, plugin in node.exchange_types.missing.items():
        yield (
            f"{exchange_type}: this broker has it with FakeBroker(plugins=[{plugin!r}]),"
            f" pytest.mark.amqp(plugins=[{plugin!r}]) or serve --plugin {plugin}"
        )


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
    properties = [f"queue {queue.name!r}"]
    properties += ["durable"] * queue.durable + ["auto-delete"] * queue.auto_delete
    properties += ["exclusive"] * (queue.owner is not None)
    properties += [f"{name}={value!r}" for name, value in queue.arguments.items()]
    counts = f"{queue.message_count} ready, {queue.unacked_count} unacked"
    yield f"{', '.join(properties)}: {counts}, {_count(queue.consumer_count, 'consumer')}"
    yield from (f"  bound to {_binding(binding)}" for binding in bindings)
    for consumer, where in consumers:
        mode = "no_ack" if consumer.no_ack else "manual ack"
        credit = "" if consumer.credit is None else f", prefetch allows {consumer.credit} more"
        yield f"  consumer {consumer.tag!r} {where}: {mode}{credit}"
    for holder, unacked in queue.unacked.items():
        yield from _messages(f"unacked by {holder}", unacked)
    yield from _messages("ready", queue.messages)


def _messages(state: str, messages: list[Message]) -> Iterator[str]:
    yield from (f"  {state}: {_message(message)}" for message in messages[:_MAX_MESSAGES])
    if len(messages) > _MAX_MESSAGES:
        yield f"  {state}: {len(messages) - _MAX_MESSAGES} more"


def _binding(binding: Binding) -> str:
    arguments = f" and {binding.arguments!r}" if binding.arguments else ""
    return f"exchange {binding.source.name!r} with key {binding.routing_key!r}{arguments}"


def _message(message: Message) -> str:
    body = bytes(message.body[:_MAX_BYTES])
    dots = "..." if len(message.body) > _MAX_BYTES else ""
    return f"{body!r}{dots}, published to {message.exchange!r} with key {message.routing_key!r}"


def _connections(sessions: list[Session]) -> Iterator[str]:
    for session in sessions:
        user = f"user {session.user}" if session.user else "not logged in"
        state = "open" if session.is_open else "not open"
        yield f"{session.journal.name}: {state}, {user}, {_count(len(session.channels), 'channel')}"


def _journals(journals: list[ConnectionJournal], commands: int) -> Iterator[str]:
    if len(journals) > _MAX_CONNECTIONS:
        yield f"({_count(len(journals) - _MAX_CONNECTIONS, 'earlier connection')} left out)"
    for journal in journals[-_MAX_CONNECTIONS:]:
        yield journal.name
        lines = journal.lines
        if len(lines) > commands:
            yield f"     ({_count(len(lines) - commands, 'earlier command')} left out)"
        for line in lines[-commands:]:
            yield f"  {line if len(line) <= _MAX_WIDTH else f'{line[:_MAX_WIDTH]}...'}"
