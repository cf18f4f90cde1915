"""The consumers of a channel, and how the state of each changes.

state       event                                       next state
STARTING    basic.consume-ok, or sent with no_wait      CONSUMING
            the caller is cancelled or times out        ABANDONED: deliveries are returned
            the request fails                           ENDED
ABANDONED   basic.consume-ok                            CANCELLING: basic.cancel is sent
CONSUMING   cancelled by basic_cancel or the server     DRAINING
            the program leaves ``async for``            CANCELLING: basic.cancel is sent
CANCELLING  basic.cancel-ok                             ENDED
DRAINING    the buffer has been handled                 ENDED
CONSUMING   the connection is lost, and recovers;       SUSPENDED
            or the server has cancelled it, and it may
            be started again
SUSPENDED   the channel is restored, or its queue       STARTING
            is back
any         the channel ends                            ENDED if ABANDONED or CANCELLING, else
                                                        DRAINING

RabbitMQ closes the connection with 541 over a basic.cancel that overtakes the basic.consume-ok, and
with 530 over a consumer tag that is used again before: so an abandoned consumer is cancelled only
when its basic.consume-ok has come, and until then its tag cannot be used.

A tag may have several consumers: the last one gets the deliveries, those before it end.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from amqp_codec import Command, basic

from .._connection.callback_queue import Callback, CallbackQueue, run_callback
from .._connection.core import CLOSE_TIMEOUT
from .._connection.heartbeat import Heartbeat
from .._connection.read_flow import ReadFlow
from .._connection.waiters import Waiters
from .._loggers import channel_logger
from ..exceptions import (
    AmqpClosedConnection,
    ChannelClosed,
    ConsumerCancelled,
    cancelled_for_lateness,
)
from .consumer import (
    CONSUMING,
    STARTING,
    CallbackConsumer,
    Consumer,
    IteratorConsumer,
    NotedConsumer,
    State,
)
from .requests import Requests, check_timeout
from .stream import OFFSET, StreamPosition


@dataclass(frozen=True)
class Resumption:
    """How a consumer continues after an interruption, on a channel that recovers.

    Attributes:
        restarts: whether it is started again when its queue is back, after the server cancelled it.
        on_checkpoint: called with the offset of a stream up to which all messages are settled.
    """

    restarts: bool = False
    on_checkpoint: Callback | None = None


class _Checkpoints:
    """Calls ``on_checkpoint``, at most once at a time, with the latest offset."""

    def __init__(self, tag: str, on_checkpoint: Callback) -> None:
        self.position = StreamPosition(self._call)
        self._on_checkpoint = on_checkpoint
        self._callbacks = CallbackQueue(f"the checkpoints of consumer {tag}")
        self._is_called = False

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._callbacks.put("on_checkpoint", self._run)

    async def _run(self) -> None:
        self._is_called = False
        assert self.position.next_offset is not None
        await run_callback("on_checkpoint", self._on_checkpoint, self.position.next_offset - 1)


class Consumers:
    """Starts and ends the consumers of a channel, and passes each delivery to its consumer.

    Args:
        core: of the channel, over which the messages are settled.
        channel: the first argument of every callback.
        requests: of that channel.
        read_flow: counts what waits for callbacks.

    Attributes:
        callbacks: of the consumers, by consumer tag.
        qos: the latest limit for each consumer to come; None if none was set.
        channel_qos: the limit for the channel as a whole, with the flag ``global``; None likewise.
        last_tag: the delivery tag of the latest delivery.
        unacked: by delivery tag the consumer and the time of deliveries that have not been settled;
            None if they are not counted, on a channel that does not recover.
    """

    __slots__ = (
        "_by_tag", "_channel", "_heartbeat", "_is_suspended", "_loop", "_read_flow", "_requests",
        "_tag_offset", "_until_cancelled", "_until_tag_free", "callbacks", "channel_qos", "core",
        "last_tag", "qos", "unacked",
    )  # fmt: skip

    def __init__(
        self,
        core: Any,
        channel: object,
        requests: Requests,
        read_flow: ReadFlow,
    ) -> None:
        self.core: Any = core
        self.callbacks: dict[str, Any] = {}
        self.qos: basic.Qos | None = None
        self.channel_qos: basic.Qos | None = None
        self.last_tag: int = 0
        self.unacked: dict[int, tuple[Consumer, float]] | None = None
        self._is_suspended = False
        self._tag_offset = 0
        self._channel = channel
        self._requests = requests
        self._read_flow = read_flow
        self._loop = asyncio.get_running_loop()
        self._heartbeat: Heartbeat = core.connection.heartbeat  # knows the time of this read
        self._by_tag: dict[str, list[Consumer]] = {}
        self._until_tag_free = Waiters()
        self._until_cancelled = Waiters()

    @property
    def pending(self) -> int:
        """The number of consumers that are to be cancelled, or are being cancelled."""
        return sum(c.state in (State.ABANDONED, State.CANCELLING) for c in self._all())

    def __iter__(self) -> Iterator[Consumer]:
        return iter(list(self._all()))

    @property
    def tags(self) -> list[str]:
        """The tags of the consumers that get deliveries."""
        return [consumer.tag for consumer in self._all() if consumer.is_consuming]

    async def consume(
        self,
        method: basic.Consume,
        callback: Callback | None,
        timeout: float | None,
        concurrent: bool = False,
        resumption: "Resumption | None" = None,
    ) -> None:
        """Start a consumer that calls a callback with its deliveries.

        Args:
            method: to send, with a consumer tag.
            callback: to register under that tag.
            timeout: seconds in which the server must agree, if it is to answer at all.
            concurrent: whether the callback runs beside the other callbacks of the channel.
            resumption: how it continues after an interruption.
        """
        check_timeout(timeout)
        tag = method.consumer_tag
        queue = CallbackQueue(f"consumer {tag}") if concurrent else self.core.callbacks
        kind = CallbackConsumer if self.core.connection.recorder is None else NotedConsumer
        consumer = kind(method, self._read_flow, self._channel, self.callbacks, queue)
        consumer.tag_offset = self._tag_offset
        self._prepare(consumer, resumption)
        await self._wait_for_tag(consumer.tag, timeout)
        self._requests.check(method)  # a bad argument must not cost another consumer its callback
        self._add(consumer)
        self.callbacks[consumer.tag] = callback
        await self._start(consumer, timeout)

    def _prepare(self, consumer: Consumer, resumption: "Resumption | None") -> None:
        if resumption is None:
            resumption = Resumption()
        consumer.restarts = resumption.restarts
        if self.unacked is None:  # the channel does not recover
            return
        on_checkpoint = resumption.on_checkpoint
        if on_checkpoint is not None:
            checkpoints = _Checkpoints(consumer.tag, on_checkpoint)
            consumer.position = checkpoints.position
        elif OFFSET in consumer.method.arguments or self.core.recovery.link.is_stream(
            str(consumer.method.queue)
        ):
            consumer.position = StreamPosition()

    async def iterate(
        self,
        method: basic.Consume,
        qos: basic.Qos | None,
        timeout: float | None,
        resumption: "Resumption | None" = None,
    ) -> IteratorConsumer:
        """Start a consumer whose deliveries are asked for one by one.

        Args:
            method: to send, with a consumer tag.
            qos: to send just before it, so that it holds for this consumer.
            timeout: seconds in which the server must agree.
            resumption: how it continues after an interruption.
        """
        check_timeout(timeout)
        consumer = IteratorConsumer(method, self._read_flow)
        self._prepare(consumer, resumption)
        await self._wait_for_tag(consumer.tag, timeout)
        self._requests.check(method)
        if qos is not None:
            # If the server refuses it, it closes the channel, and the consumer fails with that.
            self._requests.request_nowait(qos)
            self.qos = qos
        self._add(consumer)
        await self._start(consumer, timeout)
        return consumer

    async def _wait_for_tag(self, tag: str, timeout: float | None) -> None:
        if not self._is_abandoned(tag):
            return
        self._read_flow.begin_call()
        try:
            async with asyncio.timeout(timeout):
                while self._is_abandoned(tag):
                    await self._until_tag_free.wait()
        finally:
            self._read_flow.end_call()

    def _is_abandoned(self, tag: str) -> bool:
        return any(c.state is State.ABANDONED for c in self._by_tag.get(tag, ()))

    def _add(self, consumer: Consumer) -> None:
        """Add a consumer before its request is sent, since deliveries may come first."""
        older = self._by_tag.get(consumer.tag, [])
        for each in list(older):
            # A tag that is in use is for the server to refuse: RabbitMQ closes with 530.
            each.drops_callback = False
            if each.is_consuming:
                each.drain()
        self._by_tag.setdefault(consumer.tag, []).append(consumer)
        consumer.on_ended = self._drained
        consumer.owner = self
        consumer.qos = self.qos

    async def _start(self, consumer: Consumer, timeout: float | None) -> None:
        method = consumer.method
        try:
            if method.no_wait:
                self._requests.send(method)
            else:
                await self._requests.request(
                    method, timeout, lambda _: self._cancel_abandoned(consumer)
                )
        except (asyncio.CancelledError, TimeoutError):
            self._abandon(consumer)
            raise
        except BaseException:
            if consumer.state is State.STARTING:
                self.callbacks.pop(consumer.tag, None)
            consumer.stop(State.ENDED)
            self._remove(consumer)
            raise
        if consumer.state is State.STARTING:
            consumer.state = State.CONSUMING
        if self._is_suspended and consumer.state is State.CONSUMING:
            consumer.suspend()
        consumer.start()

    def deliver(self, delivery: Command) -> None:
        """Pass a basic.deliver to its consumer."""
        method: Any = delivery.method
        self.last_tag = tag = method.delivery_tag
        consumers = self._by_tag.get(method.consumer_tag)
        if consumers:
            consumer = consumers[-1]
            if self.unacked is not None and not consumer.no_ack:
                self.unacked[tag] = consumer, self._heartbeat.last_received
                if consumer.position is not None:
                    consumer.position.deliver(tag, delivery)
            if consumer.state is CONSUMING or consumer.state is STARTING:
                consumer.put(delivery)
                return
        self._return_or_drop(delivery, consumers or [])

    def _return_or_drop(self, delivery: Command, consumers: list[Consumer]) -> None:
        assert isinstance(delivery.method, basic.Deliver)
        tag = delivery.method.consumer_tag
        for consumer in consumers:
            if consumer.state in (State.ABANDONED, State.CANCELLING):
                if consumer.no_ack:
                    consumer.lost += 1
                else:
                    self._return(delivery.method)
                return
        cancels_late = self.core.connection.server.cancels_late_consumers
        if cancels_late and tag in self.core.cancelled_consumers:
            # RabbitMQ: since 4.3 it goes on if what was late is acknowledged all the same.
            self._requests.answer(basic.Cancel(tag, no_wait=True))
            self._return(delivery.method)
            return
        channel_logger.warning(
            "A message was delivered on channel %d to consumer %s, which is not known:"
            " it is dropped, unacknowledged",
            delivery.channel,
            tag,
        )

    def _return(self, method: basic.Deliver) -> None:
        nack = basic.Nack(method.delivery_tag, requeue=True)
        self._requests.answer(nack)
        self.note_settled(nack)

    def note_settled(self, method: basic.Ack | basic.Nack | basic.Reject) -> None:
        """Count the deliveries of an acknowledgement as settled."""
        unacked = self.unacked
        if unacked is None:
            return
        tag = method.delivery_tag
        if isinstance(method, basic.Reject) or not method.multiple:
            settled = unacked.pop(tag, None)
            if settled is not None and settled[0].position is not None:
                settled[0].position.settle(tag)
            return
        for each in list(takewhile(lambda each: not tag or each <= tag, unacked)):  # Spec: 0 is all
            consumer, _ = unacked.pop(each)
            if consumer.position is not None:
                consumer.position.settle(each)

    def oldest_unacked(self) -> tuple[str, int]:
        """Return the consumer tag and the delivery tag of the oldest unsettled delivery.

        The consumer tag is empty if it is not known, and the delivery tag 0.
        """
        for tag, (consumer, _) in (self.unacked or {}).items():
            return consumer.tag, tag + self._tag_offset
        tags = [consumer.tag for consumer in self._all() if not consumer.no_ack]
        return (tags[0] if len(tags) == 1 else "", 0)

    def is_known(self, tag: str) -> bool:
        """Return whether there is, or was, a consumer with that tag."""
        return tag in self._by_tag or tag in self.callbacks

    def handle_cancel(self, tag: str) -> bool:
        """Drain a consumer that the server has cancelled; as in 0.15, its callback is kept.

        Returns:
            Whether it may have been cancelled because it did not acknowledge in time: then it is
            suspended until that is known.
        """
        for consumer in list(self._by_tag.get(tag, ())):
            if not consumer.is_consuming:
                continue
            may_be_late = self.core.connection.server.cancels_late_consumers and not consumer.no_ack
            if may_be_late and consumer.state is State.SUSPENDED:
                return True
            oldest = self._oldest_of(consumer)
            if may_be_late and consumer.state is CONSUMING and oldest:
                consumer.state = State.SUSPENDED
                error = cancelled_for_lateness(tag, oldest + self._tag_offset)
                self.core.recovery.link.resolve_cancel(self.core.recovery, consumer, error)
                return True
            self.end_cancelled(consumer, may_be_late=may_be_late)
        return False

    def end_cancelled(self, consumer: Consumer, *, may_be_late: bool) -> None:
        """Drain a consumer that the server has cancelled, or suspend it if it is to be restarted.

        Args:
            consumer: that was cancelled.
            may_be_late: whether that may be because it did not acknowledge in time.
        """
        error = ConsumerCancelled(consumer.tag)
        error.may_be_late = may_be_late
        text = "The server has cancelled consumer %s of channel %d: %s%s"
        hint = "; it is started again when the queue is back" if consumer.restarts else ""
        channel_logger.warning(text, consumer.tag, self._requests.number, error.causes, hint)
        if consumer.restarts:
            consumer.suspend()
        else:
            consumer.cancelled_by_server(error)

    def is_consuming(self, tag: str) -> bool:
        """Return whether a consumer with that tag gets deliveries, or is to be restarted."""
        return any(consumer.is_consuming for consumer in self._by_tag.get(tag, ()))

    def _oldest_of(self, consumer: Consumer) -> int:
        """Return the server's tag of the oldest unsettled delivery of a consumer; 0 if none is."""
        unacked = (self.unacked or {}).items()
        return next((tag for tag, (owner, _) in unacked if owner is consumer), 0)

    def handle_cancel_ok(self, tag: str) -> None:
        """Drain the consumer that ``basic_cancel`` has ended, and forget its callback then."""
        if self.core.recovery is not None:  # also if the call was given up
            self.core.recovery.note_cancelled(tag)
        consumers = self._by_tag.get(tag)
        if not consumers:
            self.callbacks.pop(tag, None)
            return
        for consumer in list(consumers):
            consumer.drops_callback = True
            if consumer.is_consuming:
                consumer.drain()

    def handle_recover_ok(self) -> None:
        """Drop what is unacknowledged: the server delivers it again, with other delivery tags."""
        if self.unacked is not None:
            self.unacked.clear()
        for consumer in self._all():
            if not consumer.no_ack:
                consumer.drop()

    async def cancel(self, consumer: IteratorConsumer) -> None:
        """Cancel a consumer that the program has left, and return its buffer to the queue.

        It is over as well if the channel or the connection ends meanwhile.
        """
        dropped = self._leave(consumer)
        if dropped is None:
            return
        with suppress(AmqpClosedConnection, ChannelClosed):
            await self._requests.request(
                basic.Cancel(consumer.tag), None, lambda _: self._cancelled(consumer, dropped)
            )
            self._cancelled(consumer, dropped)

    def cancel_soon(self, consumer: IteratorConsumer) -> None:
        """Cancel a consumer without waiting; may be called from another thread."""
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(_cancel_nowait, consumer)

    def cancel_nowait(self, consumer: IteratorConsumer) -> None:
        """Cancel a consumer without waiting."""
        dropped = self._leave(consumer)
        if dropped is not None:
            self._requests.request_nowait(
                basic.Cancel(consumer.tag), lambda _: self._cancelled(consumer, dropped)
            )

    def _leave(self, consumer: IteratorConsumer) -> list[Command] | None:
        """Stop a consumer; return its buffer if it must be cancelled."""
        if self.core.recovery is not None:
            self.core.recovery.note_cancelled(consumer.tag)
        if consumer.state is State.CONSUMING and not self._is_suspended:
            dropped = consumer.stop(State.CANCELLING)
            if consumer.no_ack:
                consumer.lost += len(dropped)
                dropped = []
            return dropped
        if consumer.state is State.STARTING and not self._is_suspended:  # it is being restarted
            self._return_to_queue(consumer.stop(State.ABANDONED), consumer)
            return None
        self._cancelled(consumer, consumer.drop())
        return None

    def _abandon(self, consumer: Consumer) -> None:
        """Return the deliveries of a consumer whose caller has given up."""
        is_gone = consumer.state not in (State.STARTING, State.CANCELLING)  # with the channel
        if is_gone or self._is_suspended:
            if self._is_suspended:
                self.callbacks.pop(consumer.tag, None)
            consumer.stop(State.ENDED)
            self._remove(consumer)
            return
        if consumer.state is State.STARTING:  # or basic.consume-ok has come in this very turn
            consumer.state = State.ABANDONED
        self.callbacks.pop(consumer.tag, None)
        self._return_to_queue(consumer.drop(), consumer)

    def _cancel_abandoned(self, consumer: Consumer) -> None:
        """Cancel an abandoned consumer: its basic.consume-ok has come, too late."""
        consumer.state = State.CANCELLING
        self._requests.request_nowait(
            basic.Cancel(consumer.tag), lambda _: self._cancelled(consumer, [])
        )
        self._until_tag_free.wake()

    def _cancelled(self, consumer: Consumer, dropped: list[Command]) -> None:
        """End a consumer; only now, or the server would deliver its buffer to it again."""
        consumer.state = State.ENDED
        self._remove(consumer)
        self._forget(consumer)
        self._return_to_queue(dropped, consumer)

    def _forget(self, consumer: Consumer) -> None:
        """Forget a consumer that the program has left, which is not to be restored."""
        recovery = self.core.recovery
        if recovery is not None and consumer.tag not in self._by_tag:
            recovery.link.forget_consumer(recovery, consumer.tag)

    def _drained(self, consumer: Consumer) -> None:
        if consumer.state is State.CANCELLING:
            return
        consumer.state = State.ENDED
        self._remove(consumer)
        if consumer.drops_callback and consumer.tag not in self._by_tag:
            self.callbacks.pop(consumer.tag, None)

    # ---------------------------------------------------------------- recovery

    def suspend(self) -> None:
        """Keep the consumers for the channel's next connection: this one was lost."""
        self._is_suspended = True
        for consumer in list(self._all()):
            match consumer.state:
                case State.CONSUMING:
                    consumer.suspend()
                case State.SUSPENDED:  # and not started again yet
                    consumer.suspend()
                case State.DRAINING if not consumer.no_ack:
                    consumer.stop(State.DRAINING)
                case State.ABANDONED | State.CANCELLING:
                    consumer.state = State.ENDED
                    self._remove(consumer)
                    self._forget(consumer)
                case _:  # the call that starts it fails
                    pass
        self._until_tag_free.wake()
        self._until_cancelled.wake()

    @property
    def suspended(self) -> list[Consumer]:
        """The consumers that are to be started again."""
        return [consumer for consumer in self._all() if consumer.state is State.SUSPENDED]

    def take_over(self, predecessor: "Consumers", tag_offset: int) -> None:
        """Continue with the consumers of the channel's last connection, and its limits."""
        self.callbacks = predecessor.callbacks
        self.qos, self.channel_qos = predecessor.qos, predecessor.channel_qos
        self.unacked = None if predecessor.unacked is None else {}
        self._tag_offset = tag_offset
        for consumer in predecessor.suspended:
            predecessor._remove(consumer)
            self._by_tag.setdefault(consumer.tag, []).append(consumer)
            consumer.on_ended = self._drained
            consumer.owner = self
            consumer.move(self._read_flow)

    async def restart(self, consumer: Consumer, timeout: float) -> None:
        """Start a consumer of the channel's last connection.

        Args:
            consumer: that is SUSPENDED.
            timeout: seconds in which the server must agree.

        Raises:
            ChannelClosed, AmqpClosedConnection: the server refuses, or the connection is lost.
            TimeoutError: it has not answered in time.
        """
        method = consumer.method
        method.no_wait = False
        if consumer.position is not None:
            consumer.position.restart()
            if consumer.position.next_offset is not None:
                method.arguments = {**method.arguments, OFFSET: consumer.position.next_offset}
        self._requests.check(method)
        consumer.state = State.STARTING
        if isinstance(consumer, CallbackConsumer):
            consumer.tag_offset = self._tag_offset
        try:
            await self._requests.request(method, timeout)
        except BaseException:
            if consumer.state is State.STARTING:
                consumer.suspend()
            raise
        self._restarted(consumer)

    def _restarted(self, consumer: Consumer) -> None:
        if consumer.state is State.ABANDONED:  # the program has left it meanwhile
            self._cancel_abandoned(consumer)
        elif consumer.state is State.STARTING:
            consumer.state = State.CONSUMING
            if self._is_suspended:  # the connection was lost in this very turn
                consumer.suspend()

    def end(self, error: Exception, asked_for: bool) -> None:
        """End all consumers with the channel: because of an error, or because it was closed."""
        for consumer in list(self._all()):
            if consumer.state in (State.ABANDONED, State.CANCELLING):
                consumer.state = State.ENDED
                self._remove(consumer)
                self._log_loss(consumer)
            elif asked_for and consumer.no_ack:
                consumer.drain()
            elif asked_for:
                consumer.stop(State.DRAINING)
            else:
                consumer.fail(error)
        self._until_tag_free.wake()
        self._until_cancelled.wake()

    def detach(self, error: Exception) -> None:
        """Raise an error in ``async for`` in a forked child; the parent has the messages."""
        for consumer in self._all():
            consumer.detach(error)

    def to_drain(self, everything: bool) -> list[Consumer]:
        """Return the consumers to drain before the channel is closed.

        Args:
            everything: not only those whose messages are lost otherwise, with ``no_ack``.
        """
        return [consumer for consumer in self._all() if everything or consumer.no_ack]

    def stop_deliveries(self, consumers: list[Consumer]) -> None:
        """Send basic.cancel for consumers; what need not be handled is left to the server."""
        for consumer in consumers:
            if consumer.state is CONSUMING:
                self._requests.request_nowait(
                    basic.Cancel(consumer.tag),
                    lambda _, tag=consumer.tag: self._deliveries_stopped(tag),  # type: ignore[misc]
                )
            if not consumer.no_ack:
                consumer.drop()  # closing the channel returns them to the queue

    def _deliveries_stopped(self, tag: str) -> None:
        for consumer in self._by_tag.get(tag, ()):
            if not consumer.no_ack:
                consumer.drop()
        self.handle_cancel_ok(tag)
        self._until_cancelled.wake()

    async def wait_drained(self, consumers: list[Consumer]) -> None:
        """Wait until the callbacks of consumers have returned, after ``stop_deliveries``."""
        self._read_flow.begin_call()
        try:
            while any(consumer.state is CONSUMING for consumer in consumers):
                await self._until_cancelled.wait()
        finally:
            self._read_flow.end_call()
        for consumer in consumers:
            await consumer.wait_handled()

    def drop_unhandled(self, consumers: list[Consumer]) -> None:
        """Drop what consumers have not handled in time."""
        for consumer in consumers:
            dropped = consumer.drop()
            if consumer.no_ack:
                consumer.lost += len(dropped)
                self._log_loss(consumer)

    async def wait_handled(self, consumers: list[Consumer], drain: float | None) -> None:
        """Wait until the callbacks of cancelled consumers have returned for all deliveries.

        Args:
            consumers: that have been cancelled.
            drain: seconds after which the deliveries are returned to the queue; None to wait for
                those with ``no_ack`` only, as long as for closing a channel.
        """
        if drain is None:
            consumers = [consumer for consumer in consumers if consumer.no_ack]
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT if drain is None else drain):
                for consumer in consumers:
                    await consumer.wait_handled()
        except TimeoutError:
            with suppress(AmqpClosedConnection, ChannelClosed):
                for consumer in consumers:
                    if not consumer.no_ack:
                        self._return_to_queue(consumer.drop(), consumer)

    def _log_loss(self, consumer: Consumer) -> None:
        if consumer.lost:
            channel_logger.warning(
                "%d messages that were delivered to consumer %s of channel %d with no_ack have not"
                " been handled and are lost",
                consumer.lost,
                consumer.tag,
                self._requests.number,
            )
            consumer.lost = 0

    def with_tag(self, tag: str) -> list[Consumer]:
        """Return the consumers with a tag: the last one gets the deliveries."""
        return list(self._by_tag.get(tag, ()))

    def _all(self) -> Iterator[Consumer]:
        for consumers in self._by_tag.values():
            yield from consumers

    def _remove(self, consumer: Consumer) -> None:
        consumers = self._by_tag.get(consumer.tag, [])
        if consumer in consumers:
            consumers.remove(consumer)
            if not consumers:
                del self._by_tag[consumer.tag]

    def _return_to_queue(self, deliveries: list[Command], consumer: Consumer) -> None:
        if consumer.no_ack:
            consumer.lost += len(deliveries)
            self._log_loss(consumer)
            return
        for delivery in deliveries:
            assert isinstance(delivery.method, basic.Deliver)
            nack = basic.Nack(delivery.method.delivery_tag, requeue=True)
            self._requests.send(nack)
            self.note_settled(nack)


def _cancel_nowait(consumer: IteratorConsumer) -> None:
    consumer.owner.cancel_nowait(consumer)  # which may be another one by now, after recovery
