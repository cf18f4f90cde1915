"""A broker as a whole: who may log in, which virtual hosts there are, what it agrees to."""

from base64 import urlsafe_b64encode
from random import Random

from .clock import Clock, ManualClock
from .vhost import VirtualHost


class Node:
    """The state of one broker.

    Args:
        clock: what everything in it goes by; one that stands still unless given.

    Attributes:
        clock: the clock.
        users: name -> password.
        vhosts: by name.
        channel_max: channels of a connection; what connection.tune offers, like the next two.
        frame_max: octets of a frame.
        heartbeat: seconds.
        max_message_size: octets of a body.
        alarm: why nothing more may be published, such as ``low on memory``; empty when it may.
        refused: what clients asked for that this broker cannot do yet, in their order.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.users = {"guest": "guest"}
        self.channel_max = 2047
        self.frame_max = 131072
        self.heartbeat = 60
        self.max_message_size = 134217728
        self.alarm = ""
        self.refused: list[str] = []
        # made-up names are the same in every run, so that a failing test fails the same way again
        self._random = Random("aioamqp-testing")
        self.vhosts = {"/": VirtualHost("/", self.new_name, self.clock)}

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
        vhost = self.vhosts[name] = VirtualHost(name, self.new_name, self.clock)
        return vhost
