"""FakeBroker: a broker for the tests of programs that use RabbitMQ."""

import asyncio
import ssl as tls
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote

from .clock import LoopClock, ManualClock
from .control.actions import Actions
from .control.administration import Administration
from .control.assertions import Assertions
from .faults import Faults
from .model import Node
from .session.journal import Journal
from .tasks import Tasks
from .transport import memory as transports
from .transport import protocol as server
from .transport.connections import Connections

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class FakeBroker(Administration, Assertions, Actions):
    """A broker in the memory of a test.

    It answers as RabbitMQ 3.10 does, and what it cannot do yet it refuses: the connection is closed
    with reply code 540, and ``refused`` says what it was. Brokers know nothing of each other, so a
    test may have several.

        async with FakeBroker() as broker:
            transport, protocol = await broker.connect()
            channel = await protocol.channel()

    Leaving the ``async with`` block ends all its connections. At first there is one user, guest
    with the password guest, and one virtual host, ``/``; ``Administration`` has the calls for more.
    ``Inspection`` shows what is in it and waits for it, ``Assertions`` claims things of it, and by
    ``Actions`` a test does what other programs would.

    Args:
        clock: ``"real"`` for the time of the event loop, ``"manual"`` for one that stands still
            until ``broker.clock.advance(seconds)`` is called, or a ManualClock to share one.
        consumer_timeout: seconds within which a delivery has to be acknowledged, or else its
            channel is closed; None is for ever. RabbitMQ looks once a minute, and so does this one.

    Attributes:
        clock: the clock.
        faults: what is to go wrong; see ``aioamqp_testing.faults``.
        journal: what was said on each connection; ``print(broker.journal)`` shows it.
        node: users, virtual hosts, and what is in them.
    """

    def __init__(
        self,
        clock: Literal["real", "manual"] | ManualClock = "real",
        *,
        consumer_timeout: float | None = 1800.0,
    ) -> None:
        self.clock: LoopClock | ManualClock
        if isinstance(clock, ManualClock):
            self.clock = clock
        elif clock in ("real", "manual"):
            self.clock = LoopClock() if clock == "real" else ManualClock()
        else:
            raise ValueError(f"clock must be 'real', 'manual' or a ManualClock, not {clock!r}")
        self.journal = Journal()
        self.node = Node(self.clock)
        self.node.consumer_timeout = consumer_timeout
        self.faults = Faults(self)
        self._connections = Connections(self.node, self.clock, self.journal)
        self._connections.on_joined = self.faults.joined
        self._connections.on_left = self.faults.left
        self._listeners: dict[tuple[str, int], asyncio.Server] = {}
        self._tasks = Tasks()
        self._restarts = Tasks()
        self._next_port = 50000

    async def __aenter__(self) -> Self:
        """Begin to take connections."""
        self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all connections, and wait until they are gone.

        Raises:
            FaultNeverHappened: a fault was set that never happened; and see ``check``.
        """
        await self.close()
        if exc_type is None:
            self.check()

    def check(self) -> None:
        """Make sure that what the test has given to the broker did what it should.

        Raises:
            FaultNeverHappened: a fault was set that never happened.
            Exception: what a function has raised that was given to ``rpc_reply``.
        """
        self._tasks.check()
        self._restarts.check()
        self.faults.check()

    # ----------------------------------------------------------------------------- getting in

    async def connect(self, **options: Any) -> "tuple[asyncio.Transport, AmqpProtocol]":
        """Connect aioamqp to this broker, in memory.

        Args:
            options: as for ``aioamqp.connect``; host and port only show in what the transport says.

        Returns:
            the transport and the protocol, as ``aioamqp.connect`` does.
        """
        import aioamqp

        with aioamqp.dialing(self.dial):
            return await aioamqp.connect(**options)

    async def dial(
        self,
        protocol_factory: Callable[[], _P],
        host: str = "localhost",
        port: int | str = 5672,
        *,
        ssl: "tls.SSLContext | bool | None" = None,
        server_hostname: str | None = None,
    ) -> tuple[asyncio.Transport, _P]:
        """Join any asyncio protocol to this broker in memory, like ``loop.create_connection``.

        Args:
            protocol_factory: makes the client's protocol.
            host: what is to be the server's name.
            port: and its port.
            ssl: not used: nothing can be overheard in memory.
            server_hostname: not used either.

        Raises:
            ConnectionRefusedError: the broker is not running.
        """
        del ssl, server_hostname
        if not self._connections.is_open:
            raise ConnectionRefusedError(
                "the FakeBroker is not running: connect inside its `async with` block,"
                " and not between stop() and start()"
            )
        protocol = protocol_factory()
        self._next_port += 1
        transport, _ = transports.connect(
            protocol,
            self._connections.new_protocol(),
            client_name=("127.0.0.1", self._next_port),
            server_name=(host, port),
        )
        return transport, protocol

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Take connections over TCP too, from any client.

        Args:
            host: the address to listen on.
            port: 0 for any free one.

        Returns:
            the URL to connect to, such as ``amqp://guest:guest@127.0.0.1:49152/``.
        """
        if not self._connections.is_open:
            raise RuntimeError(
                "the FakeBroker is not running: listen inside its `async with` block"
            )
        port = await self._listen(host, port)
        user = next(iter(self.node.users.values()))
        shown = f"[{host}]" if ":" in host else host
        return f"amqp://{quote(user.name, safe='')}:{quote(user.password, safe='')}@{shown}:{port}/"

    async def _listen(self, host: str, port: int) -> int:
        listener, port = await server.listen(self._connections.new_protocol, host, port)
        self._listeners[host, port] = listener
        return port

    # ----------------------------------------------------------------------------- its life

    def open(self) -> None:
        """Begin to take connections; entering the ``async with`` block does so."""
        self._connections.is_open = True
        self.clock.watch(self._connections.moved)

    async def start(self) -> None:
        """Take connections again after ``stop``, in memory and on the same ports."""
        self.open()
        for host, port in list(self._listeners):
            await self._listen(host, port)

    async def stop(self) -> None:
        """Stop as RabbitMQ does, and wait until all connections are gone.

        Clients are told so with reply code 320, and until ``start`` is called new connections are
        refused. Only what is durable is still there then, with the persistent messages in it.
        """
        await self._end_connections()
        self.node.restart()

    async def restart(self) -> None:
        """Stop and start again, on the same ports."""
        await self.stop()
        await self.start()

    def restart_soon(self) -> None:
        """Restart in a task of its own, which ``close`` waits for."""
        self._restarts.start(self.restart())

    def abandon(self) -> None:
        """End without a word to the clients, for want of an event loop that they could hear it in.

        What listens is left to the loop that it listens in.
        """
        self._connections.is_open = False
        self.clock.unwatch(self._connections.moved)
        self._listeners.clear()
        self._connections.abandon()

    async def close(self) -> None:
        """End all connections as a broker does that stops, and wait until they are gone."""
        await self._restarts.wait()
        await self._tasks.cancel()
        self.clock.unwatch(self._connections.moved)
        await self._end_connections()
        self._listeners.clear()
        self._connections.moved()

    async def _end_connections(self) -> None:
        self._connections.is_open = False
        for listener in self._listeners.values():
            listener.close()
        await self._connections.end()
        for listener in self._listeners.values():
            await listener.wait_closed()

    def block(self, reason: str = "low on memory") -> None:
        """Raise an alarm: nothing more is read from connections that publish.

        Clients that publish are sent ``connection.blocked`` and not heard until ``unblock``. Who
        does not publish notices nothing, and deliveries go on.

        Args:
            reason: what clients are told; RabbitMQ says ``low on memory`` or ``low on disk``.
        """
        if not reason:
            raise ValueError("an alarm has a reason, such as 'low on memory'")
        self.node.alarm = reason

    def unblock(self) -> None:
        """End the alarm: what blocked clients have sent meanwhile is dealt with."""
        self.node.alarm = ""
        for session in self.sessions:
            session.unblock()
