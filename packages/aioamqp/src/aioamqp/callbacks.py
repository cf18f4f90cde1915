"""The types of the callbacks that a program can set.

Each may be a coroutine function or a plain one: what it returns is awaited if it can be, and else
not looked at. Its parameters may have any names.
"""

from typing import TYPE_CHECKING, Protocol

from .exceptions import InvalidArgument

if TYPE_CHECKING:
    from .channel import Channel
    from .envelope import Envelope, ReturnEnvelope
    from .exceptions import AioamqpException
    from .properties import Properties


class ConsumerCallback(Protocol):
    """Takes the messages of a consumer: see ``Channel.basic_consume``."""

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
    """Takes the mandatory messages of a channel that come back: see ``Channel``."""

    def __call__(
        self,
        channel: "Channel",
        body: bytes,
        envelope: "ReturnEnvelope",
        properties: "Properties",
        /,
    ) -> object:
        """Handle a message; the envelope says why it came back."""
        ...


class CancellationCallback(Protocol):
    """Is told that a consumer was cancelled: see ``Channel.add_cancellation_callback``."""

    def __call__(self, channel: "Channel", consumer_tag: str, /) -> object:
        """Learn that the server has cancelled the consumer with that tag."""
        ...


class ErrorCallback(Protocol):
    """Is told why a connection ended: see ``on_error`` of ``AmqpProtocol``."""

    def __call__(self, error: "AioamqpException", /) -> object:
        """Learn what ended the connection."""
        ...


class BlockedCallback(Protocol):
    """Is told that the server takes no messages, or takes them again: see ``Blocked``."""

    def __call__(self, reason: str | None, /) -> object:
        """Learn why it takes none; None when it takes them again."""
        ...


def check_callable(what: str, callback: object) -> None:
    """Refuse what cannot be called, before it is needed.

    Args:
        what: the name of the argument.
        callback: None is none.

    Raises:
        InvalidArgument: it cannot.
    """
    if callback is not None and not callable(callback):
        raise InvalidArgument(f"must be a function or None, not {callback!r}", (what,))
