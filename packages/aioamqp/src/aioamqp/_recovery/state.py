"""States of a ``Connection``, and how it tells of their changes."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class ConnectionState(Enum):
    """State of a ``Connection``.

    state        until                                      then
    CONNECTING   connection.open-ok                         OPEN
                 an error that trying again cannot mend     CLOSED
    OPEN         the link is lost, or the server closes it  RECOVERING
                 ``close``                                  CLOSED
    RECOVERING   everything is restored that can be         OPEN
                 ``close``, or an error as above            CLOSED
    """

    CONNECTING = "the first connection is being opened"
    OPEN = "calls are sent"
    RECOVERING = "the connection was lost and is being restored; calls wait"
    CLOSED = "the program has closed it, or it has given up"


class Unrestored(NamedTuple):
    """What could not be restored on a new connection.

    Attributes:
        what: the kind and the name, such as ``queue 'orders'``.
        error: why.
    """

    what: str
    error: Exception


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of a connection's state, or news within one.

    Attributes:
        old: the state before.
        new: the state now; the same after an attempt to connect has failed, and when something
            could not be restored after all.
        reason: the error that caused it; None if none did.
        attempt: how many attempts to connect have been made since the connection was last open.
        address: of the server, as ``host:port``; None if there is none.
        unrestored: what could not be restored.
    """

    old: ConnectionState
    new: ConnectionState
    reason: Exception | None = None
    attempt: int = 0
    address: str | None = None
    unrestored: tuple[Unrestored, ...] = ()


class Health(NamedTuple):
    """Whether a connection can be used now, and why not.

    Attributes:
        is_healthy: whether calls are sent, publishers are not blocked, and everything is restored.
        reason: for people and logs; it contains no password.
    """

    is_healthy: bool
    reason: str
