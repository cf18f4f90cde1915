"""Dialers: the functions that open the transport of a connection.

    async def dialer(protocol_factory, host, port, *, ssl):
        ...  # open any kind of byte stream
        return transport, protocol

    with aioamqp.dialing(dialer):
        transport, protocol = await aioamqp.connect("anywhere")

This is the only extension point that an in-memory broker, a tunnel or a proxy needs.

The current dialer is a context variable, so tasks do not affect each other. Threads, and tasks that
were started earlier, have contexts of their own; a test fixture that must reach them uses
``everywhere=True``.
"""

import asyncio
import errno
import ipaddress
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import zip_longest
from ssl import SSLContext
from typing import Any, Final, Protocol, TypeAlias, TypeVar

_ATTEMPT_DELAY: Final = 0.25
"""Seconds until the next address of a host is tried beside the first. RFC 8305: 5."""

_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_Address: TypeAlias = tuple[int, int, int, str, Any]

_Made = TypeVar("_Made", bound=asyncio.BaseProtocol)


class Dialer(Protocol):
    """Opens a transport to a host and attaches a protocol, as ``loop.create_connection`` does.

    It may raise OSError, which ``connect`` turns into a ConnectionFailed. It may be cancelled, and
    must then close what it opened. It also receives ``server_hostname``, the name expected in the
    server's certificate, if the caller of ``connect`` passed one.

    The transport can return a function for ``get_extra_info("set_flush")``, which is called with a
    function that writes at once what the connection joins in this iteration of the event loop: a
    server in the same process can call it to see everything that the program has sent.

    If the link cannot break without notice, as one in memory, its transport can return False for
    ``get_extra_info("needs_heartbeat")``: then the silence of the server does not end the
    connection, even if a test freezes or moves the time.
    """

    def __call__(
        self,
        protocol_factory: Callable[[], _Made],
        host: str,
        port: int | str,
        *,
        ssl: SSLContext | bool | None,
    ) -> Awaitable[tuple[asyncio.Transport, _Made]]:
        """Return the transport, and the protocol that the factory created for it."""
        ...


async def dial_tcp(
    protocol_factory: Callable[[], _Made],
    host: str,
    port: int | str,
    *,
    ssl: SSLContext | bool | None,
    server_hostname: str | None = None,
) -> tuple[asyncio.Transport, _Made]:
    """Connect over TCP, with TLS if ``ssl`` is set.

    If the host has several addresses, the next one is tried when one fails or has not answered
    within a quarter of a second, and the first link is used. RFC 8305.
    """
    loop = asyncio.get_running_loop()
    if _is_address(host):  # which needs no thread to resolve it
        where: dict[str, Any] = {"host": host, "port": port}
    else:
        # Not by create_connection, which leaks a socket when it is cancelled while several connect.
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        where = {"sock": await _connect_first(_interleaved(addresses))}
        server_hostname = server_hostname or (host if ssl else None)
    transport, protocol = await loop.create_connection(
        protocol_factory, ssl=ssl, server_hostname=server_hostname, **where
    )
    link = transport.get_extra_info("socket")
    if link is not None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return transport, protocol


async def addresses_of(host: str, port: int | str) -> list[str]:
    """Return the addresses of a host if the current dialer uses TCP, or else the host itself.

    Also the host itself if it has no addresses, so that connecting to it raises the error.
    """
    if current_dialer() is not dial_tcp or _is_address(host):
        return [host]
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [host]
    return list(dict.fromkeys(address[4][0] for address in _interleaved(found)))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _interleaved(addresses: Sequence[_Address]) -> list[_Address]:
    """Return the addresses with those of IPv6 and IPv4 in turns, beginning as they do."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _connect_first(addresses: list[_Address]) -> socket.socket:
    """Return a socket that is connected to the first address that answers."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    winner: asyncio.Task[socket.socket] | None = None
    waiting = deque(addresses)
    try:
        while winner is None and (waiting or attempts):
            if waiting:
                attempts.add(asyncio.create_task(_connect_socket(waiting.popleft())))
            done, _ = await asyncio.wait(
                attempts,
                timeout=_ATTEMPT_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    winner = attempt
                else:
                    attempts.discard(attempt)
                    if not isinstance(error, OSError):
                        raise error
                    errors.append(error)
        if winner is None:
            raise _of_all(errors)
        return winner.result()
    finally:
        for attempt in attempts - {winner}:
            attempt.cancel()
            attempt.add_done_callback(_discard)


async def _connect_socket(address: _Address) -> socket.socket:
    family, kind, protocol, _, target = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _of_all(errors: list[OSError]) -> OSError:
    """Return the error for a host none of whose addresses can be reached."""
    if len(errors) == 1:
        return errors[0]
    # Where one network cannot be reached, what the host on the other answers says more.
    telling = [error for error in errors if error.errno not in _UNREACHABLE] or errors
    return OSError(telling[0].errno, "; ".join(map(str, errors)))


_dialer: ContextVar[Dialer | None] = ContextVar("aioamqp dialer", default=None)
_everywhere: list[Dialer] = [dial_tcp]


def current_dialer() -> Dialer:
    """Return the dialer that ``connect`` uses in this context."""
    return _dialer.get() or _everywhere[-1]


@contextmanager
def dialing(dialer: Dialer, *, everywhere: bool = False) -> Generator[None]:
    """Use a dialer instead of TCP for every ``connect`` in the block and in tasks started in it.

    Args:
        dialer: opens the transports.
        everywhere: whether all tasks and threads of the process use it until the end of the block,
            except those inside another ``dialing``. The last of several such blocks applies.
    """
    if everywhere:
        _everywhere.append(dialer)
        try:
            yield
        finally:
            # the last entry of this dialer, whichever block ends first
            del _everywhere[-1 - _everywhere[::-1].index(dialer)]
        return
    token = _dialer.set(dialer)
    try:
        yield
    finally:
        _dialer.reset(token)
