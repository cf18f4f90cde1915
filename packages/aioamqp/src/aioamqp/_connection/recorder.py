"""What one connection tells its instruments; the debug log is one of them."""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import takewhile
from types import TracebackType
from typing import Any, Final, Self

from amqp_codec import Command, EncodeError, Method, basic, connection, format_command
from amqp_codec import Properties as CodecProperties

from .._loggers import protocol_logger
from ..instrument import (
    HOOKS,
    Delivery,
    Instrument,
    Outcome,
    Peer,
    Publication,
    Settlement,
    WaitReason,
    is_overridden,
)

_SETTLING: Final = (basic.Ack, basic.Nack, basic.Reject)

NOT_NOTED: Final = nullcontext()
"""Stands for a block that is noted, where there are no instruments."""


class FrameLog(Instrument):
    """The debug log: a line for each command, as in a packet trace."""

    def command_sent(self, peer: Peer, channel: int, method: Method, size: int) -> None:  # noqa: ARG002
        """Log a command that is sent."""
        protocol_logger.debug("> %s", format_command(channel, method, size))

    def command_received(self, peer: Peer, channel: int, method: Method, size: int) -> None:  # noqa: ARG002
        """Log a command that was received."""
        protocol_logger.debug("< %s", format_command(channel, method, size))


class _Hooks(Instrument):
    """Calls the hooks of several instruments; those that none overrides stay empty."""

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        for name in HOOKS:
            hooks = [getattr(each, name) for each in instruments if is_overridden(each, name)]
            if hooks:
                setattr(self, name, _guarded(name, hooks))

    def has(self, name: str) -> bool:
        """Return whether an instrument has such a hook."""
        return name in vars(self)


def _guarded(name: str, hooks: list[Callable[..., None]]) -> Callable[..., None]:
    """Return a function that calls all hooks, and logs the first exception of each."""
    failed: set[int] = set()

    def call(*args: object) -> None:
        for index, hook in enumerate(hooks):
            try:
                hook(*args)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it may raise anything
                if index not in failed:
                    failed.add(index)
                    protocol_logger.error(
                        "The hook %s of an instrument, %r, has failed; it is called again, and its"
                        " next failures are not logged",
                        name,
                        hook,
                        exc_info=error,
                    )

    return call


