"""Worker: calls a handler with the messages of a queue, and settles them by its outcome.

state       event                                           next state
NEW         the ``async with`` block is entered, or         RUNNING
            ``run`` is called
RUNNING     ``drain``, a signal, the end of the block       DRAINING: no more deliveries, and
            or of the consumer, the policy "stop"           handlers that run may finish
DRAINING    all handlers have returned, or were cancelled   ENDED
            at the end of their time
"""

# It reads when the deliveries of its channel came, and whether they are stale.
# pyright: reportPrivateUsage=false

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable
from contextlib import contextmanager, suppress
from contextvars import copy_context
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

from amqp_codec import FieldTable

from ._arguments import check_callable
from ._channel.requests import check_timeout
from ._connection.callback_queue import RESTART, CallbackTask, is_in_task, is_same
from ._connection.core import CLOSE_TIMEOUT
from ._connection.recorder import Handling
from ._loggers import channel_logger
from ._retry import (
    Disposal,
    Policy,
    PolicyFunction,
    Republisher,
    Retry,
    attempts_of,
    check_connection,
    check_policy,
)
from .channel import Channel
from .connection import Connection
from .exceptions import AioamqpException, AmqpClosedConnection, ChannelClosed, InvalidArgument
from .message import Message, Messages, NotedMessages

__all__ = ["Handler", "Policy", "PolicyFunction", "Retry", "Worker"]

Handler: TypeAlias = Callable[[Message], Awaitable[Any] | Any]
"""Handles a message; a coroutine function or a plain one."""

ACKNOWLEDGEMENT_TIMEOUT: Final = 1800.0
"""Seconds in which RabbitMQ expects an acknowledgement. RabbitMQ: consumers.html."""

DRAIN_TIMEOUT: Final = 30.0
"""Seconds that handlers have to finish when a worker ends, unless the program sets others."""

_WARN_AT: Final = 0.8  # of the acknowledgement timeout
_LOOKAHEAD: Final = 10  # messages for each handler, to find some with different keys
_MAX_PREFETCH: Final = 65535

_PAUSE: Final = 1.0  # seconds before a message returns to its queue that cannot be dead-lettered

_DESCRIPTIONS: Final[dict[Disposal, str]] = {
    "reject": "it is rejected",
    "dead-letter": "it is dead-lettered",
    "requeue": "it returns to the queue",
    "stop": "it returns to the queue, and the worker stops",
}

_COUNTS: Final = ("x-delivery-count", "x-acquired-count")
"""The headers in which quorum queues count earlier deliveries of a message."""


class _Line(deque[Message]):
    """Messages with the same key, behind the one that is being handled."""

    def __init__(self, key: Hashable) -> None:
        super().__init__()
        self.key = key


