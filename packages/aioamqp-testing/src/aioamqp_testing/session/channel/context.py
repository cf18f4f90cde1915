"""The context of a channel: what all channels of an open connection share."""

from collections.abc import Callable
from dataclasses import dataclass

from ...model import Access, BrokerError, Connected, Node, User, VirtualHost
from ..deferred import Deferred
from ..output import Output


@dataclass(slots=True, frozen=True)
class Context:
    """What connection.open has made of a connection.

    Attributes:
        node: the broker.
        vhost: the virtual host that the connection is in.
        user: the user who has logged in.
        access: what the user may do in the virtual host.
        connection: the connection, to which its exclusive queues belong.
        wants_cancel_notices: whether the client has announced consumer_cancel_notify.
        output: for commands to the client.
        deferred: for work that waits until the current read has been processed.
        fail_channel: closes a channel, by its number, for an error that no method has caused.
    """

    node: Node
    vhost: VirtualHost
    user: User
    access: Access
    connection: Connected
    wants_cancel_notices: bool
    output: Output
    deferred: Deferred
    fail_channel: Callable[[int, BrokerError], None]
