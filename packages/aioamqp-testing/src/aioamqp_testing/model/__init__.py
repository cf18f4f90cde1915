"""What a broker knows and decides, without bytes, sockets or a clock of its own.

    Node ── User, limits ── VirtualHost ── Exchange ── Binding ──▶ Queue ──▶ Consumer
                                                                     └── QueuedMessage

The model is synchronous. Its calls return at once, and what a call sets going (deliveries, cancel
notices, dead letters) happens in ``VirtualHost.run_later``, so that a session can send its reply
first. (What is published has no reply, and goes to a consumer that is ready at once.) What a client
did wrong is a ``BrokerError``: it knows the reply code and the text that RabbitMQ answers.
"""

from .access import Access, Permissions, User, UserAccess
from .clock import Clock, ManualClock, Timer
from .errors import BrokerError, NotSupported
from .exchanges.exchange import Binding, Exchange
from .exchanges.routing import Publication
from .messages.message import REPLY_TO, Message, Outcome, QueuedMessage
from .node import Connected, Node
from .policy import ApplyTo, Policy
from .queues.consumer import Consumer, ConsumingChannel, SharedPrefetch
from .queues.queue import Queue
from .queues.unacked import Delivery, Unacked
from .vhost import VirtualHost

__all__ = [
    "REPLY_TO",
    "Access",
    "ApplyTo",
    "Binding",
    "BrokerError",
    "Clock",
    "Connected",
    "Consumer",
    "ConsumingChannel",
    "Delivery",
    "Exchange",
    "ManualClock",
    "Message",
    "Node",
    "NotSupported",
    "Outcome",
    "Permissions",
    "Policy",
    "Publication",
    "Queue",
    "QueuedMessage",
    "SharedPrefetch",
    "Timer",
    "Unacked",
    "User",
    "UserAccess",
    "VirtualHost",
]
