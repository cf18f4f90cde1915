"""One channel: its state, and the dispatch of the methods that the server sends on it.

state      the server sends      then
OPEN       a reply               it is passed to the call that waits for it
           channel.close         the client answers channel.close-ok: CLOSED
CLOSING    channel.close-ok      CLOSED: both directions are finished
           channel.close         the two crossed: the client answers close-ok, still CLOSING
           anything else         it is ignored. Spec: 1.5.2.5

If the connection is lost, and recovers, an OPEN channel is SUSPENDED until another core, on a new
connection, takes over; or on the same one, if the channel is to be opened again.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable
from contextvars import copy_context
from enum import Enum
from typing import Any, Final, cast

from amqp_codec import Command, Method, ReplyCode, basic
from amqp_codec import channel as channel_methods

from .._connection.callback_queue import Callback, CallbackQueue
from .._connection.core import CLOSE_TIMEOUT, ConnectionCore
from .._connection.gate import Gate, GateTimeout, Reason
from .._connection.guards import set_in_child
from .._connection.large_contents import LargeContent
from .._connection.recorder import waiting
from .._connection.waiters import Waiters
from .._loggers import channel_logger
from ..envelope import ReturnEnvelope
from ..exceptions import (
    AcknowledgementTimeout,
    AmqpClosedConnection,
    ChannelClosed,
    closed_by_server,
    is_acknowledgement_timeout,
    reason,
)
from ..properties import Properties
from .confirms import Confirms, Content, NotedConfirms, Returned
from .consumers import Consumers
from .recovery import Recovery
from .requests import Requests, check_timeout


class State(Enum):
    """State of a channel."""

    OPEN = "open"
    CLOSING = "channel.close has been sent"
    SUSPENDED = "the connection was lost, and another core takes over"
    CLOSED = "closed"


_OPEN: Final = State.OPEN  # an Enum's attributes are slow to read in Python 3.11
_DELIVER: Final = basic.Deliver


class ChannelCore:
    """All parts of one channel on one connection.

    ``Channel`` shows them to programs, and reaches them through this object only.

    Args:
        connection: to write to.
        number: of the channel.
        protocol: the AmqpProtocol, which gets the number back when it is free.
        channel: the Channel, which is the first argument of every callback.
        return_callback: see the attribute.
        predecessor: the suspended core that this one takes over from.

    Attributes:
        state: of the channel.
        failure: why it is not open; None while it is, and if the program closed it.
        has_ended: whether it is closed, or channel.close has been sent.
        requests: and their replies.
        consumers: by consumer tag.
        confirms: of published messages.
        flow_gate: where publishers wait while the server wants no messages. Spec: channel.flow.
        recovery: of the channel; None if it ends with its connection.
        is_superseded: whether another core took or takes over.
        is_internal: whether it is not the program's, so only recovery reports its end.
        tag_offset: added to the server's delivery tags, so that those of earlier connections are
            not used again.
        return_callback: called with returned messages.
        cancellation_callbacks: called when the server cancels a consumer.
    """

    # A program may have thousands of channels: what only some need is made on first use.
    __slots__ = (
        "_callbacks", "_cancelled_consumers", "_close_callbacks", "_close_event", "_context",
        "_is_reopening", "_on_close", "_unreported", "_until_closed", "cancellation_callbacks",
        "channel", "confirms", "connection", "consumers", "failure", "flow_gate", "has_ended",
        "is_internal", "is_superseded", "number", "protocol", "recovery", "requests",
        "return_callback", "state", "tag_offset",
    )  # fmt: skip

    def __init__(
        self,
        connection: ConnectionCore,
        number: int,
        protocol: Any,
        channel: Any,
        return_callback: Callback | None = None,
        predecessor: "ChannelCore | None" = None,
    ) -> None:
        self.connection: ConnectionCore = connection
        self.number: int = number
        self.protocol: Any = protocol
        self.channel: Any = channel
        self.state: State = State.OPEN
        self.failure: Exception | None = None
        self.has_ended: bool = False
        self._close_event: asyncio.Event | None = None
        self.requests: Requests = Requests(connection, number, self.check_open)
        self.recovery: Recovery | None = None
        self.is_superseded: bool = False
        self.is_internal: bool = False
        self.tag_offset: int = 0
        self._context = copy_context()
        self._callbacks: CallbackQueue | None = None
        self.consumers: Consumers = Consumers(self, channel, self.requests, connection.read_flow)
        recorder = connection.recorder
        self.confirms: Confirms = Confirms() if recorder is None else NotedConfirms(recorder)
        self.flow_gate: Gate = Gate(connection.loop)
        self.return_callback: Callback | None = return_callback
        self.cancellation_callbacks: list[Any] = []
        self._cancelled_consumers: set[str] | None = None
        self._on_close: Callback | None = None
        self._close_callbacks: CallbackQueue | None = None
        self._unreported: Exception | None = None  # why the channel ended, for ``on_close``
        self._until_closed = Waiters()
        self._is_reopening = False
        if predecessor is not None:
            self._take_over(predecessor)

    def _take_over(self, predecessor: "ChannelCore") -> None:
        """Continue with the callbacks, the events and the delivery tags of another core."""
        self.recovery = predecessor.recovery
        self._close_event = predecessor.close_event
        self.cancellation_callbacks = predecessor.cancellation_callbacks
        self._cancelled_consumers = predecessor.cancelled_consumers
        self.tag_offset = predecessor.tag_offset + predecessor.consumers.last_tag
        self._on_close = predecessor._on_close
        self._close_callbacks = predecessor._close_callbacks
        self._context = predecessor._context
        self._callbacks = predecessor._callbacks
        self.consumers.take_over(predecessor.consumers, self.tag_offset)

    # ---------------------------------------------------------------- for the methods of Channel

    @property
    def close_event(self) -> asyncio.Event:
        """Set when it has ended."""
        if self._close_event is None:
            self._close_event = asyncio.Event()
            if self.has_ended:
                self._close_event.set()
        return self._close_event

    @property
    def callbacks(self) -> CallbackQueue:
        """The queue that runs its callbacks, in the context in which the channel was opened."""
        if self._callbacks is None:
            self._callbacks = CallbackQueue(f"channel {self.number}", self._context)
        return self._callbacks

    @property
    def cancelled_consumers(self) -> set[str]:
        """Tags of the consumers that the server has cancelled."""
        if self._cancelled_consumers is None:
            self._cancelled_consumers = set()
        return self._cancelled_consumers

    def check_open(self) -> None:
        """Check that the channel can be used.

        Raises:
            AmqpClosedConnection: the connection has ended.
            ChannelClosed: the channel has.
        """
        connection = self.connection
        # Without a call: every message that is published or acknowledged is checked here.
        if connection.failure is not None or get_running_loop() is not connection.loop:
            if self.is_superseded and self.failure is not None and self.state is State.CLOSED:
                raise self._ended_error(self.failure)  # which came after that of the connection
            connection.check_open()
        if self.state is not _OPEN:
            raise self.closed_error()

    def _ended_error(self, failure: Exception) -> AmqpClosedConnection | ChannelClosed:
        if not isinstance(failure, AmqpClosedConnection):
            return self.closed_error()
        error = AmqpClosedConnection(f"The connection is closed: {reason(failure)}")
        error.__cause__ = failure
        return error

    def closed_error(self) -> ChannelClosed:
        """Return an error for a call on a channel that is not open: why it is not."""
        error = ChannelClosed()
        if isinstance(self.failure, ChannelClosed):
            error = ChannelClosed(self.failure.code, self.failure.message)
        error.__cause__ = self.failure
        return error

    async def wait_closed(self) -> None:
        """Wait until the channel is closed, and its close answered."""
        await self.close_event.wait()
        if self.state is State.CLOSING:
            await self._wait_close_ok()

    async def _wait_close_ok(self) -> None:
        read_flow = self.connection.read_flow
        read_flow.begin_call()  # it may be a consumer's callback that waits here
        try:
            await self._until_closed.wait()
        finally:
            read_flow.end_call()

    @property
    def on_close(self) -> Callback | None:
        """The callback that is called with the error which ends the channel."""
        return self._on_close

    @on_close.setter
    def on_close(self, callback: Callback | None) -> None:
        self._on_close = callback
        if callback is not None:
            self._close_callbacks = CallbackQueue(f"the end of channel {self.number}")
        self._call_on_close()  # the channel may have ended already

    async def settle(
        self, method: basic.Ack | basic.Nack | basic.Reject, timeout: float | None = None
    ) -> bool:
        """Acknowledge or reject deliveries; wait only while the write buffer is full.

        Returns:
            Whether the method was sent; False if the connection was lost and recovers, so that the
            server has queued the messages again.

        Raises:
            TimeoutError: it has been full for ``timeout`` seconds; nothing was sent.
        """
        connection = self.connection
        try:
            self.check_open()
            if timeout is not None:
                check_timeout(timeout)
            if connection.ack_gate.is_busy:
                connection.encoder.encode_method(self.number, method)  # an error comes at once
                await self._wait_to_settle(method, timeout)
        except (AmqpClosedConnection, ChannelClosed):
            if not self.is_superseded or self.recovery is None:
                raise
            self.recovery.note_stale(f"Delivery {method.delivery_tag}")
            return False
        connection.send(self.number, method)
        if self.recovery is not None:
            self.consumers.note_settled(method)
        return True

    def write_content(self, content: LargeContent) -> None:
        """Begin to write a large content; publishers of this channel wait until it is written."""
        self.connection.writer.write_content(content)
        if not content.is_written:
            self.flow_gate.close(Reason.CONTENT)
            content.on_written = self._handle_written

    def _handle_written(self) -> None:
        if self.number not in self.connection.writer.large.queues:
            self.flow_gate.open(Reason.CONTENT)

    def is_stale(self, method: basic.Ack | basic.Nack | basic.Reject) -> bool:
        """Replace the delivery tag that the program knows by the server's.

        Returns:
            Whether it is of a delivery over an earlier connection, which the server has queued
            again.
        """
        tag: object = method.delivery_tag
        if not isinstance(tag, int) or tag <= 0:  # Spec: 0 means all messages of this channel
            return False
        if tag <= self.tag_offset:
            if self.recovery is not None:
                self.recovery.note_stale(f"Delivery {tag}")
            return True
        method.delivery_tag = tag - self.tag_offset
        return False

    async def _wait_to_settle(self, method: Method, timeout: float | None) -> None:
        connection = self.connection
        deadline = None if timeout is None else connection.loop.time() + timeout
        connection.read_flow.begin_call()  # the server may read nothing while it is not read from
        try:
            with waiting(connection.recorder, method.NAME, "gate"):
                await connection.ack_gate.wait(0, self, deadline)
        except GateTimeout as error:
            text = f"{method.NAME} could not be sent within {timeout} seconds: {error}"
            raise TimeoutError(text) from None
        finally:
            connection.read_flow.end_call()
        self.check_open()

    async def close(
        self, code: int, text: str, timeout: float | None, drain: float | None = None
    ) -> None:
        """Close the channel, fail every pending request, and wait for channel.close-ok.

        Before, it is drained: see ``drain_channels``.

        Raises:
            ChannelClosed: the channel is not open.
            TimeoutError: the server does not answer.
        """
        if self.state is State.SUSPENDED:
            self.end(ChannelClosed(0, "The program closed the channel"), True)
            return
        if self.state is not _OPEN:
            raise self.closed_error()
        check_timeout(timeout)
        check_timeout(drain, "drain")
        self.requests.check(_close_method(code, text))
        seconds = CLOSE_TIMEOUT if timeout is None else timeout
        try:
            await drain_channels([self], seconds, drain)
        except BaseException:
            self.abandon(code, text)
            raise
        if self.is_superseded:  # the connection was lost in the meantime
            await self._close_successor(code, text, timeout)
            return
        self._start_closing(code, text)
        try:
            async with asyncio.timeout(seconds):
                await self._wait_close_ok()
        except TimeoutError:
            raise TimeoutError(
                f"The server has not answered the close of channel {self.number} within"
                f" {seconds:g} seconds; the channel counts as closed, its number as taken"
            ) from None

    async def _close_successor(self, code: int, text: str, timeout: float | None) -> None:
        """Close the channel over the core that takes over from this one, if there is one."""
        successor = self._successor
        if successor is not self and not successor.has_ended:
            await successor.close(code, text, timeout)
        else:
            self.abandon(code, text)

    @property
    def _successor(self) -> "ChannelCore":
        """The core that the channel has now."""
        return cast("ChannelCore", self.channel._core)

    def abandon(self, code: int, text: str) -> None:
        """Close the channel if it is open, without waiting: the call was given up."""
        if self._successor is not self:
            self._successor.abandon(code, text)
        elif self.state is State.SUSPENDED:
            self.end(ChannelClosed(0, "The program closed the channel"), True)
        elif self.state is _OPEN:
            self._start_closing(code, text)

    # ---------------------------------------------------------------- for the connection

    @property
    def pending(self) -> dict[str, int]:
        """What the channel waits for, by kind: for leak checks."""
        return {
            "replies": self.requests.pending,
            "confirms": self.confirms.pending,
            "cancelled consumers": self.consumers.pending,
        }

    def give_up(self, text: str) -> None:
        """Raise TimeoutError or PublishUnconfirmed in the calls that wait for the server."""
        self.requests.give_up(text)
        self.confirms.give_up_all(text)

    def end_callbacks(self) -> None:
        """Call nothing any longer, because the event loop ends; log how many messages are lost."""
        self.callbacks.stop()
        self.consumers.drop_unhandled(self.consumers.to_drain(everything=False))

    def detach(self) -> None:
        """End the consumers' loops in a forked child, where the connection cannot be used."""
        assert self.connection.failure is not None
        self.consumers.detach(self.connection.failure)
        self.has_ended = True
        if self._close_event is not None:
            set_in_child(self._close_event)

    def dispatch(self, command: Command) -> None:
        """Process a command from the server; nothing here waits.

        Raises:
            ProtocolViolation: the server must not send it now.
        """
        if self.state is _OPEN:
            kind = type(command.method)
            if kind is _DELIVER:
                self.consumers.deliver(command)
            elif kind in self._HANDLERS:
                self._HANDLERS[kind](self, command)
            else:
                self.requests.receive_reply(command)
            return
        match command.method:
            case channel_methods.Close():
                self._send_close_ok()
            case channel_methods.CloseOk() if self.state is State.CLOSING or self._is_reopening:
                if self.state is State.CLOSING:
                    self.state = State.CLOSED
                self._is_reopening = False
                self._until_closed.wake()
                self.protocol.release_channel_id(self.number)
            case _:
                pass

    def connection_ended(self, error: Exception, asked_for: bool, is_reported: bool) -> None:
        """End with the connection, or wait for the core that takes over. See ``end``."""
        recovery = self.recovery
        if recovery is None or asked_for or not recovery.link.recovers():
            self.end(error, asked_for, is_reported)
        elif self.state is _OPEN:
            self._suspend(error, recovery)
        elif self.state is not State.SUSPENDED:
            self.end(error, asked_for, is_reported)

    async def reopen(self, error: Exception, timeout: float) -> None:
        """Close a channel that recovers, and restore it. The server queues its deliveries again.

        Args:
            error: raised where a publisher confirm is outstanding.
            timeout: seconds in which the server must agree.

        Raises:
            TimeoutError: it has not.
        """
        recovery = self.recovery
        assert recovery is not None
        self.connection.send(self.number, _close_method(0, "The channel is opened again"))
        self.connection.writer.flush()
        self._is_reopening = True
        self._suspend(error, recovery)
        async with asyncio.timeout(timeout):
            await self._wait_close_ok()
        recovery.link.restore(recovery)

    def _suspend(self, error: Exception, recovery: Recovery) -> None:
        self.state = State.SUSPENDED
        self.failure = error
        self.is_superseded = True
        if self.connection.recorder is not None:
            self.connection.recorder.channel_lost(self.number)
        recovery.lose()
        for gate in (self.flow_gate, self.connection.gate, self.connection.ack_gate):
            gate.fail(error, self)
        self.requests.fail(error)
        self.confirms.fail(error)
        self.consumers.suspend()

    def end(self, error: Exception, asked_for: bool = False, is_reported: bool = True) -> None:
        """Close the channel at once, since the server closed it or the connection has ended.

        Args:
            error: raised in every call that waits.
            asked_for: whether the program closed the connection.
            is_reported: whether ``on_close`` is called.
        """
        was_open = self.state is _OPEN or self.state is State.SUSPENDED
        self.state = State.CLOSED
        self._until_closed.wake()
        if was_open:
            self.failure = error
            self._unreported = error if is_reported and not asked_for else None
            self._call_on_close()
            self._fail(error, asked_for)

    # ---------------------------------------------------------------- closing

    def _start_closing(self, code: int, text: str) -> None:
        """Send channel.close: the channel is not open any longer, but its number is not free."""
        self.check_open()
        self.connection.send(self.number, _close_method(code, text))
        self.connection.writer.flush()
        self.state = State.CLOSING
        self._fail(ChannelClosed(0, "The program closed the channel during this call"), True)

    def _handle_close(self, command: Command) -> None:
        close = command.method
        assert isinstance(close, channel_methods.Close)
        self._send_close_ok()
        error, tags = closed_by_server(close, self.connection.declared.of), self.consumers.tags
        if is_acknowledgement_timeout(error):
            error = AcknowledgementTimeout(error, *self.consumers.oldest_unacked())
        recovery = self.recovery
        if recovery is not None and recovery.continues_after(error):
            self._suspend(error, recovery)
            self.protocol.release_channel_id(self.number)
            return
        if not self.is_internal:
            channel_logger.warning(
                "The server closed channel %d: %s%s",
                self.number,
                reason(error),
                f"; with it end the consumers {', '.join(tags)}" if tags else "",
            )
        self.end(error)
        if not self.is_internal:
            self.protocol.report_channel_close(self.channel, error)
        self.protocol.release_channel_id(self.number)

    def _call_on_close(self) -> None:
        if self._on_close is None or self._close_callbacks is None:
            return
        if self._unreported is not None:
            self._close_callbacks.put("on_close", self._on_close, self._unreported)
            self._unreported = None

    def _send_close_ok(self) -> None:
        self.connection.send(self.number, channel_methods.CloseOk())
        self.connection.writer.flush()

    def _fail(self, error: Exception, asked_for: bool) -> None:
        if self.recovery is not None:
            self.recovery.end()
        recorder = self.connection.recorder
        if recorder is not None and not self.is_internal:
            recorder.channel_closed(self.number, None if asked_for else error)
        self.has_ended = True
        if self._close_event is not None:
            self._close_event.set()
        for gate in (self.flow_gate, self.connection.gate, self.connection.ack_gate):
            gate.fail(error, self)
        self.requests.fail(error)
        self.confirms.fail(error)
        self.consumers.end(error, asked_for)

    # ---------------------------------------------------------------- what the server sends

    def _handle_cancel(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, basic.Cancel)
        tag = method.consumer_tag
        if not method.no_wait:
            self.requests.answer(basic.CancelOk(tag))
        if self.consumers.is_known(tag):  # or else a peer could fill the set with made-up tags
            # RabbitMQ 4.3 cancels a consumer once for each of its deliveries that is late.
            is_repeated = (
                self.connection.server.cancels_late_consumers
                and tag in self.cancelled_consumers
                and not self.consumers.is_consuming(tag)
            )
            if is_repeated or self.consumers.handle_cancel(tag):
                return
            self.cancelled_consumers.add(tag)
        self.report_cancelled(tag)

    def report_cancelled(self, tag: str) -> None:
        """Call the callbacks for a consumer that the server has cancelled, and forget it.

        If it is to be started again, that begins now.
        """
        if self.recovery is not None:
            self.recovery.handle_server_cancel(tag, self.consumers.suspended)
        self.call_cancellation_callbacks(tag)

    def call_cancellation_callbacks(self, tag: str) -> None:
        """Call the callbacks for a consumer that has ended without the program's asking."""
        read_flow = self.connection.read_flow
        for callback in self.cancellation_callbacks:
            read_flow.add(len(tag))
            self.callbacks.put(
                "a cancellation callback",
                callback,
                self.channel,
                tag,
                on_start=lambda: read_flow.remove(len(tag)),
            )

    def _handle_recover_ok(self, command: Command) -> None:
        self.consumers.handle_recover_ok()  # now: what is delivered again may be right behind it
        self.requests.receive_reply(command)

    def _handle_ack(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, (basic.Ack, basic.Nack))
        if self.confirms.is_selected:
            self.confirms.handle_ack(method)
        else:
            self.requests.receive_reply(command)  # which is a ProtocolViolation

    def _handle_return(self, command: Command) -> None:
        method, codec_properties = command.method, command.properties
        assert isinstance(method, basic.Return)
        assert codec_properties is not None
        body = bytes(command.body)
        properties = Properties.from_codec(codec_properties)
        envelope = ReturnEnvelope.from_codec(method)
        is_awaited = self.confirms.is_selected and self.confirms.handle_return(
            Content(method.exchange, method.routing_key, codec_properties.encode(), body),
            Returned(envelope, body, properties),
        )
        if self.return_callback is not None:
            self._call_return_callback(self.return_callback, body, envelope, properties)
        elif not is_awaited:
            channel_logger.warning(
                "A message to exchange %r with routing key %r was returned: %d %s."
                " Set channel.return_callback to receive it",
                method.exchange,
                method.routing_key,
                method.reply_code,
                method.reply_text,
            )

    def _call_return_callback(
        self, callback: Callback, body: bytes, envelope: ReturnEnvelope, properties: Properties
    ) -> None:
        read_flow, size = self.connection.read_flow, len(body)
        read_flow.add(size)
        self.callbacks.put(
            "the return callback",
            callback,
            self.channel,
            body,
            envelope,
            properties,
            on_start=lambda: read_flow.remove(size),
        )

    def _handle_flow(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, channel_methods.Flow)
        (self.flow_gate.open if method.active else self.flow_gate.close)(Reason.FLOW)
        self.requests.answer(channel_methods.FlowOk(method.active))

    _HANDLERS: Final[dict[type[Method], Callable[["ChannelCore", Command], None]]] = {
        basic.Return: _handle_return,
        basic.Ack: _handle_ack,
        basic.Nack: _handle_ack,
        basic.Cancel: _handle_cancel,
        basic.RecoverOk: _handle_recover_ok,
        channel_methods.Close: _handle_close,
        channel_methods.Flow: _handle_flow,
    }
    """For what the server sends by itself, and basic.recover-ok, which the consumers need first;
    everything else is a delivery or a reply."""


