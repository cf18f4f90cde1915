"""What a channel and the server say to each other about requests, replies and closing.

state      the server sends      then
open       a reply               it goes to the call that waits for it
           close                 we answer close-ok, and are closed
closing    close-ok              closed: both directions are finished
           close                 the two crossed: we answer close-ok, and go on waiting
           anything else         ignored. Spec: 1.5.2.5
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from amqp_codec import Command, Method, ReplyCode
from amqp_codec import channel as wire_channel

from ..exceptions import ChannelClosed, InvalidArgument
from .pending_requests import LateReplyCallback, PendingRequests

if TYPE_CHECKING:
    from .._connection.writer import Writer

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a server may take to answer a close where the caller does not say."""


class State(Enum):
    """How far a channel is."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Requests:
    """One channel's requests and replies, from its opening to its end.

    Args:
        wire: to write to.
        number: of the channel.
        when_ended: called once, as soon as the channel is not open any more, with what those who
            wait are told and whether the program asked for it.
        when_free: called once, when the number may be used for another channel.
    """

    def __init__(
        self,
        wire: "Writer",
        number: int,
        when_ended: Callable[[Exception, bool], None],
        when_free: Callable[[], None],
    ) -> None:
        self.state: State = State.OPEN
        self._wire = wire
        self._number = number
        self._when_ended = when_ended
        self._when_free = when_free
        self._replies = PendingRequests()
        self._close_ok: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    def check_open(self) -> None:
        """Do nothing if the channel can be used.

        Raises:
            AmqpClosedConnection: the connection is over.
            ChannelClosed: the channel is.
        """
        self._wire.check_open()
        if self.state is not State.OPEN:
            raise ChannelClosed from self._failure  # which says why, if not the program closed it

    def check(self, method: Method) -> None:
        """Do nothing if a method can be sent.

        Raises:
            InvalidArgument: an argument of it cannot.
            AmqpClosedConnection, ChannelClosed: the connection or the channel is over.
        """
        self.check_open()
        self._wire.encode(self._number, method)

    def send(self, method: Method) -> None:
        """Send a method that is not answered."""
        self.check_open()
        self._wire.send(self._number, method)

    async def request(
        self,
        method: Method,
        timeout: float | None = None,
        on_late_reply: LateReplyCallback | None = None,
    ) -> Command:
        """Send a method and wait for its reply.

        Args:
            method: to send.
            timeout: seconds to wait; None to wait as long as the channel lives.
            on_late_reply: gets the reply if the caller is cancelled or the time is over.

        Raises:
            ChannelClosed, AmqpClosedConnection: the channel or the connection ends, or has ended.
            TimeoutError: the time is over. The late reply will be taken for what it is.
        """
        self.check_open()
        check_timeout(timeout)
        self._wire.send(self._number, method)
        reply: asyncio.Future[Command] = self._wire.loop.create_future()
        self._replies.expect(reply, method, on_late_reply)
        self._wire.flush()
        self._wire.backlog.call_begins()
        deadline = asyncio.timeout(timeout)
        try:
            if timeout is None:
                return await reply
            async with deadline:
                return await reply
        except (asyncio.CancelledError, TimeoutError):
            # The reply may have come in the same turn of the loop, just before, and what ended the
            # channel right behind it: then there is nothing left to undo.
            if on_late_reply is not None and self.state is State.OPEN and _has_result(reply):
                on_late_reply(reply.result())
            if deadline.expired():
                text = f"The server has not answered {method.NAME} within {timeout} seconds"
                raise TimeoutError(text) from None
            raise
        finally:
            reply.cancel()  # does nothing unless the coroutine itself was closed
            self._wire.backlog.call_ends()

    def request_nowait(self, method: Method, on_late_reply: LateReplyCallback) -> None:
        """Send a method for whose reply nobody waits.

        Args:
            method: to send.
            on_late_reply: gets the reply.
        """
        self.send(method)
        nobody: asyncio.Future[Command] = self._wire.loop.create_future()
        nobody.cancel()
        self._replies.expect(nobody, method, on_late_reply)

    def receive(self, reply: Command) -> None:
        """Take a reply, or the server's part in closing.

        Raises:
            ProtocolViolation: nothing waits for such a reply.
        """
        match reply.method:
            case wire_channel.Close(reply_code=code, reply_text=text):
                self._wire.send(self._number, wire_channel.CloseOk())
                self._wire.flush()
                if self.state is State.OPEN:
                    self.end(ChannelClosed(code, text))
                    self._when_free()
            case wire_channel.CloseOk() if self.state is State.CLOSING:
                self.state = State.CLOSED
                if self._close_ok is not None and not self._close_ok.done():
                    self._close_ok.set_result(None)
                self._when_free()
            case _:
                if self.state is State.OPEN:
                    self._replies.receive(reply)

    def start_closing(self, code: int, text: str) -> None:
        """Send a close; from now on the channel is not open, but its number is still taken."""
        self.check_open()
        # 0.15 sends 0, which is no reply code.
        close = wire_channel.Close(code or ReplyCode.REPLY_SUCCESS, text)
        self._wire.send(self._number, close)
        self._wire.flush()
        self.state = State.CLOSING
        error = ChannelClosed(0, "The program closed the channel during this call")
        self._replies.fail(error)
        self._when_ended(error, True)

    def give_up(self) -> None:
        """Close the channel if it is open, and wait for nothing."""
        if self.state is State.OPEN:
            self.start_closing(0, "The call that opened the channel was given up")

    async def close(self, code: int, text: str, timeout: float | None) -> None:
        """Close the channel and wait until the server has done so too.

        Raises:
            ChannelClosed: it has been closed before.
            TimeoutError: the server does not answer.
        """
        if self.state is not State.OPEN:
            raise ChannelClosed
        check_timeout(timeout)
        self.start_closing(code, text)
        seconds = CLOSE_TIMEOUT if timeout is None else timeout
        self._close_ok = self._wire.loop.create_future()
        self._wire.backlog.call_begins()
        try:
            async with asyncio.timeout(seconds):
                await self._close_ok
        except TimeoutError:
            raise TimeoutError(
                f"The server has not answered the close of channel {self._number} within"
                f" {seconds:g} seconds; the channel counts as closed, its number as taken"
            ) from None
        finally:
            self._wire.backlog.call_ends()

    def end(self, error: Exception, asked_for: bool = False) -> None:
        """Let the channel be closed, and fail all that waits."""
        was_open = self.state is State.OPEN
        self.state = State.CLOSED
        self._replies.fail(error)
        if self._close_ok is not None and not self._close_ok.done():
            # The connection is over and the channel with it, which is what the caller wanted.
            self._close_ok.set_result(None)
        if was_open:
            self._failure = error
            self._when_ended(error, asked_for)


def check_timeout(timeout: object) -> None:
    """Refuse what is no time to wait.

    Raises:
        InvalidArgument: it is neither a number nor None.
    """
    if not isinstance(timeout, int | float | None):
        kind = type(timeout).__name__
        raise InvalidArgument(f"must be a number of seconds or None, not {kind}", ("timeout",))


def _has_result(reply: asyncio.Future[Command]) -> bool:
    return reply.done() and not reply.cancelled() and reply.exception() is None
