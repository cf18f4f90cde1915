"""What the channels of a connection write to."""

import asyncio
import logging
from asyncio import get_running_loop
from typing import Final

from amqp_codec import (
    HEARTBEAT,
    Command,
    EncodeError,
    Method,
    Properties,
    basic,
    encode_command,
    encode_content,
    encode_method,
)

from .._loggers import protocol_logger
from ..exceptions import AmqpClosedConnection, InvalidArgument, MessageTooLarge, WrongLoop, reason
from .frame_log import format_command
from .handshake import FRAME_MAX
from .heartbeat import Heartbeat
from .read_flow import ReadFlow

FLUSH_AT: Final = 64 * 1024
"""Octets that are not gathered further: more gain nothing and take memory."""

HEARTBEAT_OCTETS: Final = encode_command(Command(0, HEARTBEAT))

ROUTES: Final = 1024
"""Encoded basic.publish methods that are kept, of some hundred octets each."""


class Writer:
    """Gathers what one turn of the event loop writes, and writes it at once.

    Everything is encoded, and so checked, before its first octet is written.

    Args:
        transport: of the connection.
        heartbeat: told when octets are sent.
        backlog: of what the server sent.
        max_message_size: octets that a body may have.

    Attributes:
        frame_max: octets that a frame may have, as negotiated; 0 for no limit.
        failure: why nothing can be sent any more; None while something can.
        is_paused: whether publishers are to wait: the transport's own buffer is full, or the server
            takes no messages.
        is_full: whether acknowledgements are to wait too: the transport's own buffer is full.
        owes_turn: whether so much was written in this turn of the loop that who writes more should
            let others have theirs first: a fast link never pauses, and heartbeats, replies and
            timers would wait for a program that publishes in a loop.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        heartbeat: Heartbeat,
        backlog: ReadFlow,
        max_message_size: int,
    ) -> None:
        self.backlog = backlog
        self.max_message_size = max_message_size
        self.frame_max = FRAME_MAX
        self.failure: Exception | None = None
        self.is_paused: bool = False
        self.is_full: bool = False
        self._is_blocked = False
        self.owes_turn: bool = False
        self.is_traced: bool = protocol_logger.isEnabledFor(logging.DEBUG)
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._transport = transport
        self._heartbeat = heartbeat
        self._gathered: list[bytes] = []
        self._size = 0
        self._is_due = False
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._routes: dict[tuple[str, str, bool, bool], bytes] = {}

    def check_open(self) -> None:
        """Do nothing if something can be sent.

        Raises:
            AmqpClosedConnection: nothing can.
            WrongLoop: not from here.
        """
        if self.failure is not None:
            raise AmqpClosedConnection(
                f"The connection is closed: {reason(self.failure)}"
            ) from self.failure
        self.check_loop()

    def check_loop(self) -> None:
        """Do nothing in the event loop that the connection belongs to.

        Raises:
            WrongLoop: this is another one.
        """
        if get_running_loop() is not self.loop:
            raise WrongLoop(
                "The connection belongs to the event loop that it was opened in, and this is"
                " another one; from another thread call"
                " asyncio.run_coroutine_threadsafe(coroutine, loop_of_the_connection)"
            )

    def encode(self, channel: int, method: Method) -> bytes:
        """Encode a method without a content.

        Raises:
            InvalidArgument: an argument of it cannot be sent.
        """
        try:
            return encode_method(channel, method.encode(), self.frame_max)
        except EncodeError as error:
            raise InvalidArgument(error.reason, error.path) from None

    def send(self, channel: int, method: Method) -> None:
        """Write a method without a content.

        Raises:
            InvalidArgument: an argument of it cannot be sent; nothing is written.
        """
        octets = self.encode(channel, method)
        if self.is_traced:
            protocol_logger.debug("> %s", format_command(channel, method))
        self.write(octets)

    def encode_publish(
        self,
        channel: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        properties: Properties | None,
        body: bytes | bytearray | memoryview,
    ) -> bytes:
        """Encode a basic.publish and its content; the method only once for equal arguments.

        Raises:
            InvalidArgument: something in it cannot be sent.
            MessageTooLarge: the body is.
        """
        route = (exchange, routing_key, mandatory, immediate)
        try:
            method = self._encode_route(route)
            octets = encode_content(channel, method, properties, body, self.frame_max)
        except EncodeError as error:
            path = ("payload",) if error.path == ("body",) else error.path
            raise InvalidArgument(error.reason, path) from None
        if len(octets) > self.max_message_size:
            self._check_size(body)
        if self.is_traced:
            protocol_logger.debug("> %s", format_command(channel, basic.Publish(*route), len(body)))
        return octets

    def _check_size(self, body: bytes | bytearray | memoryview) -> None:
        size = memoryview(body).nbytes
        if size > self.max_message_size:
            raise MessageTooLarge(
                f"has {size} octets, more than max_message_size={self.max_message_size}: send it in"
                " parts, or raise max_message_size in connect() if the server takes such messages",
                ("payload",),
            )

    def _encode_route(self, route: tuple[str, str, bool, bool]) -> bytes:
        try:
            return self._routes[route]
        except (KeyError, TypeError):  # not met before, or not even a string: then encode() says so
            method = basic.Publish(*route).encode()
        if len(self._routes) >= ROUTES:
            self._routes.clear()
        self._routes[route] = method
        return method

    def write(self, octets: bytes) -> None:
        """Write octets in this turn of the loop, together with what else is written in it."""
        self._gathered.append(octets)
        self._size += len(octets)
        if self._size >= FLUSH_AT:
            self.flush()
            self.owes_turn = True
        elif not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._flush_when_due)

    def send_heartbeat(self) -> None:
        """Write a heartbeat now. Spec: 4.2.7."""
        if self.is_traced:
            protocol_logger.debug("> 0 heartbeat")
        self.write(HEARTBEAT_OCTETS)
        self.flush()

    def flush(self) -> None:
        """Hand what has been gathered to the transport now."""
        if not self._gathered:
            return
        octets = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        if not self._transport.is_closing():
            self._heartbeat.last_sent = self.loop.time()
            self._transport.write(octets)

    def _flush_when_due(self) -> None:
        self._is_due = False
        self.flush()

    def pause(self, *, is_full: bool) -> None:
        """Make publishers wait while the transport's own buffer is full."""
        self.is_full = is_full
        self._pause_or_resume()

    def block(self, *, is_blocked: bool) -> None:
        """Make publishers wait while the server takes no messages; all else is still written."""
        self._is_blocked = is_blocked
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        self.is_paused = self.failure is None and (self.is_full or self._is_blocked)
        if not self.is_paused:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def writable(self) -> None:
        """Wait until publishers may go on; those who are woken first may fill the buffer again.

        Raises:
            Exception: what ended the connection in the meantime.
        """
        if self.is_paused:
            # one each: a waiter that is cancelled is alone in it
            waiter = self.loop.create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)

    def fail(self, error: Exception) -> None:
        """Let nothing be sent any more, and fail those who wait to."""
        self.failure = error
        self.is_paused = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()
