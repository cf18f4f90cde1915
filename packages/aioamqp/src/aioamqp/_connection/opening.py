"""Opening a connection: the handshake on its transport, and the caller that waits for its end."""

from ssl import SSLError

from amqp_codec import PROTOCOL_HEADER, Method, connection

from .._loggers import protocol_logger
from ..exceptions import AmqpClosedConnection, ConnectionFailed, HandshakeFailed, failed_link
from ..tls import explain
from .core import ConnectionCore
from .handshake import Handshake
from .server import Server
from .waiters import Waiters


class Opening:
    """The way of a connection from its protocol header to connection.open-ok, or to an error.

    Args:
        core: of the connection.
        handshake: decides what to send.
    """

    def __init__(self, core: ConnectionCore, handshake: Handshake) -> None:
        self._core = core
        self._handshake = handshake
        self._waiters = Waiters()

    @property
    def tune_ok(self) -> connection.TuneOk | None:
        """The negotiated limits; None before they are."""
        return self._handshake.tune_ok

    @property
    def server(self) -> Server:
        """What is known of the server."""
        return self._handshake.server

    async def open(self) -> None:
        """Send the protocol header, and wait until the connection is open.

        Raises:
            Exception: the error that ended the connection.
        """
        if self._core.recorder is not None:
            protocol_logger.debug("> 0 protocol-header AMQP 0-0-9-1")
        self._core.writer.write(PROTOCOL_HEADER)
        self._core.writer.flush()
        if self._core.failure is not None:
            raise self._core.failure
        if not self._handshake.is_finished:
            await self._waiters.wait()

    def check_protocol_header(self, data: bytes) -> bytes:
        """Return the data for the decoder. See ``Handshake``."""
        return self._handshake.check_protocol_header(data)

    def receive_method(self, method: Method) -> None:
        """Process a method from the server, and answer it.

        Raises:
            HandshakeFailed: the server refuses, or asks for what the client cannot do.
            InvalidArgument: the virtual host or the client's properties cannot be sent.
        """
        for answer in self._handshake.receive_method(method):
            self._core.send(0, answer)
        self._core.writer.flush()
        if self._handshake.is_finished:
            self._waiters.wake()

    def link_lost(self, cause: Exception | None = None) -> AmqpClosedConnection:
        """Make the error for a link that ends before the connection is open."""
        if isinstance(cause, SSLError):  # with TLS 1.3 the server answers after the handshake
            text = f"The link ended while the connection was being opened: {explain(cause)}"
            return failed_link(ConnectionFailed, cause, text)
        failure = HandshakeFailed(self._handshake.explain_end(has_tls=self._core.has_tls))
        failure.__cause__ = cause
        failure.is_link_lost = not self._handshake.is_frame_max_refused
        return failure

    def fail(self, error: Exception) -> None:
        """Raise an error in the caller: the connection has ended."""
        self._waiters.fail(error)
