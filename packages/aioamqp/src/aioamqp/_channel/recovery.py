"""What a channel of a ``Connection`` keeps when the link is lost, and the calls that wait for it.

state     event                                     next state
LINKED    the connection is lost                    LOST: calls wait
LOST      the channel is restored                   LINKED: calls go on
any       the program or the server closes the      ENDED: calls raise the error
          channel, or the connection has given up

A channel of ``connect`` has no recovery: it ends with its connection.
"""

# The recovery of a channel reaches its core.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from amqp_codec import Method, ReplyCode, basic, confirm, exchange, queue, tx

from .._connection.recorder import waiting
from .._connection.waiters import Waiters
from .._loggers import channel_logger
from ..exceptions import (
    AcknowledgementTimeout,
    AmqpClosedConnection,
    ChannelClosed,
    not_sent,
    reason,
)
from .requests import Requests, check_timeout

_Result = TypeVar("_Result")

REPEATABLE: Final[tuple[type[Method], ...]] = (
    exchange.Declare, exchange.Delete, exchange.Bind, exchange.Unbind,
    queue.Declare, queue.Delete, queue.Bind, queue.Unbind, queue.Purge,
    basic.Qos, basic.Consume, basic.Cancel, confirm.Select, tx.Select,
)  # fmt: skip
"""Requests that are sent again after recovery, since doing them twice changes nothing more."""


MOST_BLAMED: Final = 3
"""How often something is sent that may be why the server has closed each connection."""


class State(Enum):
    """State of a channel that recovers."""

    LINKED = "its connection is open"
    LOST = "its connection is being recovered"
    ENDED = "it is closed"


class Core(Protocol):
    """The core of a channel: see ``ChannelCore``."""

    @property
    def number(self) -> int: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def failure(self) -> Exception | None: ...
    @property
    def is_superseded(self) -> bool: ...

    def closed_error(self) -> ChannelClosed:
        """Create the error for a call on a channel that is not open."""
        ...


class Link(Protocol):
    """The connection that recovers, as its channels see it.

    Attributes:
        protocol: the AmqpProtocol that is in use, or was the last.
        wait_timeout: seconds that a call waits for recovery at most; None for no limit.
    """

    @property
    def protocol(self) -> Any: ...
    @property
    def wait_timeout(self) -> float | None: ...

    def recovers(self) -> bool:
        """Return whether the connection recovers when it is lost now."""
        ...

    async def wait_protocol(self) -> Any:
        """Wait until the connection is open; return its AmqpProtocol."""
        ...

    def record(self, recovery: "Recovery", method: Method) -> None:
        """Record a request that has succeeded."""
        ...

    def new_queue_name(self) -> str:
        """Return a name for a queue that is declared without one."""
        ...

    def is_stream(self, queue: str) -> bool:
        """Return whether the program has declared a queue as a stream."""
        ...

    def waiting_error(self) -> AmqpClosedConnection:
        """Create the error for a call that has waited for recovery too long."""
        ...

    def restore(self, recovery: "Recovery") -> None:
        """Restore a channel on the connection, which is open."""
        ...

    def restart(self, recovery: "Recovery", consumer: Any) -> None:
        """Start a consumer again when its queue is back."""
        ...

    def resolve_cancel(
        self, recovery: "Recovery", consumer: Any, late: AcknowledgementTimeout
    ) -> None:
        """Find out whether a consumer was cancelled because it did not acknowledge in time."""
        ...

    def forget_consumer(self, recovery: "Recovery", tag: str) -> None:
        """Forget a consumer that the server has cancelled."""
        ...

    def add(self, recovery: "Recovery") -> None:
        """Restore a channel from now on."""
        ...

    def remove(self, recovery: "Recovery") -> None:
        """Restore a channel no longer: it has ended."""
        ...


class Resuming(Protocol):
    """A publisher of a channel that recovers."""

    def resume(self, core: Any, /) -> None:
        """Send messages again: the channel is restored."""
        ...

    def end(self, error: Exception, /) -> None:
        """Fail the messages that were to be sent again: the channel has ended."""
        ...