class Recorder:
    """Calls the instruments of one connection.

    Args:
        instruments: of the connection.
        loop: of the connection; its clock measures everything.

    Attributes:
        peer: the server.
    """

    def __init__(
        self, instruments: tuple[Instrument, ...], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.peer: Peer = Peer("", 0, "")
        self._hooks = _Hooks(instruments)
        self._loop = loop
        self._began = loop.time()
        self._opened: float | None = None
        self._blocked: float | None = None
        self._has_ended = False
        # By channel and delivery tag, when the delivery came.
        self._unacked: dict[int, dict[int, float]] = {}
        self._counts_unacked = self._hooks.has("settled")
        self._notes_deliveries = self._counts_unacked or self._hooks.has("delivered")

    # ---------------------------------------------------------------- commands

    def sent(self, channel: int, method: Method, size: int = 0) -> None:
        """Note a command that is sent."""
        self._hooks.command_sent(self.peer, channel, method, size)
        if isinstance(method, _SETTLING) and self._counts_unacked:
            self._settled(channel, method)

    def received(self, command: Command, channel: Any) -> None:
        """Note a command that was received.

        Args:
            command: from the server.
            channel: its Channel; None for channel 0, and for one that is not open.
        """
        number, method, size = command.channel, command.method, len(command.body)
        self._hooks.command_received(self.peer, number, method, size)
        match method:
            case basic.Deliver():
                if self._notes_deliveries:
                    self._note_delivery(command, method, channel)
            case basic.Return():
                self._hooks.returned(
                    self.peer, number, method.exchange, method.routing_key, size, method.reply_code
                )
            case basic.RecoverOk():
                self._unacked.pop(number, None)
            case connection.OpenOk() if self._opened is None and not self._has_ended:
                self._opened = self._loop.time()
                self._hooks.connected(self.peer, self._opened - self._began)
            case connection.Blocked() if self._blocked is None and not self._has_ended:
                self._blocked = self._loop.time()
                self._hooks.blocked(self.peer, method.reason)
            case connection.Unblocked():
                self._unblock()
            case _:
                pass

    # ---------------------------------------------------------------- the connection

    def ended(self, error: Exception, asked_for: bool) -> None:
        """Note the end of the connection."""
        self._has_ended = True
        self._unacked.clear()
        self._unblock()
        if self._opened is None:
            return
        seconds, self._opened = self._loop.time() - self._opened, None
        if asked_for:
            self._hooks.closed(self.peer, seconds)
        else:
            self._hooks.lost(self.peer, error, seconds)

    def recovered(self, seconds: float, unrestored: int) -> None:
        """Note that everything was restored on this connection."""
        self._hooks.recovered(self.peer, seconds, unrestored)

    def channel_closed(self, channel: int, error: Exception | None) -> None:
        """Note the end of a channel."""
        self.channel_lost(channel)
        self._hooks.channel_closed(self.peer, channel, error)

    def channel_lost(self, channel: int) -> None:
        """Forget the deliveries of a channel, which the server has queued again."""
        self._unacked.pop(channel, None)

    def _unblock(self) -> None:
        if self._blocked is not None:
            seconds, self._blocked = self._loop.time() - self._blocked, None
            self._hooks.unblocked(self.peer, seconds)

    # ---------------------------------------------------------------- publishing

    def publishing(
        self,
        channel: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        encoded: bytes,
        body: object,
    ) -> tuple[Publication, bytes]:
        """Note that a message is about to be published.

        Args:
            channel: number of the channel.
            exchange: of the message.
            routing_key: of the message.
            mandatory: of the message.
            immediate: of the message.
            encoded: its properties.
            body: of the message.

        Returns:
            The publication, and its properties with the headers of the instruments.
        """
        message = Publication(
            self.peer,
            channel,
            exchange,
            routing_key,
            bool(mandatory),
            bool(immediate),
            _size(body),
            self._loop.time(),
            encoded,
        )
        self._hooks.publishing(message)
        if not message.headers:
            return message, encoded
        properties = CodecProperties.decode(encoded, 0, len(encoded))
        try:
            properties.headers = {**(properties.headers or {}), **message.headers}
            return message, properties.encode()
        except (EncodeError, TypeError) as error:
            protocol_logger.error("The headers of an instrument cannot be sent: %s", error)
            return message, encoded

    def published(self, message: Publication, core: Any) -> None:
        """Note that a message is written now; call it before it is added to the Confirms.

        Args:
            message: that is published.
            core: of the channel that it is written on.
        """
        now, confirms = self._loop.time(), core.confirms
        method = basic.Publish(
            message.exchange, message.routing_key, message.mandatory, message.immediate
        )
        self._hooks.command_sent(self.peer, core.number, method, message.size)
        message.peer, message.channel = self.peer, core.number  # recovery may have changed them
        message.awaits_confirm = confirms.is_selected
        self._hooks.published(message, now - message.began)
        if confirms.is_selected:
            confirms.track(message, now)

    def published_again(self, core: Any, kept: Any) -> None:
        """Note that a publisher sends again now what it has kept."""
        message = Publication(
            self.peer,
            core.number,
            kept.exchange,
            kept.routing_key,
            kept.mandatory,
            False,
            _size(kept.body),
            self._loop.time(),
            kept.properties,
        )
        self.published(message, core)

    def not_published(self, message: Publication, error: BaseException) -> None:
        """Note that a message was not written."""
        self._hooks.not_published(message, error)

    def confirmed(self, message: Publication, outcome: Outcome, written: float) -> None:
        """Note the outcome of a message that was written at a time."""
        self._hooks.confirmed(message, outcome, self._loop.time() - written)

    # ---------------------------------------------------------------- consuming

    def delivered(self, channel: int, command: Command, queue: str, no_ack: bool) -> None:
        """Note a delivery, or the reply to basic.get."""
        method: Any = command.method
        if self._counts_unacked and not no_ack:
            self._unacked.setdefault(channel, {})[method.delivery_tag] = self._loop.time()
        if self._hooks.has("delivered"):
            message = self.delivery(channel, method, command.properties, len(command.body), queue)
            self._hooks.delivered(message)

    def delivery(
        self, channel: int, method: Any, properties: Any, size: int, queue: str
    ) -> Delivery:
        """Return what instruments see of a delivery."""
        return Delivery(
            self.peer,
            channel,
            queue,
            getattr(method, "consumer_tag", ""),
            method.delivery_tag,
            method.exchange,
            method.routing_key,
            method.redelivered,
            size,
            properties,
        )

    def _note_delivery(self, command: Command, method: basic.Deliver, channel: Any) -> None:
        consumers: list[Any] = []
        if channel is not None:
            consumers = channel._core.consumers.with_tag(method.consumer_tag)
        if consumers:
            consumer = consumers[-1]
            self.delivered(command.channel, command, consumer.method.queue, consumer.no_ack)
        else:
            self.delivered(command.channel, command, "", False)

    def handling(self, message: Delivery) -> "Handling":
        """Note that a handler is called in the block, and how the block ends."""
        return Handling(self._hooks, self._loop, message)

    def _settled(self, channel: int, method: basic.Ack | basic.Nack | basic.Reject) -> None:
        settlement: Settlement = "acked"
        if not isinstance(method, basic.Ack):
            settlement = "requeued" if method.requeue else "rejected"
        unacked, last = self._unacked.get(channel, {}), method.delivery_tag
        tags = [last]
        if not isinstance(method, basic.Reject) and method.multiple:
            tags = list(takewhile(lambda tag: not last or tag <= last, unacked))  # Spec: 0 is all
        times = [unacked.pop(tag) for tag in tags if tag in unacked]
        seconds = self._loop.time() - times[0] if times else 0.0
        self._hooks.settled(self.peer, channel, settlement, len(times), seconds)

    # ---------------------------------------------------------------- calls

    @contextmanager
    def waiting(self, call: str, reason: WaitReason) -> Generator[None]:
        """Note that a call waits in the block."""
        began = self._loop.time()
        self._hooks.waiter_added(self.peer, call, reason)
        try:
            yield
        finally:
            self._hooks.waiter_gone(self.peer, call, reason, self._loop.time() - began)


class Handling:
    """A block in which a handler is called.

    Args:
        hooks: that are told.
        loop: whose clock measures it.
        message: that is handled.

    Attributes:
        error: that the handler has raised, if it does not leave the block.
    """

    __slots__ = ("_began", "_hooks", "_loop", "_message", "error")

    def __init__(
        self, hooks: Instrument, loop: asyncio.AbstractEventLoop, message: Delivery
    ) -> None:
        self.error: BaseException | None = None
        self._hooks = hooks
        self._loop = loop
        self._message = message

    def __enter__(self) -> Self:
        self._began = self._loop.time()
        self._hooks.handling(self._message)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = self._loop.time() - self._began
        error, self.error = error or self.error, None  # which refers to the frame that has this
        if error is None:
            self._hooks.handled(self._message, seconds)
        else:
            self._hooks.handler_failed(self._message, error, seconds)


def recorder_for(
    instruments: tuple[Instrument, ...], loop: asyncio.AbstractEventLoop
) -> Recorder | None:
    """Return the recorder of a new connection; None if nobody wants to know anything."""
    if protocol_logger.isEnabledFor(logging.DEBUG):
        instruments = (FrameLog(), *instruments)
    return Recorder(instruments, loop) if instruments else None


def waiting(
    recorder: Recorder | None, call: str, reason: WaitReason
) -> AbstractContextManager[None]:
    """Note that a call waits in the block, if there are instruments."""
    return NOT_NOTED if recorder is None else recorder.waiting(call, reason)


def _size(body: object) -> int:
    try:
        return memoryview(body).nbytes  # type: ignore[arg-type]
    except TypeError:  # the encoder refuses it
        return 0
