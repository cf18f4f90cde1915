"""What happened on each connection, for whoever reads about a failed test."""

from collections import deque
from itertools import islice

from amqp_codec import Command

_KEPT = 200  # commands of a connection; enough to see what led to its end
_SHOWN = 300  # characters of a command


class ConnectionJournal:
    """The last things said on one connection, both ways.

    Nothing is put into words before somebody reads it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: deque[tuple[str, Command | str]] = deque(maxlen=_KEPT)
        self._count = 0

    def received(self, command: Command) -> None:
        """Note what the client said."""
        self._add("->", command)

    def sent(self, command: Command) -> None:
        """Note what the broker said."""
        self._add("<-", command)

    def note(self, text: str) -> None:
        """Note something else, such as why the connection ended."""
        self._add("  ", text)

    def _add(self, mark: str, what: Command | str) -> None:
        self._count += 1
        self._entries.append((mark, what))

    @property
    def lines(self) -> list[str]:
        """One line a command, the oldest first."""
        return [f"{mark} {_in_words(what)}" for mark, what in self._entries]

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


def _in_words(what: Command | str) -> str:
    if isinstance(what, str):
        return what
    text = f"{what.channel} {what.method!r}"
    if what.method.HAS_CONTENT:
        shown = bytes(islice(what.body, 40))
        dots = "..." if len(what.body) > len(shown) else ""
        text += f" {what.properties!r} {len(what.body)} octets {shown!r}{dots}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
