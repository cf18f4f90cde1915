"""Restoring channels, exchanges, queues, bindings and consumers on a new connection."""

# The parts of a channel share its core.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Iterable
from typing import Final, cast

from amqp_codec import Method, ReplyCode, basic, confirm, queue, tx
from amqp_codec import channel as channel_methods

from .._channel.consumer import Consumer, State
from .._channel.core import ChannelCore
from .._channel.recovery import Recovery
from .._channel.recovery import State as ChannelState
from .._loggers import channel_logger, protocol_logger
from ..channel import Channel
from ..exceptions import (
    AcknowledgementTimeout,
    ChannelClosed,
    InvalidArgument,
    NoChannelAvailable,
)
from ..protocol import OPEN, AmqpProtocol
from .backoff import Backoff
from .state import Unrestored
from .topology import Entity, Recover, Topology, describe, ends_of

LOCKED_FOR: Final = 30.0
"""Seconds for which a queue is tried again that another connection has, such as the last one.

RabbitMQ: an exclusive queue is deleted a while after its connection has ended. If the link was lost
without a notice, that is when the server misses heartbeats, so their time is added.
"""

DELETED_WITHIN: Final = 0.5
"""Seconds in which a queue is gone that is being deleted: RabbitMQ cancels its consumers before."""

ANSWER_TIMEOUT: Final = 30.0
"""Seconds in which the server must answer each request; or else the next connection is tried."""

_LOCKED_BACKOFF: Final = Backoff(initial=0.1, maximum=2.0)


