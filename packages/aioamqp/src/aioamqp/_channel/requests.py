"""Requests of one channel, and the calls that wait for their replies.

Replies come in the order of their requests (Spec: 2.2.2), so one queue of pending requests a
channel is enough to match them: there are no correlation ids. With one exception: in RabbitMQ it is
the queue's process that answers basic.consume and basic.cancel, and the channel answers later
requests in the meantime. So each consumer has a queue of its own.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from amqp_codec import Command, Method, ReplyCode, basic

from .._connection.core import ConnectionCore
from .._connection.recorder import waiting
from ..exceptions import AmqpClosedConnection, ChannelClosed, InvalidArgument, ProtocolViolation

_MOST_SECONDS: Final = (
    1 << 63
)  # a float, to which the event loop's clock adds it, ends at 2 ** 1024
ReplyCallback: TypeAlias = Callable[[Command], None]
"""Called with a reply that no call waits for."""


class Requests:
    """Sends the requests of one channel, and passes each reply to the call that waits for it.

    Args:
        connection: to write to.
        number: of the channel.
        check_open: raises an error if the channel is not open.

    Attributes:
        number: of the channel.
    """

    __slots__ = ("_check_open", "_connection", "_pending", "number")

    def __init__(
        self, connection: ConnectionCore, number: int, check_open: Callable[[], None]
    ) -> None:
        self._connection = connection
        self.number: int = number
        self._check_open = check_open
        self._pending = PendingRequests()

    @property
    def pending(self) -> int:
        """The number of replies to come."""
        return len(self._pending)

    def check(self, method: Method) -> None:
        """Check that a method can be sent.

        Raises:
            InvalidArgument: an argument of it cannot be sent.
            AmqpClosedConnection, ChannelClosed: the connection or the channel is closed.
        """
        self._check_open()
        self._connection.encoder.encode_method(self.number, method)

    def send(self, method: Method) -> None:
        """Send a method that has no reply."""
        self._check_open()
        self._connection.send(self.number, method)

    async def request(
        self,
        method: Method,
        timeout: float | None = None,
        on_late_reply: ReplyCallback | None = None,
    ) -> Command:
        """Send a method and wait for its reply.

        Args:
            method: to send.
            timeout: seconds to wait; None to wait as long as the channel is open.
            on_late_reply: called with the reply if the call was cancelled or timed out before.

        Raises:
            ChannelClosed, AmqpClosedConnection: the channel or the connection ends, or has ended.
            TimeoutError: the reply has not come in time.
        """
        self._check_open()
        check_timeout(timeout)
        connection = self._connection
        connection.send(self.number, method)
        reply: asyncio.Future[Command] = connection.loop.create_future()
        self._pending.add(reply, method, on_late_reply, connection.loop.time())
        connection.writer.flush()
        connection.read_flow.begin_call()
        deadline = asyncio.timeout(timeout)
        try:
            with waiting(connection.recorder, method.NAME, "reply"):
                if timeout is None:
                    return await reply
                async with deadline:
                    return await reply
        except (asyncio.CancelledError, TimeoutError):
            if _has_result(reply) and on_late_reply is not None:
                # The reply came in this turn of the event loop, just before. If the channel ended
                # right behind it, there is nothing to undo.
                with suppress(AmqpClosedConnection, ChannelClosed):
                    self._check_open()
                    on_late_reply(reply.result())
            if deadline.expired():
                # Of the caller's timeout, waiting for recovery may have left an odd number.
                text = f"within {round(timeout or 0.0, 3):g} seconds"
                raise TimeoutError(f"The server has not answered {method.NAME} {text}") from None
            raise
        finally:
            reply.cancel()  # has an effect only if the coroutine was closed
            connection.read_flow.end_call()

    def request_nowait(self, method: Method, on_reply: ReplyCallback | None = None) -> None:
        """Send a method that has a reply, and do not wait for it.

        Args:
            method: to send.
            on_reply: called with the reply.
        """
        self.send(method)
        self._pending.add(None, method, on_reply)

    def receive_reply(self, reply: Command) -> None:
        """Pass a reply to the call that waits for it.

        Raises:
            ProtocolViolation: no call waits for such a reply.
        """
        self._pending.receive_reply(reply)

    def waiting(self) -> Iterator[tuple[str, float]]:
        """Iterate over the calls that wait: the method's name, and when it was sent."""
        return self._pending.waiting()

    def give_up(self, text: str) -> None:
        """Raise TimeoutError in every call that waits; late replies are recognized."""
        self._pending.give_up(text)

    def answer(self, method: Method) -> None:
        """Send the answer to something that the server sent, whether or not it reads it.

        Raises:
            ProtocolViolation: it does not, and too many answers are buffered.
        """
        self._check_open()
        self._connection.answer(self.number, method)

    def fail(self, error: Exception) -> None:
        """Raise an error in every call that waits: the channel has ended."""
        self._pending.fail(error)


