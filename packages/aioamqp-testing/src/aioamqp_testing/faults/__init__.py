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

from .confirms import DelayConfirm, DuplicateConfirm, LoseConfirm, NackConfirm
from .fault import Fault
from .methods import CancelConsumer, CloseChannel, CloseConnection, Lose, RefuseLogin, Send
from .network import Corrupt, Cut, Delay, Reset, Silence, Split
from .outage import Block, Restart, Unblock
from .plan import Armed, FaultNotTriggered, Faults

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
    "FaultNotTriggered",
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
