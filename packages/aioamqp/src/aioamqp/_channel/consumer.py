"""One consumer: its state, and its deliveries on the way from the reader to the program.

What becomes of the deliveries in a consumer's buffer:

                                            with a callback             with ``async for``
    basic_cancel, or the server cancels     they are handled, then the consumer ends
    the channel or connection breaks        they are handled: the       with no_ack the same, else
                                            server may know nothing     they are dropped: the server
                                            of what is lost             queues them again
    the server cancels, and it is started   they are dropped: the server queues them again, since
    again: it did not acknowledge in time   the channel is opened again
    the program closes either               with no_ack they are handled, else they are dropped:
                                            the server queues them again
    the program calls basic_recover         the same, unless they came with no_ack
    the program gives the consumer up       they are returned to the queue with basic.nack
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from enum import Enum
from inspect import isawaitable
from typing import Any, Final

from amqp_codec import Command, basic

from .._connection.callback_queue import Callback, CallbackQueue
from .._connection.read_flow import ReadFlow
from .._connection.recorder import Recorder
from .._connection.waiters import Waiters
from .._loggers import channel_logger
from ..envelope import Envelope
from ..exceptions import ConsumerCancelled
from ..instrument import Delivery
from ..properties import Properties
from .stream import StreamPosition

_new: Final = object.__new__


class State(Enum):
    """State of a consumer. The transitions are in consumers.py."""

    STARTING = "basic.consume has been sent"
    CONSUMING = "the server delivers messages"
    ABANDONED = "its caller gave up before basic.consume-ok"
    CANCELLING = "basic.cancel has been sent, and deliveries are returned to the queue"
    SUSPENDED = "the connection was lost, and the consumer is started again on another"
    DRAINING = "the server no longer delivers messages, and the buffer is handled"
    ENDED = "nothing is left to do"


STARTING: Final = State.STARTING  # an Enum's attributes are slow to read in Python 3.11
CONSUMING: Final = State.CONSUMING


class Consumer:
    """State and buffered deliveries of one consumer.

    Args:
        method: that starts the consumer.
        read_flow: counts the buffered deliveries.

    Attributes:
        method: that started the consumer.
        tag: of the consumer.
        no_ack: whether the server expects no acknowledgements.
        state: changed by ``Consumers``.
        owner: the Consumers of the connection on which it was started last.
        qos: the limit that was in force on the channel when it was started; None if none was set.
        restarts: whether it is started again when its queue is back, after the server cancelled it.
        has_timed_out: whether it was started again after it had not acknowledged in time.
        position: in its stream; None if its queue is not known to be one.
        drops_callback: whether its callback is to be forgotten when it ends.
        lost: how many messages with ``no_ack`` have been dropped, and are not in the log yet.
        on_ended: called with the consumer when it is DRAINING and its buffer has been handled.
    """

    __slots__ = (
        "_deliveries",
        "_read_flow",
        "_waiters",
        "drops_callback",
        "has_timed_out",
        "lost",
        "method",
        "no_ack",
        "on_ended",
        "owner",
        "position",
        "qos",
        "restarts",
        "state",
        "tag",
    )

    def __init__(self, method: basic.Consume, read_flow: ReadFlow) -> None:
        self.method: basic.Consume = method
        self.tag: str = method.consumer_tag
        self.no_ack: bool = method.no_ack
        self.state: State = State.STARTING
        self.owner: Any = None
        self.qos: basic.Qos | None = None
        self.restarts: bool = False
        self.has_timed_out: bool = False
        self.position: StreamPosition | None = None
        self.drops_callback: bool = False
        self.lost: int = 0
        self.on_ended: Callable[[Consumer], None] = _ignore
        self._read_flow = read_flow
        self._deliveries: deque[Command] = deque()
        self._waiters = Waiters()  # for a delivery or the end

    @property
    def is_consuming(self) -> bool:
        """Whether the server delivers messages, or is about to."""
        return self.state is CONSUMING or self.state is STARTING or self.state is State.SUSPENDED

    def put(self, delivery: Command) -> None:
        """Add a delivery to the buffer."""
        self._deliveries.append(delivery)
        self._read_flow.add(len(delivery.body))
        self._waiters.wake_one()

    def drop(self) -> list[Command]:
        """Empty the buffer; return what was in it."""
        dropped = list(self._deliveries)
        for delivery in dropped:
            self._read_flow.remove(len(delivery.body))
        self._deliveries.clear()
        return dropped

    def stop(self, state: State) -> list[Command]:
        """Empty the buffer, and go into a state without deliveries; return the buffer."""
        dropped = self.drop()
        self.state = state
        self._waiters.wake()
        return dropped

    def drain(self) -> None:
        """End when the buffer has been handled."""
        self.state = State.DRAINING
        self._waiters.wake()

    def suspend(self) -> None:
        """Wait until the consumer is started on another connection.

        The server queues again what was not acknowledged; with ``no_ack`` it has it no longer.
        """
        if not self.no_ack:
            self.drop()
        self.state = State.SUSPENDED

    def move(self, read_flow: ReadFlow) -> None:
        """Count the buffer for another connection from now on."""
        self._read_flow = read_flow
        for delivery in self.buffered:
            read_flow.add(len(delivery.body))

    @property
    def buffered(self) -> list[Command]:
        """The deliveries that the program has not been given yet."""
        return list(self._deliveries)

    def start(self) -> None:
        """Begin to handle deliveries: the server has agreed. Earlier ones are in the buffer."""

    async def wait_handled(self) -> None:
        """Wait until the program has handled all deliveries, as far as that can be known."""

    def cancelled_by_server(self, error: ConsumerCancelled) -> None:
        """End because the server sent basic.cancel."""
        del error
        self.drain()

    def fail(self, error: Exception) -> None:
        """End because the channel or the connection broke."""
        del error
        self.drain()

    def detach(self, error: Exception) -> None:
        """Drop the buffer in a forked child, and wake nobody: it is the parent's."""


