"""The exceptions that aioamqp raises, and what causes each.

AioamqpException
├── AmqpClosedConnection       the connection is closed, or was never opened
│   ├── ConnectionFailed       the server could not be reached (also the OSError behind it)
│   ├── HandshakeFailed        the server refused the connection; has a code and a message
│   ├── ConnectionLost         the TCP connection was lost (also a ConnectionError)
│   └── ProtocolViolation      the server violated AMQP; has a code and a message
├── ChannelClosed              the channel is closed; has a code and a message
│   └── AcknowledgementTimeout a message was not acknowledged in time (or a ConsumerCancelled, too)
├── NoChannelAvailable         all channel numbers of the connection are in use
├── EmptyQueue                 basic_get found no message
├── PublishFailed              the server nacked a message; has the delivery tag
│   └── PublishReturned        the server returned a message that it could not route to a queue
├── PublishUnconfirmed         written, but not confirmed (also what closed the channel)
├── PublishNotSent             never written (also what closed the channel)
├── RpcError                   the handler of an RPC server raised an exception
├── RpcInterrupted             the channel or connection ended before the reply to a request
├── ConsumerCancelled          the server cancelled the consumer of a ``Channel.consume``
├── AlreadySettled             a message is acknowledged, nacked or rejected twice
├── WrongLoop                  called from another event loop (also a RuntimeError)
├── SynchronizationError       two calls collided (no longer raised; kept for old code)
└── DuplicateConsumerTag       (not raised: the server answers 530; kept for old code)

amqp_codec.EncodeError, a ValueError
└── InvalidArgument            an argument cannot be sent (also a TypeError); nothing was sent
    └── MessageTooLarge        a message is larger than the server accepts

All of them can be copied and pickled. ``is_retryable`` and ``ended`` of each say what to do next:
try again or not, on the same channel or on a new channel or connection.
"""

import builtins
import ssl
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast

from amqp_codec import METHODS, EncodeError, ReplyCode, channel, connection

from ._advice import advise, missing, nearest, with_advice

if TYPE_CHECKING:
    from .envelope import ReturnEnvelope
    from .properties import Properties


RETRYABLE_CODES: Final = frozenset({
    ReplyCode.NO_CONSUMERS,
    ReplyCode.CONNECTION_FORCED,  # the server shuts down, or an operator closed the connection
    ReplyCode.RESOURCE_LOCKED,  # another connection has the exclusive queue or consumer
    ReplyCode.RESOURCE_ERROR,
    ReplyCode.INTERNAL_ERROR,
})  # fmt: skip
"""Reply codes after which the same call can succeed later.

After all others it fails again until something else has changed: the call itself, the permissions,
or what has been declared on the server.
"""


class AioamqpException(Exception):
    """The base class of the errors that the server or the network causes."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same call can succeed later, on a new channel or connection if one ended."""
        return False

    @property
    def ended(self) -> Literal["connection", "channel"] | None:
        """What has ended: the connection with all channels, only the channel, or nothing."""
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(vars(self))
        if self.__cause__ is not None and _can_pickle(self.__cause__):
            state["__cause__"] = self.__cause__
        return _restore, (_describe(type(self)), self.args), state


class AmqpClosedConnection(AioamqpException):
    """The connection is closed, or was never opened.

    Attributes:
        code: the reply code of the server, or for the server; None if there is none.
        message: the reply text; the text of the exception if there is none.
    """

    code: int | None = None

    @cached_property  # which subclasses may set
    def message(self) -> str:
        """The reply text; the text of the exception if there is none."""
        return str(self)

    @property
    def is_retryable(self) -> bool:
        """Whether connecting again can help: what ended the connection decides."""
        cause = self.__cause__
        return cause.is_retryable if isinstance(cause, AioamqpException) else True

    @property
    def ended(self) -> Literal["connection"]:
        """The connection has ended."""
        return "connection"


