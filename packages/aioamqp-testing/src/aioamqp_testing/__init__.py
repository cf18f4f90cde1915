"""An in-memory AMQP broker for the tests of applications that use RabbitMQ."""

from .broker import FakeBroker
from .clock import ManualClock
from .report import describe
from .stand_in import fake_broker
from .version import __version__

__all__ = ["FakeBroker", "ManualClock", "__version__", "describe", "fake_broker"]
