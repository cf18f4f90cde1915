"""Remote procedure calls over RabbitMQ's direct reply-to.

RabbitMQ: direct-reply-to.html. The client consumes from a pseudo queue, and the server publishes
replies straight to the client's channel. So a reply is lost with that channel, but no queue is left
behind.
"""

# It reads over which connection a request was sent.
# pyright: reportPrivateUsage=false

import asyncio
import itertools
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, cast

from amqp_codec import EncodeError, basic
from amqp_codec import Properties as CodecProperties

from ._channel.core import ChannelCore
from ._channel.recovery import is_blamed, may_publish_again
from ._channel.requests import check_timeout
from ._loggers import channel_logger
from ._retry import OwnChannel, check_connection, text_of
from .channel import Channel
from .connection import Connection, StateChange
from .envelope import Envelope, ReturnEnvelope
from .exceptions import (
    AioamqpException,
    AmqpClosedConnection,
    ChannelClosed,
    InvalidArgument,
    PublishNotSent,
    PublishReturned,
    RpcError,
    RpcInterrupted,
    interrupted,
    not_sent,
)
from .message import Message
from .properties import Properties, to_codec
from .worker import ACKNOWLEDGEMENT_TIMEOUT, DRAIN_TIMEOUT, Worker

__all__ = ["RpcClient", "RpcHandler", "RpcServer"]

REPLY_TO: Final = "amq.rabbitmq.reply-to"

ERROR_TYPE: Final = "x-aioamqp-error-type"
"""The header of a reply that is an error, with the name of its class; the body is its text."""

CALL_TIMEOUT: Final = 30.0
"""Seconds in which the reply must come, unless the caller sets others."""

_MAX_EXPIRATION: Final = 2**32 - 1  # milliseconds. RabbitMQ: ttl.html

_Body: TypeAlias = bytes | bytearray | memoryview
RpcHandler: TypeAlias = Callable[[Message], "Awaitable[_Body | None] | _Body | None"]
"""Returns the reply to a request; a coroutine function or a plain one."""


class _Call:
    """A request that waits for its reply.

    Attributes:
        core: over which it was sent; None before.
        reply: its result.
    """

    __slots__ = ("core", "reply")

    def __init__(self, reply: "asyncio.Future[bytes]") -> None:
        self.core: ChannelCore | None = None
        self.reply = reply


