"""The connection: an asyncio protocol between a transport and the channels.

state         until                                     then
CONNECTING    connection.open-ok                        OPEN
OPEN          either side closes, or the link ends      CLOSING: nothing is sent any longer, and
                                                        every call that waits has failed
CLOSING       the transport is closed                   CLOSED
"""

# The protocol and its channels share their cores.
# pyright: reportPrivateUsage=false

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from amqp_codec import (
    HEARTBEAT,
    Command,
    DecodeError,
    Method,
    ReplyCode,
    connection,
)

from ._arguments import (
    OF_CHANNEL_CLOSE,
    OF_ERROR,
    OF_MESSAGE,
    check_callable,
    check_size,
    unknown_argument,
)
from ._channel.core import drain_channels
from ._channel.requests import Requests, check_timeout
from ._connection.blocked import Blocked
from ._connection.callback_queue import CallbackQueue
from ._connection.core import CLOSE_TIMEOUT, ConnectionCore
from ._connection.guards import set_in_child
from ._connection.handshake import Handshake, mechanism_named, refusal
from ._connection.opening import Opening
from ._connection.small_reads import MANY
from ._legacy import LegacyProtocol
from ._loggers import protocol_logger
from ._overrides import OF_PROTOCOL, warn_of_overrides
from .auth import LoginMethod
from .callbacks import ChannelCloseCallback, CloseCallback, ErrorCallback, ReturnCallback
from .channel import Channel, opening
from .exceptions import (
    AioamqpException,
    AmqpClosedConnection,
    ChannelClosed,
    HandshakeFailed,
    InvalidArgument,
    ProtocolViolation,
    closed_by_server,
    lost_link,
    reason,
)
from .instrument import Instruments, Peer, instruments_of

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

logger: logging.Logger = protocol_logger

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3


class _Channels(dict[int, Channel]):
    """Channels by number; iterating goes over those that were there when it began.

    Programs close all channels in a loop, and a closed channel is removed.
    """

    def __iter__(self) -> Iterator[int]:
        return iter(list(super().__iter__()))

    def keys(self) -> "dict_keys[int, Channel]":
        return dict(super().items()).keys()

    def values(self) -> "dict_values[int, Channel]":
        return dict(super().items()).values()

    def items(self) -> "dict_items[int, Channel]":
        return dict(super().items()).items()


