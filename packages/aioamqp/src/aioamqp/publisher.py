"""Publishing many messages with publisher confirms: what ``Channel.publisher`` returns."""

# The publisher shares the core of its channel.
# pyright: reportPrivateUsage=false

import asyncio
import os
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from amqp_codec import EncodeError, basic, confirm
from amqp_codec import Properties as CodecProperties

from ._channel.confirms import Content
from ._channel.core import ChannelCore
from ._channel.recovery import is_blamed, may_publish_again
from ._channel.requests import check_timeout
from ._connection.gate import Gate, GateTimeout, Reason
from ._connection.large_contents import LargeContent
from ._connection.read_flow import ReadFlow
from ._connection.recorder import waiting
from ._connection.waiters import Waiters
from ._loggers import channel_logger
from ._methods.base import check_flags
from ._methods.publish import note_not_published
from .exceptions import (
    AmqpClosedConnection,
    ChannelClosed,
    InvalidArgument,
    PublishUnconfirmed,
    not_sent,
    reason,
    unconfirmed,
)
from .properties import Properties, by_name, encode_properties

if TYPE_CHECKING:
    from .channel import Channel

Resend: TypeAlias = Literal["never", "unsent", "unconfirmed"]
"""Which messages a publisher sends again after its connection was lost."""

RESEND: Final[tuple[Resend, ...]] = ("never", "unsent", "unconfirmed")

RESENT_HEADER: Final = "x-resent"
"""The header of messages that are sent again, which the server may have already."""

MAX_UNCONFIRMED: Final = 1000
"""Messages that may be unconfirmed at a time, unless the caller sets others."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of their bodies."""

MOST_ERRORS: Final = 1000
"""Errors that are kept for ``flush``."""

_Payload: TypeAlias = bytes | bytearray | memoryview
_Properties: TypeAlias = Mapping[str, Any] | Properties | None


class Confirmation:
    """The outcome of one message that ``Publisher.publish_deferred`` has written.

    Await it, once or several times, for the publisher confirm. It raises what ``Channel.publish``
    raises then: PublishFailed, PublishReturned or PublishUnconfirmed.
    """

    __slots__ = ("_error", "_is_done", "_message", "_publisher", "_size", "_waiters")

    def __init__(self, publisher: "Publisher", size: int, message: "_Message | None") -> None:
        self._publisher = publisher
        self._size = size
        self._message = message  # to send again
        self._is_done = False
        self._error: Exception | None = None
        self._waiters: Waiters | None = None

    def __repr__(self) -> str:
        if not self._is_done:
            return "<Confirmation pending>"
        return f"<Confirmation {'confirmed' if self._error is None else repr(self._error)}>"

    def __await__(self) -> Generator[Any, None, None]:
        while not self._is_done:
            if self._waiters is None:
                self._waiters = Waiters()
            # It may be a consumer's callback that waits here. After recovery, which wakes it, the
            # publisher confirm comes on another connection.
            read_flow = self._publisher._channel._core.connection.read_flow
            read_flow.begin_call()
            try:
                yield from self._waiters.wait().__await__()
            finally:
                read_flow.end_call()
        self._publisher._forget_error(self)
        if self._error is not None:
            raise self._error

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._is_done

    def exception(self) -> Exception | None:
        """Return the error that awaiting it raises; None if it is confirmed, or still pending."""
        if self._is_done:
            self._publisher._forget_error(self)
        return self._error

    def set_result(self, _: None) -> None:
        """Note that the message is confirmed. Called by the channel."""
        self._is_done = True
        self._message = None
        if self._waiters is not None:
            self._waiters.wake()
        self._publisher._free_place(self._size)

    def set_exception(self, error: Exception) -> None:
        """Note that the message is not confirmed. Called by the channel."""
        if not self._publisher._keeps(self, error):
            self._fail(error)

    def set_torn(self, error: Exception) -> None:
        """Note that only a part of the message was written. Called when the connection fails."""
        # One that is kept is sent again, or given up, when the channel has ended.
        if not self._is_done and self._message is None:
            self._fail(not_sent(error))

    def move(self) -> None:
        """Wait for the outcome on another connection: the message is sent there again."""
        if self._waiters is not None:
            self._waiters.wake()

    def _fail(self, error: Exception) -> None:
        self._error = error
        if not self._waiters:  # nobody awaits it
            self._publisher._keep_error(self, error)
        self.set_result(None)


