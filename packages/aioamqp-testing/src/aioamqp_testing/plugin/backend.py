"""The broker that the tests of a session run on. Every run of pytest imports this module."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .rabbitmq import VirtualHosts

FAKE: Final = "fake"
TCP: Final = "tcp"


@dataclass(frozen=True)
class Backend:
    """The broker that the tests of a session run on, as chosen on the command line.

    Attributes:
        kind: FAKE, TCP, or the URL of a real broker.
        virtual_hosts: a way to make virtual hosts on a real broker, if there is one.
        description: of the virtual hosts, for the header of the report.
    """

    kind: str
    virtual_hosts: "VirtualHosts | None" = None
    description: str = ""

    @property
    def is_fake(self) -> bool:
        """Whether it is a FakeBroker."""
        return self.kind in (FAKE, TCP)
