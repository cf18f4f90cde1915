"""Deliveries on their way from the reader to whoever handles them.

What becomes of those that still wait here:

                                            for a callback              for ``async for``
    basic_cancel, or the server cancels     they are handled, then the consumer ends
    the channel or connection breaks        they are handled: the       with no_ack the same, else
                                            server may know nothing     they are dropped: the server
                                            of what is lost             queues them again
    the program closes either               they are dropped; the server queues them again
    the program has them recovered          the same, unless they came with no_ack
    nobody handles them any more            they go back to the server at once
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqp_codec import Command, DecodeError, basic

from .._loggers import channel_logger
from ..callbacks import Callback, run_callback
from ..envelope import Envelope
from ..exceptions import ConsumerCancelled
from ..properties import Properties

if TYPE_CHECKING:
    from .._connection.read_flow import ReadFlow
    from ..channel import Channel


class Consumer(ABC):
    """The deliveries of one consumer, in the order of the wire.

    Args:
        tag: of the consumer.
        no_ack: whether the server takes deliveries for acknowledged.
        backlog: counts what waits here.

    Attributes:
        when_done: called with the consumer when it has come to its end.
    """

    __slots__ = ("_backlog", "_deliveries", "_is_ending", "no_ack", "tag", "when_done")

    def __init__(self, tag: str, no_ack: bool, backlog: "ReadFlow") -> None:
        self.tag: str = tag
        self.no_ack: bool = no_ack
        self.when_done: Callable[[Consumer], None] = _ignore
        self._backlog = backlog
        self._deliveries: deque[Command] = deque()
        self._is_ending = False

    def put(self, delivery: Command) -> None:
        """Let a delivery wait to be handled."""
        self._deliveries.append(delivery)
        self._backlog.add(len(delivery.body))
        self._wake()

    def finish(self) -> None:
        """End when what waits now has been handled."""
        self._is_ending = True
        self._wake()

    def drop(self) -> list[Command]:
        """Give back what waits, and go on."""
        dropped = list(self._deliveries)
        for delivery in dropped:
            self._backlog.remove(len(delivery.body))
        self._deliveries.clear()
        return dropped

    def stop(self) -> list[Command]:
        """End when what is handled now has been; give back what waits."""
        dropped = self.drop()
        self._is_ending = True
        self._wake()
        return dropped

    @abstractmethod
    def register(self) -> None:
        """Be ready for deliveries: the server is going to be asked for them."""

    @abstractmethod
    def start(self) -> None:
        """Begin to handle deliveries: the server has agreed. What came before has waited."""

    def cancelled_by_server(self) -> None:
        """End because the server says so."""
        self.finish()

    def break_off(self, error: Exception) -> None:
        """End because the channel or the connection broke."""
        del error
        self.finish()

    @property
    def idle_task(self) -> asyncio.Task[None] | None:
        """A task that is about to end without calling anything of the user's any more."""
        return None

    @abstractmethod
    def _wake(self) -> None:
        """Go on: there is a delivery, or this is the end."""


def _ignore(_: Consumer) -> None:
    pass


class CallbackConsumer(Consumer):
    """Runs a callback: one delivery at a time.

    Args:
        channel: given to the callback; holds it under the tag in ``consumer_callbacks``, where it
            is looked up for each delivery.
        tag: see ``Consumer``, as for the others.
        no_ack: see there.
        backlog: see there.
        callback: to register.
    """

    __slots__ = ("_callback", "_channel", "_is_busy", "_task", "_wake_up")

    def __init__(
        self,
        channel: "Channel",
        tag: str,
        no_ack: bool,
        backlog: "ReadFlow",
        callback: Callback | None,
    ) -> None:
        super().__init__(tag, no_ack, backlog)
        self._channel = channel
        self._callback = callback
        self._task: asyncio.Task[None] | None = None
        self._wake_up: asyncio.Future[None] | None = None
        self._is_busy = False

    def register(self) -> None:
        """Let the callback be found."""
        self._channel.consumer_callbacks[self.tag] = self._callback

    def start(self) -> None:
        """Let the callback be run."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._work(), name=f"aioamqp consumer {self.tag}")

    @property
    def idle_task(self) -> asyncio.Task[None] | None:
        """The worker, if the callback is not going to be called any more."""
        if self._is_busy or self._deliveries or not self._is_ending:
            return None
        return self._task

    def _wake(self) -> None:
        if self._wake_up is not None and not self._wake_up.done():
            self._wake_up.set_result(None)

    async def _work(self) -> None:
        # The callback must not run before basic_consume has returned. Where that is called through
        # wait_for or gather, its caller goes on two turns of the loop later.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._is_busy = True
                while self._deliveries:
                    delivery = self._deliveries.popleft()
                    self._backlog.remove(len(delivery.body))
                    await self._handle(delivery)
                self._is_busy = False
                if self._is_ending:
                    return
                self._wake_up = loop.create_future()
                await self._wake_up
        finally:
            self._is_busy = False
            self.stop()
            self.when_done(self)

    async def _handle(self, delivery: Command) -> None:
        method, properties = delivery.method, delivery.properties
        assert isinstance(method, basic.Deliver)
        assert properties is not None
        callback = self._channel.consumer_callbacks.get(self.tag)
        if callback is None:
            channel_logger.warning(
                "Consumer %s has no callback: the message with delivery tag %d is dropped",
                self.tag,
                method.delivery_tag,
            )
            return
        try:
            readable = Properties.from_codec(properties)
        except DecodeError:
            channel_logger.exception(
                "The headers of the message with delivery tag %d for consumer %s cannot be decoded:"
                " it is dropped, unacknowledged",
                method.delivery_tag,
                self.tag,
            )
            return
        await run_callback(
            self.tag, callback, self._channel, delivery.body, Envelope.from_codec(method), readable
        )


class IteratorConsumer(Consumer):
    """Keeps deliveries until they are asked for, by one task or by several."""

    __slots__ = ("_error", "_waiters")

    def __init__(self, tag: str, no_ack: bool, backlog: "ReadFlow") -> None:
        super().__init__(tag, no_ack, backlog)
        self._error: Exception | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def register(self) -> None:
        """Do nothing: deliveries can wait from the beginning."""

    def start(self) -> None:
        """Do nothing: whoever wants a delivery asks for it."""

    def cancelled_by_server(self) -> None:
        """Say so to whoever asks for more than what is there."""
        self._error = ConsumerCancelled(self.tag)
        self.finish()

    def break_off(self, error: Exception) -> None:
        """Say what happened to whoever asks."""
        self._error = error
        if self.no_ack:
            self.finish()
        else:
            self.stop()

    async def next(self) -> Command | None:
        """Return the next delivery, or None at the end.

        Raises:
            Exception: what ended the consumer, if not the program did.
        """
        while not self._deliveries:
            if self._is_ending:
                self.when_done(self)
                if self._error is not None:
                    raise self._error
                return None
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self._deliveries:  # it was for this one, who does not take it
                    self._wake()
                raise
        delivery = self._deliveries.popleft()
        self._backlog.remove(len(delivery.body))
        return delivery

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not self._is_ending:
                    break
