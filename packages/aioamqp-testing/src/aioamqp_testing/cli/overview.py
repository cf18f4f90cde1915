"""The overview of connections and queues that ``python -m aioamqp_testing serve`` prints."""

import shutil
from itertools import islice
from typing import TextIO

from ..broker import FakeBroker
from ..model import Queue, VirtualHost
from ..session import Session

_HEIGHT = 24
_MIN_HEIGHT = 10  # if the terminal has as many lines


def summary(broker: FakeBroker) -> str:
    """Return one line with the numbers of connections, channels, queues and messages."""
    sessions = broker.sessions
    queues = [queue for vhost in broker.node.vhosts.values() for queue in vhost.queues.values()]
    return ", ".join(
        [
            f"connections: {len(sessions)}",
            f"channels: {sum(len(session.channels) for session in sessions)}",
            f"queues: {len(queues)}",
            f"ready: {sum(queue.message_count for queue in queues)}",
            f"unacked: {sum(queue.unacked_count for queue in queues)}",
        ]
    )


def overview(broker: FakeBroker, width: int = 80, height: int = _HEIGHT) -> list[str]:
    """Return lines that list connections and queues.

    Args:
        broker: the broker.
        width: the maximum number of characters of a line.
        height: the maximum number of lines; rows that do not fit are counted in one line.
    """
    sessions = broker.sessions
    queues = [
        (vhost, queue) for vhost in broker.node.vhosts.values() for queue in vhost.queues.values()
    ]
    height = max(height, 6)  # two headings, each with a row and the count of the others
    half = height // 2 - 1
    connection_height = max(half, height - 2 - min(half, len(queues)))
    connections = _first([_connection(session) for session in sessions], connection_height)
    rows = _first([_queue(*each) for each in queues], height - 2 - len(connections))
    lines = [f"connections: {len(sessions)}", *connections]
    lines += [f"{f'queues: {len(queues)}':44} {'ready':>9} {'unacked':>9} {'consumers':>9}", *rows]
    return [line[:width] for line in lines]


def _first(rows: list[str], height: int) -> list[str]:
    if len(rows) <= height:
        return rows
    return [*islice(rows, height - 1), f"  and {len(rows) - height + 1} more"]


def _connection(session: Session) -> str:
    state = f"user {session.user}" if session.is_open else "not open"
    return f"  {session.journal.name:42} {state}, channels: {len(session.channels)}"


def _queue(vhost: VirtualHost, queue: Queue) -> str:
    # repr, because a name may contain control characters that move the cursor
    name = repr(queue.name) if vhost.name == "/" else f"{queue.name!r} in {vhost.name!r}"
    counts = (queue.message_count, queue.unacked_count, queue.consumer_count)
    return f"  {name:42} " + " ".join(f"{count:9}" for count in counts)


class Screen:
    """Output to a terminal, in its last lines, which are overwritten again and again.

    Args:
        output: the terminal.
        above: the number of lines above that should stay visible.
    """

    def __init__(self, output: TextIO, above: int = 0) -> None:
        self._output = output
        self._above = above
        self._lines: list[str] = []

    def show(self, broker: FakeBroker) -> None:
        """Show the current overview, unless it is visible already."""
        size = shutil.get_terminal_size()
        # the cursor is in the line below, and lines that have scrolled out cannot be overwritten
        height = min(max(size.lines - 1 - self._above, _MIN_HEIGHT), size.lines - 1)
        lines = overview(broker, size.columns, height)
        if lines == self._lines:
            return
        back = f"\x1b[{len(self._lines)}F\x1b[J" if self._lines else ""
        self._output.write(back + "".join(f"{line}\n" for line in lines))
        self._output.flush()
        self._lines = lines


class Log:
    """Output to a file or pipe: one line for each change."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._line = ""

    def show(self, broker: FakeBroker) -> None:
        """Print the current summary, unless it was printed last."""
        line = summary(broker)
        if line != self._line:
            self._output.write(f"{line}\n")
            self._output.flush()
            self._line = line
