"""The journal of a broker: what was received and sent on each connection, for failed tests.

Passwords and other secrets are shown as ``***``, because reports on failed tests are published.
"""

from collections import deque
from copy import copy
from typing import Final, TypeAlias

from amqp_codec import Command, Method, Properties, connection

_KEPT: Final = 200  # entries of a connection; enough to see what led to its end
_LONGEST: Final = 300  # characters of an entry
_BODY: Final = 40  # bytes of a body that are kept
_SECRETS: Final[dict[type[Method], str]] = {
    connection.StartOk: "response",
    connection.Secure: "challenge",
    connection.SecureOk: "response",
    connection.UpdateSecret: "new_secret",
}

_Entry: TypeAlias = tuple[str, int, Method, Properties | None, int, bytes]
"""Direction, channel, method, properties, size of the body and the beginning of the body."""


class ConnectionJournal:
    """The last commands on one connection, both ways. They are formatted when they are read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: deque[_Entry | str] = deque(maxlen=_KEPT)
        self._count = 0

    def add_received(self, command: Command) -> None:
        """Add a command from the client."""
        self._add("->", command)

    def add_sent(self, command: Command) -> None:
        """Add a command to the client."""
        self._add("<-", command)

    def note(self, text: str) -> None:
        """Add anything else, such as why the connection ended."""
        self._count += 1
        self._entries.append(f"   {text}")

    def _add(self, direction: str, command: Command) -> None:
        self._count += 1
        body = command.body
        kept = bytes(body[:_BODY]) if body else b""
        self._entries.append(
            (direction, command.channel, command.method, command.properties, len(body), kept)
        )

    @property
    def lines(self) -> list[str]:
        """One line an entry, the oldest first."""
        return [each if isinstance(each, str) else _format(each) for each in self._entries]

    def __str__(self) -> str:
        left_out = self._count - len(self._entries)
        first = [f"   ({left_out} earlier ones left out)"] if left_out else []
        return "\n".join([self.name, *first, *self.lines])


class Journal:
    """The journals of a broker's connections, in the order in which they were opened.

    Args:
        kept: how many journals are kept: the last ones.
    """

    def __init__(self, kept: int = 100) -> None:
        self._connections: deque[ConnectionJournal] = deque(maxlen=kept)

    @property
    def connections(self) -> list[ConnectionJournal]:
        """The journals that are kept, the oldest first."""
        return list(self._connections)

    def open(self, name: str) -> ConnectionJournal:
        """Open the journal of a new connection."""
        journal = ConnectionJournal(name)
        self._connections.append(journal)
        return journal

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._connections))


def _format(entry: _Entry) -> str:
    direction, channel, method, properties, size, body = entry
    text = f"{direction} {channel} {_without_secret(method)!r}"
    if method.HAS_CONTENT:
        dots = "..." if size > len(body) else ""
        text += f" {properties!r} {size} bytes {body!r}{dots}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _without_secret(method: Method) -> Method:
    name = _SECRETS.get(type(method))
    if name is None:
        return method
    shown = copy(method)
    setattr(shown, name, b"***")
    return shown