class AmqpProtocol(LegacyProtocol, asyncio.Protocol):
    """A connection to a server.

    Args:
        on_error: called once with an exception if the connection ends in another way than by
            ``close``; a coroutine function or a plain one.
        client_properties: sent to the server; they replace those that are sent by default.
        channel_max: the highest channel number; the lower of this and the server's limit holds.
        frame_max: bytes of a frame; the lower of this and the server's limit holds. RabbitMQ 4.1
            and later refuse less than 8192.
        heartbeat: seconds between heartbeats, whatever the server offers; 0 for none.
        max_message_size: bytes that a body may have, in either direction. By default a published
            one may have as many as the server takes by default: 16 MiB since RabbitMQ 4.0, 128 MiB
            before; and a received one 512 MiB.
        on_channel_close: see the property.
        instrument: an ``Instrument``, or several: what connections tell about themselves.
        loop: not used; ``connect`` refuses another loop than the running one.

    Positional arguments are ignored, as in 0.15.

    Raises:
        TypeError: an argument is unknown; the error names the nearest known one.

    Attributes:
        state: CONNECTING, OPEN, CLOSING or CLOSED.
        channels: that are in use, by number.
        server_properties: what the server says about itself.
        server_channel_max: as offered, then as negotiated; so are ``server_frame_max`` and
            ``server_heartbeat``.
        blocked: whether and why the server has blocked the connection; can be waited for.
        connection_closed: set when the transport is closed.
    """

    CHANNEL_FACTORY: ClassVar[Callable[..., Channel]] = Channel

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Warn of overridden methods that 0.15 called, and this version does not."""
        super().__init_subclass__(**kwargs)
        warn_of_overrides(cls, AmqpProtocol, OF_PROTOCOL)

    def __init__(
        self,
        *_args: object,
        on_error: ErrorCallback | None = None,
        client_properties: Mapping[str, Any] | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int | None = None,
        max_message_size: int | None = None,
        on_channel_close: ChannelCloseCallback | None = None,
        instrument: Instruments = None,
        loop: object = None,  # noqa: ARG002
        **unknown: object,
    ) -> None:
        if unknown:
            raise unknown_argument(unknown)
        if max_message_size is not None:
            check_size("max_message_size", max_message_size)
        if client_properties is not None and not isinstance(
            cast("object", client_properties), Mapping
        ):
            text = f"must be a dict or None, not {type(client_properties).__name__}"
            raise InvalidArgument(text, ("client_properties",))
        check_callable("on_error", on_error, OF_ERROR)
        check_callable("on_channel_close", on_channel_close, OF_CHANNEL_CLOSE)
        super().__init__()
        self._on_error_callback = on_error
        self._on_channel_close = on_channel_close
        self.client_properties: Mapping[str, Any] = (
            {} if client_properties is None else client_properties
        )
        wanted = {"channel_max": channel_max, "frame_max": frame_max, "heartbeat": heartbeat}
        self.connection_tunning: dict[str, int] = {
            name: value for name, value in wanted.items() if value is not None
        }
        self.state: int = CONNECTING
        self.connection_closed: asyncio.Event = asyncio.Event()
        self.channels: dict[int, Channel] = _Channels()
        self.server_properties: Mapping[str, Any] | None = None
        self.server_channel_max: int | None = None
        self.server_frame_max: int | None = None
        self._max_message_size = max_message_size
        self._instruments = instruments_of(instrument)
        self._callbacks = CallbackQueue("the connection")
        self.blocked: Blocked = Blocked(self._callbacks, self._check_not_ended)
        self._opening: Opening | None = None

    # ---------------------------------------------------------------- for programs

    @property
    def is_open(self) -> bool:
        """Whether channels can be opened."""
        return self.state == OPEN

    @property
    def pending(self) -> dict[str, int]:
        """What waits on this connection, by kind, as far as there is any: for leak checks."""
        if self._core is None:
            return {}
        counts = Counter({
            "replies": self._requests.pending,
            "publishers": self._core.gate.pending,
            "acknowledgements": self._core.ack_gate.pending,
            "large messages": self._core.writer.large.count,
            "waits for blocked": self.blocked.pending,
            "bytes for callbacks": self._core.read_flow.size,
        })  # fmt: skip
        for channel in self.channels.values():
            counts.update(channel._core.pending)
        return dict(+counts)

    @property
    def on_channel_close(self) -> ChannelCloseCallback | None:
        """The callback for channels that the server closes; ``Channel.on_close`` is that of one.

        It is called as ``callback(channel, error)`` with a ChannelClosed; a coroutine function or a
        plain one.
        """
        return self._on_channel_close

    @on_channel_close.setter
    def on_channel_close(self, callback: ChannelCloseCallback | None) -> None:
        check_callable("on_channel_close", callback, OF_CHANNEL_CLOSE)
        self._on_channel_close = callback

    def release_channel_id(self, channel_id: int) -> None:
        """Free the number of a channel that is closed."""
        self.channels.pop(channel_id, None)
        self._connection.numbers.release(channel_id)

    def report_channel_close(self, channel: Channel, error: ChannelClosed) -> None:
        """Call ``on_channel_close``: the server has closed a channel."""
        if self._on_channel_close is not None:
            self._callbacks.put("on_channel_close", self._on_channel_close, channel, error)

    @opening
    async def channel(
        self,
        *,
        return_callback: ReturnCallback | None = None,
        on_close: CloseCallback | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Channel:
        """Open a channel: await the result, or enter it with ``async with``.

        Args:
            return_callback: see ``Channel``.
            on_close: see ``Channel``.
            timeout: seconds in which the server must agree; None for no limit.
            kwargs: for ``CHANNEL_FACTORY``; ``Channel`` takes no others.

        Raises:
            NoChannelAvailable: all channel numbers are in use.
            AmqpClosedConnection: the connection has ended.
            AioamqpException: it is not open yet.
            TimeoutError: the ``timeout`` has passed; the channel is closed if the server opens it.
        """
        check_callable("return_callback", return_callback, OF_MESSAGE)
        check_callable("on_close", on_close, OF_ERROR)
        check_timeout(timeout)
        if return_callback is not None:
            kwargs["return_callback"] = return_callback
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return await self._open_channel(on_close, kwargs)
        except TimeoutError:
            if deadline.expired():
                text = f"The server has not opened a channel within {timeout} seconds"
                raise TimeoutError(text) from None
            raise

    async def _open_channel(
        self, on_close: CloseCallback | None, kwargs: dict[str, Any]
    ) -> Channel:
        await self.ensure_open()
        numbers = self._connection.numbers
        number = numbers.allocate()
        try:
            channel = self.CHANNEL_FACTORY(self, number, **kwargs)
        except BaseException:
            numbers.release(number)
            raise
        if on_close is not None:
            channel.on_close = on_close
        self.channels[number] = channel
        try:
            await channel.open()
        except BaseException:
            channel._core.abandon(0, "The call that opened the channel was given up")
            raise
        return channel

    async def ensure_open(self) -> None:
        """Return if the connection is open; wait for its end if it is closing.

        Raises:
            AmqpClosedConnection: it has ended.
            AioamqpException: it is not open yet.
            WrongLoop: it belongs to another event loop.
        """
        if self.state == CONNECTING:
            raise AioamqpException("The connection is not open yet: await connect() first")
        if self.state != OPEN:
            await self.connection_closed.wait()
        self._connection.check_open()

    async def update_secret(
        self, new_secret: str | bytes, reason: str = "", *, timeout: float | None = None
    ) -> None:
        """Send new credentials before the old ones expire. RabbitMQ: oauth2.html.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection ends, as it does if they are bad.
            TimeoutError: the server has not answered within so many seconds.
        """
        await self.ensure_open()
        await self._requests.request(connection.UpdateSecret(new_secret, reason), timeout)

    async def close(
        self, no_wait: bool = False, timeout: float | None = None, *, drain: float | None = None
    ) -> None:
        """Close the connection and all of its channels.

        Messages that wait for a consumer's callback are dropped; the server queues all messages
        again that have not been acknowledged. A callback that is running is not stopped. Messages
        that were delivered with ``no_ack`` are handled before, unless ``no_wait`` is set: within
        ``timeout`` seconds, or they are lost. Large messages of which a part has been written are
        written to their end, within ``timeout`` seconds too.

        Args:
            no_wait: whether to return before the server has agreed.
            timeout: seconds in which it must agree; 5 if None. After them the transport is aborted.
            drain: see ``Channel.close``.

        Raises:
            AmqpClosedConnection: the connection is not open.
            TimeoutError: the server has not agreed within the ``timeout`` that was given.
        """
        if self.state == CONNECTING:
            raise AmqpClosedConnection("The connection is not open yet: there is nothing to close")
        core = self._connection
        core.check_open()
        check_timeout(timeout)
        check_timeout(drain, "drain")
        seconds = CLOSE_TIMEOUT if timeout is None else timeout
        are_written = True
        try:
            if not no_wait or drain is not None:
                cores = [channel._core for channel in self.channels.values()]
                await drain_channels(cores, seconds, drain)
                began = core.loop.time()
                are_written = await core.writer.large.wait_empty(seconds)
                seconds = max(0.0, seconds - (core.loop.time() - began))
        finally:
            if core.failure is None:
                if are_written:  # or the call does not wait until they are
                    core.writer.flush_all()
                core.send(0, connection.Close(ReplyCode.REPLY_SUCCESS, "Normal Shutdown"))
                core.writer.flush()
                error = AmqpClosedConnection("The program closed the connection")
                self._fail(error, asked_for=True)
                core.closer.close_within(seconds)
        if no_wait:
            return
        await self.wait_closed()
        if core.closer.was_forced:
            text = "The server has not answered the close in time; the link was cut"
            if timeout is not None:
                raise TimeoutError(text)
            logger.warning(text)

    async def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the connection has ended, in whatever way; may be called at any time.

        Raises:
            TimeoutError: it has not ended after so many seconds.
        """
        check_timeout(timeout)
        if self.state in (OPEN, CLOSING):
            self._connection.check_loop()
        try:
            async with asyncio.timeout(timeout):
                await self.connection_closed.wait()
        except TimeoutError:
            raise TimeoutError(f"The connection is not over after {timeout} seconds") from None

    # ---------------------------------------------------------------- opening

    async def start_connection(
        self,
        host: str,
        port: int | str,
        login: str,
        password: str,
        virtualhost: str,
        ssl: SSLContext | bool | None = False,  # noqa: ARG002
        login_method: LoginMethod = "PLAIN",
        insist: bool = False,  # noqa: ARG002
    ) -> None:
        """Open the connection on a transport that is there; ``connect`` does both.

        ``ssl`` and ``insist`` are not used: 0.15 has these arguments. Instruments are told ``host``
        and ``port``.

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
        self._connection.check_open()
        if self._connection.recorder is not None:
            self._connection.recorder.peer = Peer(host, port, virtualhost)
        self._opening = Opening(self._connection, handshake)
        try:
            await self._opening.open()
        except asyncio.CancelledError:
            self._fail(AmqpClosedConnection("The program gave up connecting"), asked_for=True)
            raise

    def _continue_opening(self, opening: Opening, method: Method) -> None:
        if isinstance(method, connection.Start):
            self.server_properties = method.server_properties
            self._set_offer(method)
        try:
            opening.receive_method(method)
        except InvalidArgument as error:  # of the client's properties or the virtual host
            self._break_off(error, asked_for=True)
            return
        match method:
            case connection.Start():
                self._connection.encoder.server = opening.server
            case connection.Tune() if opening.tune_ok is not None:
                tune_ok = opening.tune_ok
                self.server_channel_max = tune_ok.channel_max
                self.server_frame_max = tune_ok.frame_max
                self.server_heartbeat = tune_ok.heartbeat
                self._connection.apply(tune_ok)
            case connection.OpenOk():
                self.state = OPEN
                self._opening = None
            case _:
                pass

    # ---------------------------------------------------------------- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with a transport. Called by asyncio, as are the methods that follow."""
        # Not every event loop derives its transports from asyncio's class.
        transport = cast("asyncio.Transport", transport)
        self._core = ConnectionCore(
            transport,
            self._max_message_size,
            self._instruments,
            break_off=self._break_off,
            end_with_loop=self._end_with_loop,
            give_up=self._give_up_calls,
            detached=self._detached,
        )
        self._core.decoder.channels = self.channels
        self._make_futures(transport)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the server."""
        core, channels = self._core, self.channels
        assert core is not None
        core.heartbeat.last_received = core.loop.time()
        recorder, flow = core.recorder, core.read_flow
        added = flow.added
        try:
            if self._opening is not None:
                data = self._opening.check_protocol_header(data)
            for command in core.decoder.feed(data):
                channel = channels.get(command.channel)
                if recorder is not None:
                    recorder.received(command, channel)
                if channel is not None:
                    channel._core.dispatch(command)
                else:
                    self._dispatch(command)
            if core.decoder.error is not None:
                raise core.decoder.error
            added = flow.added - added
            if added > MANY or core.small_reads.is_used:
                core.small_reads.adapt(len(data), added)
        except DecodeError as error:
            if self._opening is not None:
                self._break_off(HandshakeFailed(f"The server does not speak AMQP 0-9-1: {error}"))
            else:
                self._close_because_of(ProtocolViolation(error.reply_code, str(error)))
        except HandshakeFailed as failure:
            self._break_off(failure)
        except ProtocolViolation as violation:
            self._close_because_of(violation)

    def pause_writing(self) -> None:
        """Stop publishers: the transport's write buffer is full."""
        self._connection.set_full(True)

    def resume_writing(self) -> None:
        """Resume publishers."""
        self._connection.set_full(False)

    def eof_received(self) -> bool:
        """End the connection: the server sends nothing any longer. The transport closes itself."""
        error: AmqpClosedConnection
        if self._opening is not None:
            error = self._opening.link_lost()
        else:
            error = AmqpClosedConnection("The server ended the link without closing the connection")
        self._fail(error)
        # A server that reads nothing either would keep the transport open.
        self._connection.closer.close_within(CLOSE_TIMEOUT)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection: the transport is closed."""
        # Without an error, it is the program that has closed the transport.
        self._fail(
            self._opening.link_lost(exc) if self._opening is not None else lost_link(exc),
            is_logged=exc is not None
            or self._opening is not None
            or self._connection.closer.is_aborted_by_program,
        )
        self.state = CLOSED
        self.server_heartbeat = None
        self.connection_closed.set()
        self._finish_futures()
        self._connection.connection_lost()

    # ---------------------------------------------------------------- inside

    @property
    def _connection(self) -> ConnectionCore:
        """The core, which is there from ``connection_made`` on."""
        if self._core is None:
            raise AmqpClosedConnection("The connection is not open yet: await connect() first")
        return self._core

    @cached_property
    def _requests(self) -> Requests:
        """Requests on channel 0."""
        return Requests(self._connection, 0, self._connection.check_open)

    def _check_not_ended(self) -> None:
        if self._core is not None:
            self._core.check_open()

    def _dispatch(self, command: Command) -> None:
        """Process a command that is for no open channel."""
        method, core = command.method, self._connection
        if method is HEARTBEAT:
            return
        has_ended = core.failure is not None
        if command.channel:
            if not has_ended:
                text = "%s came on channel %d, which is not open: it is dropped"
                logger.info(text, method.NAME, command.channel)
            return
        match method:
            case connection.Close():
                self._handle_close(method)
            case connection.CloseOk() if has_ended:
                core.closer.close(CLOSE_TIMEOUT)
            case _ if has_ended:
                pass
            case _ if self._opening is not None:
                self._continue_opening(self._opening, method)
            case connection.Blocked():
                core.set_blocked(True)
                self.blocked.change(method.reason, core.read_flow)
            case connection.Unblocked():
                core.set_blocked(False)
                self.blocked.change(None, core.read_flow)
            case connection.UpdateSecretOk():
                self._requests.receive_reply(command)
            case connection.UpdateSecret():
                core.answer(0, connection.UpdateSecretOk())
            case _:
                raise ProtocolViolation(
                    ReplyCode.COMMAND_INVALID, f"it sent {method.NAME}, which is not due"
                )

    def _handle_close(self, close: connection.Close) -> None:
        core = self._connection
        opened = self._opening is None
        error = closed_by_server(close, core.declared.of) if opened else refusal(close)
        core.send(0, connection.CloseOk())
        core.writer.flush()
        self._fail(error)
        core.closer.close(CLOSE_TIMEOUT)

    def _close_because_of(self, violation: ProtocolViolation) -> None:
        """Close the connection because of what the server sent."""
        core = self._connection
        if core.failure is not None:
            core.closer.abort()
            return
        code = violation.code or ReplyCode.INTERNAL_ERROR
        core.send(0, connection.Close(code, violation.reply_text))
        core.writer.flush()
        self._fail(violation)
        if core.decoder.error is not None:  # so the server's answer could not be read
            core.closer.close(CLOSE_TIMEOUT)
        else:
            core.closer.close_within(CLOSE_TIMEOUT)

    def _break_off(self, error: Exception, asked_for: bool = False) -> None:
        """End the connection, and abort its transport."""
        self._fail(error, asked_for=asked_for)
        self._connection.closer.abort()

    def _end_with_loop(self, error: Exception) -> None:
        """End the connection because its event loop ends, with the callbacks that have not run."""
        for channel in self.channels.values():
            channel._core.end_callbacks()
        self._break_off(error, asked_for=True)

    def _detached(self) -> None:
        """Close this copy of the connection in a forked child; nothing is logged or called."""
        self.state = CLOSED
        for channel in self.channels.values():
            channel._core.detach()
        for event in (self.connection_closed, self.stop_now):
            set_in_child(event)

    def _give_up_calls(self, text: str) -> None:
        """Raise TimeoutError in the calls that wait for replies, which cannot be read."""
        self._requests.give_up(text)
        for channel in list(self.channels.values()):
            channel._core.give_up(text)

    def _fail(self, error: Exception, *, asked_for: bool = False, is_logged: bool = True) -> None:
        """Stop sending, and fail every call that waits. Idempotent: the first error wins.

        Args:
            error: raised in the calls.
            asked_for: whether the program ended the connection.
            is_logged: whether the log says so if it did not.
        """
        core, opening = self._connection, self._opening
        if core.failure is not None:
            return
        was_used = self.state == OPEN or opening is not None  # or else connecting was given up
        self.state = CLOSING
        if was_used and not asked_for:
            if is_logged:
                logger.warning("The connection ended: %s%s", reason(error), self._shown_consumers())
            if self._on_error_callback is not None:
                # Before the calls, one of which may end the program at once.
                self._callbacks.put("on_error", self._on_error_callback, error)
        core.fail(error, asked_for)
        self.blocked.fail(error)
        self._requests.fail(error)
        if opening is not None:
            self._opening = None
            opening.fail(error)
        channels = list(self.channels.values())
        self.channels.clear()
        for channel in channels:
            channel._core.connection_ended(error, asked_for, is_logged)
        self.stop_now.set()

    def _shown_consumers(self) -> str:
        """Return the end of a log line: the consumers that end with the connection."""
        tags = [
            f"{tag} (channel {number})"
            for number, channel in self.channels.items()
            for tag in channel._core.consumers.tags
        ]
        return f"; with it end the consumers {', '.join(tags)}" if tags else ""
