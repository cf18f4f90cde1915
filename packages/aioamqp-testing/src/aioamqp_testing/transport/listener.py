"""Listener: the port that a broker listens on, at all addresses of a host."""

import asyncio
import errno
import os
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

_ADDRESSES: Final = {
    "localhost": ("127.0.0.1", "::1"),
    "": ("0.0.0.0", "::"),
    "::": ("0.0.0.0", "::"),  # RabbitMQ: this is both IPv6 and IPv4
}
"""The addresses of hosts that stand for several, whatever the resolver of the system knows."""

_REACHED_AT: Final = {"": "localhost", "::": "localhost", "0.0.0.0": "127.0.0.1"}

_MISSING: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # on a machine without IPv6
_ATTEMPTS: Final = 20  # to find a port that is free at all addresses


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a broker listens on, at one address.

    Attributes:
        scheme: ``amqp`` or ``http``, with an ``s`` at the end for TLS.
        address: the address.
        number: the number of the port.
    """

    scheme: str
    address: str
    number: int


class Listener:
    """The port that a broker listens on, at all addresses of a host.

    It belongs to the event loop in which it was opened, and can be used in any other one.

    Args:
        protocol_factory: makes the protocol of a new connection.
        scheme: ``amqp`` or ``http``.
        host: an address or a name; an empty one, or ``::``, for all addresses of the machine.
        port: 0 for any free one.
        ssl: for TLS; None for connections without it.
        close_connections: closes what was accepted, if nothing else does.

    Raises:
        ValueError: ``ssl`` is a context for clients.

    Attributes:
        port: the same; if it was 0, the port that was free when the listener was first opened.
    """

    def __init__(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        scheme: str,
        host: str,
        port: int,
        ssl: tls.SSLContext | None = None,
        close_connections: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        if ssl is not None and ssl.protocol == tls.PROTOCOL_TLS_CLIENT:
            raise ValueError("ssl is a context for clients: use ssl.PROTOCOL_TLS_SERVER")
        self.port = port
        self._scheme = f"{scheme}s" if ssl else scheme
        self._close_connections = close_connections
        self._protocol_factory = protocol_factory
        self._host = host
        self._ssl = ssl
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []

    @property
    def ports(self) -> list[Port]:
        """The ports that are open, one for each address."""
        return [
            Port(self._scheme, *each.getsockname()[:2])
            for server in self._servers
            for each in server.sockets
        ]

    def url(self, login: str = "") -> str:
        """Return the URL for clients on this machine.

        It ends with the port: clients do not agree on what a slash at the end means, and some would
        ask for the virtual host with the empty name instead of ``/``.

        Args:
            login: the user name and the password, percent-encoded, and an ``@``.
        """
        host = _REACHED_AT.get(self._host, self._host)
        address = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{login}{address}:{self.port}"

    async def open(self) -> None:
        """Accept connections.

        Raises:
            OSError: the port is in use, or the host is not this machine.
        """
        try:
            addresses = _ADDRESSES.get(self._host) or await _resolve(self._host)
            sockets = _bind(addresses, self.port)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the broker cannot listen on port {self.port} of"
                f" {self._host or 'all addresses'}: {error.strerror or error}",
            ) from None
        self.port = sockets[0].getsockname()[1]
        if not self._loop.is_running():
            self._loop = asyncio.get_running_loop()
        await run_in(self._loop, partial(self._serve, sockets))

    async def _serve(self, sockets: list[socket.socket]) -> None:
        self._servers = [
            await self._loop.create_server(self._protocol_factory, sock=each, ssl=self._ssl)
            for each in sockets
        ]

    async def close(self) -> None:
        """Accept no more connections; those that are open stay open."""
        await run_in(self._loop, self._stop_serving)

    async def _stop_serving(self) -> None:
        for server in self._servers:
            server.close()

    async def wait_closed(self) -> None:
        """Wait until the sockets, and the connections that were accepted on them, are closed."""
        await run_in(self._loop, self._wait_closed)

    async def _wait_closed(self) -> None:
        if self._loop.is_running():
            if self._close_connections is not None:
                await self._close_connections()
            for server in self._servers:
                await server.wait_closed()


async def run_in(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run a coroutine function in an event loop, which may be that of another thread.

    If no thread runs that loop, this one runs the function instead.
    """
    if loop.is_running() and loop is not asyncio.get_running_loop():
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(), loop))
    else:
        await function()


async def _resolve(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _bind(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Bind a socket to each address that this machine has, all of them to the same port."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _bind_all(addresses, port)
        except OSError as error:
            # a port that is free at the first address may be in use at the next one
            if port or error.errno != errno.EADDRINUSE:
                raise
    return _bind_all(addresses, port)


def _bind_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as closing:
        for address in addresses:
            try:
                bound = _bind_one(address, port)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise
                missing = error
                continue
            closing.callback(bound.close)
            sockets.append(bound)
            port = bound.getsockname()[1]
        if missing is not None and not sockets:
            raise missing
        closing.pop_all()
    return sockets


def _bind_one(address: str, port: int) -> socket.socket:
    is_ipv6 = ":" in address
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would share the port with another program
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
