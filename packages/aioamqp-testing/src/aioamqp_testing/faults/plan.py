"""The faults that a test has set, and which of them are due."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ..model import Clock
from .fault import Fault, Trigger
from .injector import Event, Injector

if TYPE_CHECKING:
    from ..transport.protocol import SessionProtocol


class Broker(Protocol):
    """What faults can do to a broker as a whole."""

    @property
    def clock(self) -> Clock:
        """For what comes late."""
        ...

    def block(self, reason: str = ...) -> None:
        """Raise an alarm."""

    def unblock(self) -> None:
        """End the alarm."""

    def restart_soon(self) -> None:
        """Stop and start again, in a task of its own."""


class FaultNotTriggered(AssertionError):
    """A fault was set and nothing came of it, so the test has not tested what it is about."""


class Armed:
    """A fault that has been set.

    Attributes:
        fault: what was set.
        seen: occurrences so far of what it waits for.
        happened: how often it has happened.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.happened = 0

    def __repr__(self) -> str:
        return f"Armed({self.fault}, happened={self.happened})"

    @property
    def is_missed(self) -> bool:
        """Whether it has not happened, though it is not optional."""
        return not self.happened and not self.fault.optional

    def is_due(self, moment: Event) -> bool:
        """Return whether it happens now; a moment that fits is counted."""
        if not _fits(self.fault, moment):
            return False
        self.seen += 1
        behind = self.seen - self.fault.nth
        return behind >= 0 and (self.fault.times is None or behind < self.fault.times)


def _fits(fault: Fault, moment: Event) -> bool:
    connection = moment.connection
    if moment.occasion is not fault.occasion:
        # by a name of its own a client is only known when it has introduced itself
        is_named = moment.occasion is Trigger.NAMED and fault.occasion is Trigger.CONNECTED
        if not is_named or connection is None or fault.connection != connection.given_name:
            return False
    elif connection is not None and fault.connection not in (None, *connection.names):
        return False
    if fault.channel is not None and fault.channel != moment.channel and moment.channel_counts:
        return False
    if fault.trigger is not None and fault.trigger != moment.method_name:
        return False
    return fault.concerns(moment)


class Faults:
    """What goes wrong on purpose: ``broker.faults``.

    Args:
        broker: where.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._armed: list[Armed] = []
        self._numbers: dict[SessionProtocol, int] = {}
        self._injectors: dict[SessionProtocol, Injector] = {}
        self._count = 0

    def __iter__(self) -> Iterator[Armed]:
        return iter(self._armed)

    def __repr__(self) -> str:
        return f"Faults({', '.join(str(armed.fault) for armed in self._armed)})"

    def add(self, fault: Fault) -> Armed:
        """Let something go wrong: at once if that is when it happens, else when it is due.

        Args:
            fault: what, where and when.

        Returns:
            the fault as it is set, which knows how often it has ``happened``.
        """
        armed = Armed(fault)
        self._armed.append(armed)
        if fault.occasion is Trigger.NOW:
            self._try(armed, Event(Trigger.NOW, self.broker))
        for protocol, number in list(self._numbers.items()):
            if protocol not in self._injectors:
                self._interpose(protocol, number)
            for moment in self._injectors[protocol].present():
                self._try(armed, moment)
        return armed

    def remove(self, armed: Armed) -> None:
        """Let a fault happen no more, and not be missed if it never has."""
        self._armed.remove(armed)

    @property
    def missed(self) -> list[Fault]:
        """Faults that have not happened, though they are not optional."""
        return [armed.fault for armed in self._armed if armed.is_missed]

    def check(self) -> None:
        """Make sure that everything has gone wrong that should.

        Raises:
            FaultNeverHappened: something has not.
        """
        missed = [armed for armed in self._armed if armed.is_missed]
        if missed:
            lines = "\n".join(f"  {armed.fault} {_progress(armed)}" for armed in missed)
            raise FaultNotTriggered(
                "A fault was set that never happened, so this test has not tested it. Let the test"
                f" bring it about, or say optional=True:\n{lines}"
            )

    def joined(self, protocol: "SessionProtocol") -> None:
        """Take notice of a new connection."""
        self._count += 1
        self._numbers[protocol] = self._count
        if self._armed:
            self._interpose(protocol, self._count)
            self.happen(Event(Trigger.CONNECTED, self.broker, self._injectors[protocol]))

    def left(self, protocol: "SessionProtocol") -> None:
        """Take notice that a connection is gone."""
        self._numbers.pop(protocol, None)
        self._injectors.pop(protocol, None)

    def happen(self, moment: Event) -> bool:
        """Let happen what is due; return whether it takes the place of what was said."""
        is_replaced = False
        for armed in list(self._armed):
            is_replaced |= self._try(armed, moment)
        return is_replaced

    def _try(self, armed: Armed, moment: Event) -> bool:
        if not armed.is_due(moment):
            return False
        armed.happened += 1
        if moment.connection is not None:
            moment.connection.session.journal.note(f"fault: {armed.fault}")
        return armed.fault.happen(moment)

    def _interpose(self, protocol: "SessionProtocol", number: int) -> None:
        injector = self._injectors[protocol] = Injector(protocol, number, self)
        protocol.session.interceptor = injector


def _progress(armed: Armed) -> str:
    occasion = armed.fault.occasion.value
    if armed.fault.trigger is not None:
        occasion = occasion.replace("a method", armed.fault.trigger)
    seen = f"which came {armed.seen} time(s)" if armed.seen else "which never came"
    return f"happens {occasion}, {seen}"
