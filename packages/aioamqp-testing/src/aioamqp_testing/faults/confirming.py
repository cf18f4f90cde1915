"""Faults in what publishers are told about their messages."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault import Fault, Occasion

if TYPE_CHECKING:
    from .middleman import Moment


@dataclass(frozen=True)
class LoseConfirm(Fault):
    """A message is taken, and its publisher is never told. Each publish is an occurrence."""

    OCCASION = Occasion.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Moment") -> bool:
        """Say nothing."""
        at.middleman.withhold(at)
        return True


@dataclass(frozen=True)
class DelayConfirm(Fault):
    """A message is taken, and its publisher is told later.

    Args:
        seconds: of the broker's clock.
    """

    seconds: float

    OCCASION = Occasion.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Moment") -> bool:
        """Say it when it is time."""
        at.middleman.confirm_later(at, self.seconds)
        return True


@dataclass(frozen=True)
class DuplicateConfirm(Fault):
    """A message is taken, and its publisher is told twice."""

    OCCASION = Occasion.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Moment") -> bool:
        """Say it twice."""
        at.middleman.confirm_twice(at)
        return True


@dataclass(frozen=True)
class NackConfirm(Fault):
    """A publisher is told that the broker does not answer for its message.

    The message is in its queues all the same: a nack does not say that it is not.
    """

    OCCASION = Occasion.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Moment") -> bool:
        """Say basic.nack."""
        at.middleman.nack(at)
        return True
