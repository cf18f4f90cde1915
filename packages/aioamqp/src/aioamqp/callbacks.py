"""The types of the user's callbacks, and how callbacks run: never in the reader.

A callback may be a coroutine function or a plain function: an awaitable result is awaited, any
other result is ignored. Its parameters may have any names.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .exceptions import InvalidArgument

if TYPE_CHECKING:
    from .channel import Channel
    from .envelope import Envelope, ReturnEnvelope
    from .exceptions import AioamqpException
    from .properties import Properties

logger: logging.Logger = logging.getLogger("aioamqp.protocol")

Callback: TypeAlias = Callable[..., Awaitable[Any] | Any]
"""Any of the callbacks below."""


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


class BlockedCallback(Protocol):
    """A callback for connection.blocked and connection.unblocked: see ``Blocked``."""

    def __call__(self, reason: str | None, /) -> object:
        """Handle the reason why the server blocks publishers; None when it no longer does."""
        ...


def check_callable(what: str, callback: object) -> None:
    """Raise InvalidArgument unless a callback is callable or None.

    Args:
        what: the name of the argument.
        callback: the callback; None if there is none.

    Raises:
        InvalidArgument: the callback is not callable.
    """
    if callback is not None and not callable(callback):
        raise InvalidArgument(f"must be a function or None, not {callback!r}", (what,))


async def run_callback(what: str, callback: Callback, *args: object) -> None:
    """Call a callback, await its result if it is awaitable, and log an exception that it raises.

    Args:
        what: the name of the callback in the log.
        callback: the callback.
        args: the arguments for the callback.

    Raises:
        asyncio.CancelledError: the current task is cancelled.
    """
    try:
        result = callback(*args)
        if isawaitable(result):
            await result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something that the callback awaited was cancelled: the callback failed, this task goes on.
        _log_failure(what, callback)
    except Exception:  # noqa: BLE001 - whatever it raises, this task goes on
        _log_failure(what, callback)


def _log_failure(what: str, callback: Callback) -> None:
    logger.exception("error on dispatch: %s, %r, failed", what, callback)


class CallbackQueue:
    """Runs callbacks one after another, in a task that exists while callbacks are queued."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[tuple[str, Callback, tuple[object, ...], Callable[[], None] | None]]
        self._waiting = deque()
        self._task: asyncio.Task[None] | None = None

    def put(
        self,
        what: str,
        callback: Callback,
        *args: object,
        when_begun: Callable[[], None] | None = None,
    ) -> None:
        """Queue a callback behind those that are queued already.

        Args:
            what: the name of the callback in the log.
            callback: the callback.
            args: the arguments for the callback.
            when_begun: called just before the callback is.
        """
        self._waiting.append((what, callback, args, when_begun))
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name=f"aioamqp callbacks of {self._name}")

    async def _run(self) -> None:
        try:
            while self._waiting:
                what, callback, args, when_begun = self._waiting.popleft()
                if when_begun is not None:
                    when_begun()
                await run_callback(what, callback, *args)
        finally:
            self._task = None
