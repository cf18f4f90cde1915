"""Administration of a broker: users, permissions, virtual hosts, limits, policies, connections."""

from collections.abc import Iterable, Mapping

from amqp_codec import FieldValue

from ..model import ApplyTo, Connected, Permissions, Policy, User, VirtualHost
from ..threads import thread_safe
from .inspection import Inspection, named


@thread_safe
class Administration(Inspection):
    """Methods of an administrator, named after the commands of rabbitmqctl.

    They take effect at once, for open connections too.
    """

    # ----------------------------------------------------------------------------- users

    def add_user(self, name: str, password: str, tags: Iterable[str] = ()) -> None:
        """Add a user, who may log in but has no permissions for any virtual host yet.

        Args:
            name: of the user.
            password: for logging in.
            tags: such as ``"administrator"``; ``"impersonator"`` may publish with any user_id.

        Raises:
            ValueError: the user exists.
        """
        if name in self.node.users:
            raise ValueError(f"user {name!r} exists already; choose another name")
        self.node.users[name] = User(name, password, frozenset(tags))

    def delete_user(self, name: str) -> None:
        """Delete a user and close the user's connections, as RabbitMQ does.

        Raises:
            ValueError: there is no such user.
        """
        self._user(name)
        del self.node.users[name]
        for connection in self.node.connections_of(name):
            connection.force_close(f"user '{name}' is deleted")

    def change_password(self, name: str, password: str) -> None:
        """Change a user's password. Open connections stay open.

        Raises:
            ValueError: there is no such user.
        """
        self._user(name).password = password

    def set_permissions(
        self,
        user: str,
        vhost: str = "/",
        *,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        """Set a user's permissions for a virtual host, and grant access to it.

        Args:
            user: the name of the user.
            vhost: the virtual host. Earlier permissions for it are replaced.
            configure: a regular expression for the names of what the user may declare and delete.
            write: for the exchanges to publish to, and the queues to bind.
            read: for the queues to consume from, and the exchanges to bind to.

        Raises:
            ValueError: there is no such user or virtual host, or a regular expression is invalid.
        """
        self._vhost(vhost)
        self._user(user).permissions[vhost] = Permissions(configure, write, read)

    def clear_permissions(self, user: str, vhost: str = "/") -> None:
        """Remove a user's permissions for a virtual host, and the access to it.

        Open connections stay open, but everything that the user does there is refused.

        Raises:
            ValueError: there is no such user or virtual host.
        """
        self._vhost(vhost)
        self._user(user).permissions.pop(vhost, None)

    def set_topic_permissions(
        self, user: str, exchange: str, vhost: str = "/", *, write: str = ".*", read: str = ".*"
    ) -> None:
        """Limit the routing keys that a user may use with a topic exchange.

        Args:
            user: the name of the user.
            exchange: the name of the exchange.
            vhost: the virtual host.
            write: a regular expression for the keys to publish with; ``{username}`` and ``{vhost}``
                in it stand for these names.
            read: the same for the keys to bind with.

        Raises:
            ValueError: there is no such user or virtual host, or a regular expression is invalid.
        """
        self._vhost(vhost)
        permissions = Permissions(write=write, read=read)
        self._user(user).topic_permissions[vhost, exchange] = permissions

    def clear_topic_permissions(self, user: str, exchange: str, vhost: str = "/") -> None:
        """Allow a user again to use any routing key with a topic exchange.

        Raises:
            ValueError: there is no such user or virtual host.
        """
        self._vhost(vhost)
        self._user(user).topic_permissions.pop((vhost, exchange), None)

    def set_user_limits(
        self, user: str, *, max_connections: int | None = None, max_channels: int | None = None
    ) -> None:
        """Limit a user's connections and channels; None is no limit. Existing ones stay.

        Raises:
            ValueError: there is no such user, or a limit is negative.
        """
        limited = self._user(user)
        limited.max_connections = _limit("max_connections", max_connections)
        limited.max_channels = _limit("max_channels", max_channels)

    # ----------------------------------------------------------------------------- virtual hosts

    def add_vhost(self, name: str) -> VirtualHost:
        """Add a virtual host, for which guest gets all permissions.

        (In RabbitMQ nobody has access to a new virtual host, but a test usually needs it.)

        Raises:
            ValueError: the virtual host exists.
        """
        vhost = self.node.add_vhost(name)
        if "guest" in self.node.users:
            self.set_permissions("guest", name)
        return vhost

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with its contents and close its connections, as RabbitMQ does.

        Raises:
            ValueError: there is no such virtual host.
        """
        vhost = self._vhost(name)
        self.close_all_connections(f"vhost '{name}' is deleted", vhost=name)
        del self.node.vhosts[name]
        vhost.clear()

    def set_vhost_limits(
        self, vhost: str = "/", *, max_connections: int | None = None, max_queues: int | None = None
    ) -> None:
        """Limit a virtual host's connections and queues; None is no limit. Existing ones stay.

        Raises:
            ValueError: there is no such virtual host, or a limit is negative.
        """
        limited = self._vhost(vhost)
        limited.max_connections = _limit("max_connections", max_connections)
        limited.max_queues = _limit("max_queues", max_queues)

    def set_cluster_limits(
        self,
        *,
        max_connections: int | None = None,
        max_channels: int | None = None,
        max_queues: int | None = None,
        max_exchanges: int | None = None,
    ) -> None:
        """Limit what all virtual hosts have together; None is no limit. What exists stays.

        RabbitMQ: connection_max, channel_max_per_node, cluster_queue_limit and
        cluster_exchange_limit in rabbitmq.conf.

        Raises:
            ValueError: a limit is negative, or the version does not have it.
        """
        limits = {
            "connections": max_connections,
            "channels": max_channels,
            "queues": max_queues,
            "exchanges": max_exchanges,
        }
        profile = self.node.profile
        for noun, limit in limits.items():
            _limit(f"max_{noun}", limit)
            if limit is not None and noun not in profile.limits:
                raise ValueError(
                    f"RabbitMQ {profile.version} has no limit of the {noun} of a cluster; choose a"
                    " newer version, such as rabbitmq='4.3'"
                )
        self.node.limits.max_connections = max_connections
        self.node.limits.max_channels = max_channels
        self.node.limits.max_queues = max_queues
        self.node.limits.max_exchanges = max_exchanges

    def set_default_queue_type(self, queue_type: str, vhost: str = "/") -> None:
        """Set the type of durable queues that are declared without x-queue-type.

        Queues that are exclusive or auto-delete stay classic. RabbitMQ has it since 3.11.

        Args:
            queue_type: ``classic``, ``quorum`` or ``stream``.
            vhost: the virtual host.

        Raises:
            ValueError: there is no such virtual host or type, or the version has no default types.
        """
        if queue_type not in ("classic", "quorum", "stream"):
            raise ValueError(
                f"the queue type must be 'classic', 'quorum' or 'stream', not {queue_type!r}"
            )
        if not self.node.profile.has_default_queue_type:
            raise ValueError(
                f"RabbitMQ {self.node.profile.version} has no default queue types; choose a newer"
                " version, such as rabbitmq='4.3'"
            )
        self._vhost(vhost).default_queue_type = queue_type

    def crash_vhost(self, name: str = "/") -> None:
        """Stop a virtual host: its connections are closed, and new ones are refused.

        Raises:
            ValueError: there is no such virtual host.
        """
        self._vhost(name).is_down = True
        self.close_all_connections(f"vhost '{name}' is down", vhost=name)

    def restart_vhost(self, name: str = "/") -> None:
        """Start a virtual host again after ``crash_vhost``.

        Raises:
            ValueError: there is no such virtual host.
        """
        self._vhost(name).is_down = False

    def set_max_message_size(self, size: int) -> None:
        """Limit the size of a body in bytes; 128 MiB by default. RabbitMQ: max_message_size.

        Raises:
            ValueError: the size is negative.
        """
        if size < 0:
            raise ValueError("max_message_size must not be negative")
        self.node.max_message_size = size

    # ----------------------------------------------------------------------------- policies

    def set_policy(
        self,
        name: str,
        pattern: str,
        definition: Mapping[str, FieldValue],
        *,
        apply_to: ApplyTo = "all",
        priority: int = 0,
        vhost: str = "/",
    ) -> None:
        """Set a policy, replacing one with the same name.

        Args:
            name: of the policy.
            pattern: a regular expression; it matches anywhere in the name of a queue or exchange.
            definition: arguments without ``x-``, such as ``{"max-length": 10}``. If a queue has the
                argument too, the lower number applies.
            apply_to: ``"all"``, ``"queues"`` or ``"exchanges"``.
            priority: of all matching policies, only the one with the highest priority applies.
            vhost: the virtual host.

        Raises:
            ValueError: there is no such virtual host, or the policy is invalid.
        """
        host = self._vhost(vhost)
        host.policies.set(Policy(name, pattern, dict(definition), apply_to, priority))
        host.apply_policies()

    def set_operator_policy(
        self,
        name: str,
        pattern: str,
        definition: Mapping[str, FieldValue],
        *,
        apply_to: ApplyTo = "queues",
        priority: int = 0,
        vhost: str = "/",
    ) -> None:
        """Set an operator policy, which applies to queues together with a policy.

        Args:
            name: of the operator policy.
            pattern: a regular expression; it matches anywhere in the name of a queue.
            definition: limits without ``x-``, such as ``{"max-length": 10}``. If a policy or the
                queue has the limit too, the lower number applies.
            apply_to: ``"all"`` or ``"queues"``.
            priority: of all matching operator policies, only the one with the highest applies.
            vhost: the virtual host.

        Raises:
            ValueError: there is no such virtual host, or the operator policy is invalid.
        """
        host = self._vhost(vhost)
        host.policies.set_operators(Policy(name, pattern, dict(definition), apply_to, priority))
        host.apply_policies()

    def clear_operator_policy(self, name: str, vhost: str = "/") -> None:
        """Remove an operator policy.

        Raises:
            ValueError: there is no such operator policy or virtual host.
        """
        host = self._vhost(vhost)
        host.policies.clear_operators(name)
        host.apply_policies()

    def clear_policy(self, name: str, vhost: str = "/") -> None:
        """Remove a policy.

        Raises:
            ValueError: there is no such policy or virtual host.
        """
        host = self._vhost(vhost)
        host.policies.clear(name)
        host.apply_policies()

    # ----------------------------------------------------------------------------- connections

    def close_connection(
        self, connection: Connected | str, text: str = "Closed via management plugin"
    ) -> None:
        """Close a connection from the side of the broker, with reply code 320.

        Args:
            connection: one of ``sessions``, or its name in the journal.
            text: the reason, which is sent to the client.

        Raises:
            ValueError: no connection has this name.
        """
        if isinstance(connection, str):
            connections = {each.name: each for each in self.node.connections}
            connection = named("connection", connection, connections)
        connection.force_close(text)

    def close_all_connections(self, text: str, *, user: str = "", vhost: str = "") -> None:
        """Close connections from the side of the broker, with reply code 320.

        Args:
            text: the reason, which is sent to the clients.
            user: only connections of this user; empty for all users.
            vhost: only connections to this virtual host; empty for all virtual hosts.
        """
        for connection in list(self.node.connections):
            if user in ("", connection.user) and vhost in ("", connection.vhost_name):
                connection.force_close(text)

    def _user(self, name: str) -> User:
        return named("user", name, self.node.users)


def _limit(name: str, limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise ValueError(f"{name} must not be negative; None is no limit")
    return limit