class ConnectionFailed(AmqpClosedConnection):
    """The server could not be reached.

    The exception is also an instance of the class of the OSError behind it, with the same ``errno``
    and ``args``: ``except ConnectionRefusedError`` and ``except socket.gaierror`` work. With TLS it
    has ``reason``, ``verify_code`` and ``verify_message``, as ssl.SSLError has.
    """

    sentence = ""

    @property
    def is_retryable(self) -> bool:
        """Whether connecting again can help: not if TLS failed, by a certificate for example."""
        ended_by_peer = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        return isinstance(self, ended_by_peer) or not isinstance(self, ssl.SSLError)

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class HandshakeFailed(AmqpClosedConnection):
    """The server refused the connection, or does not speak AMQP 0-9-1.

    Attributes:
        code: the server's reply code, such as 403; None if it sent none.
        message: the server's reply text; empty if it sent none.
        is_link_lost: whether the TCP connection ended instead, without a reply code or a reason
            that is known.
    """

    is_link_lost = False

    def __init__(self, sentence: str, code: int | None = None, message: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.message = message

    @property
    def is_retryable(self) -> bool:
        """Whether the reply code allows it, or the link was lost without one."""
        return self.code in RETRYABLE_CODES or self.is_link_lost


class ConnectionLost(AmqpClosedConnection, ConnectionError):
    """The TCP connection to the server was lost.

    The exception is also an instance of the class of the OSError behind it, if there is one.
    """

    sentence = ""

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class ProtocolViolation(AmqpClosedConnection):
    """The server sent something that AMQP does not allow, so the connection was closed.

    Attributes:
        code: the reply code that was sent to the server. Spec: 4.10.
        message: a description of what the server did.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"The connection was closed because of the server: {message}")
        self.code: int | None = code
        self.message: str = message

    @property
    def is_retryable(self) -> bool:
        """False: the server, or something between, does not speak AMQP as it should."""
        return False

    @property
    def reply_text(self) -> str:
        """The reply text for the server: the message, cut to a short string. Spec: 4.2.5.3."""
        return self.message.encode()[:255].decode("utf-8", "ignore")


class ChannelClosed(AioamqpException):
    """The channel is closed.

    When the server closes the whole connection, the pending calls of every channel raise this
    exception too, with the code and text of connection.close.

    Attributes:
        code: the server's reply code; 0 if the server did not close the channel.
        message: the server's reply text.
        method: the name of the method that the server refused, such as ``queue.declare``; None if
            it named none.
        similar_name: of a queue or an exchange that was declared on the connection, if the server
            knows none of the name that was used: perhaps it is misspelt; None without one.
    """

    method: str | None = None
    similar_name: str | None = None

    def __init__(self, code: int = 0, message: str = "Channel is closed") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    @property
    def advice(self) -> str:
        """What to do about it; empty if that is not known."""
        if self.similar_name is not None:
            return f"did you mean {self.similar_name!r}?"
        return advise(self.code, self.message)

    @property
    def is_retryable(self) -> bool:
        """Whether the reply code allows it; without one, whether what ended the channel does.

        Not if the server denies a feature that is deprecated, for which it has the code 541.
        """
        if self.code:
            return self.code in RETRYABLE_CODES and " is deprecated" not in self.message
        cause = self.__cause__
        return cause.is_retryable if isinstance(cause, AioamqpException) else True

    @property
    def ended(self) -> Literal["connection", "channel"] | None:
        """What has ended: the reply codes of connection.close are others than channel.close has."""
        return "connection" if _is_hard(self.code) else "channel"

    def __str__(self) -> str:
        if not self.code:
            return reason(self)
        refused = f"refused {self.method} and " if self.method else ""
        return f"The server {refused}closed the {self.ended}: {reason(self)}"


class AcknowledgementTimeout(ChannelClosed):
    """A message was not acknowledged in the server's time, so the channel or a consumer ended.

    The server closed the channel, or since RabbitMQ 4.3 it cancelled the consumer of a quorum queue
    and kept the channel open; then the exception is also a ConsumerCancelled, and ``ended`` is
    None.

    RabbitMQ: consumers.html, delivery acknowledgement timeout; 30 minutes by default.

    Attributes:
        consumer_tag: of the consumer; empty if it is not known.
        delivery_tag: of the oldest message that was not settled; 0 if it is not known.
    """

    def __init__(self, closed: ChannelClosed, consumer_tag: str, delivery_tag: int) -> None:
        super().__init__(closed.code, closed.message)
        self.method: str | None = closed.method
        self.consumer_tag: str = consumer_tag
        self.delivery_tag: int = delivery_tag

    @property
    def is_retryable(self) -> bool:
        """True: the messages have been queued again."""
        return True

    @property
    def ended(self) -> Literal["connection", "channel"] | None:
        """What has ended: the channel, or nothing but the consumer."""
        return "channel" if self.code else None

    def __str__(self) -> str:
        which = f" of consumer {self.consumer_tag!r}" if self.consumer_tag else ""
        tag = f" {self.delivery_tag}" if self.delivery_tag else ""
        what = "closed the channel" if self.code else "cancelled the consumer"
        why = f": {reason(self)}" if self.code else ""
        return (
            f"The server {what} because delivery{tag}{which} was not acknowledged in time{why}."
            " Acknowledge sooner, take fewer messages at once (prefetch_count), or raise"
            " consumer_timeout on the server"
        )


class NoChannelAvailable(AioamqpException):
    """All channel numbers of the connection are in use."""

    @property
    def is_retryable(self) -> bool:
        """True: when a channel has been closed."""
        return True


class EmptyQueue(AioamqpException):
    """``basic_get`` found no message in the queue."""

    sentence = ""  # and no arguments, as in 0.15

    @property
    def is_retryable(self) -> bool:
        """True: when there is a message."""
        return True

    def __str__(self) -> str:
        return self.sentence or super().__str__()


class PublishFailed(AioamqpException):
    """The server sent a basic.nack for a published message.

    Attributes:
        delivery_tag: the tag of the message.
    """

    def __init__(self, delivery_tag: int) -> None:
        super().__init__(delivery_tag)
        self.delivery_tag = delivery_tag

    @property
    def is_retryable(self) -> bool:
        """True: the queue may be full for now, or its node down."""
        return True

    def __str__(self) -> str:
        return f"The server sent basic.nack for the message with delivery tag {self.delivery_tag}"

    def __repr__(self) -> str:
        return str(self)


class PublishReturned(PublishFailed):
    """The server returned a mandatory message because it could not route it to a queue.

    Attributes:
        envelope: the reason, and the exchange and routing key of the message.
        body: the body of the message.
        properties: its properties as the server sent them.
    """

    def __init__(
        self, delivery_tag: int, envelope: "ReturnEnvelope", body: bytes, properties: "Properties"
    ) -> None:
        super().__init__(delivery_tag)
        self.envelope = envelope
        self.body = body
        self.properties = properties

    @property
    def is_retryable(self) -> bool:
        """Whether the reply code allows it: not if no queue is bound for the message."""
        return self.envelope.reply_code in RETRYABLE_CODES

    def __str__(self) -> str:
        why = self.envelope
        tag = f" with delivery tag {self.delivery_tag}" if self.delivery_tag else ""
        return (
            f"The message{tag} to exchange {why.exchange_name!r}"
            f" with routing key {why.routing_key!r} was returned: {why.reply_code} {why.reply_text}"
        )


class PublishUnconfirmed(AioamqpException):
    """A message was written, but its publisher confirm did not arrive, or not in time.

    The server may or may not have the message: publish it again if a duplicate is better than a
    lost message. The exception is also an instance of the class of its ``__cause__``, with the same
    attributes: of the error that closed the channel, ChannelClosed or AmqpClosedConnection, or a
    TimeoutError.

    Attributes:
        delivery_tag: the tag of the message.
        unconfirmed: the delivery tags of all unconfirmed messages of the channel.
    """

    delivery_tag = 0
    unconfirmed: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.delivery_tag:
            return (
                f"It is unknown whether the server accepted the message: {reason(self.__cause__)}"
            )
        return (
            "It is unknown whether the server accepted the message with delivery tag"
            f" {self.delivery_tag}, one of {len(self.unconfirmed)} unconfirmed on its channel:"
            f" {reason(self.__cause__)}"
        )


class PublishNotSent(AioamqpException):
    """A message was not written: the channel or connection is closed, or the timeout has passed.

    The exception is also a ChannelClosed, an AmqpClosedConnection or a TimeoutError, with the same
    attributes as its ``__cause__``.
    """

    def __str__(self) -> str:
        return f"The message was not sent: {reason(self.__cause__)}"


class RpcError(AioamqpException):
    """The handler of an ``RpcServer`` raised an exception instead of returning the reply.

    Attributes:
        error_type: the name of the class of that exception, such as ``ValueError``.
        message: its text.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(error_type, message)
        self.error_type = error_type
        self.message = message

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message}" if self.message else self.error_type


