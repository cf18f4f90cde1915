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
├── SynchronizationError       two calls collided (not raised any more; kept for old code)
├── DuplicateConsumerTag       (not raised: the server answers 530; kept for old code)
└── ConsumerCancelled          (not raised; kept for old code)

amqp_codec.EncodeError, a ValueError
└── InvalidArgument            the caller's own mistake (also a TypeError); nothing was sent
"""

from typing import TypeVar

from amqp_codec import EncodeError


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


class PublishFailed(AioamqpException):
    """The server did not take a message.

    Attributes:
        delivery_tag: of the publish.
    """

    def __init__(self, delivery_tag: int) -> None:
        super().__init__(delivery_tag)
        self.delivery_tag = delivery_tag

    def __repr__(self) -> str:
        return f"The server did not take the message with delivery tag {self.delivery_tag}"


class SynchronizationError(AioamqpException):
    """Two calls collided; calls of this version do not."""


class DuplicateConsumerTag(AioamqpException):
    """A consumer tag is in use already."""

    def __repr__(self) -> str:
        return f"The consumer tag {self.args[0]!r} is in use already"


class ConsumerCancelled(AioamqpException):
    """A consumer has been cancelled."""

    def __repr__(self) -> str:
        return f"The consumer {self.args[0]!r} has been cancelled"


class InvalidArgument(EncodeError, TypeError):
    """An argument that cannot be sent; nothing was written and the channel is as it was.

    It is a TypeError and a ValueError both: aioamqp 0.15 raised the one or the other.
    """


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
