"""The broker as a whole: users, virtual hosts, connections and limits."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from random import Random
from typing import Final, Protocol

from amqp_codec import ReplyCode

from .access import Permissions, User
from .clock import Clock, ManualClock
from .deprecated import DeprecatedFeatures
from .errors import BrokerError
from .exchanges.plugins import ExchangeTypes
from .limits import NODE_NAME, Limits, is_reached
from .messages.direct_reply_to import DirectReplies
from .profile import DEFAULT_PROFILE, Profile
from .vhost import VirtualHost

_LOW_ON: Final = "low on "


class Connected(Protocol):
    """What a node needs from a connection."""

    @property
    def name(self) -> str:
        """The name of the connection in the journal."""
        ...

    @property
    def user(self) -> str:
        """The name of the user who has logged in."""
        ...

    @property
    def vhost_name(self) -> str:
        """The name of its virtual host."""
        ...

    @property
    def channel_count(self) -> int:
        """The number of its channels."""
        ...

    def force_close(self, text: str) -> None:
        """Close the connection with reply code 320."""


class Node:
    """The state of one broker.

    Args:
        clock: the clock of the broker; the default is one that stands still.
        plugins: the names of RabbitMQ's plugins that the broker has.
        profile: the version of RabbitMQ that it answers as.
        denies_deprecated: whether it refuses what only RabbitMQ's own packages refuse.

    Attributes:
        clock: the clock.
        profile: the version of RabbitMQ that it answers as.
        deprecated: the check of deprecated features.
        exchange_types: the types of exchanges, some of which belong to plugins.
        users: by name; guest, with the password guest, has all permissions in ``/``.
        vhosts: by name.
        connections: the connections that are open, the oldest first.
        channel_max: the limit of channels of a connection that connection.tune offers.
        frame_max: the limit of bytes of a frame that connection.tune offers.
        heartbeat: the seconds that connection.tune offers.
        max_message_size: the limit of bytes of a body.
        alarm: why publishing is blocked, such as ``low on memory``; empty if no alarm holds.
        consumer_timeout: the seconds within which a delivery must be acknowledged, or None.
        limits: of the whole broker.
        refused: the features that clients have asked for and this broker does not support.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        plugins: Iterable[str] = (),
        profile: Profile = DEFAULT_PROFILE,
        *,
        denies_deprecated: bool = False,
    ) -> None:
        self.clock = clock or ManualClock()
        self.profile = profile
        self.deprecated = DeprecatedFeatures(profile, denies=denies_deprecated)
        self.exchange_types = ExchangeTypes(plugins, profile)
        self.users: dict[str, User] = {}
        self.connections: dict[Connected, None] = {}
        self.channel_max = 2047
        self.frame_max = 131072
        self.heartbeat = 60
        self.max_message_size = profile.max_message_size
        self.alarm = ""
        self._alarms: dict[str, None] = {}  # the reasons, the latest last
        self.consumer_timeout: float | None = 1800.0
        self.refused: list[str] = []
        # the same names in every run, so that a test that fails can be repeated
        self._random = Random("aioamqp-testing")
        self._replies = DirectReplies(self.new_name, profile)
        self.vhosts: dict[str, VirtualHost] = {}
        self.limits = Limits(self.vhosts)
        self.add_vhost("/")
        guest = User("guest", "guest", frozenset({"administrator"}), {"/": Permissions()})
        self.users[guest.name] = guest

    def new_name(self, prefix: str) -> str:
        """Return a new name as RabbitMQ makes it up: a prefix and 22 characters for 16 bytes."""
        return prefix + urlsafe_b64encode(self._random.randbytes(16)).decode().rstrip("=")

    def restart(self) -> None:
        """Drop what does not survive a restart of the broker."""
        for vhost in self.vhosts.values():
            vhost.restart()

    # ----------------------------------------------------------------------------- alarms

    def raise_alarm(self, reason: str) -> None:
        """Raise an alarm; nothing happens if it holds already."""
        self._alarms.setdefault(reason)
        self._describe_alarms()

    def clear_alarm(self, reason: str | None = None) -> None:
        """Clear one alarm.

        Args:
            reason: its reason; None clears the latest alarm, if there is one.

        Raises:
            ValueError: there is no alarm with this reason.
        """
        if reason is None:
            reason = next(reversed(self._alarms), None)
            if reason is None:
                return
        if reason not in self._alarms:
            holding = ", ".join(map(repr, self._alarms)) or "none"
            raise ValueError(
                f"there is no alarm {reason!r}; the alarms that hold are: {holding}."
                " Clear one of these, or the latest one by naming none"
            )
        del self._alarms[reason]
        self._describe_alarms()

    def _describe_alarms(self) -> None:
        """Update the reason for clients. RabbitMQ: such as ``low on disk & memory``."""
        reasons = sorted(self._alarms)
        if all(reason.startswith(_LOW_ON) for reason in reasons):
            reasons[1:] = [reason.removeprefix(_LOW_ON) for reason in reasons[1:]]
        self.alarm = " & ".join(reasons)

    # ----------------------------------------------------------------------------- virtual hosts

    def add_vhost(self, name: str) -> VirtualHost:
        """Add a virtual host.

        Raises:
            ValueError: there is one with this name.
        """
        if name in self.vhosts:
            raise ValueError(f"there is a virtual host {name!r} already; choose another name")
        vhost = self.vhosts[name] = VirtualHost(
            name,
            self.new_name,
            self.clock,
            self._replies,
            self.exchange_types,
            self.profile,
            self.deprecated,
            self.limits,
        )
        return vhost

    # ----------------------------------------------------------------------------- connections

    def add_connection(self, connection: Connected, user: User, vhost_name: str) -> VirtualHost:
        """Open a connection to a virtual host, and return that. Spec: connection.open.

        Raises:
            BrokerError: 530, or 541 if the virtual host is down.
        """
        self.limits.check_connection(len(self.connections))
        vhost = self.vhosts.get(vhost_name)
        if vhost is None:
            raise _not_allowed(f"vhost {vhost_name} not found")
        refused = f"access to vhost '{vhost_name}' refused for user '{user.name}'"
        inside = [each for each in self.connections if each.vhost_name == vhost_name]
        if is_reached(vhost.max_connections, len(inside)):
            limit = vhost.max_connections
            raise _not_allowed(f"{refused}: connection limit ({limit}) is reached")
        if is_reached(user.max_connections, len(self.connections_of(user.name))):
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

    def remove_connection(self, connection: Connected) -> None:
        """Remove a connection that has ended."""
        self.connections.pop(connection, None)

    def connections_of(self, user: str) -> list[Connected]:
        """Return the connections of a user, the oldest first."""
        return [each for each in self.connections if each.user == user]

    def check_channel_limit(self, user: User) -> None:
        """Refuse to open a channel if the user, or the broker, has as many as allowed.

        Raises:
            BrokerError: 530.
        """
        count = sum(each.channel_count for each in self.connections_of(user.name))
        if is_reached(user.max_channels, count):
            name = NODE_NAME if self.profile.limit_names_node else user.name
            limit = self.profile.limit_text.format(user.max_channels)
            raise _not_allowed(
                f"number of channels opened for user '{name}' has reached"
                f" the maximum allowed user limit of {limit}"
            )
        count = sum(each.channel_count for each in self.connections)
        self.limits.check_channel(count, self.profile.limit_text)


def _not_allowed(text: str) -> BrokerError:
    return BrokerError(ReplyCode.NOT_ALLOWED, text)