def _ignore(_: Consumer) -> None:
    pass


def _ignore_delivery() -> None:
    pass


def _call_after(turns: int, callback: Callable[[], None]) -> None:
    """Call a function after some turns of the event loop."""
    if turns:
        asyncio.get_running_loop().call_soon(_call_after, turns - 1, callback)
    else:
        callback()


class CallbackConsumer(Consumer):
    """A consumer that calls a callback with one delivery at a time.

    Its deliveries wait in the queue of the channel's callbacks, which has the order of the wire.

    Args:
        method: see ``Consumer``.
        read_flow: see ``Consumer``.
        channel: the first argument of the callback.
        callbacks: has the callback by consumer tag; it is looked up for each delivery.
        queue: runs the callback: that of the channel, or one of its own to run beside the others.

    Attributes:
        context: in a copy of which each callback runs: that in which the consumer was made.
        is_ready: whether the callback may be called.
        tag_offset: added to the delivery tags.
    """

    __slots__ = (
        "_callbacks", "_channel", "_queue", "_unhandled", "context", "is_ready", "tag_offset",
    )  # fmt: skip

    def __init__(
        self,
        method: basic.Consume,
        read_flow: ReadFlow,
        channel: object,
        callbacks: dict[str, Any],
        queue: CallbackQueue,
    ) -> None:
        super().__init__(method, read_flow)
        self.context: Context = queue.new_context()
        self.is_ready: bool = False
        self.tag_offset: int = 0
        self._channel = channel
        self._callbacks = callbacks
        self._queue = queue
        self._unhandled = 0

    @property
    def name(self) -> str:
        """The consumer in the log."""
        return f"consumer {self.tag}"

    def put(self, delivery: Command) -> None:
        """Add a delivery to the queue of callbacks."""
        self._unhandled += 1
        self._read_flow.add(len(delivery.body))
        self._queue.add(self, delivery)

    @property
    def buffered(self) -> list[Command]:
        """The deliveries that wait in the queue of callbacks."""
        return self._queue.items_of(self)

    def drop(self) -> list[Command]:
        """Remove the deliveries from the queue of callbacks; return them."""
        dropped: list[Command] = self._queue.remove(self)
        for delivery in dropped:
            self._read_flow.remove(len(delivery.body))
        self._unhandled -= len(dropped)
        return dropped

    def stop(self, state: State) -> list[Command]:
        """Remove the deliveries; end as soon as the callback that runs has returned."""
        dropped = self.drop()
        self.state = state
        self._end_if_handled()
        return dropped

    def drain(self) -> None:
        """End when the callback has returned for all deliveries."""
        self.state = State.DRAINING
        self._end_if_handled()

    def start(self) -> None:
        """Allow the callback: the server has agreed. Earlier deliveries are in the queue.

        The callback must not run before basic_consume has returned. Where that is called through
        wait_for or gather, its caller continues two turns of the event loop later.
        """
        _call_after(3, self._get_ready)

    def _get_ready(self) -> None:
        self.is_ready = True
        self._queue.start()

    def _end_if_handled(self) -> None:
        if self.state is State.DRAINING and not self._unhandled:
            self.on_ended(self)

    async def wait_handled(self) -> None:
        """Wait until the callback has returned for all deliveries.

        It returns at once if a callback of the same queue calls it, which would wait for itself.
        """
        while self._unhandled and not self._queue.is_caller:
            await self._queue.wait_handled()

    def begin(self, delivery: Command, /) -> tuple[Callback, tuple[object, ...]]:
        """Return the callback, and the arguments for a delivery, which no longer waits."""
        self._read_flow.remove(len(delivery.body))
        method: Any = delivery.method
        codec_properties: Any = delivery.properties
        callback: Callback | None = self._callbacks.get(self.tag)
        if callback is None:
            channel_logger.warning(
                "Consumer %s has no callback: the message with delivery tag %d is dropped",
                self.tag,
                method.delivery_tag,
            )
            return _ignore_delivery, ()
        if self.tag_offset:
            method.delivery_tag += self.tag_offset
        # As ``from_codec`` does, without two more calls for each delivery.
        envelope = _new(Envelope)
        envelope._deliver = method
        properties = _new(Properties)
        properties._codec = codec_properties
        return callback, (self._channel, delivery.body, envelope, properties)

    def end(self) -> None:
        """Note that the callback has returned for a delivery."""
        self._unhandled -= 1
        if self.state is not CONSUMING:
            self._end_if_handled()


