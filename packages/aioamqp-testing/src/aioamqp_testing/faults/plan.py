"""The plan of a test: the faults that it has added, and which of them an event triggers."""

from collections.abc import Iterator

from ..threads import thread_safe
from ..transport.protocol import SessionProtocol
from .event import Event, Trigger
from .fault import Broker, BrokerFault, ConnectionFault, Fault
from .injector import Injector


class FaultNotTriggered(AssertionError):
    """A fault was added but not triggered, so the test has not tested it."""


class PlannedFault:
    """A fault that has been added to a broker.

    Attributes:
        fault: the fault.
        seen: how many events have matched it so far.
        triggered: how many of them have triggered it.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.triggered = 0

    def __repr__(self) -> str:
        return f"PlannedFault({self.fault}, triggered={self.triggered})"

    @property
    def is_missed(self) -> bool:
        """Whether it has not been triggered, though it is not optional."""
        return not self.triggered and not self.fault.optional

    def count(self, event: Event, injector: Injector | None) -> bool:
        """Count the event if it matches the fault; return whether it triggers it."""
        if not self.fault.matches(event, injector):
            return False
        self.seen += 1
        position = self.seen - self.fault.nth
        if position < 0 or (self.fault.times is not None and position >= self.fault.times):
            return False
        self.triggered += 1
        return True

    @property
    def progress(self) -> str:
        """What triggers the fault, and how often that was seen."""
        trigger = self.fault.trigger.value
        if self.fault.method_name is not None:
            trigger = trigger.replace("a method", self.fault.method_name)
        return f"is triggered {trigger}; seen {self.seen} time(s)"


@thread_safe
class Faults:
    """The faults of one broker: ``broker.faults``.

    Args:
        broker: the broker.

    Attributes:
        lock: that of the broker.
    """

    def __init__(self, broker: Broker) -> None:
        self.lock = broker.lock
        self._broker = broker
        self._planned: list[PlannedFault] = []
        self._numbers: dict[SessionProtocol, int] = {}
        self._injectors: dict[SessionProtocol, Injector] = {}
        self._connection_count = 0

    def __iter__(self) -> Iterator[PlannedFault]:
        return iter(self._planned)

    def __repr__(self) -> str:
        return f"Faults({', '.join(str(planned.fault) for planned in self._planned)})"

    def add(self, fault: Fault) -> PlannedFault:
        """Add a fault. It is applied at once if what triggers it has happened already.

        Args:
            fault: what goes wrong, where and when.

        Returns:
            the planned fault, which counts how often the fault was ``triggered``.
        """
        planned = PlannedFault(fault)
        self._planned.append(planned)
        self._trigger(planned, Event(Trigger.NOW), None)
        for protocol, number in list(self._numbers.items()):
            injector = self._injectors.get(protocol) or self._interpose(protocol, number)
            for event in injector.past_events():
                self._trigger(planned, event, injector)
        return planned

    def remove(self, planned: PlannedFault) -> None:
        """Remove a fault. It is no longer triggered, and ``check`` does not miss it."""
        self._planned.remove(planned)

    @property
    def missed(self) -> list[Fault]:
        """The faults that have not been triggered, without the optional ones."""
        return [planned.fault for planned in self._planned if planned.is_missed]

    def check(self) -> None:
        """Check that every fault has been triggered, except for optional ones.

        Raises:
            FaultNotTriggered: some have not.
        """
        missed = [planned for planned in self._planned if planned.is_missed]
        if missed:
            lines = "\n".join(f"  {planned.fault} {planned.progress}" for planned in missed)
            raise FaultNotTriggered(
                "A fault was added but not triggered, so this test has not tested it. Make the test"
                f" trigger it, or add it with optional=True:\n{lines}"
            )

    # ----------------------------------------------------------------------------- events

    def connection_made(self, protocol: SessionProtocol) -> None:
        """Number a new connection, and fire the event if there are faults."""
        self._connection_count += 1
        self._numbers[protocol] = self._connection_count
        if self._planned:
            injector = self._interpose(protocol, self._connection_count)
            self.fire(Event(Trigger.CONNECTED), injector)

    def connection_lost(self, protocol: SessionProtocol) -> None:
        """Forget a connection that is closed."""
        self._numbers.pop(protocol, None)
        self._injectors.pop(protocol, None)

    def fire(self, event: Event, injector: Injector) -> bool:
        """Apply every fault that the event triggers.

        Returns:
            whether a fault replaces the method that the event is about.
        """
        is_replaced = False
        for planned in list(self._planned):
            is_replaced |= self._trigger(planned, event, injector)
        return is_replaced

    def _trigger(self, planned: PlannedFault, event: Event, injector: Injector | None) -> bool:
        if not planned.count(event, injector):
            return False
        if injector is not None:
            injector.session.journal.note(f"fault: {planned.fault}")
        fault = planned.fault
        if isinstance(fault, BrokerFault):
            return fault.apply(self._broker)
        assert isinstance(fault, ConnectionFault)  # the other kind,
        assert injector is not None  # which only events of connections trigger
        return fault.apply(event, injector)

    def _interpose(self, protocol: SessionProtocol, number: int) -> Injector:
        injector = Injector(protocol, number, self._broker.clock, self.fire)
        self._injectors[protocol] = protocol.session.interceptor = injector
        return injector
