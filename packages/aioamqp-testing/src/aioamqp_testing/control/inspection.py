"""Looking into a broker: what is in it, what became of messages, why they went where they went."""

from collections.abc import Callable
from typing import TypeVar

from amqp_codec import FieldTable, Properties

from ..model import Access, ManualClock, Message, Node, Queue, VirtualHost
from ..model.exchanges.explain import Route
from ..session import Session
from ..session.journal import Journal
from ..transport.connections import Connections
from . import waiting
from .report import describe

_T = TypeVar("_T")


class Inspection:
    """What a broker shows of itself; ``print(broker)`` shows most of it at once.

    Attributes:
        node: users, virtual hosts, and what is in them.
        journal: what was said on each connection; ``print(broker.journal)`` shows it.
    """

    node: Node
    journal: Journal
    _connections: Connections

    @property
    def refused(self) -> list[str]:
        """What clients asked for that this broker cannot do yet, in their order."""
        return self.node.refused

    @property
    def vhost(self) -> VirtualHost:
        """The virtual host ``/``, with its queues and exchanges."""
        return self.node.vhosts["/"]

    @property
    def sessions(self) -> list[Session]:
        """The connections there are, the oldest first."""
        return [protocol.session for protocol in self._connections]

    def history(
        self,
        queue: str | None = None,
        *,
        exchange: str | None = None,
        key: str | None = None,
        body: bytes | None = None,
        vhost: str = "/",
    ) -> list[Message]:
        """Return messages that were published, the oldest first.

        ``message.history`` is what has happened to each, and ``print(message)`` shows it. The last
        10,000 are kept, as long as their bodies have no more than 64 MiB.

        Args:
            queue: only those that were routed to this queue, dead letters included.
            exchange: only those that were published to this exchange.
            key: only those with this routing key.
            body: only those with this body.
            vhost: in which virtual host.
        """
        return [
            message
            for message in self._host(vhost).history
            if exchange in (None, message.exchange)
            and key in (None, message.routing_key)
            and body in (None, message.body)
            and (queue is None or queue in message.queues)
        ]

    def explain_route(
        self, exchange: str, key: str, headers: FieldTable | None = None, *, vhost: str = "/"
    ) -> Route:
        """Say where a message would go if it were published now, and why.

        Args:
            exchange: the name of the exchange, empty for the default one.
            key: the routing key.
            headers: of the message.
            vhost: in which virtual host.

        Returns:
            something that is true if the message would reach a queue, knows these as ``queues``,
            and says in words which bindings match, which do not, and why.

        Raises:
            BrokerError: 404, there is no such exchange.
        """
        properties = Properties() if headers is None else Properties(headers=headers)
        message = Message(exchange, key, properties, b"").validated(Access())
        return self._host(vhost).explain(message)

    async def wait_for(self, predicate: Callable[[], _T], timeout: float = 5.0) -> _T:
        """Wait until something has come true in the broker, and return what the predicate returned.

        Args:
            predicate: asked at once, and again whenever the broker has received or sent something
                or its clock was advanced, and in the next few turns of the event loop; a true value
                ends the waiting.
            timeout: seconds of the event loop's time, also with a manual clock.

        Raises:
            WaitedInVain: time is up; the text says what is in the broker.
        """
        return await waiting.until(predicate, self._connections, timeout, self._state)

    async def wait_idle(self) -> None:
        """Let everything arrive that is on its way between the broker and clients in memory.

        That is what a test waits for behind ``broker.clock.advance(...)``, or behind something that
        it did in the broker. With clients over TCP use ``wait_for``: what is on its way through a
        socket cannot be seen.
        """
        await waiting.wait_idle(self._connections)

    def _state(self) -> str:
        """Say how things stand, also about a clock that nobody advances."""
        clock = self._connections.clock
        if not isinstance(clock, ManualClock):
            return str(self)
        due = clock.next_due
        then = "nothing is due" if due is None else f"more is due in {due:g} s"
        return f"The clock is manual: it stands at {clock.time():g} s, and {then}.\n{self}"

    def _host(self, name: str) -> VirtualHost:
        vhost = self.node.vhosts.get(name)
        if vhost is None:
            known = ", ".join(map(repr, self.node.vhosts))
            raise ValueError(f"there is no virtual host {name!r} in the broker; there are: {known}")
        return vhost

    def _queue(self, name: str, vhost: str) -> Queue:
        queue = self._host(vhost).queues.get(name)
        if queue is None:
            known = ", ".join(map(repr, self._host(vhost).queues)) or "none"
            raise ValueError(f"there is no queue {name!r} in the broker; there are: {known}")
        return queue

    def __str__(self) -> str:
        return describe(self)
