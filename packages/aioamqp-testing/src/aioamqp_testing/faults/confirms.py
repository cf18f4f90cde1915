"""Faults in what publishers are told about their messages."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault import Fault, Trigger

if TYPE_CHECKING:
    from .injector import Event


@dataclass(frozen=True)
class LoseConfirm(Fault):
    """A message is taken, and its publisher is never told. Each publish is an occurrence."""

    OCCASION = Trigger.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Event") -> bool:
        """Say nothing."""
        at.injector.withhold(at)
        return True


@dataclass(frozen=True)
class DelayConfirm(Fault):
    """A message is taken, and its publisher is told later.

    Args:
        seconds: of the broker's clock.
    """

    seconds: float

    OCCASION = Trigger.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Event") -> bool:
        """Say it when it is time."""
        at.injector.confirm_later(at, self.seconds)
        return True


@dataclass(frozen=True)
class DuplicateConfirm(Fault):
    """A message is taken, and its publisher is told twice."""

    OCCASION = Trigger.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Event") -> bool:
        """Say it twice."""
        at.injector.confirm_twice(at)
        return True


@dataclass(frozen=True)
class NackConfirm(Fault):
    """A publisher is told that the broker does not answer for its message.

    The message is in its queues all the same: a nack does not say that it is not.
    """

    OCCASION = Trigger.CONFIRM
    HAS_TRIGGER = False

    def happen(self, at: "Event") -> bool:
        """Say basic.nack."""
        at.injector.nack(at)
        return True
