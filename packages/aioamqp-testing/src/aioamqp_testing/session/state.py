"""The states of a session, and the ways in which it ends.

How RabbitMQ answers an error depends on the state:

    state      an error is answered with
    HEADER     the protocol header that RabbitMQ wants, and a reset
    STARTING   silence for three seconds, and a reset (a wrong password may get connection.close)
    TUNING     the same
    OPENING    connection.close; a method that cannot be decoded with silence
    RUNNING    channel.close or connection.close, as the reply code requires
    CLOSING    nothing: only connection.close and close-ok are processed
    SILENT     nothing: input is not even read
"""

from enum import Enum, auto
from typing import Final


class Ending(Enum):
    """How the transport is closed once the output is written."""

    CLOSE = "in good order"
    RESET = "with a reset, behind what was written"
    BREAK = "with a reset at once"


class State(Enum):
    """The state of a session."""

    HEADER = auto()
    STARTING = auto()
    TUNING = auto()
    OPENING = auto()
    RUNNING = auto()
    CLOSING = auto()
    SILENT = auto()
    OVER = auto()


BEFORE_OPENING: Final = (State.HEADER, State.STARTING, State.TUNING)
