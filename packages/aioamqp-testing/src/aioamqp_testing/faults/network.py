"""Faults of the network: bytes that are lost, late, split or changed."""

from dataclasses import dataclass
from functools import partial

from .event import Event, Trigger
from .fault import ConnectionFault
from .injector import Injector


@dataclass(frozen=True)
class Reset(ConnectionFault):
    """The connection is reset, as by a broker that is killed, or by a firewall.

    Without a method it happens at once: on an existing connection or else on the next one.
    """

    def apply(self, event: Event, injector: Injector) -> bool:
        """Reset the connection."""
        injector.run(event, partial(injector.protocol.reset, "reset by a fault"))
        return True


@dataclass(frozen=True)
class Cut(ConnectionFault):
    """The connection is reset after a number of bytes, possibly in the middle of a frame.

    A method that triggers it is handled as usual.

    Args:
        after: how many more bytes are transferred.
        reading: whether to count the bytes that the broker reads, instead of those that it sends.
    """

    after: int
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after < 0:
            raise ValueError(f"Cut: after must be 0 bytes or more, not {self.after}")

    def apply(self, event: Event, injector: Injector) -> bool:
        """Count bytes from now on."""
        del event
        injector.protocol.shape().direction(reading=self.reading).cut(self.after)
        return False


@dataclass(frozen=True)
class Silence(ConnectionFault):
    """The connection is half-open: nothing arrives in either direction, and there is no error."""

    def apply(self, event: Event, injector: Injector) -> bool:
        """Drop every byte from now on."""
        del event
        injector.protocol.go_silent()
        return True


@dataclass(frozen=True)
class MissHeartbeats(ConnectionFault):
    """The broker misses the heartbeats of the client, whatever that sends, and resets the
    connection after two to three intervals by its clock.

    Without this fault and ``Silence``, missing heartbeats end a connection only over TCP and by the
    real clock: a manual clock can be advanced by hours. A method that triggers it is handled as
    usual.
    """

    def apply(self, event: Event, injector: Injector) -> bool:
        """Miss heartbeats from now on."""
        del event
        heartbeat = injector.session.heartbeat
        heartbeat.is_expected = heartbeat.is_missed = True
        return False


@dataclass(frozen=True)
class Split(ConnectionFault):
    """Bytes arrive in small pieces. A method that triggers it is handled as usual.

    Args:
        size: bytes in each piece.
        seconds: the time between two pieces, by the clock of the broker; 0 for one iteration of the
            event loop.
        reading: whether to split what the broker reads, instead of what it sends.
    """

    size: int = 1
    seconds: float = 0.0
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise ValueError(f"Split: size must be 1 byte or more, not {self.size}")
        if self.seconds < 0:
            raise ValueError(f"Split: seconds must be 0 or more, not {self.seconds}")

    def apply(self, event: Event, injector: Injector) -> bool:
        """Split what follows."""
        del event
        direction = injector.protocol.shape().direction(reading=self.reading)
        direction.split(self.size, self.seconds)
        return False


@dataclass(frozen=True)
class Delay(ConnectionFault):
    """A method arrives late, and with it what follows on its channel; or all bytes arrive late.

    With ``sent=`` it is that method. Without it, it is all bytes that the broker sends or, with
    ``reading``, that it reads.

    Args:
        seconds: the delay, by the clock of the broker.
        reading: whether to delay what the broker reads, instead of what it sends.
    """

    seconds: float
    reading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds <= 0:
            raise ValueError(f"Delay: seconds must be more than 0, not {self.seconds}")
        if self.received is not None:
            raise ValueError(
                "Delay: received= is not supported; delay the reply with sent=, or everything that"
                " is read with reading=True"
            )

    def apply(self, event: Event, injector: Injector) -> bool:
        """Hold back the method, or delay what follows."""
        del event
        if self.sent is None:
            injector.protocol.shape().direction(reading=self.reading).delay(self.seconds)
        else:
            injector.hold(self.seconds)
        return False


@dataclass(frozen=True)
class Corrupt(ConnectionFault):
    """One byte of a method that is sent is wrong: of the given method, or else of the next one.

    Args:
        offset: the position of the byte in the frames of the method; -1 is the last byte, which
            must be the frame end.
        octet: the value that it gets, 0 to 255.
    """

    offset: int = -1
    octet: int = 0

    TRIGGER = Trigger.SENT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.received is not None:
            raise ValueError("Corrupt: received= is not supported; use sent=")
        if not 0 <= self.octet <= 255:
            raise ValueError(f"Corrupt: octet must be 0 to 255, not {self.octet}")

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send the method with that byte changed."""
        assert event.command is not None  # it is about to be sent
        data = bytearray(injector.session.output.encode(event.command))
        data[self.offset % len(data)] = self.octet
        injector.session.output.send_bytes(bytes(data))
        return True
