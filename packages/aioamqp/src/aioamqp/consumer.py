"""Deliveries on their way from the reader to the user's callback.

What becomes of those that still wait here:

    basic_cancel, or the server cancels     they go to the callback, then the worker ends
    the channel or connection breaks        the same: the server may know nothing of what is lost
    the program closes either               they are dropped; the server queues them again
    basic_consume is cancelled              they go back to the server at once
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqp_codec import Command, DecodeError, basic

from .callbacks import run_callback
from .envelope import Envelope
from .properties import Properties

if TYPE_CHECKING:
    from .backlog import Backlog
    from .channel import Channel

logger = logging.getLogger("aioamqp.channel")


class Consumer:
    """Runs the callback of one consumer: one delivery at a time, in the order of the wire.

    Args:
        channel: given to the callback; holds it under the tag in ``consumer_callbacks``.
        tag: of the consumer.
        no_ack: whether the server takes deliveries for acknowledged.
        backlog: counts what waits here.
        when_done: called with the consumer when its worker has come to its end.
    """

    __slots__ = (
        "_backlog",
        "_channel",
        "_deliveries",
        "_is_busy",
        "_is_ending",
        "_task",
        "_wake_up",
        "_when_done",
        "no_ack",
        "tag",
    )

    def __init__(
        self,
        channel: "Channel",
        tag: str,
        no_ack: bool,
        backlog: "Backlog",
        when_done: Callable[["Consumer"], None],
    ) -> None:
        self.tag = tag
        self.no_ack = no_ack
        self._channel = channel
        self._backlog = backlog
        self._deliveries: deque[Command] = deque()
        self._task: asyncio.Task[None] | None = None
        self._wake_up: asyncio.Future[None] | None = None
        self._when_done = when_done
        self._is_busy = False
        self._is_ending = False

    def put(self, delivery: Command) -> None:
        """Let a delivery wait for the callback."""
        self._deliveries.append(delivery)
        self._backlog.add(len(delivery.body))
        self._wake()

    def start(self) -> None:
        """Let the callback be run; what came before has waited."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._work(), name=f"aioamqp consumer {self.tag}")

    def finish(self) -> None:
        """End when the callback has had what waits now."""
        self._is_ending = True
        self._wake()

    def stop(self) -> list[Command]:
        """End when the callback that runs now has returned; give back what waits."""
        dropped = list(self._deliveries)
        for delivery in dropped:
            self._backlog.remove(len(delivery.body))
        self._deliveries.clear()
        self._is_ending = True
        self._wake()
        return dropped

    @property
    def idle_task(self) -> asyncio.Task[None] | None:
        """The worker if it is about to end without calling anything of the user's any more."""
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
            self._when_done(self)

    async def _handle(self, delivery: Command) -> None:
        method, properties = delivery.method, delivery.properties
        assert isinstance(method, basic.Deliver)
        assert properties is not None
        callback = self._channel.consumer_callbacks.get(self.tag)
        if callback is None:
            logger.warning(
                "Consumer %s has no callback: the message with delivery tag %d is dropped",
                self.tag,
                method.delivery_tag,
            )
            return
        try:
            readable = Properties.from_codec(properties)
        except DecodeError:
            logger.exception(
                "The headers of the message with delivery tag %d for consumer %s cannot be decoded:"
                " it is dropped, unacknowledged",
                method.delivery_tag,
                self.tag,
            )
            return
        await run_callback(
            self.tag, callback, self._channel, delivery.body, Envelope.from_codec(method), readable
        )