class RpcInterrupted(AioamqpException):
    """The channel or the connection ended before the reply to a request of an ``RpcClient``.

    The server may have handled the request or not; its reply is lost.
    """

    @property
    def is_retryable(self) -> bool:
        """Whether the same call can succeed later: what ended the channel decides."""
        cause = self.__cause__
        return cause.is_retryable if isinstance(cause, AioamqpException) else True

    def __str__(self) -> str:
        why = reason(self.__cause__)
        return f"There is no reply, and it is unknown whether the request was handled: {why}"


class SynchronizationError(AioamqpException):
    """Two calls collided; no longer raised, since any number of calls can be pending."""


class DuplicateConsumerTag(AioamqpException):
    """A consumer tag is already in use."""

    def __repr__(self) -> str:
        return f"The consumer tag {self.args[0]!r} is already in use"


class ConsumerCancelled(AioamqpException):
    """The server has cancelled a consumer, for example because its queue was deleted.

    RabbitMQ: consumer-cancel.html. The channel stays open: consume again when the queue exists.

    Attributes:
        may_be_late: whether the reason can also be a message that was not acknowledged in time.
    """

    may_be_late = False

    @property
    def is_retryable(self) -> bool:
        """True: when the queue exists, or its node is up."""
        return True

    def __str__(self) -> str:
        return f"The server has cancelled the consumer {self.args[0]!r}: {self.causes}"

    @property
    def causes(self) -> str:
        """What may have been the reason: the server does not say."""
        if self.may_be_late:
            return (
                "its queue was deleted, the node that had it is down, or a message was not"
                " acknowledged within the server's consumer_timeout; consume again on another"
                " channel, or with another consumer tag"
            )
        return "its queue was deleted, or the node that had it is down"

    def __repr__(self) -> str:
        return f"The consumer {self.args[0]!r} has been cancelled"


