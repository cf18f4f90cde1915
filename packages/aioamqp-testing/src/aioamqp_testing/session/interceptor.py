"""What a session asks before it hears or says something, when a test has set faults."""

from typing import TYPE_CHECKING, Protocol

from amqp_codec import Command

if TYPE_CHECKING:
    from .channel.channel import Channel


class Interceptor(Protocol):
    """What stands between a session and its client. Most sessions have none."""

    def on_received(self, command: Command) -> bool:
        """Return whether something else takes the place of what the client has said.

        Raises:
            BrokerError: the answer to it.
        """
        ...

    def on_send(self, command: Command) -> bool:
        """Return whether something else takes the place of what is to be said to the client."""
        ...

    def on_confirm(self, channel: "Channel", outcomes: dict[int, bool]) -> None:
        """Say to a publisher what becomes of publishes.

        Args:
            channel: on which they were published.
            outcomes: number -> whether the queues have taken it.
        """
