"""What a broker knows and decides, without bytes, sockets or a clock of its own.

    Node ── VirtualHost ── Exchange ── Binding ──▶ Queue ── Consumer
     │          │                                    │
    User      Policy, Agenda                    QueuedMessage ── Message

The model is synchronous. Its calls return at once, and what a call causes later (cancel notices,
dead letters, acknowledgements) is put on the ``Agenda`` of the virtual host, so that a session can
send its reply first. (A publish has no reply, and is delivered to a consumer with credit at once.)
A client error is a ``BrokerError`` with the reply code and the text of RabbitMQ.
"""

from .access import Access, Permissions, User, UserAccess
from .agenda import Agenda
from .clock import Clock, ManualClock, Timer
from .errors import BrokerError, NotSupported
from .exchanges.exchange import Binding, Exchange
from .exchanges.routing import Publication
from .messages.events import Event, EventType
from .messages.history import History
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
    "Agenda",
    "ApplyTo",
    "Binding",
    "BrokerError",
    "Clock",
    "Connected",
    "Consumer",
    "ConsumingChannel",
    "Delivery",
    "Event",
    "EventType",
    "Exchange",
    "History",
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
