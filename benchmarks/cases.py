"""The cases of the client's benchmark. Workers import this file, so it needs no other package."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

KILOBYTE, MEGABYTE = 1000, 1_000_000

Kind: TypeAlias = Literal[
    "publish",
    "confirm",
    "deferred",
    "prepared",
    "consume",
    "iterate",
    "get",
    "call",
    "import",
    "channel memory",
    "connection memory",
    "unconfirmed",
    "publish memory",
    "consume memory",
]


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        name: in the table and on the command line.
        kind: what the worker does.
        count: messages (or channels, or connections) of one measurement.
        quick: the same for ``--quick``.
        size: bytes of a body.
        in_flight: messages that are unconfirmed at a time.
        ack: whether messages are acknowledged, one by one.
        channels: over which messages are published in turn.
    """

    name: str
    kind: Kind
    count: int
    quick: int
    size: int = 100
    in_flight: int = 1
    ack: bool = False
    channels: int = 1

    @property
    def needs(self) -> str:
        """What a library must offer, as in ``Client.cannot``."""
        return "confirm 100" if self.in_flight > 1 else self.kind

    @property
    def prefetch(self) -> int:
        """Messages that may be unacknowledged."""
        return 200 if self.size < MEGABYTE else 10

    @property
    def is_memory(self) -> bool:
        """Whether the case counts bytes; it is measured once, since the count does not vary."""
        return self.kind == "unconfirmed" or self.kind.endswith("memory")

    @property
    def publishes(self) -> bool:
        """Whether the messages must be in the queue afterwards."""
        return self.kind in ("publish", "confirm", "deferred", "publish memory")

    @property
    def consumes(self) -> bool:
        """Whether the queue must be filled before, and be empty afterwards."""
        return self.kind in ("consume", "iterate", "get", "consume memory")

    @property
    def is_silent(self) -> bool:
        """Whether the server must not confirm the messages."""
        return self.kind in ("prepared", "unconfirmed")


CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        Case("publish 100 B", "publish", 10_000, 2000),
        Case("publish 10 kB", "publish", 2000, 400, 10 * KILOBYTE),
        Case("publish 1 MB", "publish", 40, 24, MEGABYTE),
        Case("publish 16 MB", "publish", 4, 4, 16 * MEGABYTE),
        Case("confirm, 1 in flight", "confirm", 1000, 50),
        Case("confirm, 100 in flight", "confirm", 5000, 1000, in_flight=100),
        Case("confirm, deferred", "deferred", 10_000, 2000),
        Case("prepared publish 100 B", "prepared", 10_000, 2000),
        Case("callback 100 B", "consume", 10_000, 2000),
        Case("callback 100 B, ack", "consume", 10_000, 2000, ack=True),
        Case("iterator 100 B", "iterate", 10_000, 2000),
        Case("iterator 100 B, ack", "iterate", 10_000, 2000, ack=True),
        Case("callback 1 MB", "consume", 40, 12, MEGABYTE),
        Case("callback 1 MB, ack", "consume", 40, 12, MEGABYTE, ack=True),
        Case("iterator 1 MB", "iterate", 40, 12, MEGABYTE),
        Case("iterator 1 MB, ack", "iterate", 40, 12, MEGABYTE, ack=True),
        Case("get", "get", 1000, 50),
        Case("RPC round trip", "call", 1000, 100),
        Case("publish on 1 channel", "publish", 10_000, 2000),
        Case("publish on 100 channels", "publish", 10_000, 2000, channels=100),
        Case("publish on 1,000 channels", "publish", 10_000, 2000, channels=1000),
        Case("import", "import", 1, 1),
        Case("memory of a channel", "channel memory", 200, 100),
        Case("memory of an idle connection", "connection memory", 20, 10),
        Case("memory of 100,000 unconfirmed", "unconfirmed", 100_000, 5000),
        Case("memory to publish 64 MB", "publish memory", 1, 1, 64 * MEGABYTE),
        Case("memory to consume 64 MB", "consume memory", 1, 1, 64 * MEGABYTE),
    )
}
