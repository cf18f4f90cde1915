"""Running the callbacks of a program: outside the reader, one at a time, whatever they raise.

A callback may be a coroutine function or a plain function: its result is awaited if it can be, and
ignored otherwise. Its parameters may have any names.

What a callback raises is logged, and the next callback follows, with two exceptions:

- SystemExit and KeyboardInterrupt end ``run_forever`` and ``run_until_complete``, as in every task.
- When somebody else cancels the task, such as ``asyncio.run`` in the end, the task ends. If the
  event loop still runs ``RESTART`` seconds later, another task takes over.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from inspect import isawaitable
from operator import is_
from types import CoroutineType
from typing import Any, Final, Protocol, TypeAlias

from .._loggers import protocol_logger
from .waiters import Waiters

Callback: TypeAlias = Callable[..., Awaitable[Any] | Any]
"""Any callback of those in callbacks.py."""

LONG_WAIT: Final = 60.0
"""Seconds after which the log names the callback that another one waits for."""

RESTART: Final = 1.0
"""Seconds after which callbacks go on when their task was cancelled or has raised SystemExit."""

_STEPS: Final = 6  # the length of a wait is known to a sixth


async def run_callback(name: str, callback: Callback, *args: object) -> None:
    """Call a callback and await its result; log the exception that it raises.

    Args:
        name: of the callback, for the log.
        callback: to call.
        args: its arguments.

    Raises:
        BaseException: see ``log_failure``.
    """
    try:
        result = callback(*args)
        if isawaitable(result):
            await result
    except BaseException as error:  # noqa: BLE001 - a callback may raise anything
        log_failure(name, callback, error)


def log_failure(name: str, callback: Callback, error: BaseException) -> None:
    """Log the exception that a callback has raised, in the ``except`` clause that has caught it.

    Args:
        name: of the callback.
        callback: that has failed.
        error: that it has raised.

    Raises:
        asyncio.CancelledError: the task that runs the callback is cancelled by somebody else.
        GeneratorExit: the coroutine is closed, not run.
        SystemExit, KeyboardInterrupt: the callback raises it.
    """
    match error:
        case SystemExit() | KeyboardInterrupt():
            raise error
        case asyncio.CancelledError():
            # Or what the callback awaited was cancelled, or it has cancelled its own task.
            task = asyncio.current_task()
            if task is not None and task.cancelling() and not _cancelled_itself(task):
                raise error
        case GeneratorExit() if not is_in_task():
            raise error
        case _:
            pass
    protocol_logger.error("error on dispatch: %s, %r, failed", name, callback, exc_info=error)


def is_in_task() -> bool:
    """Return whether a task that runs callbacks is the caller, not a coroutine that is closed."""
    try:
        return isinstance(asyncio.current_task(), CallbackTask)
    except RuntimeError:  # no event loop is running
        return False


def _cancelled_itself(task: asyncio.Task[Any]) -> bool:
    return isinstance(task, CallbackTask) and task.has_cancelled_itself


class CallbackTask(asyncio.Task[None]):
    """A task that runs callbacks.

    It is made without the task factory of the event loop, since an eager one would run the callback
    inside the reader.

    Attributes:
        has_cancelled_itself: whether a callback has called its ``cancel``.
    """

    has_cancelled_itself = False

    def cancel(self, msg: Any = None) -> bool:
        if is_in_task() and asyncio.current_task() is self:
            self.has_cancelled_itself = True
        return super().cancel(msg)

    async def undo_cancel(self) -> None:
        """Continue after a callback that has cancelled this task, its own."""
        self.has_cancelled_itself = False
        with suppress(asyncio.CancelledError):  # which the callback may have left behind
            await asyncio.sleep(0)
        while self.cancelling():
            self.uncancel()


class CallbackSource(Protocol):
    """What has callbacks to call.

    Attributes:
        name: for the log.
        context: in a copy of which each callback runs.
        is_ready: whether its callbacks may run; those behind them wait as long.
    """

    @property
    def name(self) -> str: ...
    @property
    def context(self) -> Context: ...
    @property
    def is_ready(self) -> bool: ...

    def begin(self, item: Any, /) -> tuple[Callback, tuple[object, ...]]:
        """Return the callback for an item, and its arguments: it is called now."""
        ...

    def end(self) -> None:
        """Note that the callback has returned, or what it was awaited for."""
        ...


class _Call:
    """One call of a callback that belongs to no consumer."""

    __slots__ = ("_args", "_callback", "_on_start", "context", "name")
    is_ready: Final = True

    def __init__(
        self,
        name: str,
        context: Context,
        callback: Callback,
        args: tuple[object, ...],
        on_start: Callable[[], None] | None,
    ) -> None:
        self.name = name
        self.context = context
        self._callback = callback
        self._args = args
        self._on_start = on_start

    def begin(self, _: None) -> tuple[Callback, tuple[object, ...]]:
        if self._on_start is not None:
            self._on_start()
        return self._callback, self._args

    def end(self) -> None:
        pass


_Entry: TypeAlias = tuple[CallbackSource, Any]

_running: ContextVar["CallbackQueue"] = ContextVar("aioamqp.running")


class CallbackQueue:
    """Callbacks that run one after another, in a task that ends when the queue is empty.

    Each callback runs in a copy of the context of its source, so that it does not see the context
    variables that the callback before it has set. The task continues with the next callback if its
    context is still the right one, and else another task does.

    Args:
        owner: whose callbacks these are, for the log.
        context: in a copy of which they run, unless they have a context of their own; the current
            context by default.
    """

    __slots__ = ("_context", "_current", "_has_waiters", "_is_over", "_items", "_name", "_owner",
                 "_steps", "_task", "_timer", "_until_handled", "_warned")  # fmt: skip

    def __init__(self, owner: str, context: Context | None = None) -> None:
        self._owner = owner
        self._name = f"aioamqp callbacks of {owner}"
        self._context = self.new_context() if context is None else context.run(self.new_context)
        self._items: deque[_Entry] = deque()
        self._task: CallbackTask | None = None
        self._current: _Entry | None = None
        self._until_handled = Waiters()
        self._has_waiters = False
        self._timer: asyncio.TimerHandle | None = None
        self._warned: _Entry | None = None
        self._steps = 0
        self._is_over = False

    def new_context(self) -> Context:
        """Return a copy of the current context, for callbacks of this queue."""
        context = copy_context()
        context.run(_running.set, self)
        return context

    @property
    def is_caller(self) -> bool:
        """Whether one of these callbacks is the caller, or has started the task that is."""
        return _running.get(None) is self

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
        self.add(_Call(name, self._context, callback, args, on_start), None)

    def add(self, source: CallbackSource, item: Any) -> None:
        """Call the callback of a source with an item, after those that are in the queue."""
        self._items.append((source, item))
        if self._task is None or self._task.done():
            self.start()
        elif self._timer is None and self._current is not None:
            self._watch()

    def items_of(self, source: CallbackSource) -> list[Any]:
        """Return the items of a source that are not being handled."""
        return [item for each, item in self._items if each is source]

    def remove(self, source: CallbackSource) -> list[Any]:
        """Remove the items of a source that are not being handled; return them."""
        removed = self.items_of(source)
        if removed:
            kept = [entry for entry in self._items if entry[0] is not source]
            self._items.clear()
            self._items.extend(kept)
            self.start()  # it may have made the others wait
        return removed

    def start(self) -> None:
        """Start the task if there is something that it can do."""
        if self._is_over:
            return
        if self._task is not None and not self._task.done():  # done if cancelled before its start
            return
        if not self._items:
            return
        source = self._items[0][0]
        if not source.is_ready:
            return
        self._task = CallbackTask(
            self._run(source),
            loop=asyncio.get_running_loop(),
            name=self._name,
            context=source.context.copy(),
        )

    def stop(self) -> None:
        """Call nothing any longer: the event loop ends."""
        self._is_over = True

    async def wait_handled(self) -> None:
        """Wait until a callback has returned."""
        self._has_waiters = True
        await self._until_handled.wait()

    async def _run(self, current: CallbackSource) -> None:
        """Call callbacks as long as the context, a copy of that of ``current``, is right."""
        items, task, is_used = self._items, self._task, False
        assert task is not None
        try:
            while items:
                self._current = entry = items.popleft()
                source, item = entry
                # Mostly, it is the same source, and the context has only ``_running``.
                if source is not current or (is_used and len(copy_context()) != 1):
                    if not source.is_ready or not is_same(copy_context(), source.context):
                        items.appendleft(entry)
                        break
                    current = source
                is_used = True
                if items and self._timer is None:
                    self._watch()
                try:
                    callback, args = source.begin(item)
                    # As in ``run_callback``, but faster.
                    try:
                        result = callback(*args)
                        if type(result) is CoroutineType or (
                            result is not None and isawaitable(result)
                        ):
                            await result
                    except BaseException as error:  # noqa: BLE001 - a callback may raise anything
                        log_failure(source.name, callback, error)
                finally:
                    source.end()
                if self._has_waiters:
                    self._wake_waiters()
                if task.has_cancelled_itself:
                    await task.undo_cancel()
        except (asyncio.CancelledError, SystemExit, KeyboardInterrupt):
            # Not at once: the event loop may be about to end, as in ``asyncio.run``.
            asyncio.get_running_loop().call_later(RESTART, self._restart)
            raise
        finally:
            self._task = self._current = None
            if self._has_waiters:
                self._wake_waiters()
        if items:
            self.start()  # what needs another context

    def _wake_waiters(self) -> None:
        self._has_waiters = False
        self._until_handled.wake()

    def _restart(self) -> None:
        if self._task is None and self._items and self._items[0][0].is_ready:
            text = "The task that runs the callbacks of %s was cancelled: another one continues"
            protocol_logger.warning(text, self._owner)
            self.start()

    def _watch(self) -> None:
        """Watch whether the callback that runs now makes those of other sources wait for long."""
        if self._current is self._warned:  # the log has it already
            return
        self._steps = 0
        self._schedule(self._current, self._first_other())

    def _schedule(self, running: _Entry | None, waiting: _Entry | None) -> None:
        loop = asyncio.get_running_loop()
        step = LONG_WAIT / _STEPS
        self._timer = loop.call_later(step, self._check_progress, running, waiting)

    def _check_progress(self, running: _Entry | None, waiting: _Entry | None) -> None:
        self._timer = None
        first_other = self._first_other()
        if running is None or waiting is None or first_other is None:
            return  # ``add`` watches again
        if self._current is not running or first_other is not waiting:
            self._watch()
            return
        self._steps += 1
        if self._steps < _STEPS:
            self._schedule(running, waiting)
            return
        self._warned = running
        protocol_logger.warning(
            "On %s, %s has waited for %g seconds until the callback of %s returns: callbacks of a"
            " channel run one at a time. If they need not, consume with concurrent=True or on"
            " another channel",
            self._owner,
            waiting[0].name,
            LONG_WAIT,
            running[0].name,
        )

    def _first_other(self) -> _Entry | None:
        """Return what waits for another source's callback, if there is any."""
        if self._current is None:
            return None
        running = self._current[0]
        return next((entry for entry in self._items if entry[0] is not running), None)


def is_same(one: Context, other: Context) -> bool:
    """Return whether two contexts of one queue have the same values; compare by identity."""
    if len(one) != len(other):
        return False
    return all(map(is_, one, other)) and all(map(is_, one.values(), other.values()))
