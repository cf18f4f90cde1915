"""Which replies a channel waits for.

The methods of a channel are answered in the order in which they were sent (Spec: 2.2.2), so one
queue a channel is enough to know whose each reply is: no names, no correlation.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from amqp_codec import Command, Method, ReplyCode

from .exceptions import ProtocolViolation

Unclaimed: TypeAlias = Callable[[Command], None]
"""Called with the reply to a call that was given up after its request had been sent."""


class Replies:
    """The calls of one channel that wait for a reply, in the order of their requests."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        self._expected: deque[
            tuple[Future[Command], tuple[type[Method], ...], Unclaimed | None]
        ] = deque()

    def __len__(self) -> int:
        return len(self._expected)

    def expect(
        self,
        future: Future[Command],
        accepted: tuple[type[Method], ...],
        unclaimed: Unclaimed | None = None,
    ) -> None:
        """Let a future stand for the reply to the request that is being sent now.

        A future that is cancelled keeps its place: its late reply is not another's.

        Args:
            future: gets the reply.
            accepted: the classes that the reply may have.
            unclaimed: gets the reply if the future has been cancelled when it comes.
        """
        self._expected.append((future, accepted, unclaimed))

    def receive(self, reply: Command) -> None:
        """Hand a reply to the call that has waited longest.

        Raises:
            ProtocolViolation: no call waits, or not for such a reply.
        """
        if not self._expected:
            raise ProtocolViolation(
                ReplyCode.COMMAND_INVALID,
                f"it sent {reply.method.NAME} on channel {reply.channel}, where no reply is due",
            )
        future, accepted, unclaimed = self._expected[0]
        if not isinstance(reply.method, accepted):
            expected = " or ".join(method.NAME for method in accepted)
            raise ProtocolViolation(
                ReplyCode.UNEXPECTED_FRAME,
                f"it sent {reply.method.NAME} on channel {reply.channel}, where {expected} is due",
            )
        self._expected.popleft()
        if not future.done():
            future.set_result(reply)
        elif unclaimed is not None:
            unclaimed(reply)

    def fail(self, error: Exception) -> None:
        """Let every call that waits end with an error; no reply is due any more."""
        while self._expected:
            future, _, _ = self._expected.popleft()
            if not future.done():
                future.set_exception(error)
