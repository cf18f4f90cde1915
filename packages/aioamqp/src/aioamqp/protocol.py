"""The connection: an asyncio protocol between a transport and the channels.

state         until                                     then
CONNECTING    connection.open-ok                        OPEN
OPEN          either side closes, or the link ends      CLOSING: nothing is sent any more,
                                                        and all who wait are told why
CLOSING       the transport is gone                     CLOSED
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from ssl import SSLContext
from typing import Any, ClassVar, Final, cast

from amqp_codec import (
    HEARTBEAT,
    Command,
    DecodeError,
    Decoder,
    Method,
    ReplyCode,
    connection,
)

from ._channel.requests import CLOSE_TIMEOUT, Requests, check_timeout
from ._connection.blocked import Blocked
from ._connection.channel_numbers import ChannelNumbers
from ._connection.frame_log import format_command
from ._connection.handshake import FRAME_MAX, Handshake, mechanism_named, refusal
from ._connection.heartbeat import Heartbeat
from ._connection.heartbeat_timer import HeartbeatTimer
from ._connection.loop_guard import LoopGuard
from ._connection.opening import Opening
from ._connection.read_flow import ReadFlow
from ._connection.transport_closer import TransportCloser
from ._connection.writer import Writer
from ._legacy import LegacyProtocol
from ._loggers import protocol_logger
from .auth import LoginMethod
from .callbacks import CallbackQueue, ErrorCallback, ReturnCallback, check_callable
from .channel import Channel
from .exceptions import (
    AioamqpException,
    AmqpClosedConnection,
    ChannelClosed,
    HandshakeFailed,
    InvalidArgument,
    ProtocolViolation,
    lost_link,
    reason,
)

logger: logging.Logger = protocol_logger

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

MAX_MESSAGE_SIZE: Final = 512 * 1024 * 1024
"""Octets that a body may have. RabbitMQ: max_message_size, which can be set no higher than this."""

BACKLOG: Final = 16 * 1024 * 1024
"""Octets of messages that may wait for callbacks before the server is not read from any more."""


class AmqpProtocol(LegacyProtocol, asyncio.Protocol):
    """A connection to a server.

    Args:
        on_error: called once with an exception if the connection ends otherwise than by ``close``;
            a coroutine function or a plain one.
        client_properties: told to the server, over those that are told by default.
        channel_max: the highest channel number; the lower of this and the server's holds.
        frame_max: octets of a frame; the lower of this and the server's holds.
        heartbeat: seconds between heartbeats, whatever the server says; 0 for none.
        max_message_size: octets that a body may have, in either direction.

    Other arguments are ignored, as in 0.15.

    Attributes:
        state: CONNECTING, OPEN, CLOSING or CLOSED.
        channels: those that are in use, by number.
        server_properties: what the server says about itself.
        server_channel_max: as offered, then as settled; so are ``server_frame_max`` and
            ``server_heartbeat``.
        blocked: whether the server has stopped taking messages, and why; can be waited for.
        connection_closed: set when the transport is gone.
    """

    CHANNEL_FACTORY: ClassVar[Callable[..., Channel]] = Channel

    def __init__(
        self,
        *_args: object,
        on_error: ErrorCallback | None = None,
        client_properties: Mapping[str, Any] | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        **_ignored: object,
    ) -> None:
        check_callable("on_error", on_error)
        self._on_error_callback = on_error
        self.client_properties: Mapping[str, Any] = (
            {} if client_properties is None else client_properties
        )
        wanted = {"channel_max": channel_max, "frame_max": frame_max, "heartbeat": heartbeat}
        self.connection_tunning: dict[str, int] = {
            name: value for name, value in wanted.items() if value is not None
        }
        self.state: int = CONNECTING
        self.connection_closed: asyncio.Event = asyncio.Event()
        self.stop_now: asyncio.Event = asyncio.Event()
        self.channels: dict[int, Channel] = {}
        self.server_properties: Mapping[str, Any] | None = None
        self.server_channel_max: int | None = None
        self.server_frame_max: int | None = None
        self.server_heartbeat: int | None = None
        self.wire: Writer  # from connection_made on
        self._transport: asyncio.Transport
        self._closer: TransportCloser
        self._heartbeat: Heartbeat
        self._keepalive: HeartbeatTimer
        self._dialogue: Requests
        self._loop: asyncio.AbstractEventLoop
        self._max_message_size = max_message_size
        self._decoder = Decoder(FRAME_MAX, max_message_size)
        self._numbers = ChannelNumbers(0)
        self._callbacks = CallbackQueue("the connection")
        self.blocked: Blocked = Blocked(self._callbacks)
        self._opening: Opening | None = None
        self._ended: list[Channel] = []

    # ---------------------------------------------------------------- for programs

    @property
    def is_open(self) -> bool:
        """Whether channels can be opened."""
        return self.state == OPEN

    def release_channel_id(self, channel_id: int) -> None:
        """Let the number of a channel that is over be used again."""
        self.channels.pop(channel_id, None)
        self._numbers.release(channel_id)

    async def channel(
        self, *, return_callback: ReturnCallback | None = None, **kwargs: Any
    ) -> Channel:
        """Open a channel.

        Args:
            return_callback: see ``Channel``.
            kwargs: for ``CHANNEL_FACTORY``; the stock one takes no others.

        Raises:
            NoChannelAvailable: all channel numbers are in use.
            AmqpClosedConnection: the connection is over.
            AioamqpException: it is not open yet.
        """
        await self.ensure_open()
        if return_callback is not None:
            kwargs["return_callback"] = return_callback
        number = self._numbers.take()
        try:
            channel = self.CHANNEL_FACTORY(self, number, **kwargs)
        except BaseException:
            self._numbers.release(number)
            raise
        self.channels[number] = channel
        try:
            await channel.open()
        except BaseException:
            channel.inbound.dialogue.give_up()
            raise
        return channel

    async def ensure_open(self) -> None:
        """Do nothing if the connection is open; wait for its end if it is closing.

        Raises:
            AmqpClosedConnection: it is over.
            AioamqpException: it is not open yet.
            WrongLoop: it belongs to another event loop.
        """
        if self.state == OPEN:
            self.wire.check_loop()
            return
        if self.state == CONNECTING:
            raise AioamqpException("The connection is not open yet: await connect() first")
        await self.connection_closed.wait()
        self.wire.check_open()

    async def update_secret(
        self, new_secret: str | bytes, reason: str = "", *, timeout: float | None = None
    ) -> None:
        """Give the server new credentials before the old ones expire. RabbitMQ: oauth2.html.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, as it does if they are bad.
            TimeoutError: the server has not answered within so many seconds.
        """
        await self.ensure_open()
        await self._dialogue.request(connection.UpdateSecret(new_secret, reason), timeout)

    async def close(self, no_wait: bool = False, timeout: float | None = None) -> None:
        """Close the connection and all of its channels.

        Messages that wait for a consumer's callback are dropped; the server queues again what has
        not been acknowledged. A callback that runs now goes on.

        Args:
            no_wait: do not wait until the server has agreed.
            timeout: seconds in which it must; 5 if None. The link is cut then.

        Raises:
            AmqpClosedConnection: the connection is not open.
            TimeoutError: the server has not agreed within the ``timeout`` that was given.
        """
        if self.state == CONNECTING:
            raise AmqpClosedConnection("The connection is not open yet: there is nothing to close")
        self.wire.check_open()
        check_timeout(timeout)
        self.wire.send(0, connection.Close(ReplyCode.REPLY_SUCCESS, "Normal Shutdown"))
        self.wire.flush()
        self._fail(AmqpClosedConnection("The program closed the connection"), asked_for=True)
        self._closer.close_within(CLOSE_TIMEOUT if timeout is None else timeout)
        if no_wait:
            return
        await self.wait_closed()
        if self._closer.was_forced:
            text = "The server has not answered the close in time; the link was cut"
            if timeout is not None:
                raise TimeoutError(text)
            logger.warning(text)

    async def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the connection is over, however it ends; may be called at any time.

        Raises:
            TimeoutError: it is not, after so many seconds.
        """
        if self.state in (OPEN, CLOSING):
            self.wire.check_loop()
        try:
            async with asyncio.timeout(timeout):
                await self.connection_closed.wait()
                # Workers with nothing left to do take a turn of the loop to end. A callback that
                # still runs is not waited for: it may be the one that waits here.
                idle = [task for channel in self._ended for task in channel.inbound.idle_tasks()]
                if idle:
                    await asyncio.wait(idle)
        except TimeoutError:
            raise TimeoutError(f"The connection is not over after {timeout} seconds") from None

    # ---------------------------------------------------------------- opening

    async def start_connection(
        self,
        host: str,  # noqa: ARG002
        port: int | str,  # noqa: ARG002
        login: str,
        password: str,
        virtualhost: str,
        ssl: SSLContext | bool | None = False,  # noqa: ARG002
        login_method: LoginMethod = "PLAIN",
        insist: bool = False,  # noqa: ARG002
    ) -> None:
        """Open the connection over a link that is there; ``connect`` does both.

        Of where the link goes, and of ``insist``, nothing is used: 0.15 has these arguments.

        Raises:
            HandshakeFailed: the server refuses.
            ValueError: an argument cannot be sent.
        """
        handshake = Handshake(
            mechanism_named(login_method, login, password),
            virtualhost,
            self.client_properties,
            **self.connection_tunning,
        )
        self.wire.check_open()
        self._opening = Opening(self.wire, handshake)
        try:
            await self._opening.open()
        except asyncio.CancelledError:
            self._fail(AmqpClosedConnection("The program gave up connecting"), asked_for=True)
            raise

    def _go_on_opening(self, opening: Opening, method: Method) -> None:
        if isinstance(method, connection.Start):
            self.server_properties = method.server_properties
            self._show_offer(method)
        try:
            opening.receive(method)
        except InvalidArgument as error:  # of the client's properties or the virtual host
            self._break_off(error, asked_for=True)
            return
        match method:
            case connection.Tune() if opening.tune_ok is not None:
                self._apply(opening.tune_ok)
            case connection.OpenOk():
                self.state = OPEN
                self._opening = None
            case _:
                pass

    def _apply(self, tune_ok: connection.TuneOk) -> None:
        self.server_channel_max = tune_ok.channel_max
        self.server_frame_max = self.wire.frame_max = self._decoder.frame_max = tune_ok.frame_max
        self.server_heartbeat = tune_ok.heartbeat
        self._numbers = ChannelNumbers(tune_ok.channel_max)
        self._keepalive.start(tune_ok.heartbeat)

    # ---------------------------------------------------------------- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport. Called by asyncio, as are the others here."""
        # Not every event loop derives its transports from asyncio's class.
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(0, self._loop.time())
        backlog = ReadFlow(BACKLOG, self._stop_reading, self._read_on)
        self._closer = TransportCloser(self._transport)
        self.wire = Writer(self._transport, self._heartbeat, backlog, self._max_message_size)
        self._keepalive = HeartbeatTimer(self.wire, self._heartbeat, self._break_off)
        self._dialogue = Requests(self.wire, 0, lambda _error, _asked_for: None, lambda: None)
        self._make_vestiges(self._transport)
        self._loop_end = LoopGuard(lambda error: self._break_off(error, asked_for=True))

    def data_received(self, data: bytes) -> None:
        """Take octets from the server."""
        self._heartbeat.last_received = self._loop.time()
        channels, is_traced = self.channels, self.wire.is_traced
        try:
            if self._opening is not None:
                data = self._opening.screen(data)
            for command in self._decoder.feed(data):
                if is_traced:
                    what = format_command(command.channel, command.method, len(command.body))
                    logger.debug("< %s", what)
                channel = channels.get(command.channel)
                if channel is not None:
                    channel.inbound.receive(command)
                else:
                    self._receive(command)
            if self._decoder.error is not None:
                raise self._decoder.error
        except DecodeError as error:
            if self._opening is not None:
                self._break_off(HandshakeFailed(f"The server does not speak AMQP 0-9-1: {error}"))
            else:
                self._refuse(ProtocolViolation(error.reply_code, str(error)))
        except HandshakeFailed as failure:
            self._break_off(failure)
        except ProtocolViolation as violation:
            self._refuse(violation)

    def pause_writing(self) -> None:
        """Make publishers wait."""
        self.wire.pause(is_full=True)

    def resume_writing(self) -> None:
        """Let publishers go on."""
        self.wire.pause(is_full=False)

    def eof_received(self) -> bool:
        """Let the transport close itself: the server sends nothing any more."""
        error: AmqpClosedConnection
        if self._opening is not None:
            error = self._opening.cut_short()
        else:
            error = AmqpClosedConnection("The server ended the link without closing the connection")
        self._fail(error)
        self._closer.close_within(CLOSE_TIMEOUT)  # a server that reads nothing either keeps it open
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Come to the end."""
        self._fail(self._opening.cut_short(exc) if self._opening is not None else lost_link(exc))
        self._closer.is_over()
        self.state = CLOSED
        self.server_heartbeat = None
        self.connection_closed.set()
        self._finish_vestiges()
        self._loop_end.forget()

    # ---------------------------------------------------------------- inside

    def _receive(self, command: Command) -> None:
        """Take a command that is for no open channel."""
        method = command.method
        if method is HEARTBEAT:
            return
        is_over = self.wire.failure is not None
        if command.channel:
            if not is_over:
                text = "%s came on channel %d, which is not open: it is dropped"
                logger.info(text, method.NAME, command.channel)
            return
        match method:
            case connection.Close():
                self._server_closes(method)
            case connection.CloseOk() if is_over:
                self._closer.now(CLOSE_TIMEOUT)
            case _ if is_over:
                pass
            case _ if self._opening is not None:
                self._go_on_opening(self._opening, method)
            case connection.Blocked():
                self.wire.block(is_blocked=True)
                self.blocked.change(method.reason)
            case connection.Unblocked():
                self.wire.block(is_blocked=False)
                self.blocked.change(None)
            case connection.UpdateSecretOk():
                self._dialogue.receive(command)
            case connection.UpdateSecret():
                self.wire.send(0, connection.UpdateSecretOk())
            case _:
                raise ProtocolViolation(
                    ReplyCode.COMMAND_INVALID, f"it sent {method.NAME}, which is not due"
                )

    def _server_closes(self, close: connection.Close) -> None:
        error: Exception
        if self._opening is not None:
            error = refusal(close)
        else:
            error = ChannelClosed(close.reply_code, close.reply_text)
        self.wire.send(0, connection.CloseOk())
        self.wire.flush()
        self._fail(error)
        self._closer.now(CLOSE_TIMEOUT)

    def _refuse(self, violation: ProtocolViolation) -> None:
        """Close the connection because of what the server sent."""
        if self.wire.failure is not None:
            self._closer.cut()
            return
        self.wire.send(0, connection.Close(violation.code, violation.reply_text))
        self.wire.flush()
        self._fail(violation)
        if self._decoder.error is not None:  # so its answer could not be read
            self._closer.now(CLOSE_TIMEOUT)
        else:
            self._closer.close_within(CLOSE_TIMEOUT)

    def _fail(self, error: Exception, *, asked_for: bool = False) -> None:
        """Let nothing be sent any more, and tell all who wait why. Only the first time counts.

        Args:
            error: what they are told.
            asked_for: whether the program wanted it.
        """
        if self.wire.failure is not None:
            return
        was_begun = self.state == OPEN or self._opening is not None  # or else it was given up
        self.state = CLOSING
        if was_begun and not asked_for:
            logger.warning("The connection ended: %s", reason(error))
            if self._on_error_callback is not None:
                # Before all who wait, one of whom may let the program end at once.
                self._callbacks.put("on_error", self._on_error_callback, error)
        self.wire.fail(error)
        self.blocked.fail(error)
        self._dialogue.end(error)
        # Whatever waits for callbacks: the server's close-ok, or the end of the link, must be read.
        self.wire.backlog.call_begins()
        self._keepalive.stop()
        if self._opening is not None:
            self._opening.fail(error)
            self._opening = None
        self._ended = list(self.channels.values())
        self.channels.clear()
        self._numbers.release_all()
        for channel in self._ended:
            channel.inbound.dialogue.end(error, asked_for)
        self.stop_now.set()

    def _stop_reading(self) -> None:
        self._heartbeat.stop_listening()
        self._transport.pause_reading()

    def _read_on(self) -> None:
        self._heartbeat.listen(self._loop.time())
        self._transport.resume_reading()

    def _break_off(self, error: Exception, *, asked_for: bool = False) -> None:
        self._fail(error, asked_for=asked_for)
        self._closer.cut()
