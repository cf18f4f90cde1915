"""What an administrator does to a broker: users, virtual hosts, permissions, policies, limits."""

from collections.abc import Iterable, Mapping

from amqp_codec import FieldValue

from ..model import ApplyTo, Connected, Node, Permissions, Policy, User, VirtualHost


class Administration:
    """The calls for whoever runs a broker; each does what rabbitmqctl's command of that name does.

    They take effect at once, for open connections too.

    Attributes:
        node: the broker.
    """

    node: Node

    # ----------------------------------------------------------------------------- users

    def add_user(self, name: str, password: str, tags: Iterable[str] = ()) -> None:
        """Add a user, who may log in but not enter any virtual host yet.

        Args:
            name: of the user.
            password: for logging in.
            tags: such as ``"administrator"``; ``"impersonator"`` may publish with any user_id.

        Raises:
            ValueError: there is such a user.
        """
        if name in self.node.users:
            raise ValueError(f"there is a user {name!r} already; choose another name")
        self.node.users[name] = User(name, password, frozenset(tags))

    def delete_user(self, name: str) -> None:
        """Delete a user. RabbitMQ closes the user's connections and says why.

        Raises:
            ValueError: there is no such user.
        """
        self._user(name)
        del self.node.users[name]
        for connection in self.node.connections_of(name):
            connection.force_close(f"user '{name}' is deleted")

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password; connections stay.

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
        """Let a user into a virtual host, and say what is allowed there.

        Args:
            user: whose permissions these are; earlier ones there are gone.
            vhost: where.
            configure: a regular expression for the names of what may be declared and deleted.
            write: for exchanges to publish to, and queues to bind.
            read: for queues to consume from, and exchanges to bind to.

        Raises:
            ValueError: there is no such user or virtual host, or something is no expression.
        """
        self._vhost(vhost)
        self._user(user).permissions[vhost] = Permissions(configure, write, read)

    def clear_permissions(self, user: str, vhost: str = "/") -> None:
        """Let a user no more into a virtual host; who is in may do nothing any more.

        Raises:
            ValueError: there is no such user or virtual host.
        """
        self._vhost(vhost)
        self._user(user).permissions.pop(vhost, None)

    def set_topic_permissions(
        self, user: str, exchange: str, vhost: str = "/", *, write: str = ".*", read: str = ".*"
    ) -> None:
        """Say with which routing keys a user may deal with a topic exchange.

        Args:
            user: whose permissions these are.
            exchange: the name of the exchange.
            vhost: where it is.
            write: a regular expression for the keys to publish with; ``{username}`` and ``{vhost}``
                in it stand for these names.
            read: the same for the keys to bind with.

        Raises:
            ValueError: there is no such user or virtual host, or something is no expression.
        """
        self._vhost(vhost)
        permissions = Permissions(write=write, read=read)
        self._user(user).topic_permissions[vhost, exchange] = permissions

    def clear_topic_permissions(self, user: str, exchange: str, vhost: str = "/") -> None:
        """Let a user deal with a topic exchange with any routing key again.

        Raises:
            ValueError: there is no such user or virtual host.
        """
        self._vhost(vhost)
        self._user(user).topic_permissions.pop((vhost, exchange), None)

    def set_user_limits(
        self, user: str, *, max_connections: int | None = None, max_channels: int | None = None
    ) -> None:
        """Limit what a user may have; None is no limit. What is there already stays.

        Raises:
            ValueError: there is no such user, or a limit is negative.
        """
        limited = self._user(user)
        limited.max_connections = _limit("max_connections", max_connections)
        limited.max_channels = _limit("max_channels", max_channels)

    # ----------------------------------------------------------------------------- virtual hosts

    def add_vhost(self, name: str) -> VirtualHost:
        """Add a virtual host, which guest may enter and do everything in.

        (RabbitMQ leaves it to the administrator to let anybody in; a test hardly ever means that.)

        Raises:
            ValueError: there is such a virtual host.
        """
        vhost = self.node.add_vhost(name)
        if "guest" in self.node.users:
            self.set_permissions("guest", name)
        return vhost

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host and all that is in it. RabbitMQ closes its connections.

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
        """Limit what a virtual host may have; None is no limit. What is there already stays.

        Raises:
            ValueError: there is no such virtual host, or a limit is negative.
        """
        limited = self._vhost(vhost)
        limited.max_connections = _limit("max_connections", max_connections)
        limited.max_queues = _limit("max_queues", max_queues)

    def crash_vhost(self, name: str = "/") -> None:
        """Let a virtual host be down: its connections are closed, and new ones are refused.

        Raises:
            ValueError: there is no such virtual host.
        """
        self._vhost(name).is_down = True
        self.close_all_connections(f"vhost '{name}' is down", vhost=name)

    def restart_vhost(self, name: str = "/") -> None:
        """Let a virtual host that is down be up again.

        Raises:
            ValueError: there is no such virtual host.
        """
        self._vhost(name).is_down = False

    def set_max_message_size(self, octets: int) -> None:
        """Say how large a body may be; 128 MiB at first. RabbitMQ: max_message_size.

        Raises:
            ValueError: it is negative.
        """
        if octets < 0:
            raise ValueError("max_message_size must not be negative")
        self.node.max_message_size = octets

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
        """Set a policy, in the place of one with the same name.

        Args:
            name: of the policy.
            pattern: a regular expression; it matches anywhere in the name of a queue or exchange.
            definition: arguments without ``x-``, such as ``{"max-length": 10}``. Where a queue has
                the argument too, the lower number holds.
            apply_to: ``"all"``, ``"queues"`` or ``"exchanges"``.
            priority: of all policies that match, only the one with the highest holds.
            vhost: where.

        Raises:
            ValueError: there is no such virtual host, or the policy cannot be.
        """
        where = self._vhost(vhost)
        where.policies.set(Policy(name, pattern, dict(definition), apply_to, priority))
        where.apply_policies()

    def clear_policy(self, name: str, vhost: str = "/") -> None:
        """Take a policy away.

        Raises:
            ValueError: there is no such policy or virtual host.
        """
        where = self._vhost(vhost)
        where.policies.clear(name)
        where.apply_policies()

    # ----------------------------------------------------------------------------- connections

    def close_connection(
        self, connection: Connected | str, text: str = "Closed via management plugin"
    ) -> None:
        """Close a connection from the broker's side, with reply code 320.

        Args:
            connection: one of ``sessions``, or the name that it has in the journal.
            text: the reason, which the client is told.

        Raises:
            ValueError: no connection has this name.
        """
        if isinstance(connection, str):
            named = {each.name: each for each in self.node.connections}
            if connection not in named:
                known = ", ".join(named) or "none"
                raise ValueError(f"there is no connection {connection!r}; there are: {known}")
            connection = named[connection]
        connection.force_close(text)

    def close_all_connections(self, text: str, *, user: str = "", vhost: str = "") -> None:
        """Close connections from the broker's side, with reply code 320.

        Args:
            text: the reason, which the clients are told.
            user: only those of this user; empty for all.
            vhost: only those in this virtual host; empty for all.
        """
        for connection in list(self.node.connections):
            if user in ("", connection.user) and vhost in ("", connection.vhost_name):
                connection.force_close(text)

    # ----------------------------------------------------------------------------- looking up

    def _user(self, name: str) -> User:
        try:
            return self.node.users[name]
        except KeyError:
            raise ValueError(f"there is no user {name!r}; add_user adds one") from None

    def _vhost(self, name: str) -> VirtualHost:
        try:
            return self.node.vhosts[name]
        except KeyError:
            raise ValueError(f"there is no virtual host {name!r}; add_vhost adds one") from None


def _limit(name: str, limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise ValueError(f"{name} must not be negative; None is no limit")
    return limit
