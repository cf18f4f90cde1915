"""Which replies a channel waits for.

The methods of a channel are answered in the order in which they were sent (Spec: 2.2.2), so one
queue a channel is enough to know whose each reply is: no names, no correlation. With one exception:
in RabbitMQ it is the queue that agrees to a consumer, and the channel answers other calls in the
meantime. What is said about a consumer keeps its order only among what is said about that consumer.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from amqp_codec import Command, Method, ReplyCode, basic

from ..exceptions import ProtocolViolation

LateReplyCallback: TypeAlias = Callable[[Command], None]
"""Called with the reply to a call that was given up after its request had been sent."""


class _Call(NamedTuple):
    future: Future[Command]
    request: Method
    on_late_reply: LateReplyCallback | None


class PendingRequests:
    """The calls of one channel that wait for a reply, in the order of their requests."""

    __slots__ = ("_about_consumers", "_others")

    def __init__(self) -> None:
        self._others: deque[_Call] = deque()
        self._about_consumers: dict[str, deque[_Call]] = {}

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self._about_consumers.values()))

    def expect(
        self,
        future: Future[Command],
        request: Method,
        on_late_reply: LateReplyCallback | None = None,
    ) -> None:
        """Let a future stand for the reply to a request that is being sent now.

        A future that is cancelled keeps its place: its late reply is not another's.

        Args:
            future: gets the reply.
            request: has the classes of its replies; names its consumer if it is about one.
            on_late_reply: gets the reply if the future has been cancelled when it comes.
        """
        calls = self._others
        if isinstance(request, (basic.Consume, basic.Cancel)):
            calls = self._about_consumers.setdefault(request.consumer_tag, deque())
        calls.append(_Call(future, request, on_late_reply))

    def receive(self, reply: Command) -> None:
        """Hand a reply to the call that has waited longest for its like.

        Raises:
            ProtocolViolation: no call waits, or not for such a reply.
        """
        method = reply.method
        calls = self._others
        if isinstance(method, (basic.ConsumeOk, basic.CancelOk)):
            calls = self._about_consumers.get(method.consumer_tag, deque())
        if not calls:
            raise ProtocolViolation(
                ReplyCode.COMMAND_INVALID,
                f"it sent {method.NAME} on channel {reply.channel}, where no reply is due",
            )
        future, request, on_late_reply = calls[0]
        if not isinstance(method, request.REPLIES):
            expected = " or ".join(cls.NAME for cls in request.REPLIES)
            raise ProtocolViolation(
                ReplyCode.UNEXPECTED_FRAME,
                f"it sent {method.NAME} on channel {reply.channel}, where {expected} is due",
            )
        calls.popleft()
        if isinstance(method, (basic.ConsumeOk, basic.CancelOk)) and not calls:
            del self._about_consumers[method.consumer_tag]
        if not future.done():
            future.set_result(reply)
        elif on_late_reply is not None:
            on_late_reply(reply)

    def fail(self, error: Exception) -> None:
        """Let every call that waits end with an error; no reply is due any more."""
        for calls in (self._others, *self._about_consumers.values()):
            for future, _, _ in calls:
                if not future.done():
                    future.set_exception(error)
        self._others.clear()
        self._about_consumers.clear()