def _close_method(code: int, text: str) -> channel_methods.Close:
    # 0.15 sends 0, which is no reply code.
    return channel_methods.Close(code or ReplyCode.REPLY_SUCCESS, text)


async def drain_channels(cores: list[ChannelCore], seconds: float, drain: float | None) -> None:
    """Stop deliveries and wait for callbacks, so that channels can be closed without a loss.

    Messages that were delivered with ``no_ack`` are handled, or lost. With ``drain``, consumers
    with acknowledgements are stopped too, and callbacks that run may finish.

    Args:
        cores: of the channels.
        seconds: to wait for messages with ``no_ack``, unless ``drain`` is given.
        drain: seconds to wait for all callbacks; None to wait for none but those.
    """
    draining = [(core, core.consumers.to_drain(drain is not None)) for core in cores]
    draining = [(core, consumers) for core, consumers in draining if consumers]
    if not draining:
        return
    for core, consumers in draining:
        if core.state is _OPEN:
            core.consumers.stop_deliveries(consumers)
        core.connection.writer.flush()
    try:
        async with asyncio.timeout(seconds if drain is None else drain):
            for core, consumers in draining:
                await core.consumers.wait_drained(consumers)
    except TimeoutError:
        for core, consumers in draining:
            core.consumers.drop_unhandled(consumers)
