"""Faults as values: what goes wrong, and when."""

from dataclasses import dataclass, fields
from typing import ClassVar, Final, Protocol, TypeAlias

from amqp_codec import METHODS, Method

from ..model import Clock
from ..threads import BrokerLock
from .event import Event, Trigger
from .injector import Injector

_METHOD_NAMES: Final = {method.NAME for method in METHODS.values()} | {"heartbeat"}

MethodName: TypeAlias = str | type[Method]
"""Such as "basic.publish" or amqp_codec.basic.Publish."""


class Broker(Protocol):
    """What faults need of a broker."""

    @property
    def clock(self) -> Clock:
        """The clock of the broker, for delays."""
        ...

    @property
    def lock(self) -> BrokerLock:
        """The lock of the broker."""
        ...

    def block(self, reason: str = ...) -> None:
        """Raise an alarm."""

    def unblock(self, reason: str | None = ...) -> None:
        """Clear an alarm."""

    def restart_soon(self) -> None:
        """Stop and start again, in a task."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong. The subclasses define what.

    Args:
        connection: the name that the client gives to the connection in its client properties
            (``connection_name``), the address of the client as ``host:port``, or 1 for the first
            connection to the broker, 2 for the second, and so on; None for any.
        channel: the number of the channel; None for any.
        received: a method; the fault is triggered when the broker has received it.
        sent: a method; the fault is triggered when the broker is about to send it.
        nth: the first occurrence that triggers the fault; 1 is the next one.
        times: how many occurrences trigger it, from that one on; None for all.
        optional: whether the test may pass without triggering the fault.

    Raises:
        ValueError: the fault could never be triggered.
    """

    connection: int | str | None = None
    channel: int | None = None
    received: MethodName | None = None
    sent: MethodName | None = None
    nth: int = 1
    times: int | None = 1
    optional: bool = False

    TRIGGER: ClassVar[Trigger] = Trigger.CONNECTED
    """What triggers the fault if neither ``received`` nor ``sent`` is given."""
    ALLOWS_METHOD: ClassVar[bool] = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.nth < 1:
            raise ValueError(f"{name}: nth must be 1 (the next occurrence) or more, not {self.nth}")
        if self.times is not None and self.times < 1:
            raise ValueError(
                f"{name}: times must be 1 or more, or None for every time, not {self.times}"
            )
        if self.received is not None and self.sent is not None:
            raise ValueError(
                f"{name}: received= and sent= exclude each other; add two faults instead"
            )
        if self.method_name is None:
            return
        if not self.ALLOWS_METHOD:
            raise ValueError(
                f"{name} is triggered {self.TRIGGER.value}; remove received= and sent="
            )
        if self.method_name not in _METHOD_NAMES:
            raise ValueError(f"{name}: AMQP 0-9-1 has no method {self.method_name!r}")

    @property
    def method_name(self) -> str | None:
        """The name of the method that triggers the fault."""
        method = self.received if self.received is not None else self.sent
        return method if method is None or isinstance(method, str) else method.NAME

    @property
    def trigger(self) -> Trigger:
        """What triggers the fault."""
        if self.received is not None:
            return Trigger.RECEIVED
        return self.TRIGGER if self.sent is None else Trigger.SENT

    def matches(self, event: Event, injector: Injector | None) -> bool:
        """Return whether an event is an occurrence of what triggers the fault.

        Args:
            event: any event.
            injector: of the connection that the event is about, if it is about one.
        """
        if event.trigger is not self.trigger:
            # a connection has the name that its client gave it only after connection.start-ok
            is_named_now = event.trigger is Trigger.NAMED and self.trigger is Trigger.CONNECTED
            if not is_named_now or injector is None or self.connection != injector.provided_name:
                return False
        elif injector is not None and self.connection not in (None, *injector.names):
            return False
        if self.channel not in (None, event.channel) and event.has_channel:
            return False
        return self.method_name in (None, event.method_name)

    def __str__(self) -> str:
        arguments = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"


class ConnectionFault(Fault):
    """A fault of a connection or of one of its channels."""

    def apply(self, event: Event, injector: Injector) -> bool:
        """Apply the fault.

        Args:
            event: the event that triggers the fault.
            injector: of the connection.

        Returns:
            whether the fault replaces the method that was received or is about to be sent.
        """
        raise NotImplementedError


class BrokerFault(Fault):
    """A fault of the broker as a whole."""

    TRIGGER = Trigger.NOW

    def apply(self, broker: Broker) -> bool:
        """Apply the fault.

        Returns:
            whether the fault replaces the method that was received or is about to be sent.
        """
        raise NotImplementedError
