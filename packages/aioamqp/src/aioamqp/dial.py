"""The one place where a connection gets its transport from.

    async def dialer(protocol_factory, host, port, *, ssl):
        ...  # whatever carries octets
        return transport, protocol

    with aioamqp.dialing(dialer):
        transport, protocol = await aioamqp.connect("anywhere")

A test broker in memory, a tunnel or a proxy needs no other way in.

Which dialer it is goes with the context, so two tasks do not disturb each other. That is of no use
to who has no task of its own around the code that connects, like a test fixture: threads, and
tasks that other tasks started before, have contexts of their own. ``everywhere=True`` is for them.
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
    """Makes a link to a host and puts a protocol on it, as ``loop.create_connection`` does.

    It may raise OSError; ``connect`` turns that into a ConnectionFailed. It may be cancelled, and
    must then leave nothing open. It is also given ``server_hostname``, the name to find in the
    server's certificate, but only where the caller of ``connect`` gives one.
    """

    def __call__(
        self,
        protocol_factory: Callable[[], _Made],
        host: str,
        port: int | str,
        *,
        ssl: SSLContext | bool | None,
    ) -> Awaitable[tuple[asyncio.Transport, _Made]]:
        """Return the transport, and the protocol that the factory made for it."""
        ...


async def dial_tcp(
    protocol_factory: Callable[[], _Made],
    host: str,
    port: int | str,
    *,
    ssl: SSLContext | bool | None,
    server_hostname: str | None = None,
) -> tuple[asyncio.Transport, _Made]:
    """Connect over TCP, with TLS if asked to."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(
        protocol_factory,
        host,
        port,  # type: ignore[arg-type]  # may name a service too: getaddrinfo takes both
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
    """Return the dialer that ``connect`` uses here."""
    return _dialer.get() or _everywhere[-1]


@contextmanager
def dialing(dialer: Dialer, *, everywhere: bool = False) -> Generator[None]:
    """Let every ``connect`` inside, and in tasks started inside, use a dialer instead of TCP.

    Args:
        dialer: makes the links.
        everywhere: until the end of the block, all tasks and threads of the process use it, save
            those that are inside another ``dialing``. Of several such blocks the last one counts.
    """
    if everywhere:
        _everywhere.append(dialer)
        try:
            yield
        finally:
            # the last one of this name, whichever block ends first
            del _everywhere[-1 - _everywhere[::-1].index(dialer)]
        return
    token = _dialer.set(dialer)
    try:
        yield
    finally:
        _dialer.reset(token)