class AlreadySettled(AioamqpException):
    """A message was already acknowledged, nacked or rejected; nothing was sent."""


class WrongLoop(AioamqpException, RuntimeError):
    """A call was made from an event loop other than the connection's; nothing was sent."""


class InvalidArgument(EncodeError, TypeError):
    """An argument cannot be sent; nothing was written, and the channel stays open.

    It is both a TypeError and a ValueError, because aioamqp 0.15 raised one or the other.
    """

    is_retryable: ClassVar[bool] = False
    ended: ClassVar[None] = None


class MessageTooLarge(InvalidArgument):
    """A message is larger than ``max_message_size``; nothing was sent."""


_Failure = TypeVar("_Failure", ConnectionFailed, ConnectionLost)
_Description: TypeAlias = "type[Exception] | str | tuple[_Description, ...]"

_combinations: dict[tuple[type[Exception], ...], type[Exception]] = {}


def _combine(bases: tuple[type[Exception], ...]) -> type[Exception]:
    """Return the class that derives from all of ``bases``; it has the name of the first."""
    if bases not in _combinations:
        _combinations[bases] = type(bases[0].__name__, bases, {"__module__": __name__})
    return _combinations[bases]


def _describe(cls: type[Exception]) -> _Description:
    """Return what pickle can find a class by: itself, or the bases that it was combined from.

    Of a builtin class it is the name: pickle's old protocols turn ConnectionRefusedError into
    OSError, for Python 2.
    """
    if cls.__module__ == "builtins":
        return cls.__name__
    bases = cast("tuple[type[Exception], ...]", cls.__bases__)
    return tuple(map(_describe, bases)) if _combinations.get(bases) is cls else cls


def _class_of(description: _Description) -> type[Exception]:
    if isinstance(description, tuple):
        return _combine(tuple(map(_class_of, description)))
    if isinstance(description, str):
        return cast("type[Exception]", getattr(builtins, description))
    return description


def _restore(description: _Description, args: tuple[Any, ...]) -> Exception:
    """Create an exception again, without __init__: its parameters may be others than ``args``."""
    cls = _class_of(description)
    return cls.__new__(cls, *args)


def _can_pickle(error: BaseException) -> bool:
    if isinstance(error, AioamqpException):
        return True
    import pickle  # which has been imported if this is called, in all but rare cases

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception of another library may raise anything
        return False
    return True


def _is_hard(code: int) -> bool:
    """Return whether a reply code ends the connection, and not only a channel. Spec: 1.5.2.5."""
    try:
        return ReplyCode(code).is_hard
    except ValueError:
        return False


