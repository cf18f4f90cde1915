"""An AMQP broker in memory, for the tests of applications that use RabbitMQ."""

from . import faults
from .broker import FakeBroker
from .clock import ManualClock
from .control.inspection import describe
from .control.waiting import WaitTimeout
from .fake_broker import fake_broker
from .faults import FaultNotTriggered
from .model import BrokerError, Message
from .version import __version__

__all__ = [
    "BrokerError",
    "FakeBroker",
    "FaultNotTriggered",
    "ManualClock",
    "Message",
    "WaitTimeout",
    "__version__",
    "describe",
    "fake_broker",
    "faults",
]
