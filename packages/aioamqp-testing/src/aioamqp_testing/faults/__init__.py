"""What can go wrong between a broker and its clients, as values.

    broker.faults.add(Reset(received="basic.publish", nth=3))
    broker.faults.add(LoseConfirm(connection="orders", times=2))

A fault says what happens, and with its keywords when: on which connection and channel, at which
method, at which occurrence of all that, and how often. With ``received=`` the broker has just
received such a method, and with ``sent=`` it is about to send one. Most faults take the place of
that method: what was received is not done, what was to be sent is not sent; a docstring says so if
one happens beside it. Without either, a fault happens as soon as it can.

A fault that has never happened by the time the broker is left fails the test, unless it is
``optional``: a test of a failure that did not happen proves nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .armed import Armed, FaultNeverHappened, Faults
from .fault import Fault

if TYPE_CHECKING:
    from .confirming import DelayConfirm, DuplicateConfirm, LoseConfirm, NackConfirm
    from .outage import Block, Restart, Unblock
    from .said import CancelConsumer, CloseChannel, CloseConnection, Lose, RefuseLogin, Send
    from .wire import Corrupt, Cut, Delay, Reset, Silence, Split

__all__ = [
    "Armed",
    "Block",
    "CancelConsumer",
    "CloseChannel",
    "CloseConnection",
    "Corrupt",
    "Cut",
    "Delay",
    "DelayConfirm",
    "DuplicateConfirm",
    "Fault",
    "FaultNeverHappened",
    "Faults",
    "Lose",
    "LoseConfirm",
    "NackConfirm",
    "RefuseLogin",
    "Reset",
    "Restart",
    "Send",
    "Silence",
    "Split",
    "Unblock",
]

_HOMES = {
    "confirming": ("DelayConfirm", "DuplicateConfirm", "LoseConfirm", "NackConfirm"),
    "outage": ("Block", "Restart", "Unblock"),
    "said": ("CancelConsumer", "CloseChannel", "CloseConnection", "Lose", "RefuseLogin", "Send"),
    "wire": ("Corrupt", "Cut", "Delay", "Reset", "Silence", "Split"),
}


def __getattr__(name: str) -> object:
    """Import a fault when it is asked for: most tests set none, and importing takes its time."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
