"""What a channel makes of what the server sends."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqp_codec import Command, DecodeError, Method, basic
from amqp_codec import channel as wire_channel

from .._loggers import channel_logger
from ..callbacks import Callback, CallbackQueue
from ..envelope import ReturnEnvelope
from ..properties import Properties
from .confirms import Confirms, Content, Returned
from .consumers import Consumers
from .requests import Requests, State

if TYPE_CHECKING:
    from .._connection.writer import Writer
    from ..channel import Channel


class ChannelCore:
    """Takes the commands of one channel from the reader; nothing here waits.

    Args:
        channel: whose they are; its callbacks are looked up when they are needed.
        wire: to answer on.

    Attributes:
        dialogue: requests, replies and closing.
        consumers: where deliveries go.
        confirms: what the server says about published messages.
        may_publish: cleared while the server asks for no more messages.
    """

    def __init__(self, channel: "Channel", wire: "Writer") -> None:
        self._channel = channel
        self._backlog = wire.backlog
        self._callbacks = CallbackQueue(f"channel {channel.channel_id}")
        self.dialogue: Requests = Requests(wire, channel.channel_id, self._on_end, self._on_free)
        self.consumers: Consumers = Consumers(channel, self.dialogue, wire.backlog)
        self.confirms: Confirms = Confirms()
        self.may_publish: asyncio.Event = asyncio.Event()
        self.may_publish.set()
        # What the server sends on its own account, and a reply that is not only for who called; all
        # else that it sends is a reply or a close.
        self._handlers: dict[type[Method], Callable[[Command], None]] = {
            basic.Deliver: self.consumers.deliver,
            basic.Return: self._on_return,
            basic.Ack: self._on_outcome,
            basic.Nack: self._on_outcome,
            basic.Cancel: self._on_cancel,
            basic.RecoverOk: self._on_recovered,
            wire_channel.Flow: self._on_flow,
        }

    def receive(self, command: Command) -> None:
        """Take a command.

        Raises:
            ProtocolViolation: the server must not send it now.
        """
        take = self._handlers.get(type(command.method))
        if take is None:
            self.dialogue.receive(command)
        elif self.dialogue.state is State.OPEN:
            take(command)

    def idle_tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks that are about to end without calling anything of the user's."""
        return self.consumers.idle_tasks()

    def _on_end(self, error: Exception, asked_for: bool) -> None:
        self._channel.close_event.set()
        self.may_publish.set()
        self.confirms.fail(error)
        self.consumers.end(error, asked_for)

    def _on_free(self) -> None:
        self._channel.protocol.release_channel_id(self._channel.channel_id)

    def _on_cancel(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, basic.Cancel)
        tag = method.consumer_tag
        self._channel.cancelled_consumers.add(tag)
        self.consumers.cancelled_by_server(tag)
        if not method.no_wait:
            self.dialogue.send(basic.CancelOk(tag))
        for callback in self._channel.cancellation_callbacks:
            self._callbacks.put("a cancellation callback", callback, self._channel, tag)

    def _on_recovered(self, command: Command) -> None:
        self.consumers.recovered()  # now, since what is delivered again may be right behind it
        self.dialogue.receive(command)

    def _on_outcome(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, (basic.Ack, basic.Nack))
        if self.confirms.is_selected:
            self.confirms.receive(method)
        else:
            self.dialogue.receive(command)  # which takes it for the violation that it is

    def _on_return(self, command: Command) -> None:
        method, properties = command.method, command.properties
        assert isinstance(method, basic.Return)
        assert properties is not None
        body = bytes(command.body)
        try:
            readable = Properties.from_codec(properties)
        except DecodeError:
            channel_logger.exception("The headers of a message that came back cannot be decoded")
            readable = None
        envelope = ReturnEnvelope.from_codec(method)
        is_awaited = self.confirms.is_selected and self.confirms.receive_return(
            Content.of(method.exchange, method.routing_key, properties, body),
            Returned(envelope, body, readable or Properties()),
        )
        callback = self._channel.return_callback
        if callback is not None and readable is not None:
            self._call_back(callback, body, envelope, readable)
        elif callback is None and not is_awaited:
            channel_logger.warning(
                "A message to exchange %r with routing key %r came back: %d %s."
                " Set channel.return_callback to receive it",
                method.exchange,
                method.routing_key,
                method.reply_code,
                method.reply_text,
            )

    def _call_back(
        self, callback: Callback, body: bytes, envelope: ReturnEnvelope, properties: Properties
    ) -> None:
        size = len(body)
        self._backlog.add(size)
        self._callbacks.put(
            "the return callback",
            callback,
            self._channel,
            body,
            envelope,
            properties,
            when_begun=lambda: self._backlog.remove(size),
        )

    def _on_flow(self, command: Command) -> None:
        method = command.method
        assert isinstance(method, wire_channel.Flow)
        if method.active:
            self.may_publish.set()
        else:
            self.may_publish.clear()
        self.dialogue.send(wire_channel.FlowOk(method.active))
