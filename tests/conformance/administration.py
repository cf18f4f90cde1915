"""Administration of RabbitMQ with the method names of FakeBroker, for scenarios on both."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from aioamqp_testing import FakeBroker
from tests.rabbitmq import RabbitMQNode, evaluate

ACTING_USER = '<<"conformance">>'


class ErlangAdministration:
    """Collects Erlang calls, and makes them together in a node."""

    def __init__(self, node: RabbitMQNode) -> None:
        self._node = node
        self._calls: list[str] = []

    def _call(self, function: str, *arguments: str) -> None:
        self._calls.append(f"{function}({', '.join((*arguments, ACTING_USER))})")

    async def apply(self) -> None:
        """Make the collected calls."""
        calls, self._calls = self._calls, []
        await evaluate(self._node, f"{', '.join(calls)}.")

    def add_user(self, name: str, password: str, tags: Iterable[str] = ()) -> None:
        self._call("rabbit_auth_backend_internal:add_user", binary(name), binary(password))
        self._call("rabbit_auth_backend_internal:set_tags", binary(name), f"[{', '.join(tags)}]")

    def delete_user(self, name: str) -> None:
        self._call("rabbit_auth_backend_internal:delete_user", binary(name))

    def set_permissions(
        self,
        user: str,
        vhost: str = "/",
        *,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        names = map(binary, (user, vhost, configure, write, read))
        self._call("rabbit_auth_backend_internal:set_permissions", *names)

    def set_topic_permissions(
        self, user: str, exchange: str, vhost: str = "/", *, write: str = ".*", read: str = ".*"
    ) -> None:
        names = map(binary, (user, vhost, exchange, write, read))
        self._call("rabbit_auth_backend_internal:set_topic_permissions", *names)

    def set_user_limits(
        self, user: str, *, max_connections: int | None = None, max_channels: int | None = None
    ) -> None:
        limits = {"max-connections": max_connections, "max-channels": max_channels}
        items = [f"{binary(key)} => {value}" for key, value in limits.items() if value is not None]
        limited = f"#{{{', '.join(items)}}}"
        self._call("rabbit_auth_backend_internal:set_user_limits", binary(user), limited)

    def add_vhost(self, name: str) -> None:
        self._call("rabbit_vhost:add", binary(name))
        self.set_permissions("guest", name)

    def delete_vhost(self, name: str) -> None:
        self._call("rabbit_vhost:delete", binary(name))

    def set_vhost_limits(
        self, vhost: str = "/", *, max_connections: int | None = None, max_queues: int | None = None
    ) -> None:
        limits = {"max-connections": max_connections, "max-queues": max_queues}
        limited = {key: value for key, value in limits.items() if value is not None}
        self._call("rabbit_vhost_limit:set", binary(vhost), proplist(limited))

    def set_cluster_limits(
        self,
        *,
        max_connections: int | None = None,
        max_channels: int | None = None,
        max_queues: int | None = None,
        max_exchanges: int | None = None,
    ) -> None:
        limits = {
            "connection_max": max_connections,
            "channel_max_per_node": max_channels,
            "cluster_queue_limit": max_queues,
            "cluster_exchange_limit": max_exchanges,
        }
        for name, limit in limits.items():
            value = "infinity" if limit is None else limit
            self._calls.append(f"application:set_env(rabbit, {name}, {value})")

    def set_max_message_size(self, size: int) -> None:
        self._calls.append(f"application:set_env(rabbit, max_message_size, {size})")
        self._calls.append(f"persistent_term:put(max_message_size, {size})")  # read by 4.0

    def crash_vhost(self, name: str = "/") -> None:
        self._calls.append(f"rabbit_vhost_sup_sup:delete_on_all_nodes({binary(name)})")

    def set_policy(
        self,
        name: str,
        pattern: str,
        definition: Mapping[str, int | str],
        *,
        apply_to: str = "all",
        priority: int = 0,
        vhost: str = "/",
    ) -> None:
        first = (binary(vhost), binary(name), binary(pattern), proplist(definition))
        self._call("rabbit_policy:set", *first, str(priority), binary(apply_to))

    def set_operator_policy(
        self, name: str, pattern: str, definition: Mapping[str, int | str], *, vhost: str = "/"
    ) -> None:
        first = (binary(vhost), binary(name), binary(pattern), proplist(definition))
        self._call("rabbit_policy:set_op", *first, "0", binary("queues"))

    def clear_operator_policy(self, name: str, vhost: str = "/") -> None:
        self._call("rabbit_policy:delete_op", binary(vhost), binary(name))

    def clear_policy(self, name: str, vhost: str = "/") -> None:
        self._call("rabbit_policy:delete", binary(vhost), binary(name))

    def close_all_connections(self, text: str, *, vhost: str) -> None:
        self._calls.append(
            f'[rabbit_networking:close_connection(P, "{text}")'
            " || P <- rabbit_networking:connections(),"
            f" rabbit_networking:connection_info(P, [vhost]) =:= [{{vhost, {binary(vhost)}}}]]"
        )


def binary(text: str) -> str:
    return f'<<"{text}">>'


def proplist(table: Mapping[str, int | str]) -> str:
    items = (
        f"{{{binary(key)}, {binary(value) if isinstance(value, str) else value}}}"
        for key, value in table.items()
    )
    return f"[{', '.join(items)}]"


Administer: TypeAlias = Callable[[], AbstractAsyncContextManager[FakeBroker | ErlangAdministration]]
"""Opens a block; the changes that are made in it are in effect when it is left."""
