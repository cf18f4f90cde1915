"""The broker's side of channels: opening, closing, and which part handles which method."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from amqp_codec import Command, Method, Properties, ReplyCode, basic, channel, queue, tx

from ...model import BrokerError
from ...model.erlang import printing as erlang
from ..output import ChannelOutput
from ..reader.assembly import Assembler
from ..reader.undocumented import AccessRequest, AccessRequestOk
from .consuming import Consuming
from .context import Context
from .direct_replies import ReplyConsumer
from .publishing import Publishing
from .topology import Topology
from .transaction import Transaction
from .tx import Tx

_MAY_NAME_NO_QUEUE: Final = (
    queue.Bind,
    queue.Unbind,
    queue.Purge,
    queue.Delete,
    basic.Consume,
    basic.Get,
)


class _State(Enum):
    NEW = "a frame has been received, channel.open has not"
    OPEN = "commands are processed"
    CLOSING = "channel.close is sent or received, close-ok is not"
    FAILED = "its error closes the connection at the end of the read"
    CLOSED = "its number is free"


class Channel:
    """One channel of a session.

    Args:
        number: 1 to 65535.
        context: what the channels of its connection share.
        on_closed: called when its number is free.

    Attributes:
        number: the number.
        assembler: for the frames of this channel.
        consuming: its consumers, and what is not acknowledged.
        publishing: what is published on it.
    """

    def __init__(
        self, number: int, context: Context, on_closed: Callable[["Channel"], None]
    ) -> None:
        self.number = number
        profile = context.node.profile
        self.assembler = Assembler(
            refuses_long_bodies=profile.refuses_long_bodies,
            keeps_unknown_flags=profile.keeps_unknown_flags,
        )
        self._shows_latin_1 = profile.shows_latin_1
        self._deferred = context.deferred
        self._on_closed = on_closed
        self._output = output = ChannelOutput(number, context.output, context.deferred)
        self._transaction = transaction = Transaction()
        replies = ReplyConsumer(context.vhost)
        self._topology = Topology(context, output, replies)
        self.consuming = Consuming(number, context, output, self._topology, replies, transaction)
        self.publishing = Publishing(context, output, replies, transaction)
        self._tx = Tx(output, self.publishing, self.consuming, transaction)
        self._state = _State.NEW
        self._handlers: Mapping[type[Method], Callable[[Any], None]] = {
            channel.Close: self._handle_close,
            channel.Flow: self._handle_flow,
            AccessRequest: self._grant_access,
            **self._topology.handlers,
            **self.consuming.handlers,
            **self.publishing.handlers,
            **self._tx.handlers,
        }

    @property
    def is_open(self) -> bool:
        """Whether it processes commands and sends some."""
        return self._state is _State.OPEN

    @property
    def has_failed(self) -> bool:
        """Whether its error closes the connection."""
        return self._state is _State.FAILED

    def handle(self, command: Command) -> None:
        """Process a command from the client.

        Raises:
            BrokerError: the reply code says whether the channel or the connection is to be closed.
        """
        method = command.method
        if self._state is not _State.OPEN:
            self._handle_not_open(method)
        elif isinstance(method, channel.Open):
            raise BrokerError(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        elif self._transaction.is_committing and not isinstance(method, channel.Close):
            text = "unexpected command while processing 'tx.commit'"
            raise BrokerError(ReplyCode.CHANNEL_ERROR, text)
        elif isinstance(method, basic.Publish):
            properties = command.properties or Properties()
            self.publishing.publish(method, properties, bytes(command.body))
        else:
            handler = self._handlers.get(type(method))
            if handler is None:
                raise BrokerError(ReplyCode.COMMAND_INVALID, "unimplemented method")
            handler(method)

    def _handle_not_open(self, method: Method) -> None:
        if isinstance(method, _MAY_NAME_NO_QUEUE):
            # RabbitMQ: it looks up the queue before it checks whether the channel is open
            self._topology.queue_name(method.queue)
        if self._state is _State.NEW:
            if not isinstance(method, channel.Open):
                raise BrokerError(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")
            self._state = _State.OPEN
            self.send(channel.OpenOk())
        elif isinstance(method, channel.Open):
            raise BrokerError(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        # anything else was sent before the client knew that the channel is closing
        elif isinstance(method, channel.Close):
            self.send(channel.CloseOk())
        elif isinstance(method, channel.CloseOk):
            self.end()

    def finish_read(self) -> None:
        """Process deliveries and notices from queues, after all commands of a read.

        The publisher confirms in ``publishing`` are sent behind them.

        Raises:
            BrokerError: 541.
        """
        if self.has_failed:
            return
        self.consuming.mailbox.process()
        if self._transaction.is_committing:
            error = self._tx.complete_commit()
            if error is not None:
                self.fail(error, tx.Commit.INDEX)

    def send(self, method: Method) -> None:
        """Send a method without content on this channel."""
        self._output.send(method)

    def set_paused(self, is_paused: bool) -> None:
        """Stop deliveries while the client does not read, or go on."""
        if is_paused:
            self.consuming.prefetch.pause()
        else:
            self.consuming.prefetch.resume()

    # ----------------------------------------------------------------------------- closing

    def fail(self, error: BrokerError, index: int) -> None:
        """Close the channel because of an error.

        Args:
            error: the error.
            index: the class and method id that channel.close names, as in ``Method.INDEX``.
        """
        text = erlang.latin_1(error.reply_text) if self._shows_latin_1 else error.reply_text
        self.send(channel.Close(error.code, text, index >> 16, index & 0xFFFF))
        # RabbitMQ: these are sent behind channel.close, though they are returned to their queues
        self.consuming.send_deliveries()
        self.consuming.fail()
        self.publishing.end()
        self._state = _State.CLOSING

    def fail_connection(self) -> None:
        """Stop processing commands because of an error that closes the connection."""
        self.consuming.fail()
        self.publishing.end()
        self._state = _State.FAILED

    def _handle_close(self, _: channel.Close) -> None:
        self.consuming.send_deliveries()
        self.consuming.end()
        self.publishing.end()
        self._state = _State.CLOSING
        self._deferred.closed[self.number] = None

    def confirm_close(self) -> None:
        """End the channel that the client has closed, and send close-ok."""
        self.end()
        self.send(channel.CloseOk())

    def end(self) -> None:
        """Return all messages to their queues and free the number of the channel."""
        self._state = _State.CLOSED
        self._on_closed(self)
        self.consuming.end()
        self.publishing.end()

    # ----------------------------------------------------------------------------- the rest

    def _handle_flow(self, method: channel.Flow) -> None:
        if not method.active:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "active=false")
        self.send(channel.FlowOk(active=True))

    def _grant_access(self, _: AccessRequest) -> None:
        self.send(AccessRequestOk())


class Channels(dict[int, Channel]):
    """The channels of a connection by their numbers, from connection.open to the end.

    A number that is used for the first time gets a channel, whether it is opened or not.

    Args:
        context: what they share.
        channel_max: how many there may be. RabbitMQ: it does not limit their numbers.
    """

    def __init__(self, context: Context, channel_max: int) -> None:
        super().__init__()
        self._context = context
        self._channel_max = channel_max

    @property
    def vhost_name(self) -> str:
        """The name of the virtual host."""
        return self._context.vhost.name

    def __missing__(self, number: int) -> Channel:
        """Add a channel.

        Raises:
            BrokerError: 530, there are as many as the connection or its user may have.
        """
        if len(self) >= self._channel_max:
            raise BrokerError(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened ({len(self)}) has reached"
                f" the negotiated channel_max ({self._channel_max})",
            )
        self._context.node.check_channel_limit(self._context.user)
        channel = self[number] = Channel(number, self._context, self._remove)
        return channel

    def _remove(self, channel: Channel) -> None:
        self.pop(channel.number, None)
        self._context.deferred.closed.pop(channel.number, None)

    def end(self) -> None:
        """End all channels and leave the virtual host."""
        # RabbitMQ: the channel whose error closes the connection has ended before
        channels = sorted(self.values(), key=lambda channel: not channel.has_failed)
        self.clear()
        # what queues deliver to the other channels when the first one ends is not sent
        self._context.deferred.is_reading = True
        for each in channels:
            each.end()
        vhost = self._context.vhost
        vhost.remove_exclusive_queues(self._context.connection)
        self._context.node.remove_connection(self._context.connection)
        vhost.agenda.run_slices()