class Recovery:
    """The part of a channel that survives its connection.

    Args:
        link: the connection that recovers.
        channel: the Channel.
        key: identifies the channel in the topology.

    Attributes:
        state: of the channel.
        is_lost: whether it is LOST, so that calls wait.
        publishers: of the channel.
        stale: how many messages were settled which the server had queued again.
        is_transacted: whether the channel is in transaction mode.
    """

    def __init__(self, link: Link, channel: Any, key: int) -> None:
        self.link: Link = link
        self.channel: Any = channel
        self.key: int = key
        self.state: State = State.LINKED
        self.is_lost: bool = False
        self.publishers: WeakSet[Resuming] = WeakSet()
        self.stale: int = 0
        self.is_transacted: bool = False
        self._last_queue = ""
        self._has_timed_out = False
        self._transaction: Core | None = None
        self._until_changed = Waiters()
        self._waiting: dict[object, tuple[str, float]] = {}
        self._kept: set[Resuming] = set()

    @property
    def core(self) -> Any:
        """The ChannelCore of the channel."""
        return self.channel._core

    def goes_on(self, core: Core) -> bool:
        """Return whether another core took over from this one, or will."""
        return core.is_superseded and (self.is_lost or self.core is not core)

    @property
    def is_ended(self) -> bool:
        """Whether the channel is closed."""
        return self.state is State.ENDED

    def waiting(self, now: float) -> Iterator[tuple[str, float]]:
        """Iterate over the calls that wait for recovery: the name, and the seconds since."""
        for name, began in self._waiting.values():
            yield name, now - began

    # ---------------------------------------------------------------- changes of state

    def lose(self) -> None:
        """Make calls wait: the connection is lost."""
        self.state = State.LOST
        self.is_lost = True

    def resume(self) -> None:
        """Wake the calls that wait: the channel is restored."""
        self.state = State.LINKED
        self.is_lost = False
        self.link.add(self)
        for publisher in tuple(self.publishers):
            publisher.resume(self.core)
        self._kept.clear()
        self._until_changed.wake()

    def end(self) -> None:
        """Raise an error in the calls that wait: the channel is closed."""
        if self.state is not State.ENDED:
            self.state = State.ENDED
            self.is_lost = False
            self.link.remove(self)
            for publisher in tuple(self.publishers):
                publisher.end(self.core.closed_error())
            self._kept.clear()
            self._until_changed.wake()

    def keep(self, publisher: Resuming) -> None:
        """Keep a publisher that has messages to send again, also if the program does not."""
        self._kept.add(publisher)

    def continues_after(self, error: ChannelClosed) -> bool:
        """Return whether the channel is restored after a channel.close of the server.

        It is while it is being restored, since that goes on without what caused the close; and
        once after an acknowledgement timeout.
        """
        if self.is_lost:
            return True
        if not isinstance(error, AcknowledgementTimeout) or self._has_timed_out:
            return False
        self._has_timed_out = True
        channel_logger.warning("Channel %d is opened again: %s", self.core.number, error)
        self.link.restore(self)
        return True

    def handle_server_cancel(self, tag: str, suspended: list[Any]) -> None:
        """Forget a consumer that the server has cancelled, or start it again if it asks for that.

        Args:
            tag: of the consumer.
            suspended: the consumers of the channel that are to be started again.
        """
        for consumer in suspended:
            if consumer.tag == tag:
                self.link.restart(self, consumer)
                return
        self.note_cancelled(tag)

    def note_cancelled(self, tag: str) -> None:
        """Forget a consumer that the server has cancelled, or the program has left."""
        self.link.forget_consumer(self, tag)

    def note_stale(self, what: object) -> None:
        """Log that a message was settled which the server has queued again."""
        self.stale += 1
        channel_logger.info(
            "%s of channel %d was not settled: its connection was lost since it was delivered, so"
            " the server delivers it again",
            what,
            self.core.number,
        )

    # ---------------------------------------------------------------- calls

    def complete(self, method: Method) -> None:
        """Fill in the names that a new connection would not know: of the queue meant by ""."""
        if isinstance(method, queue.Declare):
            if method.queue == "" and not method.passive:
                method.queue = self.link.new_queue_name()
        elif getattr(method, "queue", None) == "":
            method.queue = self._last_queue  # type: ignore[attr-defined]

    async def ready_core(self, deadline: float | None, name: str) -> Any:
        """Wait until the channel is restored.

        Args:
            deadline: the event loop's time at which to give up; None for ``wait_timeout`` only.
            name: of the call.

        Raises:
            AmqpClosedConnection: it has not been restored within ``wait_timeout``, or never will
                be.
            TimeoutError: it has not been restored by the deadline.
        """
        loop = asyncio.get_running_loop()
        began, limit, me = loop.time(), self.link.wait_timeout, object()
        until = None if limit is None else began + limit
        if deadline is not None and (until is None or deadline < until):
            until = deadline
        self._waiting[me] = name, began
        timer = asyncio.timeout_at(until)
        try:
            async with timer:
                with waiting(self.core.connection.recorder, name, "recovery"):
                    while self.is_lost:
                        await self._until_changed.wait()
        except TimeoutError:
            if not timer.expired():
                raise
            error = self.link.waiting_error()
            if until is not deadline:
                raise error from error.__cause__
            text = f"{name} has waited {loop.time() - began:g} seconds: {reason(error)}"
            raise TimeoutError(text) from None
        finally:
            del self._waiting[me]
        return self.core

    async def ready_to_publish(self, timeout: float | None) -> float | None:
        """Wait until the channel is restored; return the seconds that are left to publish.

        Raises:
            PublishNotSent: it is not restored in time.
        """
        check_timeout(timeout)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        try:
            await self.ready_core(deadline, "basic.publish")
        except (AmqpClosedConnection, TimeoutError) as error:
            raise not_sent(error) from error
        return None if deadline is None else max(0.0, deadline - loop.time())

    async def call(
        self,
        method: Method,
        timeout: float | None,
        send: Callable[[Any, float | None], Awaitable[_Result]],
    ) -> _Result:
        """Send a request, if need be after recovery, and again if its reply is lost.

        Args:
            method: the request, completed.
            timeout: seconds for all of it.
            send: sends it over a core, within so many seconds, and returns the reply.

        Raises:
            AmqpClosedConnection, ChannelClosed: the channel ends; or it is not restored in time; or
                the connection was lost, and the request is not repeatable or the reason.
            TimeoutError: the timeout has passed.
        """
        check_timeout(timeout)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        blamed = 0
        while True:
            core: Core = self.core
            if self.is_lost:
                core = await self.ready_core(deadline, method.NAME)
            left = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                result = await send(core, left)
            except (AmqpClosedConnection, ChannelClosed):
                blamed += is_blamed(method.NAME, core.failure)
                if not (self.goes_on(core) and _may_repeat(method, core.failure)):
                    raise
                if blamed >= MOST_BLAMED:
                    raise
                continue
            self.record(method, core)
            return result

    def record(self, method: Method, core: Core) -> None:
        """Record a request that has succeeded over a core, also if its call was given up."""
        match method:
            case queue.Declare():
                self._last_queue = str(method.queue)
            case tx.Select():
                self.is_transacted = True
                self._transaction = core
            case _:
                pass
        self.link.record(self, method)

    async def end_transaction(self, method: tx.Commit | tx.Rollback, timeout: float | None) -> None:
        """Commit or roll back, unless part of the transaction was lost with a connection.

        Raises:
            ChannelClosed: it was; what came after has been rolled back. The next one begins.
        """

        async def send(core: Core, seconds: float | None) -> None:
            lost, self._transaction = self._transaction is not core, core
            ending = tx.Rollback() if lost else method
            await core.requests.request(ending, seconds)
            if lost and isinstance(method, tx.Commit):
                raise ChannelClosed(
                    0,
                    "The transaction was not committed: the connection was lost since it began."
                    " Publish and acknowledge again what belongs to it",
                )

        await self.call(method, timeout, send)


def is_blamed(name: str, failure: BaseException | None) -> bool:
    """Return whether the server may have closed a connection because of a certain method.

    RabbitMQ: connection.close does not name the method if its reader has failed, as over a header
    with a number that is infinite.
    """
    if not isinstance(failure, ChannelClosed) or isinstance(failure, AcknowledgementTimeout):
        return False
    return failure.code != ReplyCode.CONNECTION_FORCED and failure.method in (None, name)


def may_publish_again(failure: BaseException | None, blamed: int) -> bool:
    """Return whether a message whose connection was lost may be sent again.

    Args:
        failure: why the connection was lost.
        blamed: how often a connection was lost that may have been because of the message.
    """
    if not is_blamed(basic.Publish.NAME, failure):
        return True
    assert isinstance(failure, ChannelClosed)
    return failure.is_retryable and blamed < MOST_BLAMED


def _may_repeat(method: Method, failure: Exception | None) -> bool:
    """Return whether a request without a reply may be sent again over a new connection.

    Not if the server closed the connection because of it, or for an unknown reason of this kind.
    """
    if not isinstance(method, REPEATABLE):
        return False
    if not isinstance(failure, ChannelClosed) or failure.is_retryable:
        return True
    return failure.method not in (None, method.NAME)
