"""Access control: users, their permissions, and the checks for one connection."""

import re
from dataclasses import dataclass, field

from amqp_codec import ReplyCode

from .errors import BrokerError
from .profile import Profile


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches anywhere in a name."""
    return re.search(pattern, name) is not None


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that is no regular expression.

    Raises:
        ValueError: the pattern cannot be compiled.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of a user in one virtual host: regular expressions for names.

    RabbitMQ: an expression matches anywhere in a name; to match all of the name it begins with
    ``^`` and ends with ``$``. The empty expression matches only the empty name.

    Attributes:
        configure: what the user may declare and delete.
        write: the exchanges that the user may publish to, and what the user may bind.
        read: the queues that the user may consume from, and the exchanges to bind to.
    """

    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"

    def __post_init__(self) -> None:
        for pattern in (self.configure, self.write, self.read):
            check_pattern(pattern)


NO_PERMISSIONS = Permissions("", "", "")  # matches only the empty name


@dataclass(slots=True, eq=False)
class User:
    """A user of the broker.

    Attributes:
        name: the name of the user, unique in the broker.
        password: the password, which the repr leaves out.
        tags: such as administrator; only impersonator has an effect here: the user may publish
            with any user_id.
        permissions: by the name of the virtual host; connection.open is refused without any.
        topic_permissions: by virtual host and exchange: the routing keys that the user may publish
            to a topic exchange (write) and bind to it (read); without any, all are allowed.
        max_connections: the limit of connections; None is unlimited.
        max_channels: the limit of channels on all connections together.
    """

    name: str
    password: str = field(repr=False)
    tags: frozenset[str] = frozenset()
    permissions: dict[str, Permissions] = field(default_factory=dict)
    topic_permissions: dict[tuple[str, str], Permissions] = field(default_factory=dict)
    max_connections: int | None = None
    max_channels: int | None = None


class Access:
    """The access of a connection to its virtual host; this class allows everything.

    Attributes:
        user: the name of the user who has logged in.
        is_impersonator: whether messages may have the user_id of another user.
    """

    def __init__(self, user: str = "guest", *, is_impersonator: bool = False) -> None:
        self.user = user
        self.is_impersonator = is_impersonator

    def check_configure(self, kind: str, name: str) -> None:
        """Refuse to declare or delete an exchange or a queue without the permission.

        Args:
            kind: exchange or queue.
            name: the name of the exchange or queue.

        Raises:
            BrokerError: 403.
        """

    def check_write(self, kind: str, name: str) -> None:
        """Refuse to publish to an exchange, or to bind a destination, without the permission.

        Raises:
            BrokerError: 403.
        """

    def check_read(self, kind: str, name: str) -> None:
        """Refuse to consume from a queue, or to bind to an exchange, without the permission.

        Raises:
            BrokerError: 403.
        """

    def check_any(self, kind: str, name: str) -> None:
        """Refuse a passive declaration without any permission, in versions that do.

        Raises:
            BrokerError: 403.
        """

    def check_write_topic(self, exchange: str, routing_key: str) -> None:
        """Refuse to publish a routing key to a topic exchange without the permission.

        Raises:
            BrokerError: 403.
        """

    def check_read_topic(self, exchange: str, routing_key: str) -> None:
        """Refuse to bind with a key to a topic exchange without the permission.

        Raises:
            BrokerError: 403.
        """


FULL_ACCESS = Access()
"""The access of the tests and of the broker itself."""


class UserAccess(Access):
    """The access that the permissions of a user give to a connection.

    The permissions are read for every check, so a change applies to open connections too.
    """

    def __init__(self, user: User, vhost_name: str, profile: Profile) -> None:
        super().__init__(user.name, is_impersonator="impersonator" in user.tags)
        self._profile = profile
        self._user = user
        self._vhost_name = vhost_name

    def check_configure(self, kind: str, name: str) -> None:
        """Check the permission configure."""
        self._check("configure", self._permissions.configure, kind, name)

    def check_write(self, kind: str, name: str) -> None:
        """Check the permission write."""
        self._check("write", self._permissions.write, kind, name)

    def check_read(self, kind: str, name: str) -> None:
        """Check the permission read."""
        self._check("read", self._permissions.read, kind, name)

    def check_any(self, kind: str, name: str) -> None:
        """Check that one of the permissions covers a name, in versions that do."""
        granted = self._permissions
        patterns = (granted.configure, granted.write, granted.read)
        if self._profile.passive_needs_permission and not any(
            matches(pattern or "^$", name) for pattern in patterns
        ):
            self.check_configure(kind, name)

    def check_write_topic(self, exchange: str, routing_key: str) -> None:
        """Check the topic permission write."""
        topic = self._topic_permissions(exchange)
        if topic is not None:
            self._check_topic("write", topic.write, exchange, routing_key)

    def check_read_topic(self, exchange: str, routing_key: str) -> None:
        """Check the topic permission read."""
        topic = self._topic_permissions(exchange)
        if topic is not None:
            self._check_topic("read", topic.read, exchange, routing_key)

    @property
    def _permissions(self) -> Permissions:
        return self._user.permissions.get(self._vhost_name, NO_PERMISSIONS)

    def _topic_permissions(self, exchange: str) -> Permissions | None:
        return self._user.topic_permissions.get((self._vhost_name, exchange))

    def _check(self, permission: str, pattern: str, kind: str, name: str) -> None:
        name = name or ("amq.default" if kind == "exchange" else "")
        if not matches(pattern or "^$", name):
            raise self._refused(permission, f"{kind} '{name}'")

    def _check_topic(self, permission: str, pattern: str, exchange: str, routing_key: str) -> None:
        # RabbitMQ: the names are inserted unescaped, so they may be patterns themselves
        pattern = pattern.replace("{username}", self.user).replace("{vhost}", self._vhost_name)
        if not matches(pattern or "^$", routing_key):
            what = f"topic '{routing_key}' in exchange '{exchange}'"
            raise self._refused(permission, what)

    def _refused(self, permission: str, what: str) -> BrokerError:
        access = f"{permission} access" if self._profile.names_permission else "access"
        return BrokerError(
            ReplyCode.ACCESS_REFUSED,
            f"{access} to {what} in vhost '{self._vhost_name}' refused for user '{self.user}'",
        )
