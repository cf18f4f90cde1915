"""The broker's side of a connection, without input or output of its own.

    bytes ─▶ FrameReader ─▶ Session (channel 0, handshake) ─▶ Channel ─▶ model
    bytes ◀──────────────── Session.take_output ◀──────────── Channel ◀─ model

A session reads frames and looks after the connection as a whole, as RabbitMQ's reader process does;
a channel looks after its commands. What the two do about a mistake differs a lot, and RabbitMQ's
oddest answers follow from that split.
"""

from .channel.channel import Channel
from .connection import Session
from .state import Ending

__all__ = ["Channel", "Ending", "Session"]
