"""A broker as a whole: who may log in, which virtual hosts there are, what it agrees to."""

from base64 import urlsafe_b64encode
from random import Random
from typing import Protocol

from amqp_codec import ReplyCode

from .access import Permissions, User
from .clock import Clock, ManualClock
from .errors import BrokerError
from .messages.direct_reply_to import DirectReplies
from .vhost import VirtualHost


class Connected(Protocol):
    """What a node needs of a connection: whose it is, and a way to end it."""

    @property
    def name(self) -> str:
        """The name it has in the journal."""
        ...

    @property
    def user(self) -> str:
        """Who has logged in."""
        ...

    @property
    def vhost_name(self) -> str:
        """The virtual host it is in."""
        ...

    @property
    def channel_count(self) -> int:
        """How many channels it has."""
        ...

    def force_close(self, text: str) -> None:
        """Close it from the broker's side, with reply code 320."""


class Node:
    """The state of one broker.

    Args:
        clock: what everything in it goes by; one that stands still unless given.

    Attributes:
        clock: the clock.
        users: by name; at first guest, with the password guest, who may do everything in ``/``.
        vhosts: by name.
        connections: those that are in a virtual host, the oldest first.
        channel_max: channels of a connection; what connection.tune offers, like the next two.
        frame_max: octets of a frame.
        heartbeat: seconds.
        max_message_size: octets of a body.
        alarm: why nothing more may be published, such as ``low on memory``; empty when it may.
        consumer_timeout: seconds within which deliveries have to be acknowledged; None is for ever.
        refused: what clients asked for that this broker cannot do yet, in their order.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.users: dict[str, User] = {}
        self.connections: dict[Connected, None] = {}
        self.channel_max = 2047
        self.frame_max = 131072
        self.heartbeat = 60
        self.max_message_size = 134217728
        self.alarm = ""
        self.consumer_timeout: float | None = 1800.0
        self.refused: list[str] = []
        # made-up names are the same in every run, so that a failing test fails the same way again
        self._random = Random("aioamqp-testing")
        self._replies = DirectReplies(self.new_name)
        self.vhosts: dict[str, VirtualHost] = {}
        self.add_vhost("/")
        guest = User("guest", "guest", frozenset({"administrator"}), {"/": Permissions()})
        self.users[guest.name] = guest

    def new_name(self, prefix: str) -> str:
        """Make up a name as RabbitMQ does: a prefix and 22 characters for 16 octets."""
        return prefix + urlsafe_b64encode(self._random.randbytes(16)).decode().rstrip("=")

    def restart(self) -> None:
        """Lose what a broker does not have any more when it is started again."""
        for vhost in self.vhosts.values():
            vhost.restart()

    def add_vhost(self, name: str) -> VirtualHost:
        """Add a virtual host.

        Raises:
            ValueError: there is one with this name.
        """
        if name in self.vhosts:
            raise ValueError(f"there is a virtual host {name!r} already; choose another name")
        vhost = self.vhosts[name] = VirtualHost(name, self.new_name, self.clock, self._replies)
        return vhost

    # ----------------------------------------------------------------------------- connections

    def enter(self, connection: Connected, user: User, vhost_name: str) -> VirtualHost:
        """Let a connection into a virtual host, if it may. Spec: connection.open.

        Raises:
            BrokerError: 530, or 541 where the virtual host is down.
        """
        vhost = self.vhosts.get(vhost_name)
        if vhost is None:
            raise _not_allowed(f"vhost {vhost_name} not found")
        refused = f"access to vhost '{vhost_name}' refused for user '{user.name}'"
        inside = [each for each in self.connections if each.vhost_name == vhost_name]
        if _is_reached(vhost.max_connections, len(inside)):
            limit = vhost.max_connections
            raise _not_allowed(f"{refused}: connection limit ({limit}) is reached")
        if _is_reached(user.max_connections, len(self.connections_of(user.name))):
            raise _not_allowed(
                f"connection refused for user '{user.name}':"
                f" user connection limit ({user.max_connections}) is reached"
            )
        if vhost_name not in user.permissions:
            raise _not_allowed(refused)
        if vhost.is_down:
            text = f"{refused}: vhost '{vhost_name}' is down"
            raise BrokerError(ReplyCode.INTERNAL_ERROR, text)
        self.connections[connection] = None
        return vhost

    def leave(self, connection: Connected) -> None:
        """Take notice that a connection has ended."""
        self.connections.pop(connection, None)

    def connections_of(self, user: str) -> list[Connected]:
        """Return the connections of a user, the oldest first."""
        return [each for each in self.connections if each.user == user]

    def check_room_for_channel(self, user: User) -> None:
        """Refuse one more channel to a user who may not have it.

        Raises:
            BrokerError: 530.
        """
        count = sum(each.channel_count for each in self.connections_of(user.name))
        if _is_reached(user.max_channels, count):
            raise _not_allowed(
                f"number of channels opened for user '{user.name}' has reached"
                f" the maximum allowed user limit of ({user.max_channels})"
            )


def _is_reached(limit: int | None, count: int) -> bool:
    return limit is not None and count >= limit


def _not_allowed(text: str) -> BrokerError:
    return BrokerError(ReplyCode.NOT_ALLOWED, text)
