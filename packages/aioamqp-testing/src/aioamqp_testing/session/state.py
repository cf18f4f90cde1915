"""The states of a session, and the ways in which it ends.

What RabbitMQ does about a mistake depends on when it comes:

    state      a mistake is answered with
    HEADER     the protocol header it wants, and a reset
    STARTING   silence for three seconds, and a reset (a wrong password may get a connection.close)
    TUNING     the same
    OPENING    connection.close; a method that cannot be read with silence
    RUNNING    channel.close or connection.close, as the reply code says
    CLOSING    nothing: only connection.close and close-ok are looked at
    SILENT     nothing: input is not even read
"""

from enum import Enum, auto
from typing import Final


class Ending(Enum):
    """How a connection is to be ended, once the output is written."""

    CLOSE = "in good order"
    RESET = "with a reset, behind what was written"
    BREAK = "with a reset at once"


class State(Enum):
    """Where in its life a session is."""

    HEADER = auto()
    STARTING = auto()
    TUNING = auto()
    OPENING = auto()
    RUNNING = auto()
    CLOSING = auto()
    SILENT = auto()
    OVER = auto()


BEFORE_OPENING: Final = (State.HEADER, State.STARTING, State.TUNING)
