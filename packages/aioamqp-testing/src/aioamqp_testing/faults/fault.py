"""A fault as a value: what goes wrong, and when."""

from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from amqp_codec import METHODS, Method

if TYPE_CHECKING:
    from .injector import Event

_NAMES: Final = {method.NAME for method in METHODS.values()} | {"heartbeat"}

MethodName: TypeAlias = str | type[Method]
"""Such as "basic.publish" or amqp_codec.basic.Publish."""


class Trigger(Enum):
    """When a fault can happen."""

    NOW = "at once"
    CONNECTED = "when the client has connected"
    NAMED = "when the client has introduced itself"
    OPENED = "when the connection is open"
    CHANNEL = "when a channel is open"
    CONSUMING = "when there is a consumer"
    RECEIVED = "when a method is received"
    SENT = "when a method is to be sent"
    CONFIRM = "when a publish is to be confirmed"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong; the subclasses say what.

    Args:
        connection: the name that the client has given to the connection in its client properties
            (``connection_name``), the address of the client as ``host:port``, or 1 for the first
            connection to the broker, 2 for the second, and so on; None for any.
        channel: its number; None for any.
        received: a method; the fault happens when the broker has received it.
        sent: a method; the fault happens when the broker is about to send it.
        nth: the first occurrence that counts; 1 is the next.
        times: how many occurrences, from that one on; None for all that come.
        optional: whether it is no failure if it never happens.

    Raises:
        ValueError: something in it can never come about.
    """

    connection: int | str | None = None
    channel: int | None = None
    received: MethodName | None = None
    sent: MethodName | None = None
    nth: int = 1
    times: int | None = 1
    optional: bool = False

    OCCASION: ClassVar[Trigger] = Trigger.CONNECTED
    HAS_TRIGGER: ClassVar[bool] = True

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.nth < 1:
            raise ValueError(f"{kind}: nth is 1 for the next occurrence, not {self.nth}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"{kind}: times is 1 or more, or None for always, not {self.times}")
        if self.received is not None and self.sent is not None:
            raise ValueError(f"{kind}: give either received= or sent=; add two faults for both")
        if self.trigger is None:
            return
        if not self.HAS_TRIGGER:
            raise ValueError(f"{kind} happens {self.OCCASION.value}: leave out received= and sent=")
        if self.trigger not in _NAMES:
            raise ValueError(f"{kind}: there is no method {self.trigger!r} in AMQP 0-9-1")

    @property
    def trigger(self) -> str | None:
        """The name of the method at which it happens."""
        method = self.received if self.received is not None else self.sent
        return method if method is None or isinstance(method, str) else method.NAME

    @property
    def occasion(self) -> Trigger:
        """When it happens."""
        if self.received is not None:
            return Trigger.RECEIVED
        return self.OCCASION if self.sent is None else Trigger.SENT

    def concerns(self, at: "Event") -> bool:
        """Return whether this moment is one for it, as far as that is its own business."""
        del at
        return True

    def happen(self, at: "Event") -> bool:
        """Let it happen; return whether it takes the place of the method."""
        raise NotImplementedError

    def __str__(self) -> str:
        shown = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"
