"""Faults of a broker as a whole."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault import Fault, Trigger

if TYPE_CHECKING:
    from .injector import Event


@dataclass(frozen=True)
class Block(Fault):
    """There is an alarm: at once, or beside a method. Connections that publish are blocked.

    Args:
        reason: what they are told.
    """

    reason: str = "low on memory"

    OCCASION = Trigger.NOW

    def happen(self, at: "Event") -> bool:
        """Raise the alarm."""
        at.broker.block(self.reason)
        return False


@dataclass(frozen=True)
class Unblock(Fault):
    """There is no alarm any more: at once, or beside a method."""

    OCCASION = Trigger.NOW

    def happen(self, at: "Event") -> bool:
        """End the alarm."""
        at.broker.unblock()
        return False


@dataclass(frozen=True)
class Restart(Fault):
    """The broker stops and starts again, at once or at a method; what is durable is still there."""

    OCCASION = Trigger.NOW

    def happen(self, at: "Event") -> bool:
        """Stop and start."""
        at.broker.restart_soon()
        return True
