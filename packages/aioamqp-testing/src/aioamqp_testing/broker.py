"""FakeBroker: an AMQP broker in memory, for the tests of programs that use RabbitMQ."""

import asyncio
import ssl as tls
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote
from weakref import WeakSet

from .clock import LoopClock, ManualClock
from .control.actions import Actions
from .control.administration import Administration
from .control.assertions import Assertions
from .faults import Faults
from .model import Node
from .model.profile import DEFAULT_VERSION, find_profile
from .session.journal import Journal
from .tasks import Tasks
from .threads import BrokerLock, LockedClock, running_loop, thread_safe
from .transport.listener import Listener, Port
from .transport.memory import connect
from .transport.protocol import Connections

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

_listening: "WeakSet[FakeBroker]" = WeakSet()


@thread_safe
class FakeBroker(Administration, Assertions, Actions):
    """An AMQP broker in the memory of a test.

    It answers as RabbitMQ 3.10 does, or as another version that is asked for. What is not supported
    yet is refused: the connection is closed with reply code 540, and ``refused`` lists the reason.
    Brokers are independent of each other, so a test can use several.

        async with FakeBroker() as broker:
            transport, protocol = await broker.connect()
            channel = await protocol.channel()

    Leaving the ``async with`` block closes all connections. A new broker has one user, guest with
    the password guest, and one virtual host, ``/``. The methods come from four classes:
    ``Administration`` adds users, virtual hosts, permissions and policies; ``Inspection`` shows the
    state of the broker and waits for changes; ``Assertions`` checks it; ``Actions`` publishes and
    consumes in place of other programs.

    A broker serves programs in several threads and event loops at once, and all its methods can be
    called from any of them; those that are no coroutines need no event loop. A program in a forked
    process has a copy of the broker, and gets an error.

    Args:
        clock: ``"real"`` for the time of the event loop, ``"manual"`` for a clock that only moves
            when ``broker.clock.advance(seconds)`` is called, or a ManualClock to share one.
        consumer_timeout: seconds within which a delivery must be acknowledged; None for no limit.
            Later, as RabbitMQ 4.3, its consumer is cancelled if the queue is a quorum queue, and as
            3.10 and 4.0, which check it once a minute, its channel is closed.
        plugins: the names of RabbitMQ's plugins whose types of exchanges the broker has, such as
            ``rabbitmq_delayed_message_exchange``; COVERAGE.md lists them.
        rabbitmq: the version of RabbitMQ that it answers as: 4.3, 4.0 or 3.10.
        deprecated: what happens to deprecated features that RabbitMQ's own packages refuse by
            default and others permit, such as queues that are neither durable nor exclusive in
            4.3: ``"permit"`` issues a DeprecatedFeatureWarning, ``"deny"`` closes the connection.

    Raises:
        ValueError: an argument has a value that there is not, such as an unknown version.

    Attributes:
        clock: the clock.
        lock: held by each thread while it works in the broker; ``with broker.lock:`` several values
            are read at one moment.
        faults: the faults that the test adds; see ``aioamqp_testing.faults``.
        journal: the commands on each connection; ``print(broker.journal)`` shows them.
        node: users and virtual hosts, with exchanges and queues.
    """

    def __init__(
        self,
        clock: Literal["real", "manual"] | ManualClock = "real",
        *,
        consumer_timeout: float | None = 1800.0,
        plugins: Sequence[str] = (),
        rabbitmq: str = DEFAULT_VERSION,
        deprecated: Literal["permit", "deny"] = "permit",
    ) -> None:
        self.lock = BrokerLock()
        if isinstance(clock, ManualClock):
            self.clock = clock
        elif clock in ("real", "manual"):
            self.clock = LoopClock(self.lock) if clock == "real" else ManualClock()
        else:
            raise ValueError(f"clock must be 'real', 'manual' or a ManualClock, not {clock!r}")
        profile = find_profile(rabbitmq)
        if deprecated not in ("permit", "deny"):
            raise ValueError(f"deprecated must be 'permit' or 'deny', not {deprecated!r}")
        if deprecated == "deny" and not profile.denied_upstream:
            raise ValueError(
                f"RabbitMQ {profile.version} denies no deprecated feature; choose a newer version,"
                " such as rabbitmq='4.3'"
            )
        self.journal = Journal()
        self.node = Node(
            self.clock if isinstance(self.clock, LoopClock) else LockedClock(self.clock, self.lock),
            plugins,
            profile=profile,
            denies_deprecated=deprecated == "deny",
        )
        self.node.consumer_timeout = consumer_timeout
        self.faults = Faults(self)
        self._connections = Connections(
            self.node,
            self.node.clock,
            self.lock,
            self.journal,
            on_connection_made=self.faults.connection_made,
            on_connection_lost=self.faults.connection_lost,
        )
        self._listeners: list[Listener] = []
        self._tasks = Tasks()
        self._repliers = []
        self._restarts = Tasks()
        self._next_port = 50000
        self.lock.on_enter = self._catch_up

    async def __aenter__(self) -> Self:
        """Start accepting connections."""
        self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections, wait until they are closed, and call ``check``.

        Raises:
            FaultNotTriggered: a fault was added but not triggered.
            Exception: what a function given to ``rpc_reply`` has raised.
        """
        await self.close()
        if exc_type is None:
            self.check()

    def check(self) -> None:
        """Check the faults and functions that the test has given to the broker.

        Raises:
            FaultNotTriggered: a fault was added but not triggered.
            Exception: what a function given to ``rpc_reply`` has raised.
        """
        self._tasks.check()
        self._restarts.check()
        self.faults.check()

    # ----------------------------------------------------------------------------- connecting

    async def connect(self, **options: Any) -> "tuple[asyncio.Transport, AmqpProtocol]":
        """Connect aioamqp to this broker, in memory.

        Args:
            options: as for ``aioamqp.connect``; host and port only appear in the transport's
                peername.

        Returns:
            the transport and the protocol, as from ``aioamqp.connect``.
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
        """Connect any asyncio protocol to this broker in memory, like ``loop.create_connection``.

        Args:
            protocol_factory: makes the protocol of the client.
            host: the host in the peername of the client's transport.
            port: the port in it.
            ssl: ignored: there is no TLS in memory.
            server_hostname: ignored.

        Raises:
            ConnectionRefusedError: the broker is not running.
        """
        del ssl, server_hostname
        self.lock.check_process()
        if not self._connections.is_open:
            raise ConnectionRefusedError(
                "the FakeBroker is not running: connect inside its `async with` block,"
                " and not between stop() and start()"
            )
        protocol = protocol_factory()
        self._next_port += 1
        transport, _ = connect(
            protocol,
            self._connections.new_protocol(),
            client_name=("127.0.0.1", self._next_port),
            server_name=(host, port),
        )
        return transport, protocol

    async def listen(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl: "tls.SSLContext | None" = None
    ) -> str:
        """Accept connections over TCP as well, from any client.

        Args:
            host: the address to listen on; ``localhost`` for 127.0.0.1 and ::1, an empty host or
                ``::`` for all addresses of the machine, IPv4 and IPv6.
            port: 0 for any free one.
            ssl: for TLS, a context with the broker's certificate; the URL begins with ``amqps://``.

        Returns:
            the URL to connect to, such as ``amqp://guest:guest@127.0.0.1:49152``. It names no
            virtual host, which every client understands as ``/``.

        Raises:
            RuntimeError: the broker is not running.
            ValueError: ``ssl`` is a context for clients.
            OSError: the port is in use, or the address is not one of this machine.
        """
        if not self._connections.is_open:
            raise RuntimeError(
                "the FakeBroker is not running: listen inside its `async with` block"
            )
        listener = Listener(self._connections.new_protocol, "amqp", host, port, ssl)
        await listener.open()
        self._listeners.append(listener)
        _listening.add(self)
        user = next(iter(self.node.users.values()))
        return listener.url(f"{quote(user.name, safe='')}:{quote(user.password, safe='')}@")

    async def listen_management(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl: "tls.SSLContext | None" = None
    ) -> str:
        """Serve a part of RabbitMQ's management API over HTTP; COVERAGE.md lists it.

        It needs aiohttp, which ``pip install 'aioamqp-testing[management]'`` installs.

        Args:
            host: the address to listen on, as for ``listen``.
            port: 0 for any free one; RabbitMQ's is 15672.
            ssl: for HTTPS, a context with the broker's certificate.

        Returns:
            the URL, such as ``http://127.0.0.1:49152``; the paths of the routes begin with
            ``/api/``.

        Raises:
            RuntimeError: the broker is not running.
            ModuleNotFoundError: aiohttp is not installed.
            ValueError: ``ssl`` is a context for clients.
            OSError: the port is in use, or the address is not one of this machine.
        """
        if not self._connections.is_open:
            raise RuntimeError(
                "the FakeBroker is not running: listen inside its `async with` block"
            )
        try:
            from .management.server import Server
        except ModuleNotFoundError as error:
            if error.name != "aiohttp":
                raise
            raise ModuleNotFoundError(
                "the management API needs aiohttp: pip install 'aioamqp-testing[management]'",
                name=error.name,
            ) from None
        from .management.api import Api

        server = Server(Api(self, self._ports))
        listener = Listener(await server.open(), "http", host, port, ssl, server.close)
        await listener.open()
        self._listeners.append(listener)
        return listener.url()

    def _ports(self) -> list[Port]:
        return [port for listener in self._listeners for port in listener.ports]

    def _catch_up(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Catch up with event loops that were closed, and with timers that no loop has run.

        Returns:
            whether there is no other loop than the one that is running.
        """
        self._connections.drop_lost()
        loops = set(self._connections.loops)
        if isinstance(self.clock, LoopClock) and self._connections.is_open:
            if loop is None:
                self.clock.run_due()
            else:
                self.clock.attach(loop)
            loops.update(self.clock.loops)
        return loops <= {loop}

    # ----------------------------------------------------------------------------- start and stop

    def open(self) -> None:
        """Start accepting connections; entering the ``async with`` block calls this."""
        self.lock.reset()
        self._connections.is_open = True
        self.clock.watch(self._notify_activity)

    async def start(self) -> None:
        """Accept connections again after ``stop``, in memory and on the same ports.

        Raises:
            RuntimeError: the broker is running.
        """
        if self._connections.is_open:
            raise RuntimeError("the FakeBroker is running: call stop() before start()")
        self.open()
        with self.lock:
            for replier in self._repliers:
                if replier.vhost in self.node.vhosts.values():
                    replier.start()
        for listener in self._listeners:
            await listener.open()

    async def stop(self) -> None:
        """Stop as RabbitMQ does, and wait until all connections are closed.

        Clients receive connection.close with reply code 320. New connections are refused until
        ``start`` is called. Only durable exchanges and queues survive, with their persistent
        messages.
        """
        await self._close_connections()
        with self.lock:
            for replier in self._repliers:
                replier.pause()
            self.node.restart()

    async def restart(self) -> None:
        """Stop and start again, on the same ports."""
        await self.stop()
        await self.start()

    def restart_soon(self) -> None:
        """Restart in a task; ``close`` waits for it.

        Raises:
            RuntimeError: no event loop is running, in this thread or for a connection.
        """
        self._restarts.start(self.restart(), running_loop(), *self._connections.loops)

    def abort(self) -> None:
        """Drop all connections. Needs no event loop: those of clients are reset in their own.

        Listening sockets are left to the event loop that they belong to.
        """
        self._connections.is_open = False
        self._stop_clock()
        self._listeners.clear()
        for vhost in self.node.vhosts.values():
            vhost.agenda.clear()
        self._connections.abort()

    async def close(self) -> None:
        """Close all connections as a broker that stops does, and wait until they are closed."""
        await self._restarts.wait()
        await self._tasks.cancel()
        await self._close_connections()
        self._listeners.clear()
        with self.lock:
            self._stop_clock()
            self._notify_activity()

    def _notify_activity(self) -> None:
        with self.lock:
            self._connections.notify_activity()

    def _stop_clock(self) -> None:
        self.lock.reset()
        self.clock.unwatch(self._notify_activity)
        if isinstance(self.clock, LoopClock):
            self.clock.detach()

    async def _close_connections(self) -> None:
        self._connections.is_open = False
        for listener in self._listeners:
            await listener.close()
        await self._connections.shut_down()
        for listener in self._listeners:
            await listener.wait_closed()

    def block(self, reason: str = "low on memory") -> None:
        """Raise an alarm, which blocks connections that publish.

        A client that publishes receives ``connection.blocked``, and nothing more is read from it
        until ``unblock`` has cleared all alarms. Other connections and deliveries are not affected.

        Args:
            reason: the reason for clients, and the name of the alarm; RabbitMQ sends ``low on
                memory``, ``low on disk``, or ``low on disk & memory`` if both alarms hold.

        Raises:
            ValueError: the reason is empty.
        """
        if not reason:
            raise ValueError("reason must not be empty; use 'low on memory', for example")
        self.node.raise_alarm(reason)

    def unblock(self, reason: str | None = None) -> None:
        """Clear an alarm; if it was the last one, unblock clients and handle what they have sent.

        Args:
            reason: the reason of the alarm; None clears the latest alarm, if there is one.

        Raises:
            ValueError: there is no alarm with this reason.
        """
        self.node.clear_alarm(reason)
        if not self.node.alarm:
            for session in self.sessions:
                session.unblock()

    def listens_on(self, host: str, port: int | str) -> bool:
        """Return whether the broker accepts connections over TCP at an address.

        Args:
            host: as it was passed to ``listen``; ``localhost`` stands for any host.
            port: the port of the URL that ``listen`` has returned.
        """
        return any(
            str(port) == str(each.number)
            and (host in (each.address, "localhost") or each.address in ("0.0.0.0", "::"))
            for each in self._ports()
        )


def is_listening(host: str, port: int | str) -> bool:
    """Return whether a FakeBroker of this process accepts connections over TCP at an address."""
    return any(broker.listens_on(host, port) for broker in list(_listening))
