"""Running the callbacks of a program: outside the reader, whatever they raise.

A callback may be a coroutine function or a plain function: its result is awaited if it can be, and
ignored otherwise. Its parameters may have any names.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

from .._loggers import protocol_logger

Callback: TypeAlias = Callable[..., Awaitable[Any] | Any]
"""Any callback of those in callbacks.py."""


async def run_callback(name: str, callback: Callback, *args: object) -> None:
    """Call a callback and await its result; log the exception that it raises.

    Args:
        name: of the callback, for the log.
        callback: to call.
        args: its arguments.

    Raises:
        asyncio.CancelledError: the task that runs the callback is cancelled.
    """
    try:
        result = callback(*args)
        if isawaitable(result):
            await result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # What the callback awaited was cancelled, not the task that runs the callback.
        _log_failure(name, callback)
    except Exception:  # noqa: BLE001 - a callback may raise anything
        _log_failure(name, callback)


def _log_failure(name: str, callback: Callback) -> None:
    protocol_logger.exception("error on dispatch: %s, %r, failed", name, callback)


class CallbackQueue:
    """Callbacks that run one after another, in a task that ends when the queue is empty."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._waiting: deque[tuple[str, Callback, tuple[object, ...], Callable[[], None] | None]]
        self._waiting = deque()
        self._task: asyncio.Task[None] | None = None

    def put(
        self,
        name: str,
        callback: Callback,
        *args: object,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        """Call a callback after those that are in the queue.

        Args:
            name: of the callback, for the log.
            callback: to call.
            args: its arguments.
            on_start: called just before the callback.
        """
        self._waiting.append((name, callback, args, on_start))
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name=f"aioamqp callbacks of {self._owner}")

    async def _run(self) -> None:
        try:
            while self._waiting:
                name, callback, args, on_start = self._waiting.popleft()
                if on_start is not None:
                    on_start()
                await run_callback(name, callback, *args)
        finally:
            self._task = None
