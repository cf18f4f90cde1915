"""What can go wrong, and whose doing it was.

AioamqpException
├── AmqpClosedConnection       the connection is over, or never came about
│   ├── ConnectionFailed       no link to the server could be made (also the OSError behind it)
│   ├── HandshakeFailed        the server refused the connection; has a code and a message
│   ├── ConnectionLost         the link broke (also a ConnectionError)
│   └── ProtocolViolation      the server broke the rules of AMQP; has a code and a message
├── ChannelClosed              the channel is over; has a code and a message
├── NoChannelAvailable         all channel numbers of the connection are in use
├── EmptyQueue                 basic_get found no message
├── PublishFailed              the server did not take a message; has the delivery tag
│   └── PublishReturned        no queue took it, so it came back
├── PublishUnconfirmed         written, and its fate unknown (also what ended the channel)
├── PublishNotSent             never written (also what ended the channel)
├── ConsumerCancelled          the server cancelled the consumer of a ``Channel.consume``
├── AlreadySettled             a message is acknowledged or rejected twice
├── WrongLoop                  called from another event loop (also a RuntimeError)
├── SynchronizationError       two calls collided (not raised any more; kept for old code)
└── DuplicateConsumerTag       (not raised: the server answers 530; kept for old code)

amqp_codec.EncodeError, a ValueError
└── InvalidArgument            the caller's own mistake (also a TypeError); nothing was sent
    └── MessageTooLarge        a message is larger than servers take
"""

from typing import TYPE_CHECKING, TypeVar

from amqp_codec import EncodeError

if TYPE_CHECKING:
    from .envelope import ReturnEnvelope
    from .properties import Properties


class AioamqpException(Exception):
    """The common parent of what the server and the network can do to a caller."""


class AmqpClosedConnection(AioamqpException):
    """The connection is over, or never came about."""


