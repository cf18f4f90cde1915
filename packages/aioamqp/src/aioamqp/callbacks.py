"""The types of the callbacks that a program can set.

A callback may be a coroutine function or a plain function: an awaitable result is awaited, any
other result is ignored. Its parameters may have any names.
"""

from typing import TYPE_CHECKING, Protocol

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
