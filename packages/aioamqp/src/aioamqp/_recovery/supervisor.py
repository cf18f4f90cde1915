"""The task that keeps a ``Connection`` open: it connects, restores, and waits for the loss."""

# It shares the cores of the protocol.
# pyright: reportPrivateUsage=false

import asyncio
import inspect
import os
import random
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from amqp_codec import Method, ReplyCode

from .._channel.consumer import Consumer
from .._channel.recovery import Recovery
from .._connection.callback_queue import CallbackQueue
from .._connection.waiters import Waiters
from .._loggers import protocol_logger
from ..auth import LoginMethod
from ..callbacks import ErrorCallback
from ..connecting import arguments_of, connect_with
from ..dial import addresses_of
from ..exceptions import (
    AcknowledgementTimeout,
    AioamqpException,
    AmqpClosedConnection,
    ChannelClosed,
    ConnectionFailed,
    HandshakeFailed,
    reason,
)
from ..protocol import OPEN, AmqpProtocol
from ..uri import AmqpUrl, default_port
from .backoff import Backoff
from .loop_watch import LoopWatch
from .restore import Restorer
from .state import ConnectionState, Health, StateChange, Unrestored
from .topology import Recover, Topology

Credentials: TypeAlias = Callable[[], "tuple[str, str] | Awaitable[tuple[str, str]]"]
"""Returns the login and the password for one attempt to connect; it may be a coroutine function."""

MOST_CHANGES: Final = 1000
"""Changes of state that are kept for one iterator that does not ask for them; the oldest go."""

CONNECTING: Final = ConnectionState.CONNECTING
RECOVERING: Final = ConnectionState.RECOVERING
CLOSED: Final = ConnectionState.CLOSED


class Target(NamedTuple):
    """One address to connect to.

    Attributes:
        url: that it is from.
        host: the name, or one of its addresses.
        name: the host of the URL, which a certificate must have.
    """

    url: AmqpUrl
    host: str
    name: str

    def __str__(self) -> str:
        port = self.url.port or default_port(is_secure=self.url.is_secure)
        return f"{self.host}:{port}"


