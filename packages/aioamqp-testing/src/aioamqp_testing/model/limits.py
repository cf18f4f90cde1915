"""Limits of the whole broker, and of one virtual host: connections, channels, queues, exchanges."""

from collections.abc import Mapping, Sized
from typing import Final, Protocol

from amqp_codec import ReplyCode

from .errors import BrokerError

NODE_NAME: Final = "aioamqp-testing@localhost"


class Limited(Protocol):
    """What the limits need from a virtual host."""

    name: str
    max_queues: int | None

    @property
    def queues(self) -> Sized:
        """Its queues."""
        ...

    @property
    def exchanges(self) -> Sized:
        """Its exchanges."""
        ...


class Limits:
    """Limits of what all virtual hosts have together; None is unlimited.

    Args:
        vhosts: the virtual hosts by name.

    Attributes:
        max_connections: RabbitMQ: connection_max.
        max_channels: RabbitMQ: channel_max_per_node.
        max_queues: RabbitMQ: cluster_queue_limit.
        max_exchanges: RabbitMQ: cluster_exchange_limit.
    """

    def __init__(self, vhosts: Mapping[str, Limited]) -> None:
        self._vhosts = vhosts
        self.max_connections: int | None = None
        self.max_channels: int | None = None
        self.max_queues: int | None = None
        self.max_exchanges: int | None = None

    def check_connection(self, count: int) -> None:
        """Refuse another connection with 530 if there are as many as allowed."""
        if is_reached(self.max_connections, count):
            raise BrokerError(
                ReplyCode.NOT_ALLOWED,
                f"connection refused: node connection limit ({self.max_connections}) is reached",
            )

    def check_channel(self, count: int, limit_text: str) -> None:
        """Refuse another channel with 530 if there are as many as allowed."""
        if is_reached(self.max_channels, count):
            raise BrokerError(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened on node '{NODE_NAME}' has reached"
                f" the maximum allowed limit of {limit_text.format(self.max_channels)}",
            )

    def check_queue(self, name: str, vhost: Limited) -> None:
        """Refuse another queue with 406 if its virtual host, or the broker, has enough."""
        if is_reached(vhost.max_queues, len(vhost.queues)):
            where, limit = f"vhost '{vhost.name}'", vhost.max_queues
        elif is_reached(self.max_queues, sum(len(each.queues) for each in self._vhosts.values())):
            where, limit = "cluster", self.max_queues
        else:
            return
        raise BrokerError(
            ReplyCode.PRECONDITION_FAILED,
            f"cannot declare queue '{name}': queue limit in {where} ({limit}) is reached",
        )

    def check_exchange(self, name: str, vhost: Limited) -> None:
        """Refuse another exchange with 406 if the broker has as many as allowed."""
        if is_reached(
            self.max_exchanges, sum(len(each.exchanges) for each in self._vhosts.values())
        ):
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"cannot declare exchange '{name}' in vhost '{vhost.name}':"
                f" exchange limit of {self.max_exchanges} is reached",
            )


def is_reached(limit: int | None, count: int) -> bool:
    """Return whether there are as many as a limit allows; None is unlimited."""
    return limit is not None and count >= limit
