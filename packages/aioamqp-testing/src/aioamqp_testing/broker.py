"""FakeBroker: a broker for the tests of programs that use RabbitMQ."""

import asyncio
import ssl as tls
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote

from . import server, transports
from .administration import Administration
from .clock import LoopClock, ManualClock
from .journal import Journal
from .model import Node, VirtualHost
from .server import SessionProtocol
from .session import Session

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class FakeBroker(Administration):
    """A broker in the memory of a test.

    It answers as RabbitMQ 3.10 does, and what it cannot do yet it refuses: the connection is closed
    with reply code 540, and ``refused`` says what it was. Brokers know nothing of each other, so a
    test may have several.

        async with FakeBroker() as broker:
            transport, protocol = await broker.connect()
            channel = await protocol.channel()

    Leaving the ``async with`` block ends all its connections. At first there is one user, guest
    with the password guest, and one virtual host, ``/``; ``Administration`` has the calls for more.

    Args:
        clock: ``"real"`` for the time of the event loop, ``"manual"`` for one that stands still
            until ``broker.clock.advance(seconds)`` is called, or a ManualClock to share one.
        consumer_timeout: seconds within which a delivery has to be acknowledged, or else its
            channel is closed; None is for ever. RabbitMQ looks once a minute, and so does this one.

    Attributes:
        clock: the clock.
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
        self._protocols: dict[SessionProtocol, None] = {}
        self._servers: list[asyncio.Server] = []
        self._is_open = False
        self._next_port = 50000

    async def __aenter__(self) -> Self:
        """Begin to take connections."""
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all connections, and wait until they are gone."""
        await self.close()

    # ----------------------------------------------------------------------------- looking at it

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
        return [protocol.session for protocol in self._protocols]

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
        if not self._is_open:
            raise ConnectionRefusedError(
                "the FakeBroker is not running: connect inside its `async with` block"
            )
        protocol = protocol_factory()
        self._next_port += 1
        transport, _ = transports.connect(
            protocol,
            self._new_protocol(),
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
        if not self._is_open:
            raise RuntimeError(
                "the FakeBroker is not running: listen inside its `async with` block"
            )
        listening, port = await server.listen(self._new_protocol, host, port)
        self._servers.append(listening)
        user = next(iter(self.node.users.values()))
        shown = f"[{host}]" if ":" in host else host
        return f"amqp://{quote(user.name, safe='')}:{quote(user.password, safe='')}@{shown}:{port}/"

    async def close(self) -> None:
        """End all connections as a broker does that stops, and wait until they are gone."""
        self._is_open = False
        servers, self._servers = self._servers, []
        for listening in servers:
            listening.close()
        while self._protocols:
            protocol = next(iter(self._protocols))
            protocol.shut_down()
            await protocol.wait_closed()
        # the clients in memory have been told, and now get the callbacks for it
        for _ in range(2):
            await asyncio.sleep(0)
        for listening in servers:
            await listening.wait_closed()

    def _new_protocol(self) -> SessionProtocol:
        return SessionProtocol(self._open_session, self._protocols)

    def _open_session(self, name: str, wake: Callable[[], None]) -> Session:
        return Session(self.node, self.clock, self.journal.open(name), wake)