class _PendingRequest(NamedTuple):
    future: asyncio.Future[Command] | None
    request: Method
    on_late_reply: ReplyCallback | None
    began: float


class PendingRequests:
    """Requests whose replies are still to come, in their order."""

    __slots__ = ("_by_consumer",)

    def __init__(self) -> None:
        # By consumer tag, or None for all others. Empty queues are dropped: each has 0.8 KB.
        self._by_consumer: dict[str | None, deque[_PendingRequest]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_consumer.values()))

    def add(
        self,
        future: asyncio.Future[Command] | None,
        request: Method,
        on_late_reply: ReplyCallback | None = None,
        began: float = 0.0,
    ) -> None:
        """Register ``future`` for the reply to ``request``; call it right after sending.

        A future that is cancelled keeps its place, so that its late reply is not passed to another.

        Args:
            future: gets the reply; None if no call waits for it.
            request: knows the classes of its replies, and its consumer if it is about one.
            on_late_reply: called with the reply if there is no future, or it has been cancelled.
            began: the event loop's time.
        """
        tag = None
        if isinstance(request, (basic.Consume, basic.Cancel)):
            tag = request.consumer_tag
        requests = self._by_consumer.setdefault(tag, deque())
        requests.append(_PendingRequest(future, request, on_late_reply, began))

    def receive_reply(self, reply: Command) -> None:
        """Set the result of the oldest future that waits for such a reply.

        Raises:
            ProtocolViolation: no request waits, or the oldest one waits for another reply.
        """
        method = reply.method
        tag = None
        if isinstance(method, (basic.ConsumeOk, basic.CancelOk)):
            tag = method.consumer_tag
        requests = self._by_consumer.get(tag)
        if not requests:
            raise ProtocolViolation(
                ReplyCode.COMMAND_INVALID,
                f"it sent {method.NAME} on channel {reply.channel}, where no reply is due",
            )
        future, request, on_late_reply, _ = requests[0]
        if not isinstance(method, request.REPLIES):
            expected = " or ".join(cls.NAME for cls in request.REPLIES)
            raise ProtocolViolation(
                ReplyCode.UNEXPECTED_FRAME,
                f"it sent {method.NAME} on channel {reply.channel}, where {expected} is due",
            )
        requests.popleft()
        if not requests:
            del self._by_consumer[tag]
        if future is not None and not future.done():
            future.set_result(reply)
        elif on_late_reply is not None:
            on_late_reply(reply)

    def waiting(self) -> Iterator[tuple[str, float]]:
        """Iterate over the calls that wait: the method's name, and when it was sent."""
        for requests in self._by_consumer.values():
            for future, request, _, began in requests:
                if future is not None and not future.done():
                    yield request.NAME, began

    def give_up(self, text: str) -> None:
        """Raise TimeoutError in every call that waits; the replies are still due."""
        for requests in self._by_consumer.values():
            for future, *_ in requests:
                if future is not None and not future.done():
                    future.set_exception(TimeoutError(text))

    def fail(self, error: Exception) -> None:
        """Raise an error in every call that waits; no replies are due any longer."""
        for requests in self._by_consumer.values():
            for future, *_ in requests:
                if future is not None and not future.done():
                    future.set_exception(error)
        self._by_consumer.clear()


def check_timeout(timeout: object, name: str = "timeout") -> None:
    """Check that a timeout is a number of seconds, 0 or more, or None.

    Args:
        timeout: to check.
        name: of the argument.

    Raises:
        InvalidArgument: it is not.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        kind = type(timeout).__name__
        raise InvalidArgument(f"must be a number of seconds or None, not {kind}", (name,))
    if not 0 <= timeout <= math.inf or (isinstance(timeout, int) and timeout > _MOST_SECONDS):
        raise InvalidArgument("must be 0 seconds or more; None for no limit", (name,))


def _has_result(reply: asyncio.Future[Command]) -> bool:
    return reply.done() and not reply.cancelled() and reply.exception() is None
