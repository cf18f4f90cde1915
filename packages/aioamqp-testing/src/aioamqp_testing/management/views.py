"""The broker's objects as the management API shows them: with RabbitMQ's names, in JSON's types.

Only what this broker knows is shown: there are no rates, no sizes in memory and no Erlang.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from math import isfinite
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

from amqp_codec import FieldTable, FieldValue

from ..model import Binding, Consumer, Exchange, Node, Permissions, Queue, User, VirtualHost
from ..model.limits import NODE_NAME
from ..session import Channel, Session
from ..transport.listener import Port

View: TypeAlias = dict[str, Any]

_PROTOCOLS: Final = {"amqps": "amqp/ssl"}


@dataclass(frozen=True)
class QueueBinding:
    """A binding of a queue or exchange; those of the default exchange exist only in views."""

    source: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: FieldTable

    @property
    def properties_key(self) -> str:
        """The last part of the path of the binding. RabbitMQ: the same, with another hash."""
        key = quote_plus(self.routing_key) or "~"
        if not self.arguments:
            return key
        digest = blake2b(repr(sorted(self.arguments.items())).encode(), digest_size=4)
        return f"{quote_plus(self.routing_key)}~{digest.hexdigest()}"


def value(wire: FieldValue) -> Any:
    """Convert a field value, such as an argument, to a type of JSON."""
    match wire:
        case None | bool() | int() | str():
            return wire
        case float() | Decimal():
            number = float(wire)
            return number if isfinite(number) else str(number)  # JSON has no other numbers
        case datetime():
            return int(wire.timestamp())
        case bytes():
            return wire.decode("utf-8", "replace")
        case Mapping():
            return {key: value(each) for key, each in wire.items()}
        case list() | tuple():
            return [value(each) for each in wire]
        case _:
            return str(wire)


def overview(node: Node, sessions: list[Session], ports: list[Port]) -> View:
    """Return the state of the whole broker."""
    queues = [queue for vhost in node.vhosts.values() for queue in vhost.queues.values()]
    channels = [channel for session in sessions for channel in session.channels]
    return {
        "management_version": node.profile.version,
        "rabbitmq_version": node.profile.version,
        "product_name": "RabbitMQ",
        "product_version": node.profile.version,
        "cluster_name": NODE_NAME,
        "node": NODE_NAME,
        "exchange_types": [{"name": name, "enabled": True} for name in node.exchange_types.names],
        "queue_totals": _totals(queues),
        "object_totals": {
            "channels": len(channels),
            "connections": len(sessions),
            "consumers": sum(queue.consumer_count for queue in queues),
            "exchanges": sum(len(vhost.exchanges) for vhost in node.vhosts.values()),
            "queues": len(queues),
        },
        "listeners": [
            {
                "node": NODE_NAME,
                "protocol": _PROTOCOLS.get(each.scheme, each.scheme),
                "ip_address": each.address,
                "port": each.number,
            }
            for each in ports
        ],
    }


def node(shown: Node) -> View:
    """Return the only node of the cluster."""
    return {
        "name": NODE_NAME,
        "type": "disc",
        "running": True,
        "partitions": [],
        "mem_alarm": "memory" in shown.alarm,
        "disk_free_alarm": "disk" in shown.alarm,
    }


def alarms(shown: Node) -> list[View]:
    """Return the alarms that block publishers."""
    resource = "disk" if "disk" in shown.alarm else "memory"
    return [{"node": NODE_NAME, "resource": resource}] if shown.alarm else []


def vhost(shown: VirtualHost) -> View:
    """Return a virtual host."""
    return {
        "name": shown.name,
        "tracing": False,
        "cluster_state": {NODE_NAME: "stopped" if shown.is_down else "running"},
        **_totals(list(shown.queues.values())),
    }


def user(shown: User) -> View:
    """Return a user, without the password."""
    limits = {"max-connections": shown.max_connections, "max-channels": shown.max_channels}
    return {
        "name": shown.name,
        "tags": sorted(shown.tags),
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
    }


def permissions(shown: User, vhost_name: str) -> View:
    """Return the permissions of a user in a virtual host."""
    granted: Permissions = shown.permissions[vhost_name]
    return {
        "user": shown.name,
        "vhost": vhost_name,
        "configure": granted.configure,
        "write": granted.write,
        "read": granted.read,
    }


def queue(host: VirtualHost, shown: Queue) -> View:
    """Return a queue."""
    return {
        "name": shown.name,
        "vhost": host.name,
        "node": NODE_NAME,
        "type": shown.TYPE,
        "state": "running",
        "durable": shown.durable,
        "auto_delete": shown.auto_delete,
        "exclusive": shown.owner is not None,
        "arguments": value(shown.arguments),
        "effective_policy_definition": value(host.policies.for_queue(shown.name)),
        "consumers": shown.consumer_count,
        **_totals([shown]),
    }


def consumers(
    host: VirtualHost, shown: Queue, channels: list[tuple[Session, Channel]]
) -> list[View]:
    """Return the consumers of a queue."""
    return [
        {
            "queue": {"name": shown.name, "vhost": host.name},
            "consumer_tag": each.tag,
            "ack_required": not each.no_ack,
            "exclusive": each.exclusive,
            "prefetch_count": each.prefetch_count,
            "arguments": value(each.arguments),
            "channel_details": {
                "name": f"{session.name} ({channel.number})",
                "number": channel.number,
                "connection_name": session.name,
                "user": session.user,
                **_peer(session),
            },
        }
        for session, channel in channels
        for each in _consumers_of(channel, shown)
    ]


def _consumers_of(channel: Channel, queue: Queue) -> Iterator[Consumer]:
    return (each for each in channel.consuming.consumers if each.queue is queue)


def exchange(host: VirtualHost, shown: Exchange) -> View:
    """Return an exchange."""
    return {
        "name": shown.name,
        "vhost": host.name,
        "type": shown.TYPE,
        "durable": shown.durable,
        "auto_delete": shown.auto_delete,
        "internal": shown.internal,
        "arguments": value(shown.arguments),
    }


def bindings_of(host: VirtualHost) -> list[QueueBinding]:
    """Return the bindings in a virtual host, first those of the default exchange."""
    names = sorted(host.queues)
    implicit = [QueueBinding("", name, "queue", name, {}) for name in names]
    declared = [
        _declared(host, each) for exchange in host.exchanges.values() for each in exchange.outgoing
    ]
    order = sorted(declared, key=lambda each: (each.source, each.destination, each.routing_key))
    return implicit + order


def _declared(host: VirtualHost, shown: Binding) -> QueueBinding:
    is_queue = host.queues.get(shown.destination.name) is shown.destination
    return QueueBinding(
        shown.source.name,
        shown.destination.name,
        "queue" if is_queue else "exchange",
        shown.routing_key,
        shown.arguments,
    )


def binding(host: VirtualHost, shown: QueueBinding) -> View:
    """Return a binding."""
    return {
        "source": shown.source,
        "vhost": host.name,
        "destination": shown.destination,
        "destination_type": shown.destination_type,
        "routing_key": shown.routing_key,
        "arguments": value(shown.arguments),
        "properties_key": shown.properties_key,
    }


def connection(shown: Session) -> View:
    """Return a connection."""
    provided_name = shown.client_properties.get("connection_name")
    return {
        "name": shown.name,
        "node": NODE_NAME,
        "type": "network",
        "protocol": "AMQP 0-9-1",
        "state": "running",
        "user": shown.user,
        "user_who_performed_action": shown.user,
        "vhost": shown.vhost_name,
        "channels": shown.channel_count,
        "client_properties": value(shown.client_properties),
        **({} if provided_name is None else {"user_provided_name": value(provided_name)}),
        **_peer(shown),
    }


def _peer(session: Session) -> View:
    host, _, port = session.name.rpartition(":")
    return {"peer_host": host, "peer_port": int(port)} if port.isdecimal() else {}


def _totals(queues: list[Queue]) -> View:
    ready = sum(queue.message_count for queue in queues)
    unacked = sum(queue.unacked_count for queue in queues)
    return {
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }


DEFAULT_EXCHANGE: Final = "amq.default"
"""The name of the default exchange in paths."""