class Worker:
    """Calls a handler with the messages of a queue, several at a time, and settles each message.

        async def handle(message):
            ...

        async with aioamqp.Connection("amqp://localhost/") as connection:
            worker = aioamqp.Worker(connection, "orders", handle, on_exception=aioamqp.Retry())
            await worker.run(signals=(signal.SIGTERM, signal.SIGINT))

    A message is acknowledged when its handler returns, unless the handler has settled it. When the
    handler raises an exception, it is logged with its traceback, and ``on_exception`` says what
    happens to the message:

    - "reject": it is rejected, so the server dead-letters it if the queue has a dead-letter
      exchange, and drops it otherwise;
    - "dead-letter": it is published to ``dead_letter_queue`` with the error in its headers, if
      there is such a queue; otherwise as "reject";
    - "requeue": it is returned to the queue, and may be delivered again at once;
    - "stop": it is returned to the queue, and the worker ends with the exception;
    - a ``Retry``: it is tried again after a delay.

    When the connection is lost, handlers that run go on. The server delivers their messages again,
    so a handler must be able to handle a message twice. Settling the old delivery has no effect.
    With ``order_by``, the second handler waits until the first one has returned.

    The worker drains when the block ends, when ``run`` receives a signal, or when the program calls
    ``drain``: deliveries stop, handlers that run may finish, and all other messages return to the
    queue. If an exception leaves the block, handlers are cancelled at once.

    The queue must exist; the worker declares only what a ``Retry`` needs. It can be entered once.

    Args:
        connection: a connection that is open.
        queue: the name of the queue.
        handler: called as ``handler(message)``. A plain function must not block the event loop.
        concurrency: how many handlers run at the same time.
        order_by: returns a key for a message, as ``order_by(message)``. Messages with the same key
            are handled one at a time, in their order; one that is tried again or requeued comes
            behind those that have been delivered. None to handle all beside one another.
        on_exception: what to do with a message whose handler has failed; or a function that
            returns it, called as ``on_exception(message, error)``.
        dead_letter_queue: the name of the queue for dead letters, which must exist; None to leave
            them to the server.
        max_deliveries: how often a message may be delivered. After so many deliveries that were
            not acknowledged, it is handled as by "dead-letter" instead. Only quorum queues count
            deliveries. None for no limit.
        prefetch_count: messages that may be delivered and not settled; None for as many as there
            are handlers, or ten times as many with ``order_by``.
        consumer_tag: empty for a new one.
        arguments: of the consumer, such as ``{"x-priority": 10}``.
        acknowledgement_timeout: seconds after which the server ends the channel, or the consumer,
            over a message that is not acknowledged, as it is configured there. At 80 % of it, a
            warning is logged. None for no warning.
        drain_timeout: seconds that handlers have to finish when the worker drains; those that take
            longer are cancelled, and their messages return to the queue. None for no limit.

    Raises:
        InvalidArgument: an argument is wrong.
    """

    def __init__(
        self,
        connection: Connection,
        queue: str,
        handler: Handler,
        concurrency: int = 10,
        *,
        order_by: Callable[[Message], Hashable] | None = None,
        on_exception: Policy | PolicyFunction = "reject",
        dead_letter_queue: str | None = None,
        max_deliveries: int | None = None,
        prefetch_count: int | None = None,
        consumer_tag: str = "",
        arguments: FieldTable | None = None,
        acknowledgement_timeout: float | None = ACKNOWLEDGEMENT_TIMEOUT,
        drain_timeout: float | None = DRAIN_TIMEOUT,
    ) -> None:
        check_connection(connection)
        if cast("object", handler) is None:
            raise InvalidArgument("must be a function", ("handler",))
        check_callable("handler", handler, ("message",))
        check_callable("order_by", order_by, ("message",))
        if callable(on_exception):
            check_callable("on_exception", on_exception, ("message", "error"))
        else:
            check_policy(on_exception)
        _check_count(concurrency, "concurrency")
        if max_deliveries is not None:
            _check_count(max_deliveries, "max_deliveries")
        if prefetch_count is None:
            lookahead = 1 if order_by is None else _LOOKAHEAD
            prefetch_count = min(concurrency * lookahead, _MAX_PREFETCH)
        check_timeout(acknowledgement_timeout, "acknowledgement_timeout")
        if acknowledgement_timeout == 0:
            text = "must be more than 0 seconds; None for no warning"
            raise InvalidArgument(text, ("acknowledgement_timeout",))
        check_timeout(drain_timeout, "drain_timeout")
        self._connection = connection
        self._queue = queue
        self._handler = handler
        self._concurrency = concurrency
        self._order_by = order_by
        self._on_exception: Policy | PolicyFunction = on_exception
        self._max_deliveries = max_deliveries
        self._prefetch_count = prefetch_count
        self._consumer_tag = consumer_tag
        self._arguments = arguments
        self._acknowledgement_timeout = acknowledgement_timeout
        self._drain_timeout = drain_timeout
        self._republisher = Republisher(connection, queue, dead_letter_queue)
        self._has_dead_letter_queue = dead_letter_queue is not None
        self._context = copy_context()
        self._channel: Channel | None = None
        self._messages: Messages | None = None
        self._runners: set[asyncio.Task[None]] = set()
        self._lines: dict[Hashable, _Line] = {}
        self._handling = 0
        self._error: Exception | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._last_warned = 0
        self._is_entered = False
        self._is_asked_to_end = False
        self._until_ending = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._patience: asyncio.Timeout | None = None
        self._patient_until: float | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of queue {self._queue!r}, {self._handling} being handled>"

    @property
    def handling(self) -> int:
        """The number of messages that are being handled."""
        return self._handling

    @property
    def is_running(self) -> bool:
        """Whether it consumes: it is neither draining nor has it ended."""
        return self._messages is not None and self._ending is None

    # ---------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(self._drain_timeout if error is None else 0.0)

    async def run(self, *, signals: Iterable[signal.Signals] = ()) -> None:
        """Handle messages until the worker has ended; start it first if it is not entered.

        Args:
            signals: such as ``(signal.SIGTERM, signal.SIGINT)``: the first one drains the worker,
                and the next one cancels the handlers that still run. Their handlers are restored
                afterwards. Signals can only be handled in the main thread.

        Raises:
            ConsumerCancelled, ChannelClosed, AmqpClosedConnection: what ended the consumer, unless
                the program did.
            Exception: that of the handler, with the policy "stop".
        """
        with self._handling_signals(signals):
            if self._messages is not None:
                await self._wait_ended()
            else:
                async with self:
                    await self._wait_ended()
        if self._error is not None:
            raise self._error

    async def drain(self, timeout: float | None = None) -> None:
        """Stop deliveries, and wait until the handlers that run have returned.

        All other messages return to the queue. It may be called again, also to wait less. Called
        by a handler it does not wait, since it would wait for itself.

        Args:
            timeout: seconds after which handlers are cancelled; None for ``drain_timeout``.
        """
        check_timeout(timeout)
        if self._messages is None:
            return
        seconds = self._drain_timeout if timeout is None else timeout
        if asyncio.current_task() in self._runners:
            self._begin_end(seconds)
        else:
            await asyncio.shield(self._begin_end(seconds))

    async def _start(self) -> None:
        if self._is_entered:
            raise RuntimeError("A worker can be entered once: make another one")
        self._is_entered = True
        self._context = copy_context()
        try:
            if not callable(self._on_exception) or self._has_dead_letter_queue:
                await self._republisher.declare(self._on_exception)
            self._channel = channel = await self._connection.channel()
            messages = channel.consume(
                self._queue,
                prefetch_count=self._prefetch_count,
                consumer_tag=self._consumer_tag,
                arguments=self._arguments,
            )
            if isinstance(messages, NotedMessages):
                messages.is_loop = False  # ``_handle`` notes the handlers
            await messages.__aenter__()
        except BaseException:
            await self._close_channels()
            raise
        self._messages = messages
        self._warn_of_dropping()
        self._watch_age()
        for _ in range(self._concurrency):
            self._start_runner(None)

    def _warn_of_dropping(self) -> None:
        """Warn if dead letters are dropped, as far as the connection has declared the queue."""
        policy = self._on_exception
        final = policy.then if isinstance(policy, Retry) else policy
        declared = self._connection.topology.queues.get(self._queue)
        if final != "dead-letter" or self._has_dead_letter_queue or declared is None:
            return
        if "x-dead-letter-exchange" not in declared.arguments:
            channel_logger.warning(
                "Queue %r was declared without x-dead-letter-exchange: unless a policy of the"
                " server sets one, its dead letters are dropped. Declare it, or give the worker a"
                " dead_letter_queue",
                self._queue,
            )

    # ---------------------------------------------------------------- the end

    async def _wait_ended(self) -> None:
        if self._is_asked_to_end:
            self._begin_end(self._drain_timeout)
        await self._until_ending.wait()
        assert self._ending is not None
        await asyncio.shield(self._ending)

    async def _end(self, seconds: float | None) -> None:
        """Drain; if the caller is cancelled meanwhile, cancel the handlers."""
        try:
            await asyncio.shield(self._begin_end(seconds))
        except asyncio.CancelledError:
            await asyncio.wait([self._begin_end(0.0)])
            raise

    def _begin_end(self, seconds: float | None) -> asyncio.Task[None]:
        """Begin to drain, or leave less time for it; return the task that does it."""
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        if self._ending is None:
            self._patient_until = until
            # Not by the task factory of the loop: an eager one would run it before this returns.
            self._ending = asyncio.Task(self._drain(), loop=loop, name="aioamqp worker drains")
            self._until_ending.set()
        elif until is not None and (self._patient_until is None or until < self._patient_until):
            self._patient_until = until
            if self._patience is not None:
                with suppress(RuntimeError):  # the time has passed already
                    self._patience.reschedule(until)
        return self._ending

    async def _drain(self) -> None:
        assert self._messages is not None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._patient_until) as self._patience:
                    await self._messages.aclose()
                    while self._runners:
                        await asyncio.wait(self._runners)
            await self._cancel_runners()
        finally:
            if self._watch is not None:
                self._watch.cancel()
            await self._close_channels()

    async def _cancel_runners(self) -> None:
        if self._handling:
            channel_logger.warning(
                "%d handlers of queue %r are cancelled, since they have not returned in time;"
                " their messages return to the queue",
                self._handling,
                self._queue,
            )
        for runner in self._runners:
            runner.cancel()
        if self._runners:
            await asyncio.wait(self._runners, timeout=CLOSE_TIMEOUT)
        if self._handling:
            text = "%d handlers of queue %r go on although they were cancelled"
            channel_logger.warning(text, self._handling, self._queue)

    async def _close_channels(self) -> None:
        try:
            await self._republisher.close()
        finally:
            if self._channel is not None and self._channel.is_open:
                with suppress(AmqpClosedConnection, ChannelClosed, TimeoutError):
                    await self._channel.close()

    def _fail(self, error: Exception) -> None:
        """End with an error; the first one is raised by ``run``."""
        if self._ending is None:
            self._error = error
            channel_logger.warning("The worker of queue %r ends: %s", self._queue, error)
            self._begin_end(self._drain_timeout)

    # ---------------------------------------------------------------- signals

    @contextmanager
    def _handling_signals(self, signals: Iterable[signal.Signals]) -> Generator[None]:
        loop = asyncio.get_running_loop()

        def on_signal(number: int, _frame: object) -> None:
            loop.call_soon_threadsafe(self._handle_signal, signal.Signals(number))

        previous: dict[signal.Signals, Any] = {}
        try:
            for each in signals:
                previous[each] = signal.signal(each, on_signal)
            yield
        finally:
            for each, handler in previous.items():
                signal.signal(each, signal.SIG_DFL if handler is None else handler)

    def _handle_signal(self, received: signal.Signals) -> None:
        if self._messages is None:
            self._is_asked_to_end = True  # when it has started
            return
        is_first = self._ending is None
        channel_logger.info(
            "%s: the worker of queue %r %s",
            received.name,
            self._queue,
            "drains" if is_first else "cancels its handlers",
        )
        self._begin_end(self._drain_timeout if is_first else 0.0)

    # ---------------------------------------------------------------- messages

    def _start_runner(self, line: _Line | None) -> None:
        runner = CallbackTask(
            self._run_handlers(line),
            loop=asyncio.get_running_loop(),
            name=f"aioamqp worker of {self._queue}",
            context=self._context.copy(),
        )
        self._runners.add(runner)
        runner.add_done_callback(lambda _: self._end_runner(runner, line))

    def _end_runner(self, runner: asyncio.Task[None], line: _Line | None) -> None:
        """Start another runner if this one was cancelled, or has raised SystemExit.

        Not at once: the event loop may be about to end, as in ``asyncio.run``.
        """
        self._runners.discard(runner)
        if self._ending is None and (runner.cancelled() or runner.exception() is not None):
            asyncio.get_running_loop().call_later(RESTART, self._replace_runner, line)

    def _replace_runner(self, line: _Line | None) -> None:
        if self._ending is not None:
            return
        text = "A task that runs handlers of queue %r was cancelled: another one continues"
        channel_logger.warning(text, self._queue)
        # If it was cancelled before it began, nobody has left its line.
        is_kept = line is not None and self._lines.get(line.key) is line
        self._start_runner(line if is_kept else None)

    async def _run_handlers(self, line: _Line | None) -> None:
        """Handle messages one after another.

        Args:
            line: to continue with; None to begin with the next delivery.
        """
        is_continued = False
        try:
            while True:
                message, line = await self._next(line)
                if message is None:
                    break
                await self._handle(message)
                if not is_same(copy_context(), self._context):
                    # The next handler must not see the context variables that this one has set.
                    self._start_runner(line)
                    is_continued = True
                    return
            self._begin_end(self._drain_timeout)
        except Exception as error:  # noqa: BLE001 - what ended the consumer: run() raises it
            self._fail(error)
        finally:
            if line is not None and not is_continued:
                await self._leave(line)

    async def _next(self, line: _Line | None) -> tuple[Message | None, _Line | None]:
        """Return the next message to handle, and its line; None at the end."""
        if line is not None:
            if line and self._ending is None:
                return line.popleft(), line
            await self._leave(line)
        assert self._messages is not None
        order_by = self._order_by
        async for message in self._messages:
            if order_by is None:
                return message, None
            try:
                key = order_by(message)
                line = self._lines.get(key)
            except Exception as error:  # noqa: BLE001 - a function of the program raises anything
                await self._failed(message, error)
                continue
            if line is None:
                line = self._lines[key] = _Line(key)
                return message, line
            line.append(message)
        return None, None

    async def _leave(self, line: _Line) -> None:
        """Forget a line, and return the messages in it to the queue."""
        if self._lines.get(line.key) is line:
            del self._lines[line.key]
        while line:
            await self._settle(line.popleft().nack())

    async def _handle(self, message: Message) -> None:
        self._handling += 1
        try:
            if self._is_poison(message):
                await self._dead_letter_poison(message)
                return
            with message._handling(self._queue) as handling:
                await self._call_handler(message, handling)
        except BaseException:
            await self._return_to_queue(message)
            raise
        finally:
            self._handling -= 1

    async def _call_handler(self, message: Message, handling: Handling | None) -> None:
        try:
            result = self._handler(message)
            if isawaitable(result):
                result = await result
        except asyncio.CancelledError as cancelled:
            if not await _goes_on():
                raise
            await self._note_failed(message, _as_exception(cancelled), handling)
        except (SystemExit, KeyboardInterrupt):
            raise
        except GeneratorExit as error:
            if not is_in_task():
                raise
            await self._note_failed(message, _as_exception(error), handling)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            await self._note_failed(message, error, handling)
        except BaseException as error:  # noqa: BLE001 - or else the runner would end unnoticed
            await self._note_failed(message, _as_exception(error), handling)
        else:
            await self._succeeded(message, result)

    async def _note_failed(
        self, message: Message, error: Exception, handling: Handling | None
    ) -> None:
        if handling is not None:
            handling.error = error
        await self._failed(message, error)

    async def _succeeded(self, message: Message, result: Any) -> None:
        """Settle a message whose handler has returned."""
        del result
        if not message.is_settled:
            await self._settle(message.ack())

    async def _failed(self, message: Message, error: Exception) -> None:
        """Settle a message whose handler has raised an exception."""
        policy = self._policy_for(message, error)
        attempts = attempts_of(message)
        what = _describe(message, policy, attempts)
        channel_logger.error(
            "The handler of queue %r has failed with %r, attempt %d: %s",
            self._queue,
            message,
            attempts + 1,
            what,
            exc_info=error,
        )
        if isinstance(policy, Retry):
            if attempts < len(policy.delays):
                await self._retry(message, error, policy.delays[attempts])
                return
            policy = policy.then
        await self._dispose(message, error, policy)

    def _policy_for(self, message: Message, error: Exception) -> Policy:
        policy = self._on_exception
        if not callable(policy):
            return policy
        try:
            chosen = policy(message, error)
            check_policy(chosen)
        except Exception as failure:  # noqa: BLE001 - a function of the program raises anything
            channel_logger.error("on_exception has failed: the worker stops", exc_info=failure)
            return "stop"
        return chosen

    async def _retry(self, message: Message, error: Exception, delay: float) -> None:
        await self._republish(
            message, delay, lambda: self._republisher.delay(message, error, delay)
        )

    async def _dispose(self, message: Message, error: Exception, policy: Disposal) -> None:
        match policy:
            case "requeue":
                await self._return_to_queue(message)
            case "stop":
                await self._return_to_queue(message)
                self._fail(error)
            case "dead-letter" if self._has_dead_letter_queue:
                await self._republish(
                    message, _PAUSE, lambda: self._republisher.dead_letter(message, error)
                )
            case _:
                if not message.is_settled:
                    await self._settle(message.reject())

    async def _republish(
        self, message: Message, pause: float, publish: Callable[[], Awaitable[None]]
    ) -> None:
        """Publish a message to another queue, then acknowledge it.

        Args:
            message: that was delivered.
            pause: seconds after which it returns to its queue instead, if that fails.
            publish: publishes it, and waits for the publisher confirm.
        """
        if message.is_settled or _is_requeued(message):
            return
        # It is finished even if the handler is cancelled now, or else there might be two of it.
        loop = asyncio.get_running_loop()
        moving = asyncio.Task(self._move(message, publish), loop=loop, name="aioamqp worker moves")
        try:
            failure = await asyncio.shield(moving)
        except asyncio.CancelledError:
            await asyncio.wait([moving], timeout=CLOSE_TIMEOUT)
            moving.cancel()
            raise
        if failure is None or _is_requeued(message):
            return
        channel_logger.warning(
            "%r cannot be published again; it returns to queue %r in %g seconds: %s",
            message,
            self._queue,
            pause,
            failure,
        )
        await asyncio.sleep(pause)
        await self._return_to_queue(message)

    async def _move(
        self, message: Message, publish: Callable[[], Awaitable[None]]
    ) -> Exception | None:
        """Publish a message elsewhere and acknowledge it; return the error if that fails."""
        try:
            await publish()
        except (AioamqpException, InvalidArgument) as error:
            return error
        await self._settle(message.ack())
        return None

    async def _return_to_queue(self, message: Message) -> None:
        if not message.is_settled:
            await self._settle(message.nack())

    async def _settle(self, settling: Awaitable[bool]) -> bool:
        """Settle a message; return False if the server has queued it again."""
        try:
            return await settling
        except (AmqpClosedConnection, ChannelClosed):
            return False

    def _is_poison(self, message: Message) -> bool:
        most = self._max_deliveries
        return most is not None and _deliveries_before(message) >= most

    async def _dead_letter_poison(self, message: Message) -> None:
        count = _deliveries_before(message)
        text = f"It was delivered {count} times and never settled"
        channel_logger.warning("%r of queue %r is dead-lettered: %s", message, self._queue, text)
        await self._dispose(message, RuntimeError(text), "dead-letter")

    # ---------------------------------------------------------------- acknowledgement timeout

    def _watch_age(self) -> None:
        """Warn of messages that must be acknowledged soon; do so again when the next one is due.

        The server counts from the delivery, also while the message waits for a handler.
        """
        limit = self._acknowledgement_timeout
        if limit is None or self._channel is None:
            return
        loop = asyncio.get_running_loop()
        now, core = loop.time(), self._channel._core
        due = now + _WARN_AT * limit
        for tag, (_, delivered) in (core.consumers.unacked or {}).items():
            if delivered + _WARN_AT * limit > now:
                due = delivered + _WARN_AT * limit
                break
            if tag + core.tag_offset > self._last_warned:
                self._last_warned = tag + core.tag_offset
                channel_logger.warning(
                    "Delivery %d of queue %r has not been acknowledged for %g seconds; after %g"
                    " seconds the server ends the consumer. Let the handler finish sooner, lower"
                    " the prefetch_count, or raise consumer_timeout on the server",
                    self._last_warned,
                    self._queue,
                    now - delivered,
                    limit,
                )
        self._watch = loop.call_at(due, self._watch_age)