def failed_link(parent: type[_Failure], cause: OSError, sentence: str) -> _Failure:
    """Create an exception of a class that derives from ``parent`` and from the class of ``cause``.

    Args:
        parent: ConnectionFailed or ConnectionLost.
        cause: the OSError, of which ``errno``, ``args`` and all other attributes are copied.
        sentence: the text of the exception.
    """
    bases = (parent,) if issubclass(parent, type(cause)) else (parent, type(cause))
    error = _combine(bases)(*cause.args)
    assert isinstance(error, parent)
    vars(error).update(vars(cause))  # such as reason and verify_message of an SSLError
    for name in ("filename", "filename2"):
        if getattr(cause, name) is not None:
            setattr(error, name, getattr(cause, name))
    error.sentence = sentence
    error.__cause__ = cause
    return error


def lost_link(cause: Exception | None) -> AmqpClosedConnection:
    """Create the exception for an open connection whose transport has closed.

    Args:
        cause: the argument of ``connection_lost``; None if this side closed the transport.
    """
    if cause is None:
        return AmqpClosedConnection("The program closed the transport")
    if isinstance(cause, OSError):
        text = str(cause) or type(cause).__name__
        return failed_link(ConnectionLost, cause, f"The connection to the server was lost: {text}")
    error = ConnectionLost(f"The connection to the server was lost: {cause!r}")
    error.__cause__ = cause
    return error


_Outcome = TypeVar("_Outcome", PublishUnconfirmed, PublishNotSent, RpcInterrupted)


def _outcome(kind: type[_Outcome], cause: Exception) -> _Outcome:
    cls = _combine((kind, type(cause)))
    # __init__ is not called: its parameters differ from cause to cause.
    error = cls.__new__(cls, *cause.args)
    assert isinstance(error, kind)
    vars(error).update(vars(cause))
    error.__cause__ = cause
    return error


def unconfirmed(cause: Exception, tag: int, tags: tuple[int, ...]) -> PublishUnconfirmed:
    """Create the PublishUnconfirmed for a message.

    Args:
        cause: the error that closed the channel; the exception is also of its class.
        tag: the delivery tag of the message.
        tags: the delivery tags of all unconfirmed messages of the channel.
    """
    error = _outcome(PublishUnconfirmed, cause)
    error.delivery_tag = tag
    error.unconfirmed = tags
    return error


def closed_by_server(
    close: connection.Close | channel.Close, declared: Callable[[str], Iterable[str]]
) -> ChannelClosed:
    """Create the exception for a channel.close or connection.close of the server.

    Args:
        close: what the server sent.
        declared: returns the names of the queues or exchanges that the program has declared.
    """
    error = ChannelClosed(int(close.reply_code), str(close.reply_text))
    if (absent := missing(error.code, error.message)) is not None:
        kind, name = absent
        error.similar_name = nearest(name, declared(kind))
    refused = METHODS.get(int(close.class_id) << 16 | int(close.method_id))
    if refused is not None:
        error.method = refused.NAME
    return error


def cancelled_for_lateness(tag: str, delivery_tag: int) -> AcknowledgementTimeout:
    """Create the AcknowledgementTimeout for a consumer that the server has cancelled.

    Args:
        tag: of the consumer.
        delivery_tag: of its oldest message that was not settled; 0 if it is not known.
    """
    cls = _combine((AcknowledgementTimeout, ConsumerCancelled))
    error = cls.__new__(cls, tag)
    assert isinstance(error, AcknowledgementTimeout)
    error.code, error.message = 0, "The server has cancelled the consumer"
    error.consumer_tag, error.delivery_tag = tag, delivery_tag
    return error


def is_acknowledgement_timeout(error: ChannelClosed) -> bool:
    """Return whether the server closed a channel because of its consumer timeout."""
    is_named = "delivery acknowledgement" in error.message and "timed out" in error.message
    return error.code == ReplyCode.PRECONDITION_FAILED and is_named


def not_sent(cause: Exception) -> PublishNotSent:
    """Create the PublishNotSent for a message.

    Args:
        cause: the error that closed the channel; the exception is also of its class.
    """
    return _outcome(PublishNotSent, cause)


def interrupted(cause: Exception) -> RpcInterrupted:
    """Create the RpcInterrupted for a request that cannot be sent again.

    Args:
        cause: the error that ended the connection for good; the exception is also of its class.
    """
    return _outcome(RpcInterrupted, cause)


def reason(error: BaseException | None) -> str:
    """Return the text for an error that closed a channel or a connection."""
    if not isinstance(error, ChannelClosed):
        return str(error)
    if error.code:
        return with_advice(f"{error.code} {error.message}", error.advice)
    if isinstance(error.__cause__, ChannelClosed):
        return f"{error.message}: {reason(error.__cause__)}"
    return error.message