class NotedConsumer(CallbackConsumer):
    """A consumer with instruments, which are told when its callback is called and has returned."""

    __slots__ = ()

    def begin(self, delivery: Command, /) -> tuple[Callback, tuple[object, ...]]:
        """See ``CallbackConsumer``."""
        recorder: Recorder | None = self.owner.core.connection.recorder
        if recorder is None:
            return super().begin(delivery)
        method: Any = delivery.method
        message = recorder.delivery(  # before the delivery tag becomes that of the program
            delivery.channel, method, delivery.properties, len(delivery.body), self.method.queue
        )
        callback, args = super().begin(delivery)
        return (_NotedCallback(callback, recorder, message) if args else callback), args


class _NotedCallback:
    """A callback whose call is noted; the log shows it as the callback itself."""

    __slots__ = ("_callback", "_message", "_recorder")

    def __init__(self, callback: Callback, recorder: Recorder, message: Delivery) -> None:
        self._callback = callback
        self._recorder = recorder
        self._message = message

    def __repr__(self) -> str:
        return repr(self._callback)

    async def __call__(self, *args: object) -> None:
        with self._recorder.handling(self._message):
            result = self._callback(*args)
            if isawaitable(result):
                await result


class IteratorConsumer(Consumer):
    """A consumer whose deliveries are asked for one by one, by one task or by several."""

    __slots__ = ("_error",)

    def __init__(self, method: basic.Consume, read_flow: ReadFlow) -> None:
        super().__init__(method, read_flow)
        self._error: Exception | None = None

    def cancelled_by_server(self, error: ConsumerCancelled) -> None:
        """Raise the error in tasks that ask for more than the buffer has."""
        self._error = error
        self.drain()

    def fail(self, error: Exception) -> None:
        """Raise the error in tasks that ask for more."""
        self._error = error
        if self.no_ack:
            self.drain()
        else:
            self.stop(State.DRAINING)

    def detach(self, error: Exception) -> None:
        """Drop the buffer in a forked child, and raise the error there."""
        self._error = error
        self._deliveries.clear()
        self.state = State.DRAINING

    async def next(self) -> Command | None:
        """Return the next delivery, or None at the end.

        Raises:
            Exception: the error that ended the consumer, unless the program ended it.
        """
        while not self._deliveries:
            if not self.is_consuming:
                self.on_ended(self)
                if self._error is not None:
                    raise self._error
                return None
            await self._waiters.wait()
        return self.take()

    def take(self) -> Command | None:
        """Return the next delivery if it is in the buffer."""
        if not self._deliveries:
            return None
        delivery = self._deliveries.popleft()
        self._read_flow.remove(len(delivery.body))
        return delivery
