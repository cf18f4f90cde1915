"""The consumers of a channel."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from amqp_codec import Command, basic

from .._loggers import channel_logger
from ..callbacks import Callback
from ..exceptions import AmqpClosedConnection, ChannelClosed
from .consumer import CallbackConsumer, Consumer, IteratorConsumer
from .requests import Requests

if TYPE_CHECKING:
    from .._connection.read_flow import ReadFlow
    from ..channel import Channel


class Consumers:
    """Gives each delivery to the consumer that its tag names.

    Args:
        channel: whose consumers they are.
        dialogue: of that channel.
        backlog: counts what waits for callbacks.
    """

    def __init__(self, channel: "Channel", dialogue: Requests, backlog: "ReadFlow") -> None:
        self._channel = channel
        self._dialogue = dialogue
        self._backlog = backlog
        self._loop = asyncio.get_running_loop()
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
        tag, no_ack = method.consumer_tag, method.no_ack
        consumer = CallbackConsumer(self._channel, tag, no_ack, self._backlog, callback)
        await self._begin(consumer, method, None, timeout)

    async def pull(
        self, method: basic.Consume, qos: basic.Qos | None, timeout: float | None
    ) -> IteratorConsumer:
        """Ask the server for deliveries that will be asked for one by one.

        Args:
            method: to send, with a consumer tag.
            qos: to send just before it, so that it holds for this consumer.
            timeout: seconds in which the server must agree.
        """
        consumer = IteratorConsumer(method.consumer_tag, method.no_ack, self._backlog)
        await self._begin(consumer, method, qos, timeout)
        return consumer

    async def _begin(
        self,
        consumer: Consumer,
        method: basic.Consume,
        qos: basic.Qos | None,
        timeout: float | None,
    ) -> None:
        tag = method.consumer_tag
        if tag in self._unconfirmed:
            async with asyncio.timeout(timeout):
                await self._unconfirmed[tag].wait()
        self._dialogue.check(method)  # a bad argument must not cost a consumer
        if qos is not None:
            # An error of it closes the channel, so the consumer hears of it.
            self._dialogue.request_nowait(qos, lambda _: None)
        self._add(consumer)
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

    def _add(self, consumer: Consumer) -> None:
        """Let deliveries with a tag wait, before the server knows of the tag."""
        # A second consumer with a tag is for the server to refuse: RabbitMQ closes with 530.
        self._finish(consumer.tag)
        self._leaving.discard(consumer.tag)
        consumer.when_done = self._on_done
        self._by_tag[consumer.tag] = consumer
        consumer.register()

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
            channel_logger.warning(
                "A message was delivered on channel %d to consumer %s, which is not known:"
                " it is dropped, unacknowledged",
                delivery.channel,
                tag,
            )

    def cancelled_by_server(self, tag: str) -> None:
        """Let a consumer end; its callback stays registered, as in 0.15."""
        consumer = self._by_tag.pop(tag, None)
        if consumer is not None:
            consumer.cancelled_by_server()

    def cancelled(self, tag: str) -> None:
        """Let a consumer and its callback go: the server has confirmed its cancellation."""
        self._finish(tag)
        self._leaving.add(tag)
        if not any(consumer.tag == tag for consumer in self._working):
            self._forget(tag)

    def recovered(self) -> None:
        """Forget what waits unacknowledged: the server has it again, under other delivery tags."""
        for consumer in {*self._by_tag.values(), *self._working}:
            if not consumer.no_ack:
                consumer.drop()

    async def leave(self, consumer: Consumer) -> None:
        """Cancel a consumer that nobody asks any more; what waits in it goes back.

        It is over as well if the channel or the connection ends meanwhile.
        """
        dropped = self._let_go(consumer)
        if dropped is None:
            return
        cancel = basic.Cancel(consumer.tag)
        with suppress(AmqpClosedConnection, ChannelClosed):
            await self._dialogue.request(cancel, None, lambda _: self._left(consumer, dropped))
            self._left(consumer, dropped)

    def leave_soon(self, consumer: Consumer) -> None:
        """Do as ``leave`` does and wait for nothing; may be called from another thread."""
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(self._leave_unheard, consumer)

    def _leave_unheard(self, consumer: Consumer) -> None:
        dropped = self._let_go(consumer)
        if dropped is not None:
            self._dialogue.request_nowait(
                basic.Cancel(consumer.tag), lambda _: self._left(consumer, dropped)
            )

    def _let_go(self, consumer: Consumer) -> list[Command] | None:
        """Stop a consumer; return what waited in it if the server is to cancel it first."""
        is_known = self._by_tag.get(consumer.tag) is consumer
        dropped = consumer.stop()
        self._discard(consumer)
        self._working.discard(consumer)
        if not self._channel.is_open:
            return None
        if not is_known:  # cancelled already, with something left
            self._left(consumer, dropped)
            return None
        self._given_up[consumer.tag] = consumer
        return dropped

    def _left(self, consumer: Consumer, dropped: list[Command]) -> None:
        # Only now, or the server would deliver them to this very consumer again.
        self._forget_given_up(consumer)
        for delivery in dropped:
            self._send_back(delivery, consumer)

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
        self._dialogue.request_nowait(
            basic.Cancel(consumer.tag), lambda _: self._forget_given_up(consumer)
        )
        unconfirmed = self._unconfirmed.pop(consumer.tag, None)
        if unconfirmed is not None:
            unconfirmed.set()

    def _forget_given_up(self, consumer: Consumer) -> None:
        if self._given_up.get(consumer.tag) is consumer:
            del self._given_up[consumer.tag]

    def end(self, error: Exception, asked_for: bool) -> None:
        """Let all end with the channel, because of an error or because the program closes it."""
        for consumer in {*self._by_tag.values(), *self._working}:
            if asked_for:
                consumer.stop()
            else:
                consumer.break_off(error)
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
