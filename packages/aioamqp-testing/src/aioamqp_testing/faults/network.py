"""Faults of the link: octets that do not come, come late, or come changed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .fault import Fault, Trigger

if TYPE_CHECKING:
    from .injector import Event


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset: a broker that was killed, a firewall that has had enough.

    At once, on a connection that there is or else on the next one.
    """

    def happen(self, at: "Event") -> bool:
        """Hang up."""
        at.injector.reset(at)
        return True


@dataclass(frozen=True)
class Cut(Fault):
    """The connection is reset after so many more octets, in the middle of whatever they are.

    Args:
        after: octets that still pass.
        reading: whether octets are meant that the broker reads, not those that it sends.
    """

    after: int
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after < 0:
            raise ValueError(f"Cut: after is a number of octets, not {self.after}")

    def happen(self, at: "Event") -> bool:
        """Count from here."""
        at.injector.cut(self.after, reading=self.reading)
        return False


@dataclass(frozen=True)
class Silence(Fault):
    """The connection is half open: nothing comes through in either direction, and nobody knows."""

    def happen(self, at: "Event") -> bool:
        """Fall silent."""
        at.injector.silence()
        return True


@dataclass(frozen=True)
class Split(Fault):
    """Octets come in small pieces.

    Args:
        size: octets of a piece.
        seconds: of the broker's clock between two pieces; 0 for a turn of the event loop.
        reading: whether octets are meant that the broker reads, not those that it sends.
    """

    size: int = 1
    seconds: float = 0.0
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1 or self.seconds < 0:
            raise ValueError("Split: pieces have 1 octet or more, and 0 seconds or more in between")

    def happen(self, at: "Event") -> bool:
        """Cut to pieces what comes from here on."""
        at.injector.split(self.size, self.seconds, reading=self.reading)
        return False


@dataclass(frozen=True)
class Delay(Fault):
    """Something comes late, and on its channel nothing overtakes it.

    With ``sent=`` that is one method. Without, it is all octets that the broker sends or, with
    ``reading``, all that it reads.

    Args:
        seconds: of the broker's clock.
        reading: whether octets are meant that the broker reads, not those that it sends.
    """

    seconds: float
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds <= 0:
            raise ValueError(f"Delay: a delay has more than 0 seconds, not {self.seconds}")
        if self.received is not None:
            raise ValueError("Delay: delay the answer, with sent=, or all input, with reading=True")

    def happen(self, at: "Event") -> bool:
        """Keep a method, or slow the connection down."""
        if self.sent is None:
            at.injector.delay(self.seconds, reading=self.reading)
        else:
            at.injector.hold(self.seconds)
        return False


@dataclass(frozen=True)
class Corrupt(Fault):
    """One octet of what is sent is changed: of a method, or of whatever is sent next.

    Args:
        offset: which octet of its frames; the last one, where a frame has to end, is -1.
        octet: what it becomes; 0 to 255.
    """

    offset: int = -1
    octet: int = 0

    OCCASION = Trigger.SENT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.received is not None:
            raise ValueError("Corrupt: only what is sent can be corrupted; use sent=")
        if not 0 <= self.octet <= 255:
            raise ValueError(f"Corrupt: an octet is 0 to 255, not {self.octet}")

    def happen(self, at: "Event") -> bool:
        """Send it changed."""
        assert at.command is not None  # it is to be sent
        at.injector.corrupt(at.command, self.offset, self.octet)
        return True