class Supervisor:
    """Keeps a connection open, and restores its channels. It is the ``Link`` of these.

    Args:
        urls: of the servers.
        login_method: see ``connect``.
        options: for ``connect``, by name.
        reconnect: when to try again; None not to.
        recover: what to declare again.
        credentials: asked for login and password before each attempt; None to use the URL's.
        wait_timeout: seconds that a call waits for recovery at most; None for no limit.
        shuffle: whether to try the addresses in random order.
        on_error: called with the error when the connection has ended without the program's asking.
        on_state_change: called with each StateChange.

    Attributes:
        state: of the connection.
        topology: what was declared.
        error: why the connection is CLOSED; None if it is not, or if the program closed it.
        target: the server in use, or tried last.
        attempt: how many attempts to connect have been made since the connection was last open.
    """

    def __init__(
        self,
        urls: list[AmqpUrl],
        login_method: LoginMethod,
        options: Mapping[str, Any],
        *,
        reconnect: Backoff | None,
        recover: Recover,
        credentials: Credentials | None,
        wait_timeout: float | None,
        shuffle: bool,
        on_error: ErrorCallback | None,
        on_state_change: Callable[[StateChange], object] | None,
    ) -> None:
        self.state: ConnectionState = CONNECTING
        self.topology: Topology = Topology()
        self.error: Exception | None = None
        self.target: Target | None = None
        self.attempt: int = 0
        self.wait_timeout: float | None = wait_timeout
        self.last_error: Exception | None = None
        self._urls = urls
        self._login_method: LoginMethod = login_method
        self._options = options
        self._reconnect = reconnect
        self._recover: Recover = recover
        self._credentials = credentials
        self._shuffle = shuffle
        self._on_error = on_error
        self._on_state_change = on_state_change
        self._protocol: AmqpProtocol | None = None
        self._channels: dict[int, Recovery] = {}
        self._last_key = 0
        self._task: asyncio.Task[None] | None = None
        self._restoring: set[asyncio.Task[None]] = set()
        self._callbacks: CallbackQueue | None = None
        self._until_changed = Waiters()
        self._subscribers: weakref.WeakSet[_Changes] = weakref.WeakSet()
        self._since = 0.0
        self._unrestored: tuple[Unrestored, ...] = ()
        self._is_closing = False

    # ---------------------------------------------------------------- for Connection

    @property
    def protocol(self) -> AmqpProtocol:
        """The protocol in use, or the last one."""
        if self._protocol is None:
            raise AmqpClosedConnection("The connection is not open yet: enter it first")
        return self._protocol

    @property
    def has_protocol(self) -> bool:
        """Whether there is or was an AMQP connection."""
        return self._protocol is not None

    @property
    def has_started(self) -> bool:
        """Whether ``start`` was called."""
        return self._task is not None

    @property
    def channels(self) -> list[Recovery]:
        """The channels that are restored."""
        return list(self._channels.values())

    @property
    def seconds_in_state(self) -> float:
        """How long the connection has been in its state."""
        return asyncio.get_running_loop().time() - self._since

    @property
    def health(self) -> Health:
        """Whether the connection can be used now, and why not."""
        if self.state is CLOSED:
            text = "The program closed the connection" if self.error is None else reason(self.error)
            return Health(False, text)
        protocol = self._protocol
        if self.state is not ConnectionState.OPEN or protocol is None or not protocol.is_open:
            return Health(False, reason(self.waiting_error()))
        if protocol.blocked:
            return Health(False, f"The server blocks publishers: {protocol.blocked.reason}")
        if self._unrestored:
            missing = "; ".join(f"{what}: {reason(error)}" for what, error in self._unrestored)
            return Health(False, f"Not everything was restored: {missing}")
        return Health(True, f"The connection to {self.target} is open")

    def start(self) -> None:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        self._callbacks = CallbackQueue("the connection")
        # Not by the task factory of the loop: an eager one would run it before this returns.
        self._task = asyncio.Task(self._run(), loop=loop, name="aioamqp supervisor")

    async def wait_open(self, timeout: float | None, *, limit: float | None = None) -> None:
        """Wait until the connection is open.

        Args:
            timeout: seconds after which to raise TimeoutError; None for ``limit`` only.
            limit: seconds after which to raise the error of the last attempt, or one that names it
                if the connection has been open before; None for none.
        """
        deadline = asyncio.timeout(
            min((each for each in (timeout, limit) if each is not None), default=None)
        )
        try:
            async with deadline:
                while self.state is not ConnectionState.OPEN or not self.protocol.is_open:
                    # If it is OPEN, the loss has just happened: the supervisor notes it next.
                    self.check_not_closed()
                    await self._until_changed.wait()
        except TimeoutError:
            if not deadline.expired():
                raise
            error = self.waiting_error()
            if timeout is None or (limit is not None and limit < timeout):
                raise error from error.__cause__
            raise TimeoutError(
                f"The connection is not open after {timeout:g} seconds: {reason(error)}"
            ) from None

    def check_not_closed(self) -> None:
        """Raise the error that ended the connection, if it is CLOSED.

        Raises:
            AmqpClosedConnection: it is.
        """
        if self.state is not CLOSED:
            return
        if isinstance(self.error, AmqpClosedConnection) and self._protocol is None:
            raise self.error  # it was never open
        if self.error is None:
            raise AmqpClosedConnection("The program closed the connection")
        raise AmqpClosedConnection(
            f"The connection is closed: {reason(self.error)}"
        ) from self.error

    async def open_channel(
        self,
        deadline: float | None,
        open_one: Callable[[AmqpProtocol, float | None], Awaitable[Any]],
    ) -> Any:
        """Open a channel that recovers; wait for the connection, and open it again if it is lost.

        Args:
            deadline: the event loop's time at which to give up; None for ``wait_timeout`` only.
            open_one: opens a channel of a protocol within so many seconds.
        """
        loop = asyncio.get_running_loop()
        while True:
            left = None if deadline is None else max(0.0, deadline - loop.time())
            await self.wait_open(left, limit=self.wait_timeout)
            protocol = self.protocol
            left = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                channel = await open_one(protocol, left)
            except (AmqpClosedConnection, ChannelClosed):
                if protocol.state == OPEN or not self.recovers():
                    raise
                continue
            if not channel.is_open:  # it was lost in the very turn in which it was opened
                if protocol.state != OPEN and self.recovers():
                    continue
                return channel
            self._last_key += 1
            recovery = Recovery(self, channel, self._last_key)
            channel._core.recovery = recovery
            channel._core.consumers.unacked = {}
            self.add(recovery)
            return channel

    async def close(self, timeout: float | None, drain: float | None) -> None:
        """Close the connection; in the middle of recovery, give it up."""
        self._is_closing = True
        protocol = self._protocol
        try:
            if self.state is ConnectionState.OPEN and protocol is not None and protocol.is_open:
                with suppress(AmqpClosedConnection):  # it has just been lost
                    await protocol.close(timeout=timeout, drain=drain)
        finally:
            await self._stop()
            self._end(None)

    async def _stop(self) -> None:
        tasks = [task for task in (self._task, *self._restoring) if task is not None]
        for task in tasks:
            task.cancel()
        protocol = self._protocol
        if protocol is not None and protocol._core is not None and not protocol._core.failure:
            protocol._break_off(AmqpClosedConnection("The program closed the connection"), True)
        # A program's ``credentials`` may be the caller: it would wait for itself.
        others = [task for task in tasks if task is not asyncio.current_task()]
        await asyncio.gather(*others, return_exceptions=True)
        if protocol is not None:
            await protocol.wait_closed()

    # ---------------------------------------------------------------- for channels: see Link

    def recovers(self) -> bool:
        """Return whether the connection recovers when it is lost now."""
        return self._reconnect is not None and not self._is_closing and self.state is not CLOSED

    async def wait_protocol(self) -> AmqpProtocol:
        """Wait until the connection is open; return its protocol."""
        await self.wait_open(None, limit=self.wait_timeout)
        return self.protocol

    def record(self, recovery: Recovery, method: Method) -> None:
        """Record a request that has succeeded."""
        self.topology.record(method, recovery.key)

    def forget_consumer(self, recovery: Recovery, tag: str) -> None:
        """Forget a consumer that the server has cancelled."""
        self.topology.forget_consumer(tag, recovery.key)

    def resolve_cancel(
        self, recovery: Recovery, consumer: Consumer, late: AcknowledgementTimeout
    ) -> None:
        """Find out whether a consumer was cancelled because it did not acknowledge in time."""
        restorer = Restorer(self.protocol, self.topology, self._recover)
        self._begin(restorer, restorer.resolve_cancel(recovery, consumer, late))

    def new_queue_name(self) -> str:
        """Return a name for a queue that is declared without one, so that it keeps its name."""
        return f"aioamqp-{os.urandom(16).hex()}"

    def is_stream(self, queue: str) -> bool:
        """Return whether the program has declared a queue as a stream."""
        declared = self.topology.queues.get(queue)
        return declared is not None and declared.arguments.get("x-queue-type") == "stream"

    def waiting_error(self) -> AmqpClosedConnection:
        """Create the error for a call that has waited too long."""
        cause = self.last_error
        if self._protocol is None and isinstance(cause, AmqpClosedConnection):
            return cause  # so that ``except ConnectionRefusedError`` works, as for ``connect``
        why = "it has not been opened yet" if cause is None else reason(cause)
        error = AmqpClosedConnection(
            f"There has been no connection for {self.seconds_in_state:.1f} seconds, after"
            f" {self.attempt} attempts: {why}"
        )
        error.__cause__ = cause
        return error

    def add(self, recovery: Recovery) -> None:
        """Restore a channel from now on."""
        self._channels[recovery.key] = recovery

    def remove(self, recovery: Recovery) -> None:
        """Restore a channel no longer: it has ended."""
        if self._channels.pop(recovery.key, None) is not None:
            self.topology.forget_channel(recovery.key)

    def restore(self, recovery: Recovery) -> None:
        """Restore one channel that the server has closed, on the connection that is open."""
        restorer = Restorer(self.protocol, self.topology, self._recover)
        self._begin(restorer, restorer.restore([recovery], declare=False))

    def restart(self, recovery: Recovery, consumer: Consumer) -> None:
        """Start a consumer again when its queue is back."""
        restorer = Restorer(self.protocol, self.topology, self._recover)
        backoff = self._reconnect or Backoff()
        self._begin(restorer, restorer.wait_and_restart(recovery, consumer, backoff))

    def _restart_queueless(self, restorer: Restorer) -> None:
        queueless, restorer.queueless = restorer.queueless, []
        for recovery, consumer in queueless:
            self.restart(recovery, consumer)

    def _begin(self, restorer: Restorer, restoring: Coroutine[Any, Any, None]) -> None:
        """Restore something beside the supervisor's task, on the connection that is open."""
        protocol = self.protocol

        async def run() -> None:
            if await _in_time(protocol, restoring):
                self._report(restorer.take_unrestored())
                self._restart_queueless(restorer)
                if await _in_time(protocol, restorer.retry()):
                    self._report(restorer.take_unrestored())
                    self._restart_queueless(restorer)

        loop = asyncio.get_running_loop()
        # Not by the task factory of the loop: an eager one would run it inside the reader.
        task = asyncio.Task(run(), loop=loop, name="aioamqp restore")
        self._restoring.add(task)
        task.add_done_callback(self._restoring.discard)
        task.add_done_callback(lambda _: restoring.close())

    # ---------------------------------------------------------------- changes of state

    def changes(self) -> AsyncIterator[StateChange]:
        """Return an iterator over the changes from now on, until the connection is CLOSED."""
        changes = _Changes(self._subscribers)
        if self.state is CLOSED:
            changes.end()
        return changes

    def _change(
        self,
        new: ConnectionState,
        error: Exception | None = None,
        unrestored: tuple[Unrestored, ...] = (),
    ) -> None:
        old, self.state = self.state, new
        if new is not old:
            self._since = asyncio.get_running_loop().time()
            self._unrestored = ()
        self._unrestored += unrestored
        address = None if self.target is None else str(self.target)
        change = StateChange(old, new, error, self.attempt, address, unrestored)
        for subscriber in list(self._subscribers):
            subscriber.put(change)
            if new is CLOSED:
                subscriber.end()
        if self._on_state_change is not None and self._callbacks is not None:
            self._callbacks.put("on_state_change", self._on_state_change, change)
        self._until_changed.wake()

    def _report(self, unrestored: tuple[Unrestored, ...]) -> None:
        if unrestored:
            self._change(self.state, unrestored[0].error, unrestored)

    def _end(self, error: Exception | None) -> None:
        """Change to CLOSED; the first error wins."""
        if self.state is CLOSED:
            return
        self.error = error
        if error is not None:
            self.last_error = error
            protocol_logger.warning("The connection is given up: %s", reason(error))
            if self._on_error is not None and self._callbacks is not None:
                self._callbacks.put("on_error", self._on_error, error)
        self._change(CLOSED, error)
        ended = error or AmqpClosedConnection("The program closed the connection")
        for recovery in self.channels:
            recovery.core.end(ended, asked_for=error is None)

    # ---------------------------------------------------------------- the task

    async def _run(self) -> None:
        try:
            await self._keep_open()
        except asyncio.CancelledError:
            if not self._is_closing:  # the event loop ends, or so the program has asked for
                self._break_off(AmqpClosedConnection("The task that keeps it open was cancelled"))
            self._end(None)
            raise
        except Exception as error:  # noqa: BLE001 - or else it would be raised in no call
            protocol_logger.exception("The connection cannot be restored")
            self._break_off(error)

    def _break_off(self, error: Exception) -> None:
        """End the connection because of an error, and its link with it."""
        self._end(error)
        protocol = self._protocol
        if protocol is not None and protocol._core is not None and not protocol._core.failure:
            protocol._core.writer.flush_until_full()
            protocol._break_off(error, True)

    async def _keep_open(self) -> None:
        loop = asyncio.get_running_loop()
        failures = quick_losses = 0
        while True:
            if failures and not await self._wait_before(failures):
                return
            try:
                protocol = await self._connect()
            except Exception as failure:  # noqa: BLE001 - also what the program's callables raise
                self.last_error = failure
                if self._reconnect is None or self._is_final(failure):
                    self._end(failure)
                    return
                failures += 1
                self._change(self.state, failure)
                continue
            opened = loop.time()
            await self._use(protocol)
            assert protocol._core is not None
            error = protocol._core.failure
            if protocol._core.is_closed_by_program:
                self._end(None)
                return
            self.last_error = error
            if self._reconnect is None:
                self._end(error)
                return
            # One that is lost again and again does not count as open in between.
            is_quick = loop.time() - opened < self._reconnect.maximum
            quick_losses = quick_losses + 1 if is_quick else 0
            failures = 1 + quick_losses

    async def _wait_before(self, failures: int) -> bool:
        """Wait before the next attempt to connect; return False if there is none."""
        backoff = self._reconnect
        error = self.last_error
        if backoff is None or (self.attempt and backoff.is_exhausted(self.attempt)):
            self._end(error)
            return False
        delay = backoff.delay(failures)
        protocol_logger.warning(
            "Connecting again in %.1f seconds, attempt %d: %s",
            delay,
            self.attempt + 1,
            "" if error is None else reason(error),
        )
        await asyncio.sleep(delay)
        return True

    async def _use(self, protocol: AmqpProtocol) -> None:
        """Restore everything on a new connection, and wait for its end."""
        core = protocol._core
        assert core is not None
        watch = None
        if core.needs_heartbeat:
            watch = LoopWatch(core.loop, core.heartbeat.interval)
        try:
            await self._restore_and_wait(protocol)
        finally:
            if watch is not None:
                watch.stop()

    async def _restore_and_wait(self, protocol: AmqpProtocol) -> None:
        restorer = Restorer(protocol, self.topology, self._recover)
        if not await _in_time(protocol, restorer.restore(self.channels)):
            self._report(restorer.take_unrestored())
            await protocol.stop_now.wait()
        else:
            self._opened(restorer.take_unrestored())
            if restorer.is_waiting:
                self._begin(restorer, restorer.retry())
            self._restart_queueless(restorer)
            await protocol.stop_now.wait()
            assert protocol._core is not None
            if not protocol._core.is_closed_by_program and self._reconnect is not None:
                self._change(RECOVERING, protocol._core.failure)
        for task in self._restoring:
            task.cancel()  # the next connection begins anew
        # Before the next one: RabbitMQ deletes the exclusive queues of a connection at its end.
        await protocol.connection_closed.wait()

    def _opened(self, unrestored: tuple[Unrestored, ...]) -> None:
        protocol_logger.info(
            "The connection to %s is open, attempt %d%s",
            self.target,
            self.attempt,
            f"; {len(self._channels)} channels restored" if self.state is RECOVERING else "",
        )
        recorder = self.protocol._connection.recorder
        if self.state is RECOVERING and recorder is not None:
            recorder.recovered(self.seconds_in_state, len(unrestored))
        self._change(ConnectionState.OPEN, None, unrestored)
        self.attempt = 0

    # ---------------------------------------------------------------- connecting

    async def _connect(self) -> AmqpProtocol:
        """Connect to the first server that can be used; raise the error of the last one."""
        self.attempt += 1
        error: Exception | None = None
        for target in await self._targets():
            self.target = target
            try:
                return await self._connect_to(target)
            except AioamqpException as failure:
                if self._is_final(failure):
                    raise
                if error is not None:
                    protocol_logger.warning("%s", reason(error))
                error = failure
        assert error is not None
        raise error

    async def _targets(self) -> list[Target]:
        targets: list[Target] = []
        urls = random.sample(self._urls, len(self._urls)) if self._shuffle else self._urls
        for url in urls:
            hosts = await addresses_of(url.host, url.port or default_port(is_secure=url.is_secure))
            if self._shuffle:
                random.shuffle(hosts)
            targets += [Target(url, host, url.host) for host in hosts]
        return targets

    async def _connect_to(self, target: Target) -> AmqpProtocol:
        arguments = arguments_of(target.url, self._login_method, self._options)
        if target.host != target.name:
            arguments["host"] = target.host
            if arguments.get("ssl"):
                arguments.setdefault("server_hostname", target.name)
        if self._credentials is not None:
            arguments["login"], arguments["password"] = await self._ask_credentials()
        _, protocol = await connect_with(arguments)
        self._protocol = protocol
        return protocol

    async def _ask_credentials(self) -> tuple[str, str]:
        assert self._credentials is not None
        try:
            answer = self._credentials()
            login, password = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            text = f"credentials() has failed: {type(error).__name__}"
            raise ConnectionFailed(text) from error
        return login, password

    def _is_final(self, error: Exception) -> bool:
        """Return whether trying again cannot help."""
        if not isinstance(error, AioamqpException):
            return True  # an argument is wrong
        refused = isinstance(error, HandshakeFailed) and error.code == ReplyCode.ACCESS_REFUSED
        if refused and self._credentials is not None:
            return False
        return not error.is_retryable


async def _in_time(protocol: AmqpProtocol, restoring: Awaitable[None]) -> bool:
    """Restore something; return False if the connection is lost, or is too slow and so given up."""
    try:
        await restoring
    except (AmqpClosedConnection, ChannelClosed):
        return False
    except TimeoutError as late:
        error = AmqpClosedConnection(f"The connection cannot be restored: {late}")
        protocol._break_off(error)
        return False
    return True


class _Changes(AsyncIterator[StateChange]):
    """Changes of state for one iterator."""

    def __init__(self, subscribers: "weakref.WeakSet[_Changes]") -> None:
        self._changes: deque[StateChange] = deque(maxlen=MOST_CHANGES)
        self._subscribers = subscribers
        self._until_changed = Waiters()
        self._is_ended = False
        subscribers.add(self)

    def put(self, change: StateChange) -> None:
        self._changes.append(change)
        self._until_changed.wake_one()

    def end(self) -> None:
        self._is_ended = True
        self._subscribers.discard(self)
        self._until_changed.wake()

    async def __anext__(self) -> StateChange:
        while not self._changes:
            if self._is_ended:
                raise StopAsyncIteration
            await self._until_changed.wait()
        return self._changes.popleft()
