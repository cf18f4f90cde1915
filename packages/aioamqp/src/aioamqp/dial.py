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
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Protocol, TypeVar

_Made = TypeVar("_Made", bound=asyncio.BaseProtocol)


class Dialer(Protocol):
    """Opens a transport to a host and attaches a protocol, as ``loop.create_connection`` does.

    It may raise OSError, which ``connect`` turns into a ConnectionFailed. It may be cancelled, and
    must then close what it opened. It also receives ``server_hostname``, the name expected in the
    server's certificate, if the caller of ``connect`` passed one.
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
    """Connect over TCP, with TLS if ``ssl`` is set."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(
        protocol_factory,
        host,
        port,  # type: ignore[arg-type]  # may be the name of a service: getaddrinfo accepts both
        ssl=ssl,
        server_hostname=server_hostname,
    )
    link = transport.get_extra_info("socket")
    if link is not None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return transport, protocol


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