def _check_count(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument("must be a number from 1", (name,))


def _as_exception(raised: BaseException) -> Exception:
    error = RuntimeError(f"The handler has raised {raised!r}")
    error.__cause__ = raised
    return error


def _is_requeued(message: Message) -> bool:
    """Return whether the server has queued a message again: its channel or connection has ended."""
    return message._core.is_superseded or not message.channel.is_open


async def _goes_on() -> bool:
    """Return whether the task goes on after a CancelledError: it is not cancelled from outside."""
    task = asyncio.current_task()
    if isinstance(task, CallbackTask) and task.has_cancelled_itself:  # so the handler has
        await task.undo_cancel()
    return task is None or not task.cancelling()


def _deliveries_before(message: Message) -> int:
    """Return how often a quorum queue has delivered a message before."""
    headers = message.properties.headers or {}
    counts = [headers.get(name) for name in _COUNTS]
    return max((count for count in counts if isinstance(count, int)), default=0)


def _describe(message: Message, policy: Policy, attempts: int) -> str:
    """Return what happens to a message, for the log."""
    if message.is_settled:
        return "it has settled the message itself"
    if _is_requeued(message) and policy != "stop":
        return "the message is delivered again, since its connection was lost"
    if isinstance(policy, Retry):
        if attempts < len(policy.delays):
            return f"it is tried again in {policy.delays[attempts]:g} seconds"
        policy = policy.then
    return _DESCRIPTIONS[policy]
