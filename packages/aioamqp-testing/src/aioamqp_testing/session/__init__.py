"""The broker's side of a connection, without input or output of its own.

    bytes ─▶ FrameReader ─▶ Session (channel 0, handshake) ─▶ Channel ─▶ model
    bytes ◀─ Output ◀──────────────────────────────────────── Channel ◀─ model

A session reads frames and handles the connection as a whole, as RabbitMQ's reader process does; a
channel handles its commands. The two answer errors in different ways, and RabbitMQ's oddest answers
come from that.
"""

from .channel.channel import Channel
from .connection import Session
from .handshake import login_refused
from .interceptor import Interceptor
from .journal import ConnectionJournal, Journal
from .state import Ending

__all__ = [
    "Channel",
    "ConnectionJournal",
    "Ending",
    "Interceptor",
    "Journal",
    "Session",
    "login_refused",
]
