"""An AMQP broker in memory, for the tests of applications that use RabbitMQ."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .version import __version__

if TYPE_CHECKING:
    from . import faults
    from .broker import FakeBroker
    from .clock import ManualClock
    from .control.inspection import describe
    from .control.waiting import WaitTimeout
    from .faults import FaultNotTriggered
    from .model import BrokerError, Message
    from .model.deprecated import DeprecatedFeatureWarning
    from .redirecting import fake_broker
    from .threads import WrongProcess

__all__ = [
    "BrokerError",
    "DeprecatedFeatureWarning",
    "FakeBroker",
    "FaultNotTriggered",
    "ManualClock",
    "Message",
    "WaitTimeout",
    "WrongProcess",
    "__version__",
    "describe",
    "fake_broker",
    "faults",
]

_HOMES: Final = {
    "BrokerError": "model",
    "DeprecatedFeatureWarning": "model.deprecated",
    "FakeBroker": "broker",
    "FaultNotTriggered": "faults",
    "ManualClock": "clock",
    "Message": "model",
    "WaitTimeout": "control.waiting",
    "WrongProcess": "threads",
    "describe": "control.inspection",
    "fake_broker": "redirecting",
}
"""Where the names are defined. They are imported on first use: every run of pytest imports this
package for its plugin, also where no test asks for a broker."""


def __getattr__(name: str) -> Any:
    if name == "faults":
        return import_module(".faults", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
