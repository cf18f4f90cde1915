"""The opening of a connection: the handshake, on the wire, and whoever waits for its end."""

import asyncio

from amqp_codec import PROTOCOL_HEADER, Method, connection

from .._loggers import protocol_logger
from ..exceptions import HandshakeFailed
from .handshake import Handshake
from .writer import Writer


class Opening:
    """Takes a connection from its protocol header to connection.open-ok, or to the reason why not.

    Args:
        wire: to write to.
        handshake: says what, and what the answers mean.
    """

    def __init__(self, wire: Writer, handshake: Handshake) -> None:
        self._wire = wire
        self._handshake = handshake
        self._outcome: asyncio.Future[None] = wire.loop.create_future()

    @property
    def tune_ok(self) -> connection.TuneOk | None:
        """The limits that were settled; None before they are."""
        return self._handshake.tune_ok

    async def open(self) -> None:
        """Send the protocol header, and wait until the connection is open.

        Raises:
            Exception: what ``fail`` was called with.
        """
        if self._wire.is_traced:
            protocol_logger.debug("> 0 protocol-header AMQP 0-0-9-1")
        self._wire.write(PROTOCOL_HEADER)
        self._wire.flush()
        await self._outcome

    def screen(self, data: bytes) -> bytes:
        """Let through what is for the decoder. See ``Handshake``."""
        return self._handshake.screen(data)

    def receive(self, method: Method) -> None:
        """Take a method of the server's, and answer it.

        Raises:
            HandshakeFailed: the server refuses, or asks for what the client cannot do.
            InvalidArgument: the virtual host or the client's properties cannot be sent.
        """
        for answer in self._handshake.receive(method):
            self._wire.send(0, answer)
        self._wire.flush()
        if self._handshake.is_finished and not self._outcome.done():
            self._outcome.set_result(None)

    def cut_short(self, cause: Exception | None = None) -> HandshakeFailed:
        """Say what it means that the link has ended by now."""
        failure = HandshakeFailed(self._handshake.explain_end())
        failure.__cause__ = cause
        return failure

    def fail(self, error: Exception) -> None:
        """Tell whoever waits why the connection will not be open."""
        if not self._outcome.done():
            self._outcome.set_exception(error)
