"""The channels of an open connection, and what they hold in its virtual host."""

from amqp_codec import ReplyCode

from ...model import BrokerError
from .channel import Channel
from .context import Context


class Channels(dict[int, Channel]):
    """The channels of a connection by their numbers, from connection.open to the end.

    A number that is used for the first time gets a channel, whether it is opened or not.

    Args:
        context: what they share.
        channel_max: how many there may be. RabbitMQ: it does not limit their numbers.
    """

    def __init__(self, context: Context, channel_max: int) -> None:
        super().__init__()
        self._context = context
        self._channel_max = channel_max

    @property
    def vhost_name(self) -> str:
        """The name of the virtual host."""
        return self._context.vhost.name

    def __missing__(self, number: int) -> Channel:
        """Add a channel.

        Raises:
            BrokerError: 530, there are as many as the connection or its user may have.
        """
        if len(self) >= self._channel_max:
            raise BrokerError(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened ({len(self)}) has reached"
                f" the negotiated channel_max ({self._channel_max})",
            )
        self._context.node.check_room_for_channel(self._context.user)
        channel = self[number] = Channel(number, self._context, self._remove)
        return channel

    def _remove(self, channel: Channel) -> None:
        self.pop(channel.number, None)
        self._context.deferred.closed.pop(channel.number, None)

    def end(self) -> None:
        """End all channels and leave the virtual host."""
        channels = list(self.values())
        self.clear()
        for channel in channels:
            channel.end()
        vhost = self._context.vhost
        vhost.remove_exclusive_queues(self._context.connection)
        self._context.node.leave(self._context.connection)
        vhost.run_later()
