"""Faults: what can go wrong between a broker and its clients, as values.

    broker.faults.add(Reset(received="basic.publish", nth=3))
    broker.faults.add(LoseConfirm(connection="orders", times=2))

The class of a fault says what goes wrong. Its keyword arguments say when: on which connection and
channel, at which method, at which occurrence of it, and how often. ``received=`` names a method
that the broker has just received, ``sent=`` one that it is about to send. Most faults replace that
method: what was received is ignored, what was about to be sent is not sent. If instead the method
is handled as usual, the docstring of the fault says so. Without a method, a fault is triggered as
soon as possible.

A fault that has not been triggered when the broker is closed fails the test, unless it is
``optional``: the test has not tested the failure that it is about.
"""

from .confirms import DelayConfirm, DuplicateConfirm, LoseConfirm, NackConfirm
from .fault import Fault
from .methods import CancelConsumer, CloseChannel, CloseConnection, Lose, RefuseLogin, Send
from .network import Corrupt, Cut, Delay, MissHeartbeats, Reset, Silence, Split
from .outage import Block, Restart, Unblock
from .plan import FaultNotTriggered, Faults, PlannedFault

__all__ = [
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
    "MissHeartbeats",
    "NackConfirm",
    "PlannedFault",
    "RefuseLogin",
    "Reset",
    "Restart",
    "Send",
    "Silence",
    "Split",
    "Unblock",
]
