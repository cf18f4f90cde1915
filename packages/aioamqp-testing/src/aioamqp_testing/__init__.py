"""An in-memory AMQP broker for the tests of applications that use RabbitMQ."""

from . import faults
from .broker import FakeBroker
from .clock import ManualClock
from .faults import FaultNeverHappened
from .model import BrokerError, Message
from .report import describe
from .stand_in import fake_broker
from .version import __version__
from .waiting import WaitedInVain

__all__ = [
    "BrokerError",
    "FakeBroker",
    "FaultNeverHappened",
    "ManualClock",
    "Message",
    "WaitedInVain",
    "__version__",
    "describe",
    "fake_broker",
    "faults",
]
