"""The callbacks of the user, and how they are run: outside the reader, whatever they raise.

Each may be a coroutine function or a plain one: what it returns is awaited if it can be, and else
not looked at. Its parameters may have any names.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ._loggers import protocol_logger
from .exceptions import InvalidArgument

if TYPE_CHECKING:
    from .channel import Channel
    from .envelope import Envelope, ReturnEnvelope
    from .exceptions import AioamqpException
    from .properties import Properties

Callback: TypeAlias = Callable[..., Awaitable[Any] | Any]
"""Any of those that follow."""


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


async def run_callback(what: str, callback: Callback, *args: object) -> None:
    """Call a callback and wait for it; if it fails, log that.

    Args:
        what: names it in the log.
        callback: judged by what it returns, not by how it was defined.
        args: it is called with these.

    Raises:
        asyncio.CancelledError: the task that runs this is cancelled.
    """
    try:
        result = callback(*args)
        if isawaitable(result):
            await result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Something that the callback waited for was cancelled: that is its failure, not our end.
        _log_failure(what, callback)
    except Exception:  # noqa: BLE001 - whatever it raises is not our end either
        _log_failure(what, callback)


def _log_failure(what: str, callback: Callback) -> None:
    protocol_logger.exception("error on dispatch: %s, %r, failed", what, callback)


class CallbackQueue:
    """Runs callbacks one after another in a task that lasts as long as there are any."""

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
        """Have a callback run after those that were put before it.

        Args:
            what: names it in the log.
            callback: to be called.
            args: it is called with these.
            when_begun: called when it does not wait any longer.
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
