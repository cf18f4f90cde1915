"""The consumers of a channel."""

import asyncio
import logging
from typing import TYPE_CHECKING

from amqp_codec import Command, basic

from .callbacks import Callback
from .consumer import Consumer
from .dialogue import Dialogue

if TYPE_CHECKING:
    from .backlog import Backlog
    from .channel import Channel

logger = logging.getLogger("aioamqp.channel")


class Consumers:
    """Gives each delivery to the consumer that its tag names.

    Args:
        channel: whose consumers they are.
        dialogue: of that channel.
        backlog: counts what waits for callbacks.
    """

    def __init__(self, channel: "Channel", dialogue: Dialogue, backlog: "Backlog") -> None:
        self._channel = channel
        self._dialogue = dialogue
        self._backlog = backlog
        self._by_tag: dict[str, Consumer] = {}
        self._working: set[Consumer] = set()
        self._leaving: set[str] = set()
        self._given_up: dict[str, Consumer] = {}
        self._unconfirmed: dict[str, asyncio.Event] = {}

    async def consume(
        self, method: basic.Consume, callback: Callback | None, timeout: float | None
    ) -> None:
        """Ask the server for deliveries; once it has agreed, let the callback be run with them.

        Args:
            method: to send, with a consumer tag.
            callback: to register under that tag.
            timeout: seconds in which the server must agree, if it is to answer at all.
        """
        tag = method.consumer_tag
        if tag in self._unconfirmed:
            async with asyncio.timeout(timeout):
                await self._unconfirmed[tag].wait()
        self._dialogue.check(method)  # a bad argument must not cost a consumer
        consumer = self._add(tag, method.no_ack)
        self._channel.consumer_callbacks[tag] = callback
        try:
            if method.no_wait:
                self._dialogue.send(method)
            else:
                await self._dialogue.request(
                    method, timeout, lambda _: self._cancel_given_up(consumer)
                )
        except (asyncio.CancelledError, TimeoutError):
            self._give_up(consumer)
            raise
        except BaseException:
            self._discard(consumer)
            raise
        self._working.add(consumer)
        consumer.start()

    def _add(self, tag: str, no_ack: bool) -> Consumer:
        """Let deliveries with a tag wait, before the server knows of the tag."""
        # A second consumer with a tag is for the server to refuse: RabbitMQ closes with 530.
        self._finish(tag)
        self._leaving.discard(tag)
        consumer = Consumer(self._channel, tag, no_ack, self._backlog, self._on_done)
        self._by_tag[tag] = consumer
        return consumer

    def deliver(self, delivery: Command) -> None:
        """Give a basic.deliver to its consumer."""
        assert isinstance(delivery.method, basic.Deliver)
        tag = delivery.method.consumer_tag
        consumer = self._by_tag.get(tag)
        if consumer is not None:
            consumer.put(delivery)
        elif tag in self._given_up:
            self._send_back(delivery, self._given_up[tag])
        else:
            logger.warning(
                "A message was delivered on channel %d to consumer %s, which is not known:"
                " it is dropped, unacknowledged",
                delivery.channel,
                tag,
            )

    def cancelled_by_server(self, tag: str) -> None:
        """Let a consumer end; its callback stays registered, as in 0.15."""
        self._finish(tag)

    def cancelled(self, tag: str) -> None:
        """Let a consumer and its callback go: the server has confirmed its cancellation."""
        self._finish(tag)
        self._leaving.add(tag)
        if not any(consumer.tag == tag for consumer in self._working):
            self._forget(tag)

    def _discard(self, consumer: Consumer) -> None:
        """Let a consumer go that the server never knew, or knows no more."""
        if self._by_tag.get(consumer.tag) is consumer:
            del self._by_tag[consumer.tag]
            self._channel.consumer_callbacks.pop(consumer.tag, None)
        consumer.stop()

    def _give_up(self, consumer: Consumer) -> None:
        """Let go of a consumer whose caller does not wait for the server's agreement any more.

        What is delivered to it goes back. Nobody else can cancel it, as nobody may know its tag,
        but it must not be cancelled before the server has agreed: RabbitMQ closes the connection
        with 541 over that, and with 530 if the tag is used again.
        """
        waiting = consumer.stop()
        self._discard(consumer)
        if not self._channel.is_open:
            return
        if self._given_up.get(consumer.tag) is not consumer:  # else it is being cancelled already
            self._given_up[consumer.tag] = consumer
            self._unconfirmed[consumer.tag] = asyncio.Event()
        for delivery in waiting:
            self._send_back(delivery, consumer)

    def _cancel_given_up(self, consumer: Consumer) -> None:
        """Cancel a consumer that was given up: the server has agreed to it, too late."""
        self._given_up[consumer.tag] = consumer
        self._dialogue.request_unheard(
            basic.Cancel(consumer.tag), lambda _: self._forget_given_up(consumer)
        )
        unconfirmed = self._unconfirmed.pop(consumer.tag, None)
        if unconfirmed is not None:
            unconfirmed.set()

    def _forget_given_up(self, consumer: Consumer) -> None:
        if self._given_up.get(consumer.tag) is consumer:
            del self._given_up[consumer.tag]

    def end(self, asked_for: bool) -> None:
        """Let all end with the channel: at once if the program closes it."""
        for consumer in {*self._by_tag.values(), *self._working}:
            if asked_for:
                consumer.stop()
            else:
                consumer.finish()
        self._by_tag.clear()
        self._given_up.clear()
        for unconfirmed in self._unconfirmed.values():
            unconfirmed.set()
        self._unconfirmed.clear()

    def idle_tasks(self) -> list[asyncio.Task[None]]:
        """Return the workers that are about to end without calling anything of the user's."""
        tasks = (consumer.idle_task for consumer in self._working)
        return [task for task in tasks if task is not None]

    def _finish(self, tag: str) -> None:
        consumer = self._by_tag.pop(tag, None)
        if consumer is not None:
            consumer.finish()

    def _forget(self, tag: str) -> None:
        self._leaving.discard(tag)
        if tag not in self._by_tag:
            self._channel.consumer_callbacks.pop(tag, None)

    def _on_done(self, consumer: Consumer) -> None:
        self._working.discard(consumer)
        if self._by_tag.get(consumer.tag) is consumer:
            del self._by_tag[consumer.tag]
        if consumer.tag in self._leaving:
            self._forget(consumer.tag)

    def _send_back(self, delivery: Command, consumer: Consumer) -> None:
        assert isinstance(delivery.method, basic.Deliver)
        if not consumer.no_ack:
            self._dialogue.send(basic.Nack(delivery.method.delivery_tag, requeue=True))
