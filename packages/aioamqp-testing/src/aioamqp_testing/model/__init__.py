"""What a broker knows and decides, without bytes, sockets or a clock of its own.

    Node ── users, limits ── VirtualHost ── Exchange ── Binding ──▶ Queue ──▶ Consumer
                                                                     └── QueuedMessage

The model is synchronous. Its calls return at once, and what a call sets going (deliveries, cancel
notices) happens in ``VirtualHost.run_later``, so that a session can send its reply first. What a
client did wrong is a ``BrokerError``: it knows the reply code and the text that RabbitMQ answers.
"""

from .clock import Clock, ManualClock, Timer
from .consumer import Consumer, ConsumingChannel, SharedPrefetch
from .errors import BrokerError, NotSupported
from .exchange import Binding, Exchange
from .message import Message, QueuedMessage
from .node import Node
from .queue import Queue
from .unacked import Delivery, Unacked
from .vhost import VirtualHost

__all__ = [
    "Binding",
    "BrokerError",
    "Clock",
    "Consumer",
    "ConsumingChannel",
    "Delivery",
    "Exchange",
    "ManualClock",
    "Message",
    "Node",
    "NotSupported",
    "Queue",
    "QueuedMessage",
    "SharedPrefetch",
    "Timer",
    "Unacked",
    "VirtualHost",
]
