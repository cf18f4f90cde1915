"""Inspection of a broker: its state, the history of messages, the explanation of routes."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from amqp_codec import FieldTable, Properties

from ..clock import LoopClock, ManualClock
from ..model import Access, Message, Node, Queue, VirtualHost
from ..model.exchanges.explain import Route
from ..session import Session
from ..session.journal import Journal
from ..threads import BrokerLock, thread_safe
from ..transport.protocol import Connections
from . import waiting
from .report import report

_T = TypeVar("_T")


@thread_safe
class Inspection:
    """Methods that show the state of a broker. ``print(broker)`` shows most of it.

    They first process everything that clients in memory have sent in this event loop, so a publish
    or an acknowledgement counts as soon as its call has returned. What clients do in reply, and
    what clients over TCP or in other threads send, takes longer: see ``wait_idle``, ``wait_for``.

    Attributes:
        clock: the clock.
        node: users and virtual hosts, with exchanges and queues.
        journal: the commands on each connection; ``print(broker.journal)`` shows them.
        lock: held by each thread while it works in the broker.
    """

    clock: LoopClock | ManualClock
    node: Node
    journal: Journal
    lock: BrokerLock
    _connections: Connections

    @property
    def refused(self) -> list[str]:
        """What clients used that the broker does not support yet, in the order of use."""
        self._connections.receive_pending()
        return self.node.refused

    @property
    def vhost(self) -> VirtualHost:
        """The virtual host ``/``, with its queues and exchanges."""
        self._connections.receive_pending()
        return self.node.vhosts["/"]

    @property
    def sessions(self) -> list[Session]:
        """The sessions of all connections, the oldest first."""
        self._connections.receive_pending()
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
        """Return the messages that were published, the oldest first.

        ``message.history`` lists what has happened to a message; ``print(message)`` shows it. The
        last 10,000 messages are kept, but not more than 64 MiB of bodies.

        Args:
            queue: only messages that were routed to this queue, including dead letters.
            exchange: only messages that were published to this exchange.
            key: only messages with this routing key.
            body: only messages with this body.
            vhost: the virtual host.
        """
        return [
            message
            for message in self._vhost(vhost).history
            if exchange in (None, message.exchange)
            and key in (None, message.routing_key)
            and body in (None, message.body)
            and (queue is None or queue in message.queues)
        ]

    def explain_route(
        self, exchange: str, key: str, headers: FieldTable | None = None, *, vhost: str = "/"
    ) -> Route:
        """Explain where a message would be routed if it were published now.

        Args:
            exchange: the name of the exchange; empty for the default exchange.
            key: the routing key.
            headers: of the message.
            vhost: the virtual host.

        Returns:
            the route. It is true if the message would reach a queue, ``queues`` lists their names,
            and ``print(route)`` shows which bindings match, which do not, and why.

        Raises:
            BrokerError: 404, there is no such exchange.
        """
        properties = Properties() if headers is None else Properties(headers=headers)
        message = Message(exchange, key, properties, b"").validated(
            Access(), None, self.node.profile
        )
        return self._vhost(vhost).explain(message)

    async def wait_for(self, predicate: Callable[[], _T], timeout: float = 5.0) -> _T:
        """Wait until ``predicate`` returns a true value, and return that value.

        Args:
            predicate: called at once, and again whenever the broker has received or sent something
                or its clock was advanced, and in the next few iterations of the event loop.
            timeout: in seconds of the event loop's time, also with a manual clock.

        Raises:
            WaitTimeout: the predicate has not become true in time; the text shows the state of the
                broker.
        """
        __tracebackhide__ = True
        return await waiting.wait_for(predicate, self._connections, timeout, self._state)

    async def wait_idle(self) -> None:
        """Wait until everything between the broker and clients in memory has been delivered.

        Call it after ``broker.clock.advance(...)`` or after a change that the test makes in the
        broker. With clients over TCP use ``wait_for``: data in a socket cannot be seen.

        Raises:
            WaitTimeout: the broker and its clients never stop sending.
        """
        __tracebackhide__ = True
        await waiting.wait_idle(self._connections)

    def _state(self) -> str:
        """Return the state for an error text, with a manual clock that may need advancing."""
        clock = self.clock
        if not isinstance(clock, ManualClock):
            return str(self)
        due = clock.next_due
        timers = "no timer is pending" if due is None else f"the next timer is due in {due:g} s"
        return f"The clock is manual: it is at {clock.time():g} s, and {timers}.\n{self}"

    def _vhost(self, name: str) -> VirtualHost:
        self._connections.receive_pending()
        return named("virtual host", name, self.node.vhosts)

    def _queue(self, name: str, vhost: str) -> Queue:
        return named("queue", name, self._vhost(vhost).queues)

    def __str__(self) -> str:
        return describe(self)


def named(noun: str, name: str, known: Mapping[str, _T]) -> _T:
    """Return the value of a name.

    Raises:
        ValueError: there is none; the text lists the names that there are.
    """
    if name not in known:
        names = ", ".join(map(repr, known)) or "none"
        raise ValueError(f"there is no {noun} {name!r} in the broker; there are: {names}")
    return known[name]


def describe(broker: Inspection, commands: int = 20) -> str:
    """Describe the state of a broker.

    Args:
        broker: a FakeBroker.
        commands: how many commands to show for each connection; the last ones are shown.

    Returns:
        several lines: queues with their messages, bindings and consumers, declared exchanges,
        connections, and the last commands.
    """
    with broker.lock:
        return report(broker.node, broker.sessions, broker.journal, commands)
