"""Connections whose link a test can break."""

import asyncio
from typing import cast

from aioamqp import AmqpProtocol, Connection


class BreakableProtocol(AmqpProtocol):
    """An AMQP connection that keeps its transport; for ``Connection(protocol_factory=...)``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.link = cast("asyncio.Transport", transport)

    def break_off(self) -> None:
        """Lose the link at once, as if it had been reset."""
        self.connection_lost(ConnectionResetError(104, "The test broke it off"))
        self.link.abort()


def protocol_of(connection: Connection) -> BreakableProtocol:
    """Return the AMQP connection that is in use."""
    protocol = connection.protocol
    assert isinstance(protocol, BreakableProtocol)
    return protocol


def break_off(connection: Connection) -> None:
    """Lose the link of a connection at once, if it is open."""
    if connection.protocol.is_open:
        protocol_of(connection).break_off()
