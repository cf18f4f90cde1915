"""The types of the callbacks that a program can set.

A callback may be a coroutine function or a plain function: an awaitable result is awaited, any
other result is ignored. Its parameters may have any names.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ._loggers import channel_logger
from .exceptions import InvalidArgument

if TYPE_CHECKING:
    from .channel import Channel
    from .envelope import Envelope, ReturnEnvelope
    from .exceptions import AioamqpException, ChannelClosed
    from .properties import Properties


class ConsumerCallback(Protocol):
    """A callback for the messages of a consumer: see ``Channel.basic_consume``."""

    def __call__(
        self,
        channel: "Channel",
        body: bytes,
        envelope: "Envelope",
        properties: "Properties",
        /,
    ) -> object:
        """Handle a message."""
        ...


class ReturnCallback(Protocol):
    """A callback for the returned messages of a channel: see ``Channel``."""

    def __call__(
        self,
        channel: "Channel",
        body: bytes,
        envelope: "ReturnEnvelope",
        properties: "Properties",
        /,
    ) -> object:
        """Handle a returned message; the envelope has the reason."""
        ...


class CancellationCallback(Protocol):
    """A callback for cancelled consumers: see ``Channel.add_cancellation_callback``."""

    def __call__(self, channel: "Channel", consumer_tag: str, /) -> object:
        """Handle the server's basic.cancel of the consumer with that tag."""
        ...


class ErrorCallback(Protocol):
    """A callback for the loss of a connection: see ``on_error`` of ``AmqpProtocol``."""

    def __call__(self, error: "AioamqpException", /) -> object:
        """Handle the error that closed the connection."""
        ...


class CloseCallback(Protocol):
    """A callback for the end of a channel: see ``Channel.on_close``."""

    def __call__(self, error: "AioamqpException", /) -> object:
        """Handle the error that ended the channel."""
        ...


class ChannelCloseCallback(Protocol):
    """A callback for channels that the server closes: see ``AmqpProtocol.on_channel_close``."""

    def __call__(self, channel: "Channel", error: "ChannelClosed", /) -> object:
        """Handle the server's channel.close."""
        ...


class CheckpointCallback(Protocol):
    """A callback for the progress in a stream: see ``Channel.consume``."""

    def __call__(self, offset: int, /) -> object:
        """Handle the offset up to which all messages are settled."""
        ...


class BlockedCallback(Protocol):
    """A callback for connection.blocked and connection.unblocked: see ``Blocked``."""

    def __call__(self, reason: str | None, /) -> object:
        """Handle the reason why the server blocks publishers; None when it no longer does."""
        ...


OF_MESSAGE: Final = ("channel", "body", "envelope", "properties")
OF_CANCELLATION: Final = ("channel", "consumer_tag")
OF_CHANNEL_CLOSE: Final = ("channel", "error")
OF_ERROR: Final = ("error",)
OF_CHECKPOINT: Final = ("offset",)
OF_CHANGE: Final = ("change",)
"""The arguments that callbacks are called with."""


def check_callable(what: str, callback: object, arguments: tuple[str, ...] = ()) -> None:
    """Raise InvalidArgument unless a callback is None, or can be called.

    Args:
        what: the name of the argument.
        callback: the callback; None if there is none.
        arguments: the names of those that it is called with; empty to check only the type.

    Raises:
        InvalidArgument: the callback is not callable, or takes another number of arguments.
    """
    if callback is None:
        return
    if not callable(callback):
        raise InvalidArgument(f"must be a function or None, not {callback!r}", (what,))
    if not arguments or _may_take(callback, len(arguments)):
        return
    if arguments is OF_MESSAGE and [*inspect.signature(callback).parameters] == [*arguments[1:]]:
        channel_logger.warning(
            "%s %r will fail: it is called with (%s); the first argument is new since aioamqp 0.5",
            what,
            callback,
            ", ".join(arguments),
        )
    else:
        raise InvalidArgument(
            f"is called with {len(arguments)} arguments, ({', '.join(arguments)}), which"
            f" {callback!r} does not take",
            (what,),
        )


def _may_take(callback: Callable[..., object], count: int) -> bool:
    """Return whether a callback can be called with so many arguments, as far as can be known.

    A decorator may show the signature of the function that it wraps, and take other arguments.
    """
    inner = getattr(callback, "func", callback)  # of a functools.partial
    layers = (callback, inner, getattr(inner, "__func__", None), type(inner).__call__)
    if isinstance(callback, type) or any(hasattr(each, "__signature__") for each in layers):
        return True
    try:
        signature = inspect.signature(callback, follow_wrapped=False)
    except (TypeError, ValueError):  # of a function written in C
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
