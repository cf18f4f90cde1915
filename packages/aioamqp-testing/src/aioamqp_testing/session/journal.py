"""What happened on each connection, for whoever reads about a failed test."""

from collections import deque
from dataclasses import dataclass

from amqp_codec import Command, Method, Properties

_KEPT = 200  # entries of a connection; enough to see what led to its end
_SHOWN = 300  # characters of an entry
_OCTETS = 40  # octets of a body, of which no more is kept


@dataclass(slots=True)
class _Said:
    """A command, with no more of its body than will be shown."""

    mark: str
    channel: int
    method: Method
    properties: Properties | None
    size: int
    body: bytes

    def __str__(self) -> str:
        text = f"{self.mark} {self.channel} {self.method!r}"
        if self.method.HAS_CONTENT:
            dots = "..." if self.size > len(self.body) else ""
            text += f" {self.properties!r} {self.size} octets {self.body!r}{dots}"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class ConnectionJournal:
    """The last things said on one connection, both ways.

    Nothing is put into words before somebody reads it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: deque[_Said | str] = deque(maxlen=_KEPT)
        self._count = 0

    def received(self, command: Command) -> None:
        """Note what the client said."""
        self._add("->", command)

    def sent(self, command: Command) -> None:
        """Note what the broker said."""
        self._add("<-", command)

    def note(self, text: str) -> None:
        """Note something else, such as why the connection ended."""
        self._count += 1
        self._entries.append(f"   {text}")

    def _add(self, mark: str, command: Command) -> None:
        self._count += 1
        body = command.body
        shown = bytes(body[:_OCTETS]) if body else b""
        said = _Said(mark, command.channel, command.method, command.properties, len(body), shown)
        self._entries.append(said)

    @property
    def lines(self) -> list[str]:
        """One line an entry, the oldest first."""
        return [str(entry) for entry in self._entries]

    def __str__(self) -> str:
        left_out = self._count - len(self._entries)
        first = [f"   ({left_out} earlier ones left out)"] if left_out else []
        return "\n".join([self.name, *first, *self.lines])


class Journal:
    """The journals of a broker's connections, in the order in which they were made."""

    def __init__(self, kept: int = 100) -> None:
        self._connections: deque[ConnectionJournal] = deque(maxlen=kept)

    @property
    def connections(self) -> list[ConnectionJournal]:
        """One journal a connection; of very many, the last ones."""
        return list(self._connections)

    def open(self, name: str) -> ConnectionJournal:
        """Begin the journal of a connection."""
        journal = ConnectionJournal(name)
        self._connections.append(journal)
        return journal

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._connections))
