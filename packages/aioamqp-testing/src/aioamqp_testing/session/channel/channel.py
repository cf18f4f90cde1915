"""The broker's side of one channel: its life, and who deals with which method."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from amqp_codec import Command, Method, Properties, ReplyCode, basic, channel, queue

from ...model import BrokerError, VirtualHost
from ..reader.assembly import Assembler
from ..reader.undocumented import AccessRequest, AccessRequestOk
from .consuming import Consuming
from .publishing import Publishing
from .topology import Topology
from .tx import Transaction

if TYPE_CHECKING:
    from ..connection import Session


_MAY_NAME_NO_QUEUE: Final = (
    queue.Bind,
    queue.Unbind,
    queue.Purge,
    queue.Delete,
    basic.Consume,
    basic.Get,
)


class _State(Enum):
    NEW = "a frame has come, channel.open has not"
    OPEN = "commands are taken"
    CLOSING = "channel.close is sent or has come, close-ok has not"


class Channel:
    """One channel of a session.

    Attributes:
        session: the connection that it is one of.
        number: 1 to 65535.
        assembler: for the frames of this channel.
        transaction: what waits for a commit.
        topology: what it does to exchanges and queues.
        consuming: its consumers, and what it has not acknowledged.
        publishing: what is published on it.
        is_gone: whether nothing more is to be expected of it, so that its number is free.
    """

    def __init__(self, session: "Session", vhost: VirtualHost, number: int) -> None:
        self.session = session
        self.number = number
        self.assembler = Assembler()
        self.transaction = Transaction()
        self.topology = Topology(self, vhost)
        self.consuming = Consuming(self, vhost, self.topology)
        self.publishing = Publishing(self, vhost)
        self.is_gone = False
        self._state = _State.NEW
        self._handlers: Mapping[type[Method], Callable[[Any], None]] = {
            channel.Close: self._close,
            channel.Flow: self._flow,
            AccessRequest: self._request_access,
            **self.topology.handlers,
            **self.consuming.handlers,
            **self.publishing.handlers,
        }

    @property
    def is_open(self) -> bool:
        """Whether it takes commands and sends some."""
        return self._state is _State.OPEN and not self.is_gone

    def handle(self, command: Command) -> None:
        """Do what a command says.

        Raises:
            BrokerError: the client has made a mistake; its code says what is to be closed.
        """
        method = command.method
        if self._state is not _State.OPEN and isinstance(method, _MAY_NAME_NO_QUEUE):
            # RabbitMQ: it asks which queue is meant before it asks whether the channel is open
            self.topology.queue_name(method.queue)
        if self._state is _State.NEW:
            if not isinstance(method, channel.Open):
                raise BrokerError(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")
            self._state = _State.OPEN
            self.send(channel.OpenOk())
        elif isinstance(method, channel.Open):
            raise BrokerError(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        elif self._state is _State.CLOSING:
            self._handle_closing(method)
        elif self.transaction.is_committing and not isinstance(method, channel.Close):
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

    def _handle_closing(self, method: Method) -> None:
        # everything else was sent before the client knew
        if isinstance(method, channel.Close):
            self.send(channel.CloseOk())
        elif isinstance(method, channel.CloseOk):
            self.end()

    def catch_up(self) -> None:
        """Deal with what queues have said, now that all is done that its client has asked for."""
        try:
            self.consuming.read_mail()
            self.publishing.confirm_all()
        except BrokerError as error:
            self.session.fail_channel(self, error)

    def send(self, method: Method, properties: Properties | None = None, body: bytes = b"") -> None:
        """Send a command on this channel."""
        self.session.send(Command(self.number, method, properties, body))

    def reply(self, no_wait: bool, method: Method) -> None:
        """Send a reply, unless the client does not wait for one."""
        if not no_wait:
            self.send(method)

    def fail(self, error: BrokerError, index: int) -> None:
        """Close it because of a mistake.

        Args:
            error: the mistake.
            index: the class and method id of what was asked for, as in ``Method.INDEX``.
        """
        close = channel.Close(error.code, error.reply_text, index >> 16, index & 0xFFFF)
        self.send(close)
        # RabbitMQ: these come behind it, though the queues have them back
        self.consuming.send_rest()
        self.consuming.fail()
        self.publishing.end()
        self._state = _State.CLOSING

    def end(self) -> None:
        """Give everything back; the channel is no more."""
        self.is_gone = True
        self.session.drop(self)
        self.consuming.end()
        self.publishing.end()

    def stop(self) -> None:
        """Give everything back, and do nothing any more: something else ends it."""
        self.consuming.end()
        self.publishing.end()
        self._state = _State.CLOSING

    def _close(self, _: channel.Close) -> None:
        self.consuming.send_rest()
        self.stop()
        self.session.due.close(self)

    def confirm_close(self) -> None:
        """Say close-ok to a client that has closed the channel, unless that has said it itself."""
        if not self.is_gone:
            self.end()
            self.send(channel.CloseOk())

    def _flow(self, method: channel.Flow) -> None:
        if not method.active:
            raise BrokerError(ReplyCode.NOT_IMPLEMENTED, "active=false")
        self.send(channel.FlowOk(active=True))

    def _request_access(self, _: AccessRequest) -> None:
        self.send(AccessRequestOk())
