"""The consumer of direct replies (direct reply-to) on a channel."""

from collections.abc import Callable

from amqp_codec import ReplyCode

from ...model import BrokerError, Message, VirtualHost


class ReplyConsumer:
    """The consumer of ``amq.rabbitmq.reply-to`` on one channel, of which there is one at most.

    Args:
        vhost: whose direct replies it consumes.

    Attributes:
        tag: its consumer tag, None while there is no consumer.
        address: what publishers of replies use as the routing key, None while there is no consumer.
    """

    __slots__ = ("_addresses", "_replies", "address", "tag")

    def __init__(self, vhost: VirtualHost) -> None:
        self.tag: str | None = None
        self.address: str | None = None
        self._replies = vhost.replies
        self._addresses: set[str] = set()  # those of earlier consumers, too

    def start(self, tag: str, deliver: Callable[[Message], None], *, no_ack: bool) -> None:
        """Start the consumer.

        Args:
            tag: its consumer tag.
            deliver: called with each reply.
            no_ack: whether replies are not to be acknowledged, as they cannot be.

        Raises:
            BrokerError: 406.
        """
        if not no_ack:
            text = "reply consumer cannot acknowledge"
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, text)
        if self.tag is not None:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, "reply consumer already set")
        self.tag, self.address = tag, self._replies.open(deliver)
        self._addresses.add(self.address)

    def stop(self) -> None:
        """Stop the consumer, if there is one."""
        if self.address is not None:
            self._replies.close(self.address)
            self.tag = self.address = None

    def has_used(self, address: str) -> bool:
        """Return whether an address is the channel's, or was before."""
        return address in self._addresses
