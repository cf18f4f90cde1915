"""What there is in a broker, on one screen."""

import shutil
from itertools import islice
from typing import TextIO

from ..broker import FakeBroker
from ..model import Queue, VirtualHost
from ..session import Session

_HEIGHT = 24
_LEAST = 10  # lines, if the terminal has them


def summary(broker: FakeBroker) -> str:
    """Say in one line what there is."""
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
    """List connections and queues.

    Args:
        broker: to look at.
        width: characters of a line, at most.
        height: lines, at most; what does not fit is counted.
    """
    sessions = broker.sessions
    queues = [
        (vhost, queue) for vhost in broker.node.vhosts.values() for queue in vhost.queues.values()
    ]
    height = max(height, 6)  # two headings, and for each a line and what is left out
    rows = height // 2 - 1
    room = max(rows, height - 2 - min(rows, len(queues)))
    connections = _cut([_connection(session) for session in sessions], room)
    shown = _cut([_queue(*each) for each in queues], height - 2 - len(connections))
    lines = [f"connections: {len(sessions)}", *connections]
    lines += [f"{f'queues: {len(queues)}':44} {'ready':>9} {'unacked':>9} {'consumers':>9}", *shown]
    return [line[:width] for line in lines]


def _cut(rows: list[str], room: int) -> list[str]:
    if len(rows) <= room:
        return rows
    return [*islice(rows, room - 1), f"  and {len(rows) - room + 1} more"]


def _connection(session: Session) -> str:
    state = f"user {session.user}" if session.is_open else "not open"
    return f"  {session.journal.name:42} {state}, channels: {len(session.channels)}"


def _queue(vhost: VirtualHost, queue: Queue) -> str:
    # as Python writes it: a name may hold what moves the cursor of a terminal
    name = repr(queue.name) if vhost.name == "/" else f"{queue.name!r} in {vhost.name!r}"
    counts = (queue.message_count, queue.unacked_count, queue.consumer_count)
    return f"  {name:42} " + " ".join(f"{count:9}" for count in counts)


class Screen:
    """The last lines of a terminal, which are written over again and again.

    Args:
        output: the terminal.
        above: lines above that had better stay in sight.
    """

    def __init__(self, output: TextIO, above: int = 0) -> None:
        self._output = output
        self._above = above
        self._lines: list[str] = []

    def show(self, broker: FakeBroker) -> None:
        """Show what is there now, if that is not what is seen already."""
        size = shutil.get_terminal_size()
        # the cursor stands below, and what scrolls out of the window cannot be written over
        room = min(max(size.lines - 1 - self._above, _LEAST), size.lines - 1)
        lines = overview(broker, size.columns, room)
        if lines == self._lines:
            return
        back = f"\x1b[{len(self._lines)}F\x1b[J" if self._lines else ""
        self._output.write(back + "".join(f"{line}\n" for line in lines))
        self._output.flush()
        self._lines = lines


class Log:
    """Lines for a file or a pipe, one whenever something has changed."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._line = ""

    def show(self, broker: FakeBroker) -> None:
        """Say what is there now, if that was not said last."""
        line = summary(broker)
        if line != self._line:
            self._output.write(f"{line}\n")
            self._output.flush()
            self._line = line
