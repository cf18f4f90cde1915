"""Who may do what: users, their permissions, and the answer to a connection that asks."""

import re
from dataclasses import dataclass, field

from amqp_codec import ReplyCode

from .errors import BrokerError


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches somewhere in a name."""
    return re.search(pattern, name) is not None


def check_pattern(pattern: str) -> None:
    """Make sure that it is a regular expression.

    Raises:
        ValueError: it is not.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user may do in one virtual host, as regular expressions that a name has to match.

    RabbitMQ: an expression matches anywhere in the name, so those who mean all of it begin it with
    ``^`` and end it with ``$``; the empty expression matches only the empty name.

    Attributes:
        configure: what may be declared and deleted.
        write: what may be published to; queues that may be bound.
        read: what may be consumed from and bound to.
    """

    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"

    def __post_init__(self) -> None:
        for pattern in (self.configure, self.write, self.read):
            check_pattern(pattern)


NO_PERMISSIONS = Permissions("", "", "")


@dataclass(slots=True, eq=False)
class User:
    """Someone who may log in.

    Attributes:
        name: unique in the broker.
        password: as it is given to the broker.
        tags: such as administrator; the only one that counts here is impersonator, for users who
            may publish with any user_id.
        permissions: by the name of the virtual host; without any, the user may not enter it.
        topic_permissions: by virtual host and exchange: what routing keys a topic exchange may get
            from the user (write) and be bound to by the user (read); all, where there are none.
        max_connections: how many the user may have; None is any number.
        max_channels: how many channels on all of them together.
    """

    name: str
    password: str
    tags: frozenset[str] = frozenset()
    permissions: dict[str, Permissions] = field(default_factory=dict)
    topic_permissions: dict[tuple[str, str], Permissions] = field(default_factory=dict)
    max_connections: int | None = None
    max_channels: int | None = None


class Access:
    """What a connection may do in its virtual host: here, everything.

    Attributes:
        user: the name of the user who has logged in.
        is_impersonator: whether messages may have the name of any user.
    """

    def __init__(self, user: str = "guest", *, is_impersonator: bool = False) -> None:
        self.user = user
        self.is_impersonator = is_impersonator

    def configure(self, kind: str, name: str) -> None:
        """Ask to declare or delete something.

        Args:
            kind: exchange or queue.
            name: which one.

        Raises:
            BrokerError: 403.
        """

    def write(self, kind: str, name: str) -> None:
        """Ask to publish to an exchange, or to bind a queue or an exchange as the destination.

        Raises:
            BrokerError: 403.
        """

    def read(self, kind: str, name: str) -> None:
        """Ask to consume from a queue, or to bind something to an exchange.

        Raises:
            BrokerError: 403.
        """

    def write_topic(self, exchange: str, routing_key: str) -> None:
        """Ask to publish to a topic exchange with a routing key.

        Raises:
            BrokerError: 403.
        """

    def read_topic(self, exchange: str, routing_key: str) -> None:
        """Ask to bind something to a topic exchange with a routing key.

        Raises:
            BrokerError: 403.
        """


class UserAccess(Access):
    """What a user's permissions let a connection do.

    Permissions count as they are when they are asked for, so changing them changes what open
    connections may do.
    """

    def __init__(self, user: User, vhost_name: str) -> None:
        super().__init__(user.name, is_impersonator="impersonator" in user.tags)
        self._user = user
        self._vhost_name = vhost_name

    def configure(self, kind: str, name: str) -> None:
        """Ask to declare or delete something."""
        self._check(self._permissions.configure, kind, name)

    def write(self, kind: str, name: str) -> None:
        """Ask to publish to something, or to bind it as the destination."""
        self._check(self._permissions.write, kind, name)

    def read(self, kind: str, name: str) -> None:
        """Ask to consume from something, or to bind something to it."""
        self._check(self._permissions.read, kind, name)

    def write_topic(self, exchange: str, routing_key: str) -> None:
        """Ask to publish with a routing key."""
        topic = self._topic_permissions(exchange)
        if topic is not None:
            self._check_topic(topic.write, exchange, routing_key)

    def read_topic(self, exchange: str, routing_key: str) -> None:
        """Ask to bind with a routing key."""
        topic = self._topic_permissions(exchange)
        if topic is not None:
            self._check_topic(topic.read, exchange, routing_key)

    @property
    def _permissions(self) -> Permissions:
        return self._user.permissions.get(self._vhost_name, NO_PERMISSIONS)

    def _topic_permissions(self, exchange: str) -> Permissions | None:
        return self._user.topic_permissions.get((self._vhost_name, exchange))

    def _check(self, pattern: str, kind: str, name: str) -> None:
        name = name or ("amq.default" if kind == "exchange" else "")
        if not matches(pattern or "^$", name):
            raise self._refused(f"{kind} '{name}'")

    def _check_topic(self, pattern: str, exchange: str, routing_key: str) -> None:
        # RabbitMQ: the names stand in the pattern as they are, and may be patterns themselves
        pattern = pattern.replace("{username}", self.user).replace("{vhost}", self._vhost_name)
        if not matches(pattern or "^$", routing_key):
            raise self._refused(f"topic '{routing_key}' in exchange '{exchange}'")

    def _refused(self, what: str) -> BrokerError:
        return BrokerError(
            ReplyCode.ACCESS_REFUSED,
            f"access to {what} in vhost '{self._vhost_name}' refused for user '{self.user}'",
        )