class Restorer:
    """Restores what was lost with a connection on a new one, and collects what cannot be.

    What cannot be restored is forgotten, so that the next recovery does not fail in the same way.

    Args:
        protocol: the new connection.
        topology: what was declared.
        recover: which part of it to declare again.

    Attributes:
        unrestored: what could not be restored since it was last taken.
        queueless: consumers whose queue is not there, to start with ``wait_and_restart``.
    """

    def __init__(self, protocol: AmqpProtocol, topology: Topology, recover: Recover) -> None:
        self.unrestored: list[Unrestored] = []
        self.queueless: list[tuple[Recovery, Consumer]] = []
        self._protocol = protocol
        self._topology = topology
        self._recover: Recover = recover
        self._channel: Channel | None = None  # for declarations
        self._locked: list[Entity] = []
        self._locked_queues: set[str] = set()
        self._waiting: list[tuple[Recovery, Consumer]] = []
        self._logged: set[str] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to try again, with ``retry``."""
        return bool(self._locked or self._waiting)

    def take_unrestored(self) -> tuple[Unrestored, ...]:
        """Return what could not be restored, and begin anew."""
        unrestored, self.unrestored = tuple(self.unrestored), []
        return unrestored

    async def restore(self, channels: Iterable[Recovery], *, declare: bool = True) -> None:
        """Restore the declarations, then channels and their consumers.

        Raises:
            AmqpClosedConnection, ChannelClosed: the new connection is lost, too.
            TimeoutError: the server has not answered within ANSWER_TIMEOUT seconds.
        """
        try:
            if declare:
                await self._declare(self._topology.to_declare(self._recover))
            for recovery in list(channels):
                await self._restore_channel(recovery)
        finally:
            self._close_channel()

    async def retry(self) -> None:
        """Try again what another connection has locked. See LOCKED_FOR.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection is lost.
            TimeoutError: the server has not answered within ANSWER_TIMEOUT seconds.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LOCKED_FOR + 3 * self._protocol._connection.heartbeat.interval
        attempt = 0
        while self.is_waiting:
            attempt += 1
            await asyncio.sleep(_LOCKED_BACKOFF.limit(attempt))
            is_last = loop.time() >= until
            locked, self._locked = self._locked, []
            self._locked_queues.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._declare(locked, is_last=is_last)
                for recovery, consumer in waiting:
                    await self._retry_consumer(recovery, consumer, is_last=is_last)
            finally:
                self._close_channel()

    async def wait_and_restart(
        self, recovery: Recovery, consumer: Consumer, backoff: Backoff
    ) -> None:
        """Start a consumer as soon as its queue is there.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection is lost.
            TimeoutError: the server has not answered within ANSWER_TIMEOUT seconds.
        """
        attempt = 0
        while consumer.state is State.SUSPENDED:
            attempt += 1
            await asyncio.sleep(backoff.limit(attempt))
            for others in (self.queueless, self._waiting):
                others[:] = [each for each in others if each[1] is not consumer]
            try:
                await self._retry_consumer(recovery, consumer, is_last=True)
            finally:
                self._close_channel()
        protocol_logger.info("Consumer %s is started again", consumer.tag)

    async def resolve_cancel(
        self, recovery: Recovery, consumer: Consumer, late: AcknowledgementTimeout
    ) -> None:
        """Start a consumer again that was cancelled although its queue is there, once; or end it.

        RabbitMQ: since 4.3 a consumer of a quorum queue is cancelled if it does not acknowledge in
        time, and basic.cancel does not say so.

        Args:
            recovery: of the channel.
            consumer: that is suspended.
            late: the error if that is why.

        Raises:
            AmqpClosedConnection, ChannelClosed: the connection is lost.
            TimeoutError: the server has not answered within ANSWER_TIMEOUT seconds.
        """
        await asyncio.sleep(DELETED_WITHIN)
        try:
            is_gone = await self._check_queue(str(consumer.method.queue)) is not None
            if consumer.state is not State.SUSPENDED or recovery.state is not ChannelState.LINKED:
                return  # it has ended, or is started again with its channel
            core = recovery.core
            is_started_again = not (is_gone or consumer.has_timed_out)
            if is_gone:
                core.consumers.end_cancelled(consumer, may_be_late=False)
            else:
                text = "Consumer %s has ended: %s"
                if is_started_again:
                    text = "Consumer %s is started again: %s"
                channel_logger.warning(text, consumer.tag, late)
                consumer.drop()
                if not is_started_again:
                    consumer.fail(late)
                consumer.has_timed_out = True
            if not is_started_again:
                core.cancelled_consumers.add(consumer.tag)
                core.report_cancelled(consumer.tag)
            if not is_gone:
                # Not the consumer alone: until its channel is closed, the server keeps what is not
                # late yet, and refuses its tag with 530. After a basic.cancel it does not, but
                # closes the channel when the next delivery is late.
                await core.reopen(late, ANSWER_TIMEOUT)
        finally:
            self._close_channel()

    # ---------------------------------------------------------------- declarations

    async def _declare(
        self, entities: list[Entity], *, is_last: bool = False, is_again: bool = False
    ) -> None:
        for entity in entities:
            if self._depends_on_locked(entity):
                self._try_later(entity)
                continue
            try:
                await self._request(entity)
            except InvalidArgument as error:  # the new server may have a smaller frame-max
                self._give_up(entity, error)
            except NoChannelAvailable as error:  # the program has opened all of them meanwhile
                if is_last:
                    self._give_up(entity, error)
                else:
                    self._try_later(entity)
            except ChannelClosed as error:
                if _is_locked(error) and not is_last:
                    self._wait_for(describe(entity), error)
                    self._try_later(entity)
                    if isinstance(entity, queue.Declare):
                        self._locked_queues.add(str(entity.queue))
                    continue
                if self._protocol.state != OPEN:
                    # Not again, if that has cost the connection.
                    if error.method == entity.NAME and not error.is_retryable:
                        self._give_up(entity, error)
                    raise
                may_be_gone = error.code == ReplyCode.NOT_FOUND and not is_again
                ends = ends_of(entity) if may_be_gone else ()
                if not await self._declare_again(*ends):
                    self._give_up(entity, error)

    async def _declare_again(self, *gone: tuple[str, str]) -> bool:
        """Declare everything again, if that may restore an exchange or a queue that is not there.

        If the server notices late that the last connection has ended, it then deletes what ends
        with it, although that has been declared on this connection meanwhile.

        Args:
            gone: the kind and the name of each that may not be there.

        Returns:
            Whether it was declared again, or reported if it cannot be.
        """
        entities = self._topology.to_declare(self._recover)
        if not entities or not any(self._topology.is_temporary(*each) for each in gone):
            return False
        await self._declare(entities, is_again=True)
        return True

    def _try_later(self, entity: Entity) -> None:
        if entity not in self._locked:
            self._locked.append(entity)

    def _depends_on_locked(self, entity: Entity) -> bool:
        return isinstance(entity, queue.Bind) and entity.queue in self._locked_queues

    def _give_up(self, entity: Entity, error: Exception) -> None:
        self._report(describe(entity), error)
        self._topology.forget(entity)

    def _wait_for(self, what: str, error: Exception) -> None:
        if what not in self._logged:
            self._logged.add(what)
            protocol_logger.info("%s is tried again for a while: %s", what, error)

    def _report(self, what: str, error: Exception) -> None:
        self.unrestored.append(Unrestored(what, error))
        protocol_logger.warning("Cannot restore %s: %s", what, error)

    async def _request(self, method: Method) -> None:
        """Send a request on the channel for declarations, which an error closes."""
        if self._channel is None or not self._channel.is_open:
            self._channel = await self._protocol.channel(timeout=ANSWER_TIMEOUT)
            self._channel._core.is_internal = True
        await self._channel._core.requests.request(method, ANSWER_TIMEOUT)

    def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and self._protocol.state == OPEN:
            channel._core.abandon(0, "Everything is restored")

    # ---------------------------------------------------------------- channels

    async def _restore_channel(self, recovery: Recovery) -> None:
        """Open a channel, with its modes, and start its consumers.

        It ends if the server closes it again, unless that is because of a consumer, which ends.
        """
        is_restored = False
        while not (is_restored or recovery.is_ended):
            number = recovery.core.number
            try:
                is_restored = await self._try_restore_channel(recovery)
            except (ChannelClosed, NoChannelAvailable) as error:  # the new server may allow fewer
                self._end_channel(recovery, number, error)
        self._resume(recovery)

    def _end_channel(self, recovery: Recovery, number: int, error: Exception) -> None:
        """End a channel that the server has closed, unless the connection is lost."""
        if self._protocol.state != OPEN:
            raise error
        if not recovery.is_ended:  # or else the program has closed it
            self._report(f"channel {number}", error)
            recovery.core.end(error)

    def _resume(self, recovery: Recovery) -> None:
        if not recovery.is_ended:
            recovery.core.check_open()  # the connection may have been lost behind the last reply
            recovery.resume()

    async def _try_restore_channel(self, recovery: Recovery) -> bool:
        old = recovery.core
        core = await self._open_core(recovery, old)
        if old.confirms.is_selected:
            core.confirms.is_selected = True
            await core.requests.request(confirm.Select(), ANSWER_TIMEOUT)
        if recovery.is_transacted:
            await core.requests.request(tx.Select(), ANSWER_TIMEOUT)
        if core.consumers.channel_qos is not None:
            await core.requests.request(core.consumers.channel_qos, ANSWER_TIMEOUT)
        latest, current = core.consumers.qos, None
        for consumer in core.consumers.suspended:
            if (recovery, consumer) in (*self._waiting, *self.queueless):
                continue
            if consumer.qos is not None and consumer.qos != current:
                await core.requests.request(consumer.qos, ANSWER_TIMEOUT)
                current = consumer.qos
            if not await self._restart(recovery, consumer):
                return False
        if latest is not None and latest != current:
            await core.requests.request(latest, ANSWER_TIMEOUT)
        return True

    async def _retry_consumer(
        self, recovery: Recovery, consumer: Consumer, *, is_last: bool
    ) -> None:
        if consumer.state is not State.SUSPENDED:
            return  # the program has ended it
        if recovery.state is not ChannelState.LINKED:
            self._waiting.append((recovery, consumer))
            return
        core = recovery.core
        recovery.lose()  # so that the channel survives if the server refuses
        try:
            is_open = await self._restart_limited(recovery, core, consumer, is_last=is_last)
        except ChannelClosed as error:  # because of something that the program had sent before
            self._end_channel(recovery, core.number, error)
            return
        if is_open:
            self._resume(recovery)
        else:
            await self._restore_channel(recovery)

    async def _restart_limited(
        self, recovery: Recovery, core: ChannelCore, consumer: Consumer, *, is_last: bool
    ) -> bool:
        """Start a consumer again with its own limit; see ``_restart``."""
        latest = core.consumers.qos
        is_limited = consumer.qos is not None and consumer.qos != latest
        if is_limited and consumer.qos is not None:
            await core.requests.request(consumer.qos, ANSWER_TIMEOUT)
        is_open = await self._restart(recovery, consumer, is_last=is_last)
        if is_open and is_limited and latest is not None:
            await core.requests.request(latest, ANSWER_TIMEOUT)
        return is_open

    async def _open_core(self, recovery: Recovery, old: ChannelCore) -> ChannelCore:
        protocol, channel = self._protocol, cast("Channel", recovery.channel)
        connection = protocol._connection
        connection.check_open()
        try:
            number = connection.numbers.allocate()
        except NoChannelAvailable:
            if self._channel is None or not self._channel.is_open:
                raise
            await self._channel.close(timeout=ANSWER_TIMEOUT)
            number = connection.numbers.allocate()
        core = ChannelCore(connection, number, protocol, channel, old.return_callback, old)
        channel._core = core
        protocol.channels[number] = channel
        await core.requests.request(channel_methods.Open(), ANSWER_TIMEOUT)
        return core

    async def _restart(
        self, recovery: Recovery, consumer: Consumer, *, is_last: bool = False
    ) -> bool:
        """Start a consumer again; return False if its channel must be restored once more."""
        queue_name = str(consumer.method.queue)
        name = f"consumer {consumer.tag!r} of queue {queue_name!r}"
        error = await self._check_queue(queue_name)
        may_be_gone = error is not None and error.code == ReplyCode.NOT_FOUND and not is_last
        if may_be_gone and await self._declare_again(("queue", queue_name)):
            error = await self._check_queue(queue_name)
        if error is not None:
            if _is_locked(error) and not is_last:
                self._wait_for(name, error)
                self._waiting.append((recovery, consumer))
            elif consumer.restarts:
                self.queueless.append((recovery, consumer))
            else:
                self._end_consumer(recovery, consumer, name, error)
            return True
        if consumer.state is not State.SUSPENDED:
            return True  # the program has ended it meanwhile
        try:
            await recovery.core.consumers.restart(consumer, ANSWER_TIMEOUT)
        except InvalidArgument as refusal:
            self._end_consumer(recovery, consumer, name, refusal)
        except ChannelClosed as refusal:
            if refusal.method != basic.Consume.NAME:
                raise
            is_open = self._protocol.state == OPEN
            if is_open and _is_locked(refusal) and not is_last:
                self._wait_for(name, refusal)
                self._waiting.append((recovery, consumer))
            elif consumer.restarts and refusal.code == ReplyCode.NOT_FOUND:
                self.queueless.append((recovery, consumer))  # deleted since it was checked
            elif is_open or not refusal.is_retryable:
                self._end_consumer(recovery, consumer, name, refusal)
            if not is_open:
                raise
            return False
        return True

    async def _check_queue(self, name: str) -> ChannelClosed | None:
        """Return the error for a queue that cannot be consumed from, so no channel is lost."""
        if name in self._locked_queues:
            return ChannelClosed(ReplyCode.RESOURCE_LOCKED, "another connection has the queue")
        try:
            await self._request(queue.Declare(name, passive=True))
        except NoChannelAvailable:
            return None  # then basic.consume shows it
        except ChannelClosed as error:
            if self._protocol.state != OPEN:
                raise
            if error.code in (ReplyCode.NOT_FOUND, ReplyCode.RESOURCE_LOCKED):
                return error
        return None  # also if only basic.consume is permitted

    def _end_consumer(
        self, recovery: Recovery, consumer: Consumer, name: str, error: Exception
    ) -> None:
        if not consumer.is_consuming:
            return  # the program has ended it
        self._report(name, error)
        self._topology.forget_consumer(consumer.tag, recovery.key)
        consumer.fail(error)
        recovery.core.call_cancellation_callbacks(consumer.tag)


def _is_locked(error: ChannelClosed) -> bool:
    """Return whether another connection has a queue, or its only consumer, for a while longer."""
    is_in_use = error.code == ReplyCode.ACCESS_REFUSED and "in exclusive use" in error.message
    return error.code == ReplyCode.RESOURCE_LOCKED or is_in_use