class ConnectionFailed(AmqpClosedConnection):
    """No link to the server could be made.

    What is raised is also an instance of the OSError class behind it, with the same ``errno`` and
    ``args``: ``except ConnectionRefusedError`` and ``except socket.gaierror`` work.
    """

    sentence = ""

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class HandshakeFailed(AmqpClosedConnection):
    """The server refused the connection, or does not speak AMQP 0-9-1.

    Attributes:
        code: the server's reply code, such as 403; None when it gave none.
        message: the server's reply text; empty when it gave none.
    """

    def __init__(self, sentence: str, code: int | None = None, message: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.message = message


class ConnectionLost(AmqpClosedConnection, ConnectionError):
    """The link to the server broke.

    What is raised is also an instance of the OSError class behind it, if there is one.
    """

    sentence = ""

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class ProtocolViolation(AmqpClosedConnection):
    """The server sent what AMQP does not allow, so the connection was closed.

    Attributes:
        code: the reply code that the server was told. Spec: 4.10.
        message: what it did.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"The connection was closed because of the server: {message}")
        self.code = code
        self.message = message

    @property
    def reply_text(self) -> str:
        """What the server is told: the message, cut to what fits. Spec: 4.2.5.3."""
        return self.message.encode()[:255].decode("utf-8", "ignore")


class ChannelClosed(AioamqpException):
    """The channel is over.

    When the server closes the whole connection, its code and text reach the waiting calls of every
    channel as this exception too.

    Attributes:
        code: the server's reply code; 0 when it was not the server that closed the channel.
        message: the server's reply text.
    """

    def __init__(self, code: int = 0, message: str = "Channel is closed") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class NoChannelAvailable(AioamqpException):
    """All channel numbers of the connection are in use."""


class EmptyQueue(AioamqpException):
    """``basic_get`` found no message in the queue."""

    sentence = ""  # and no arguments, as in 0.15

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class PublishFailed(AioamqpException):
    """The server did not take a message.

    Attributes:
        delivery_tag: of the publish.
    """

    def __init__(self, delivery_tag: int) -> None:
        super().__init__(delivery_tag)
        self.delivery_tag = delivery_tag

    def __str__(self) -> str:
        return f"The server did not take the message with delivery tag {self.delivery_tag}"

    def __repr__(self) -> str:
        return str(self)


class PublishReturned(PublishFailed):
    """The server sent a mandatory message back: no queue took it.

    Attributes:
        envelope: says why, and where it was published to.
        body: of the message.
        properties: of the message, as the server sent them; empty if they cannot be decoded.
    """

    def __init__(
        self, delivery_tag: int, envelope: "ReturnEnvelope", body: bytes, properties: "Properties"
    ) -> None:
        super().__init__(delivery_tag)
        self.envelope = envelope
        self.body = body
        self.properties = properties

    def __str__(self) -> str:
        why = self.envelope
        return (
            f"The message with delivery tag {self.delivery_tag} to exchange {why.exchange_name!r}"
            f" with routing key {why.routing_key!r} came back: {why.reply_code} {why.reply_text}"
        )


class PublishUnconfirmed(AioamqpException):
    """A message was written, but the channel ended before the server said what became of it.

    The server may have it or not: publish it again if twice is better than never. What is raised is
    also an instance of the class of what ended the channel, with the same attributes: ChannelClosed
    or AmqpClosedConnection. That itself is the ``__cause__``.

    Attributes:
        delivery_tag: of the publish.
        unconfirmed: the delivery tags of all messages of the channel that ended so.
    """

    delivery_tag = 0
    unconfirmed: tuple[int, ...] = ()

    def __str__(self) -> str:
        return (
            "It is unknown whether the server took the message with delivery tag"
            f" {self.delivery_tag}, one of {len(self.unconfirmed)} unconfirmed on its channel:"
            f" {reason(self.__cause__)}"
        )


class PublishNotSent(AioamqpException):
    """A message was not written, since the channel or the connection is over.

    What is raised is also a ChannelClosed or an AmqpClosedConnection, with the same attributes as
    the ``__cause__``.
    """

    def __str__(self) -> str:
        return f"The message was not sent: {reason(self.__cause__)}"


class SynchronizationError(AioamqpException):
    """Two calls collided; calls of this version do not."""


class DuplicateConsumerTag(AioamqpException):
    """A consumer tag is in use already."""

    def __repr__(self) -> str:
        return f"The consumer tag {self.args[0]!r} is in use already"


class ConsumerCancelled(AioamqpException):
    """The server has cancelled a consumer, for example because its queue was deleted.

    RabbitMQ: consumer-cancel.html. The channel stays open: consume again if the queue is back.
    """

    def __str__(self) -> str:
        return (
            f"The server has cancelled the consumer {self.args[0]!r}: its queue was deleted, or the"
            " node that had it is down"
        )

    def __repr__(self) -> str:
        return f"The consumer {self.args[0]!r} has been cancelled"


class AlreadySettled(AioamqpException):
    """A message has been acknowledged, rejected or requeued already; the server would object."""


class WrongLoop(AioamqpException, RuntimeError):
    """A call was made from another event loop than the connection's; nothing was sent."""


class InvalidArgument(EncodeError, TypeError):
    """An argument that cannot be sent; nothing was written and the channel is as it was.

    It is a TypeError and a ValueError both: aioamqp 0.15 raised the one or the other.
    """


class MessageTooLarge(InvalidArgument):
    """A message is larger than ``max_message_size``; nothing was sent."""


_Failure = TypeVar("_Failure", ConnectionFailed, ConnectionLost)

_classes: dict[tuple[type[Exception], type[OSError]], type[Exception]] = {}


def failed_link(parent: type[_Failure], cause: OSError, sentence: str) -> _Failure:
    """Make an exception that is both ours and of the class of the OSError behind it.

    Args:
        parent: ConnectionFailed or ConnectionLost.
        cause: gives the class, ``errno`` and ``args``.
        sentence: what ``str()`` of the exception says.
    """
    key = (parent, type(cause))
    if key not in _classes:
        bases = (parent,) if issubclass(*key) else key
        _classes[key] = type(parent.__name__, bases, {"__module__": __name__})
    error = _classes[key](*cause.args)
    assert isinstance(error, parent)
    error.sentence = sentence
    error.__cause__ = cause
    return error


def lost_link(cause: Exception | None) -> AmqpClosedConnection:
    """Say why an open connection has no link any more.

    Args:
        cause: what the transport gives for it; None when it was closed on this side.
    """
    if cause is None:
        return AmqpClosedConnection("The program closed the transport")
    if isinstance(cause, OSError):
        return failed_link(ConnectionLost, cause, f"The link to the server broke: {cause}")
    error = ConnectionLost(f"The link to the server broke: {cause!r}")
    error.__cause__ = cause
    return error


_Outcome = TypeVar("_Outcome", PublishUnconfirmed, PublishNotSent)


def _outcome(kind: type[_Outcome], cause: Exception) -> _Outcome:
    key = (kind, type(cause))
    if key not in _outcomes:
        _outcomes[key] = type(kind.__name__, key, {"__module__": __name__})
    cls = _outcomes[key]
    # Not by calling the class: what __init__ takes differs from one cause to another.
    error = cls.__new__(cls, *cause.args)
    assert isinstance(error, kind)
    vars(error).update(vars(cause))
    error.__cause__ = cause
    return error


_outcomes: dict[tuple[type[Exception], type[Exception]], type[Exception]] = {}


def unconfirmed(cause: Exception, tag: int, tags: tuple[int, ...]) -> PublishUnconfirmed:
    """Say that it is unknown what became of a message.

    Args:
        cause: what ended the channel; the exception is also of its class.
        tag: of the message.
        tags: of all messages of the channel of which this is unknown.
    """
    error = _outcome(PublishUnconfirmed, cause)
    error.delivery_tag = tag
    error.unconfirmed = tags
    return error


def not_sent(cause: Exception) -> PublishNotSent:
    """Say that a message was not written.

    Args:
        cause: why; the exception is also of its class.
    """
    return _outcome(PublishNotSent, cause)


def reason(error: BaseException | None) -> str:
    """Put into words what ended a channel or connection."""
    if not isinstance(error, ChannelClosed):
        return str(error)
    if error.code:
        return f"{error.code} {error.message}"
    if isinstance(error.__cause__, ChannelClosed):
        return f"{error.message}: {reason(error.__cause__)}"
    return error.message