class RpcClient:
    """Sends requests to RPC servers, and returns their replies.

        async with aioamqp.RpcClient(connection) as rpc:
            price = await rpc.call("prices", b"apples", timeout=5)

    Any number of calls may wait at the same time. It works with every server that publishes the
    reply to the request's ``reply_to``, with its ``correlation_id``.

    Args:
        connection: a connection that is open.
    """

    def __init__(self, connection: Connection) -> None:
        check_connection(connection)
        self._connection = connection
        self._opening = asyncio.Lock()
        self._channel: Channel | None = None
        self._watching: asyncio.Task[None] | None = None
        self._calls: dict[str, _Call] = {}
        self._prefix = os.urandom(16).hex()
        self._numbers = itertools.count(1)
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self._open_channel()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def pending(self) -> int:
        """The number of calls that wait for their reply."""
        return len(self._calls)

    async def close(self) -> None:
        """Close its channel, and fail the calls that wait."""
        self._is_closed = True
        error = AmqpClosedConnection("The program closed the RpcClient")
        for call in self._calls.values():
            _fail(call, error)
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
        async with self._opening:
            channel, self._channel = self._channel, None
        await _close(channel)
        if watching is not None:
            await asyncio.wait([watching])

    async def call(
        self,
        routing_key: str,
        body: _Body = b"",
        *,
        exchange: str = "",
        timeout: float | None = CALL_TIMEOUT,
        properties: Mapping[str, Any] | Properties | None = None,
        resend: bool = False,
    ) -> bytes:
        """Send a request, and return the body of the reply.

        Args:
            routing_key: for the default exchange, the name of the server's queue.
            body: of the request.
            exchange: empty for the default exchange.
            timeout: seconds in which the reply must come; None for no limit. A server does not get
                the request later, since it expires in the queue.
            properties: of the request; correlation_id, reply_to and expiration are set by this
                call.
            resend: whether to send the request again if the connection is lost before the reply,
                within ``timeout``. It may be handled twice then, with the same message_id.

        Raises:
            RpcError: the server's handler has raised an exception.
            PublishReturned: no queue took the request.
            PublishNotSent: the request was not sent, since the connection is closed, or was not
                open in time.
            RpcInterrupted: the channel or the connection ended before the reply, and the request is
                not sent again, or cannot be.
            TimeoutError: the reply did not come in time. The server may have handled the request,
                or still be doing so.
            InvalidArgument: an argument cannot be sent.
        """
        check_timeout(timeout)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        request = _request_properties(properties)
        key = f"{self._prefix}.{next(self._numbers)}"
        request.correlation_id, request.reply_to = key, REPLY_TO
        request.message_id = request.message_id or key
        call = self._calls[key] = _Call(loop.create_future())
        was_sent, blamed = False, 0
        timer = asyncio.timeout_at(deadline)
        try:
            async with timer:
                while True:
                    await self._send(call, routing_key, body, exchange, request, deadline, resend)
                    was_sent = True
                    try:
                        return await _reply_to(call)
                    except RpcInterrupted as error:
                        if not resend or not error.is_retryable or self._is_closed:
                            raise
                        blamed += is_blamed(basic.Publish.NAME, error.__cause__)
                        if not may_publish_again(error.__cause__, blamed):
                            raise
                    call.core, call.reply = None, loop.create_future()
        except PublishNotSent as error:
            if not was_sent:
                raise
            cause = error.__cause__
            raise interrupted(cause if isinstance(cause, Exception) else error) from cause
        except TimeoutError:
            if not timer.expired():
                raise
            if not was_sent:
                cause = TimeoutError(f"the connection was not ready within {timeout:g} seconds")
                raise not_sent(cause) from cause
            raise TimeoutError(
                f"There was no reply to the request with routing key {routing_key!r} within"
                f" {timeout:g} seconds"
            ) from None
        finally:
            del self._calls[key]
            if not call.reply.cancel() and not call.reply.cancelled():
                call.reply.exception()  # or else it would be logged as never retrieved

    async def _send(
        self,
        call: _Call,
        routing_key: str,
        body: _Body,
        exchange: str,
        request: CodecProperties,
        deadline: float | None,
        resend: bool,
    ) -> None:
        while True:
            try:
                channel = await self._open_channel()
                if deadline is not None:
                    await self._connection.wait_open()  # the expiration is what is left then
                    left = deadline - asyncio.get_running_loop().time()
                    milliseconds = max(1, math.ceil(left * 1000))
                    request.expiration = str(min(milliseconds, _MAX_EXPIRATION))
            except (AmqpClosedConnection, ChannelClosed) as error:
                raise not_sent(error) from error
            core, sent = channel._core, Properties.from_codec(request)
            try:
                await channel.basic_publish(body, exchange, routing_key, sent, mandatory=True)
            except PublishNotSent:
                if not resend or core.recovery is None or not core.recovery.goes_on(core):
                    raise
            else:
                call.core = channel._core
                return

    # ---------------------------------------------------------------- the channel

    async def _open_channel(self) -> Channel:
        """Return the channel with the consumer of replies; open it if there is none."""
        async with self._opening:
            channel = self._channel
            if channel is not None and channel.is_open:
                self._start_watching()
                return channel
            if self._is_closed:
                raise AmqpClosedConnection("The RpcClient is closed: make another one")
            channel = await self._connection.channel(
                return_callback=self._handle_return, on_close=self._handle_close
            )
            try:
                await channel.basic_consume(self._handle_reply, REPLY_TO, no_ack=True)
            except BaseException:
                await _close(channel)
                raise
            self._start_watching()
            self._channel = channel
            return channel

    def _start_watching(self) -> None:
        """Start the task that interrupts calls, unless it runs: it may have been cancelled."""
        if self._watching is None or self._watching.done():
            loop = asyncio.get_running_loop()
            changes = self._connection.state_changes()
            self._watching = asyncio.Task(
                self._watch(changes), loop=loop, name="aioamqp rpc client"
            )

    async def _watch(self, changes: AsyncIterator[StateChange]) -> None:
        """Interrupt calls when the connection is lost."""
        async for _ in changes:
            self._interrupt()

    def _interrupt(self) -> None:
        """Fail the calls that were sent over a channel or connection that has ended."""
        for call in self._calls.values():
            if call.core is not None and call.core.failure is not None:
                _fail(call, call.core.failure)

    def _handle_close(self, error: AioamqpException) -> None:
        del error
        self._interrupt()

    def _handle_reply(
        self, channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        del channel, envelope
        call = self._calls.get(properties.correlation_id or "")
        if call is None or call.reply.done():
            return  # the call was given up
        error_type = (properties.headers or {}).get(ERROR_TYPE)
        if error_type is None:
            call.reply.set_result(bytes(body))
        else:
            text = bytes(body).decode("utf-8", "replace")
            call.reply.set_exception(RpcError(str(error_type), text))

    def _handle_return(
        self, channel: Channel, body: bytes, envelope: ReturnEnvelope, properties: Properties
    ) -> None:
        del channel
        call = self._calls.get(properties.correlation_id or "")
        if call is not None and not call.reply.done():
            call.reply.set_exception(PublishReturned(0, envelope, body, properties))


def _request_properties(properties: Mapping[str, Any] | Properties | None) -> CodecProperties:
    try:
        request = to_codec(properties) or CodecProperties()
    except EncodeError as error:
        raise InvalidArgument(error.reason, error.path) from None
    for name in ("correlation_id", "reply_to", "expiration"):
        if getattr(request, name) is not None:
            raise InvalidArgument("is set by RpcClient.call: leave it out", (name,))
    return request


async def _reply_to(call: _Call) -> bytes:
    """Wait for the reply; it may be a consumer's callback that does, so reading goes on."""
    assert call.core is not None
    read_flow = call.core.connection.read_flow
    read_flow.begin_call()
    try:
        return await call.reply
    finally:
        read_flow.end_call()


def _fail(call: _Call, cause: Exception) -> None:
    if not call.reply.done():
        error = RpcInterrupted()
        error.__cause__ = cause
        call.reply.set_exception(error)


async def _close(channel: Channel | None) -> None:
    if channel is not None and channel.is_open:
        with suppress(AmqpClosedConnection, ChannelClosed, TimeoutError):
            await channel.close()


class RpcServer(Worker):
    """Calls a handler with the requests in a queue, and sends what it returns as the reply.

        async def price(request):
            return b"7.50"

        async with aioamqp.Connection("amqp://localhost/") as connection:
            await aioamqp.RpcServer(connection, "prices", price).run(signals=(signal.SIGTERM,))

    If the handler raises an exception, it is logged with its traceback, and the caller gets a
    ``RpcError`` with the name of its class and its text; nothing else of it leaves the program.

    A request is acknowledged when its handler has returned. If the connection is lost before, the
    server delivers the request again, and only that one is replied to. Otherwise it is a
    ``Worker``: it is run and drained in the same way.

    Args:
        connection: see ``Worker``, as for all others.
        queue: see there.
        handler: called as ``handler(message)``; it returns the body of the reply, None for an empty
            one.
        concurrency: see there.
        prefetch_count: see there.
        acknowledgement_timeout: see there.
        drain_timeout: see there.

    Raises:
        InvalidArgument: an argument is wrong.
    """

    def __init__(
        self,
        connection: Connection,
        queue: str,
        handler: RpcHandler,
        concurrency: int = 10,
        *,
        prefetch_count: int | None = None,
        acknowledgement_timeout: float | None = ACKNOWLEDGEMENT_TIMEOUT,
        drain_timeout: float | None = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(
            connection,
            queue,
            handler,
            concurrency,
            prefetch_count=prefetch_count,
            acknowledgement_timeout=acknowledgement_timeout,
            drain_timeout=drain_timeout,
        )
        self._replies = OwnChannel(connection, confirms=False)

    async def _close_channels(self) -> None:
        try:
            await self._replies.close()
        finally:
            await super()._close_channels()

    async def _succeeded(self, message: Message, result: Any) -> None:
        """Acknowledge a request and send the reply."""
        if not isinstance(result, bytes | bytearray | memoryview | None):
            text = f"The handler must return bytes, not {type(result).__name__}"
            await self._failed(message, TypeError(text))
            return
        body = b"" if result is None else bytes(cast("_Body", result))
        try:
            await self._reply(message, body, None)
        except InvalidArgument as error:  # the reply is too large
            await self._failed(message, error)

    async def _failed(self, message: Message, error: Exception) -> None:
        """Acknowledge a request and send the error as the reply."""
        channel_logger.error(
            "The RPC handler of queue %r has failed with %r",
            self._queue,
            message,
            exc_info=error,
        )
        try:
            await self._reply(message, text_of(error).encode(), {ERROR_TYPE: type(error).__name__})
        except InvalidArgument as failure:
            channel_logger.warning("The reply to %r is lost: %s", message, failure)

    async def _reply(self, message: Message, body: bytes, headers: dict[str, Any] | None) -> None:
        request = message.properties
        # First, or else a request whose reply-to closes the connection would be delivered again.
        if not message.is_settled and not await self._settle(message.ack()):
            return
        if not request.reply_to:
            return
        properties = Properties(headers=headers, correlation_id=request.correlation_id)
        try:
            channel = await self._replies.get()
            await channel.basic_publish(body, "", request.reply_to, properties)
        except AioamqpException as error:
            channel_logger.warning("The reply to %r is lost: %s", message, error)
