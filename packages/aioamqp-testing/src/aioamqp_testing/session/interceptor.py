"""The interceptor of a session, with which tests inject faults."""

from typing import Protocol

from amqp_codec import Command

from .channel.channel import Channel


class Interceptor(Protocol):
    """Interceptor of the commands of one connection. Most sessions have none."""

    def on_received(self, command: Command) -> bool:
        """Return whether a command from the client is not to be processed.

        Raises:
            BrokerError: the answer to it.
        """
        ...

    def on_send(self, command: Command) -> bool:
        """Return whether a command to the client is not to be sent."""
        ...

    def on_confirm(self, channel: Channel, outcomes: dict[int, bool]) -> None:
        """Send the publisher confirms of a channel.

        Args:
            channel: the channel.
            outcomes: publish number -> whether the queues have accepted the message.
        """