class _Message:
    """What is needed to send a message again."""

    __slots__ = ("blamed", "body", "exchange", "mandatory", "properties", "routing_key")

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        properties: bytes,
        body: _Payload,
    ) -> None:
        self.exchange: str = exchange
        self.routing_key: str = routing_key
        self.mandatory: bool = mandatory
        self.properties: bytes = properties
        self.body: _Payload = body
        self.blamed: int = 0  # how often a connection was lost that may have been because of it


class Publisher:
    """Publishes to one exchange with publisher confirms, with a limit for unconfirmed messages.

        async with channel.publisher("orders", resend="unconfirmed") as publisher:
            for order in orders:
                await publisher.publish_deferred(order)

    The channel goes into confirm mode with the first message. ``async with`` waits for all
    outcomes in the end: see ``flush``.

    Args:
        channel: to publish on.
        exchange: see ``Channel.publisher``, as for all others.
        routing_key: see there.
        properties: see there.
        mandatory: see there.
        resend: see there.
        max_unconfirmed: see there.
        max_bytes: see there.
        blocked_timeout: see there.
    """

    def __init__(
        self,
        channel: "Channel",
        exchange: str,
        *,
        routing_key: str = "",
        properties: _Properties = None,
        mandatory: bool = False,
        resend: Resend = "never",
        max_unconfirmed: int = MAX_UNCONFIRMED,
        max_bytes: int = MAX_BYTES,
        blocked_timeout: float | None = None,
    ) -> None:
        check_flags(mandatory=mandatory)
        check_timeout(blocked_timeout, "blocked_timeout")
        if resend not in RESEND:
            text = f"must be {' or '.join(map(repr, RESEND))}, not {resend!r:.40}"
            raise InvalidArgument(text, ("resend",))
        _check_limit("max_unconfirmed", max_unconfirmed)
        _check_limit("max_bytes", max_bytes)
        recovery = channel._core.recovery
        if resend != "never" and recovery is None:
            text = "needs a channel of a Connection: this one ends when its connection is lost"
            raise InvalidArgument(text, ("resend",))
        self._channel = channel
        self._exchange = exchange
        self._routing_key = routing_key
        self._encoded_properties = _encoded(properties)
        self._properties = by_name(properties)
        self._mandatory = mandatory
        self._resend: Resend = resend
        self._keeps_messages = resend == "unconfirmed"
        self._max_unconfirmed = max_unconfirmed
        self._max_bytes = max_bytes
        self._blocked_timeout = blocked_timeout
        self._gate = Gate(channel._core.connection.loop)
        self._count = 0
        self._bytes = 0
        self._is_full = False
        self._in_line = 0  # calls that wait for a place in the window
        self._line_flow: ReadFlow = channel._core.connection.read_flow
        self._until_settled = Waiters()
        self._errors: dict[Confirmation, Exception] = {}
        self._more_errors = 0
        self._kept: list[Confirmation] = []  # to send again, in order
        self._name = os.urandom(16).hex()
        self._last_id = 0
        # Which checks the arguments.
        _encode(channel._core, exchange, routing_key, mandatory, self._encoded_properties, b"")
        self._prepare(channel._core)
        if recovery is not None:
            recovery.publishers.add(self)

    def __del__(self) -> None:
        count = len(getattr(self, "_errors", ()))
        if count:
            channel_logger.warning(
                "%d messages to exchange %r were not confirmed, and nothing has asked for their"
                " outcome: call publisher.flush(). The first: %s",
                count + self._more_errors,
                self._exchange,
                reason(next(iter(self._errors.values()))),
            )

    @property
    def unconfirmed(self) -> int:
        """The number of messages whose outcome is not known yet."""
        return self._count

    @property
    def resent(self) -> int:
        """The number of messages that wait to be sent again."""
        return len(self._kept)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.flush()

    # ---------------------------------------------------------------- publishing

    async def publish(
        self,
        body: _Payload,
        *,
        routing_key: str | None = None,
        properties: _Properties = None,
        mandatory: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Publish a message and wait for its publisher confirm.

        Args:
            body: its bytes.
            routing_key: None for that of the publisher.
            properties: by name, added to those of the publisher; a ``Properties`` replaces them.
            mandatory: None for that of the publisher.
            timeout: seconds for all of it; None for no limit.

        Raises:
            InvalidArgument, PublishNotSent, PublishUnconfirmed, PublishReturned, PublishFailed: see
                ``Channel.publish``. With ``resend``, the publisher goes on instead of raising
                PublishNotSent or PublishUnconfirmed when the connection is lost and recovers.
        """
        loop = asyncio.get_running_loop()
        check_timeout(timeout)
        deadline = None if timeout is None else loop.time() + timeout
        confirmation = await self.publish_deferred(
            body,
            routing_key=routing_key,
            properties=properties,
            mandatory=mandatory,
            timeout=timeout,
        )
        timer = None
        if deadline is not None:
            text = f"The server has not confirmed it within {timeout} seconds"
            timer = loop.call_at(deadline, self._give_up, confirmation, text)
        try:
            await confirmation
        finally:
            if timer is not None:
                timer.cancel()

    async def publish_deferred(
        self,
        body: _Payload,
        *,
        routing_key: str | None = None,
        properties: _Properties = None,
        mandatory: bool | None = None,
        timeout: float | None = None,
    ) -> Confirmation:
        """Publish a message; return its Confirmation, which can be awaited, without waiting for it.

        It waits only while too many messages are unconfirmed, or the connection cannot take more.

        Args:
            body: see ``publish``, as for all others.
            routing_key: see there.
            properties: see there.
            mandatory: see there.
            timeout: seconds until it must be written; None for no limit.

        Raises:
            InvalidArgument, PublishNotSent: see ``publish``.
        """
        core, exchange, message = self._channel._core, self._exchange, None
        key = self._routing_key if routing_key is None else routing_key
        encoded = self._encoded_properties if properties is None else self._merged(properties)
        if mandatory is None:
            mandatory = self._mandatory
        if self._resend != "never":
            message = self._lasting(_Message(exchange, key, mandatory, encoded, body))
            encoded, body = message.properties, message.body
        # Now, which checks the arguments, and also without a connection.
        connection = core.connection
        noted = None
        if connection.recorder is not None:
            noted, encoded = connection.recorder.publishing(
                core.number, exchange, key, mandatory, False, encoded, body
            )
            if message is not None:
                message.properties = encoded
        try:
            if (
                encoded is self._encoded_properties
                and key is self._routing_key
                and mandatory is self._mandatory
                and core is self._prepared_core
                and type(body) is bytes
                and len(body) <= connection.encoder.most_at_once
            ):
                data: bytes | LargeContent = self._prepared.encode(encoded, body)
            else:
                data = connection.encoder.encode_publish(
                    core.number, exchange, key, mandatory, False, encoded, body
                )
        except InvalidArgument as error:
            note_not_published(core, noted, error)
            raise
        size = len(data)
        if (
            timeout is not None
            or self._gate.is_busy
            or connection.gate.is_busy
            or core.flow_gate.is_busy
            or (core.recovery is not None and core.recovery.is_lost)
        ):
            try:
                ready = await self._take_place_in_line(core, size, timeout)
                if ready is not core:
                    core, connection = ready, ready.connection
                    try:
                        data = _encode(core, exchange, key, mandatory, encoded, body)
                    except InvalidArgument:  # the new server may have a smaller frame-max
                        self._free_place(size)
                        raise
            except BaseException as error:
                note_not_published(core, noted, error)
                raise
        else:
            try:
                core.check_open()
            except (AmqpClosedConnection, ChannelClosed) as error:
                note_not_published(core, noted, error)
                raise not_sent(error) from error
            self._take_place(size)
        if not core.confirms.is_selected:
            _select(core)
        if noted is not None and connection.recorder is not None:
            connection.recorder.published(noted, core)
        confirmation = Confirmation(self, size, message if self._keeps_messages else None)
        if isinstance(data, bytes):
            connection.writer.write(data)
        else:
            _write_large(core, data, confirmation)
        content = Content(exchange, key, encoded, bytes(body)) if mandatory else None
        core.confirms.add(confirmation, content)
        return confirmation

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until the outcome of every message is known.

        Raises:
            ExceptionGroup: some were not confirmed, and their Confirmations have not been awaited:
                the errors of those since the last ``flush``, at most MOST_ERRORS of them; the text
                has the number of all.
            TimeoutError: some are still unconfirmed after so many seconds.
        """
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                while self._count:
                    read_flow = self._channel._core.connection.read_flow
                    read_flow.begin_call()
                    try:
                        await self._until_settled.wait()  # or another connection
                    finally:
                        read_flow.end_call()
        except TimeoutError:
            text = f"{self._count} messages are unconfirmed after {timeout} seconds"
            raise TimeoutError(text) from None
        errors, self._errors = list(self._errors.values()), {}
        count, self._more_errors = len(errors) + self._more_errors, 0
        if errors:
            raise ExceptionGroup(f"{count} messages were not confirmed", errors)

    async def _take_place_in_line(
        self, core: ChannelCore, size: int, timeout: float | None
    ) -> ChannelCore:
        """Wait until the message can be written; return the core to write it on.

        Raises:
            PublishNotSent: the channel is closed, or ``timeout`` seconds have passed.
        """
        deadline = None
        if timeout is not None:
            check_timeout(timeout)
            deadline = asyncio.get_running_loop().time() + timeout
        recovers = self._resend != "never" or (core.recovery is not None and core.recovery.is_lost)
        if self._gate.is_busy:
            await self._wait_for_place(core, size, deadline)
        # Its place in the window, before it waits for anything else: so messages keep their order.
        self._take_place(size)
        try:
            return await self._ready_core(core, recovers, size, deadline)
        except BaseException:
            self._free_place(size)
            raise

    async def _ready_core(
        self, core: ChannelCore, recovers: bool, size: int, deadline: float | None
    ) -> ChannelCore:
        """Wait until the message can be written; return the core to write it on.

        Args:
            core: of the channel when the call began.
            recovers: whether to wait for another core if that one's connection is lost.
            size: of the message.
            deadline: the event loop's time at which to give up; None for no limit.

        Raises:
            PublishNotSent: the channel is closed, or the deadline has passed.
        """
        while True:
            recovery = core.recovery
            if recovers and recovery is not None:
                if recovery.is_lost:
                    await recovery.ready_to_publish(_left(deadline))
                core = self._channel._core
            recovers = self._resend != "never"
            try:
                core.check_open()
                for gate in (core.flow_gate, core.connection.gate):
                    if gate.is_busy:
                        await self._wait(gate, core, size, deadline)
                        core.check_open()
            except (AmqpClosedConnection, ChannelClosed) as error:
                if not recovers or recovery is None or not recovery.goes_on(core):
                    raise not_sent(error) from error
            else:
                return core

    async def _wait_for_place(self, core: ChannelCore, size: int, deadline: float | None) -> None:
        """Wait in line for a place in the window, on whatever connection one gets free.

        Raises:
            PublishNotSent: the deadline has passed.
        """
        if not self._in_line:
            self._line_flow = core.connection.read_flow
        self._in_line += 1
        self._line_flow.begin_call()
        try:
            await self._wait(self._gate, core, size, deadline)
        finally:
            self._in_line -= 1
            self._line_flow.end_call()

    def _move_line(self, read_flow: ReadFlow) -> None:
        """Keep another connection reading for the calls in line."""
        for _ in range(self._in_line):
            self._line_flow.end_call()
            read_flow.begin_call()
        self._line_flow = read_flow

    async def _wait(self, gate: Gate, core: ChannelCore, size: int, deadline: float | None) -> None:
        """Wait in line.

        Raises:
            PublishNotSent: the deadline has passed.
            AmqpClosedConnection, ChannelClosed: the channel has ended.
        """
        loop = core.connection.loop
        until, seconds = deadline, _left(deadline)
        limit = self._blocked_timeout
        if limit is not None and gate.is_blocked and (seconds is None or limit < seconds):
            until, seconds = loop.time() + limit, limit
        core.connection.read_flow.begin_call()  # the confirms must be read
        try:
            with waiting(core.connection.recorder, "basic.publish", "gate"):
                await gate.wait(size, core, until)
        except GateTimeout as error:
            cause = TimeoutError(f"it could not be written within {seconds:g} seconds: {error}")
            raise not_sent(cause) from cause
        finally:
            core.connection.read_flow.end_call()

    def _prepare(self, core: ChannelCore) -> None:
        """Encode what most messages over a core have in common, and check that they fit."""
        self._prepared_core: ChannelCore | None = None
        try:
            self._prepared = core.connection.encoder.prepare(
                core.number, self._exchange, self._routing_key, self._mandatory
            )
            self._prepared.encode(self._encoded_properties, b"")
        except EncodeError:
            return  # the new server has a smaller frame-max: the messages are refused one by one
        self._prepared_core = core

    def _take_place(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        if self._count >= self._max_unconfirmed or self._bytes >= self._max_bytes:
            self._is_full = True
            self._gate.close(Reason.WINDOW)

    def _free_place(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        if self._is_full and self._count < self._max_unconfirmed and self._bytes < self._max_bytes:
            self._is_full = False
            self._gate.open(Reason.WINDOW)
        if not self._count:
            self._until_settled.wake()

    def _merged(self, properties: _Properties) -> bytes:
        base = self._properties
        if base and isinstance(properties, Mapping):
            given = properties if "message_type" not in properties else by_name(properties)
            properties = {**base, **given}
        return _encoded(properties)

    def _lasting(self, message: _Message) -> _Message:
        """Return a message that can be sent later: with a body that does not change, and an id."""
        if isinstance(message.body, bytearray | memoryview):  # bytes(5) would be five bytes
            message.body = bytes(message.body)
        if self._keeps_messages:
            properties = _decoded(message.properties)
            if properties.message_id is None:
                self._last_id += 1
                properties.message_id = f"{self._name}-{self._last_id}"
                message.properties = properties.encode()
        return message

    # ---------------------------------------------------------------- outcomes

    def _keep_error(self, confirmation: Confirmation, error: Exception) -> None:
        if len(self._errors) < MOST_ERRORS:
            self._errors[confirmation] = error
        else:
            self._more_errors += 1

    def _forget_error(self, confirmation: Confirmation) -> None:
        self._errors.pop(confirmation, None)

    def _give_up(self, confirmation: Confirmation, text: str) -> None:
        """Raise PublishUnconfirmed in the call that waits for a message: it waits too long."""
        if not confirmation.done():
            if confirmation in self._kept:
                self._kept.remove(confirmation)
            confirmation._fail(unconfirmed(TimeoutError(text), 0, ()))

    # ---------------------------------------------------------------- recovery

    def _keeps(self, confirmation: Confirmation, error: Exception) -> bool:
        """Return whether a message that is not confirmed is sent again, and keep it then."""
        core = self._channel._core
        message = confirmation._message
        if message is None or not isinstance(error, PublishUnconfirmed):
            return False
        if core.recovery is None or not core.recovery.goes_on(core):
            return False
        message.blamed += is_blamed(basic.Publish.NAME, core.failure)
        if not may_publish_again(core.failure, message.blamed):
            return False
        self._kept.append(confirmation)
        core.recovery.keep(self)
        return True

    def resume(self, core: ChannelCore) -> None:
        """Send messages again, before any others. Called when the channel is restored."""
        self._prepare(core)
        kept, self._kept = self._kept, []
        if kept and not core.confirms.is_selected:
            _select(core)
        for confirmation in kept:
            message = confirmation._message
            assert message is not None
            properties = _decoded(message.properties)
            if not (properties.headers or {}).get(RESENT_HEADER):
                properties.headers = {**(properties.headers or {}), RESENT_HEADER: True}
                message.properties = properties.encode()
            try:
                data = _encode(
                    core,
                    message.exchange,
                    message.routing_key,
                    message.mandatory,
                    message.properties,
                    message.body,
                )
            except InvalidArgument as error:  # the new server may have a smaller frame-max
                confirmation._fail(not_sent(error))
                continue
            if core.connection.recorder is not None:
                core.connection.recorder.published_again(core, message)
            if isinstance(data, bytes):
                core.connection.writer.write(data)
            else:
                _write_large(core, data, confirmation)
            core.confirms.add(confirmation, _returnable(message))
            confirmation.move()
        self._until_settled.wake()
        self._move_line(core.connection.read_flow)

    def end(self, error: Exception) -> None:
        """Raise PublishUnconfirmed for the messages that were to be sent again."""
        kept, self._kept = self._kept, []
        if kept:
            channel_logger.warning(
                "%d messages to exchange %r were to be sent again, and are given up: the server may"
                " have them or not: %s",
                len(kept),
                self._exchange,
                reason(error),
            )
        for confirmation in kept:
            confirmation._fail(unconfirmed(error, 0, ()))


def _encoded(properties: _Properties) -> bytes:
    try:
        return encode_properties(properties)
    except EncodeError as error:
        raise InvalidArgument(error.reason, error.path) from None


def _decoded(properties: bytes) -> CodecProperties:
    return CodecProperties.decode(properties, 0, len(properties))


def _check_limit(name: str, limit: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidArgument(f"must be a number from 1, not {limit!r:.40}", (name,))


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    return max(0.0, deadline - asyncio.get_running_loop().time())


def _write_large(core: ChannelCore, content: LargeContent, confirmation: Confirmation) -> None:
    content.on_torn = confirmation.set_torn
    core.write_content(content)


def _encode(
    core: ChannelCore,
    exchange: str,
    routing_key: str,
    mandatory: bool,
    properties: bytes,
    body: _Payload,
) -> bytes | LargeContent:
    return core.connection.encoder.encode_publish(
        core.number, exchange, routing_key, mandatory, False, properties, body
    )


def _returnable(message: _Message) -> Content | None:
    if not message.mandatory:
        return None
    return Content(message.exchange, message.routing_key, message.properties, bytes(message.body))


def _select(core: ChannelCore) -> None:
    """Go into confirm mode, and do not wait for the reply: the server counts from now on."""
    core.requests.request_nowait(confirm.Select())
    core.confirms.is_selected = True
