"""The connections of one broker, and who waits for something to happen on them."""

import asyncio
from collections.abc import Callable, Iterator

from ..model import Clock, Node
from ..session import Session
from ..session.journal import Journal
from .protocol import SessionProtocol


class Connections:
    """Makes the sessions of a broker, knows which there are, and wakes who waits for them.

    Args:
        node: what the sessions are about.
        clock: for their timers.
        journal: for what is said.

    Attributes:
        clock: the broker's.
        is_open: whether there can be new ones.
        movements: how often something was received or sent so far.
        on_joined: called with each new connection.
        on_left: called with each connection that is gone.
    """

    def __init__(self, node: Node, clock: Clock, journal: Journal) -> None:
        self.clock = clock
        self.is_open = False
        self.movements = 0
        self.on_joined: Callable[[SessionProtocol], None] = _nothing
        self.on_left: Callable[[SessionProtocol], None] = _nothing
        self._node = node
        self._journal = journal
        self._protocols: dict[SessionProtocol, None] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def __iter__(self) -> Iterator[SessionProtocol]:
        return iter(list(self._protocols))

    def __len__(self) -> int:
        return len(self._protocols)

    def new_protocol(self) -> SessionProtocol:
        """Make the broker's end of a connection that is about to be made."""
        return SessionProtocol(self)

    def open_session(self, name: str, wake: Callable[[], None]) -> Session:
        """Make the broker's side of a connection."""
        return Session(self._node, self.clock, self._journal.open(name), wake)

    def joined(self, protocol: SessionProtocol) -> None:
        """Take notice of a new connection."""
        self._protocols[protocol] = None
        self.on_joined(protocol)
        self.moved()

    def left(self, protocol: SessionProtocol) -> None:
        """Take notice that a connection is gone."""
        self._protocols.pop(protocol, None)
        self.on_left(protocol)
        self.moved()

    def moved(self) -> None:
        """Take notice that something has happened, and wake who waits for that."""
        self.movements += 1
        if self._waiting:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()

    async def next_move(self) -> None:
        """Wait until something happens."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def abandon(self) -> None:
        """Forget all, without a word to the clients."""
        protocols, self._protocols = self._protocols, {}
        for protocol in protocols:
            protocol.session.connection_lost()

    async def end(self) -> None:
        """End all as a broker does that stops, and wait until they are gone."""
        while self._protocols:
            protocol = next(iter(self._protocols))
            protocol.shut_down()
            await protocol.wait_closed()
        # the clients in memory have been told, and now get the callbacks for it
        for _ in range(2):
            await asyncio.sleep(0)


def _nothing(_: SessionProtocol) -> None:
    """Do nothing: nobody wants to know."""
