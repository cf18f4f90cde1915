"""The methods of a channel about publishing and publisher confirms."""

import asyncio
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from amqp_codec import EncodeError, confirm

from .._channel.confirms import Content
from .._channel.core import ChannelCore
from .._channel.requests import check_timeout
from .._connection.gate import GateTimeout
from .._connection.large_contents import LargeContent
from .._connection.recorder import waiting
from ..exceptions import (
    AmqpClosedConnection,
    ChannelClosed,
    InvalidArgument,
    PublishUnconfirmed,
    not_sent,
    unconfirmed,
)
from ..instrument import Publication
from ..properties import NO_PROPERTIES, Properties, encode_properties
from .base import Methods, check_flags

_Payload: TypeAlias = bytes | bytearray | memoryview | str
_Properties: TypeAlias = Mapping[str, Any] | Properties | None


def _check_absent(value: object, name: str, alias: str) -> None:
    if value is not None:
        raise InvalidArgument(f"is another name of {name}: give one of them", (alias,))


class PublishMethods(Methods):
    """Publishing, and AMQP's class confirm, by the names of 0.15."""

    @property
    def publisher_confirms(self) -> bool:
        """Whether the channel is in confirm mode."""
        return self._core.confirms.is_selected

    @property
    def delivery_tag_iter(self) -> Iterator[int] | None:
        """The delivery tags of the messages to come; None outside confirm mode."""
        confirms = self._core.confirms
        return itertools.count(confirms.last_tag + 1) if confirms.is_selected else None

    async def confirm_select(
        self, *, no_wait: bool = False, timeout: float | None = None
    ) -> bool | None:
        """Go into confirm mode, in which ``publish`` waits for publisher confirms.

        The channel stays in it until it is closed. RabbitMQ: confirms.html.

        Raises:
            ValueError: the channel is in confirm mode already.
        """
        check_flags(no_wait=no_wait)
        check_timeout(timeout)
        method = confirm.Select(no_wait)
        is_selected = self._core.confirms.is_selected

        async def send(core: ChannelCore, seconds: float | None) -> bool | None:
            core.requests.check(method)
            if is_selected:
                raise ValueError(
                    "The channel is in confirm mode already: call confirm_select() once"
                )
            if core.confirms.is_selected:  # recovery has sent it again
                return True
            # The server counts from the next message on, whether or not it has answered by then.
            core.confirms.is_selected = True
            if no_wait:
                core.requests.send(method)
                return None
            await core.requests.request(method, seconds)
            return True

        return await self._over(method, timeout, send)

    async def basic_publish(
        self,
        payload: _Payload | None = None,
        exchange_name: str | None = None,
        routing_key: str | None = None,
        properties: _Properties = None,
        mandatory: bool = False,
        immediate: bool = False,
        *,
        exchange: str | None = None,
        body: _Payload | None = None,
        timeout: float | None = None,
    ) -> None:
        """Publish a message, and never wait for its publisher confirm. Spec: basic.publish.

        The first write of a turn of the event loop is sent at once; what else is written in it is
        sent together at its end. The call waits only while the connection cannot take more. Calls
        that wait are sent in their order; one that is cancelled or times out then is not sent.

        A body of more than 128 KiB is written in pieces, as fast as the server reads, and the call
        waits until all are written. Other channels send between the pieces. Once the first one is
        written, the others are too, whether the call is cancelled, times out, or the channel or
        the connection is closed. ``bytes`` are not copied for that, other types are.

        Args:
            payload: the body; a string is sent as UTF-8.
            exchange_name: empty for the default exchange.
            routing_key: for the default exchange, the name of a queue.
            properties: by the names of ``Properties``.
            mandatory: the message is returned to ``return_callback`` if no queue takes it.
            immediate: RabbitMQ: not supported, it closes the connection.
            exchange: another name of ``exchange_name``.
            body: another name of ``payload``.
            timeout: seconds to wait while the connection cannot take more; None for no limit.

        Raises:
            InvalidArgument: an argument cannot be sent; nothing was sent.
            PublishNotSent: the channel or the connection is closed, or the ``timeout`` has passed,
                or a large message was only written in part when the connection was lost; also a
                ChannelClosed, an AmqpClosedConnection or a TimeoutError.
            PublishUnconfirmed: the ``timeout`` has passed while a large message was being written;
                also a TimeoutError.
        """
        core = self._core
        if core.recovery is not None and core.recovery.is_lost:
            timeout = await core.recovery.ready_to_publish(timeout)
            core = self._core
        connection = core.connection
        data, content, message = _encode(
            core, payload, exchange_name, routing_key, properties, mandatory, immediate, exchange,
            body,
        )  # fmt: skip
        deadline = None
        if timeout is not None:
            check_timeout(timeout)
            deadline = connection.loop.time() + timeout
        if connection.gate.is_busy or core.flow_gate.is_busy:
            await _wait_for_gates(core, len(data), timeout, message)
        if message is not None and connection.recorder is not None:
            connection.recorder.published(message, core)
        if type(data) is bytes:
            connection.writer.write(data)
            if core.confirms.is_selected:
                core.confirms.add(None, content)
            return
        assert isinstance(data, LargeContent)
        core.write_content(data)
        if core.confirms.is_selected:
            core.confirms.add(None, content)
        if not data.is_written:
            await _wait_until_written(core, data, deadline)

    async def publish(
        self,
        payload: _Payload | None = None,
        exchange_name: str | None = None,
        routing_key: str | None = None,
        properties: _Properties = None,
        mandatory: bool = False,
        immediate: bool = False,
        *,
        exchange: str | None = None,
        body: _Payload | None = None,
        timeout: float | None = None,
    ) -> None:
        """Publish a message and, in confirm mode, wait for its publisher confirm.

        Without confirm mode it is ``basic_publish``. If it is cancelled while it waits for the
        publisher confirm, the message has been sent, or the rest of a large one still is.

        Args:
            payload: the body; encode strings yourself, they are deprecated here.
            exchange_name: see ``basic_publish``, as for all others.
            routing_key: see there.
            properties: see there.
            mandatory: raise PublishReturned if no queue takes the message, besides calling
                ``return_callback``; the latter only, without confirm mode.
            immediate: see there.
            exchange: see there.
            body: see there.
            timeout: seconds for all of it, including the publisher confirm; None for no limit.

        Raises:
            InvalidArgument: an argument cannot be sent; nothing was sent.
            PublishNotSent: the channel or the connection is closed, or the ``timeout`` has passed
                before the message was written, or a large one was only written in part when the
                connection was lost; also a ChannelClosed, an AmqpClosedConnection or a
                TimeoutError.
            PublishUnconfirmed: the channel or the connection ended before the publisher confirm, or
                the ``timeout`` passed, so the server may have the message or not; also a
                ChannelClosed, an AmqpClosedConnection or a TimeoutError.
            PublishReturned: no queue took the mandatory message.
            PublishFailed: the server could not take the message.
        """
        if isinstance(payload, str) or isinstance(body, str):
            warnings.warn(
                "publish() takes bytes: encode the string, as in publish(text.encode(), ...)",
                DeprecationWarning,
                stacklevel=2,
            )
        core = self._core
        if core.recovery is not None and core.recovery.is_lost:
            timeout = await core.recovery.ready_to_publish(timeout)
            core = self._core
        connection = core.connection
        data, content, message = _encode(
            core, payload, exchange_name, routing_key, properties, mandatory, immediate, exchange,
            body,
        )  # fmt: skip
        deadline = None
        if timeout is not None:
            check_timeout(timeout)
            deadline = connection.loop.time() + timeout
        if connection.gate.is_busy or core.flow_gate.is_busy:
            await _wait_for_gates(core, len(data), timeout, message)
        if message is not None and connection.recorder is not None:
            connection.recorder.published(message, core)
        large = None
        if type(data) is bytes:
            connection.writer.write(data)
        else:
            assert isinstance(data, LargeContent)
            large = data
            core.write_content(large)
        del data, payload, body, properties  # all would be kept until the publisher confirm
        if not core.confirms.is_selected:
            if large is not None and not large.is_written:
                await _wait_until_written(core, large, deadline)
            return
        outcome = connection.loop.create_future()
        tag = core.confirms.add(outcome, content)
        timer = None
        if deadline is not None:
            text = f"The server has not confirmed it within {timeout} seconds"
            timer = connection.loop.call_at(deadline, core.confirms.give_up, tag, text)
        connection.read_flow.begin_call()  # it may be a consumer's callback that waits here
        try:
            await outcome
        except PublishUnconfirmed:
            if large is None or large.error is None:
                raise
            raise not_sent(large.error) from large.error  # the server has not got all of it
        finally:
            if timer is not None:
                timer.cancel()
            outcome.cancel()  # has an effect only if the coroutine was closed
            connection.read_flow.end_call()


def _encode(
    core: ChannelCore,
    payload: _Payload | None,
    exchange_name: str | None,
    routing_key: str | None,
    properties: _Properties,
    mandatory: bool,
    immediate: bool,
    exchange: str | None,
    body: _Payload | None,
) -> tuple[bytes | LargeContent, Content | None, Publication | None]:
    """Encode a message.

    Returns:
        The message, its content if it may be returned, and what instruments see of it.
    """
    if body is not None:
        _check_absent(payload, "payload", "body")
        payload = body
    if exchange is not None:
        _check_absent(exchange_name, "exchange_name", "exchange")
        exchange_name = exchange
    if payload is None or exchange_name is None or routing_key is None:
        # They have a default only because of the other names.
        needed = {"payload": payload, "exchange_name": exchange_name}
        absent = [name for name, value in needed.items() if value is None]
        raise InvalidArgument("must be given", (*absent, "routing_key")[:1])
    if type(payload) is not bytes and isinstance(payload, str):
        payload = payload.encode()
    try:
        core.check_open()
        encoded = NO_PROPERTIES if properties is None else encode_properties(properties)
    except (AmqpClosedConnection, ChannelClosed) as error:
        raise not_sent(error) from error
    except EncodeError as error:
        raise InvalidArgument(error.reason, error.path) from None
    number, connection = core.number, core.connection
    message = None
    if connection.recorder is not None:
        message, encoded = connection.recorder.publishing(
            number, exchange_name, routing_key, mandatory, immediate, encoded, payload
        )
    try:
        data = connection.encoder.encode_publish(
            number, exchange_name, routing_key, mandatory, immediate, encoded, payload
        )
    except InvalidArgument as error:
        note_not_published(core, message, error)
        raise
    if not (mandatory or immediate):
        return data, None, message
    return data, Content(exchange_name, routing_key, encoded, bytes(payload)), message


def note_not_published(
    core: ChannelCore, message: Publication | None, error: BaseException
) -> None:
    """Note that a message was not written, if there are instruments."""
    if message is not None and core.connection.recorder is not None:
        core.connection.recorder.not_published(message, error)


async def _wait_for_gates(
    core: ChannelCore, size: int, timeout: float | None, message: Publication | None
) -> None:
    """Wait in line until the server wants a message and the connection can take it."""
    try:
        with waiting(core.connection.recorder, "basic.publish", "gate"):
            await _wait_in_line(core, size, timeout)
    except BaseException as error:
        note_not_published(core, message, error)
        raise


async def _wait_in_line(core: ChannelCore, size: int, timeout: float | None) -> None:
    connection = core.connection
    deadline = None if timeout is None else connection.loop.time() + timeout
    connection.read_flow.begin_call()  # the server may read nothing while it is not read from
    try:
        for gate in (core.flow_gate, connection.gate):
            if gate.is_busy:
                await gate.wait(size, core, deadline)
                core.check_open()
    except GateTimeout as error:
        cause = TimeoutError(f"it could not be written within {timeout} seconds: {error}")
        raise not_sent(cause) from cause
    except (AmqpClosedConnection, ChannelClosed) as error:
        raise not_sent(error) from error
    finally:
        connection.read_flow.end_call()


async def _wait_until_written(
    core: ChannelCore, content: LargeContent, deadline: float | None
) -> None:
    """Wait until a large content is written; it is even if the caller does not wait so long."""
    read_flow = core.connection.read_flow
    read_flow.begin_call()  # as for the gates
    try:
        async with asyncio.timeout_at(deadline):
            await content.wait()
    except TimeoutError:
        text = "it was not written completely within its timeout, and the rest is still to be sent"
        cause = TimeoutError(text)
        raise unconfirmed(cause, 0, ()) from cause
    except (AmqpClosedConnection, ChannelClosed) as error:
        raise not_sent(error) from error
    finally:
        read_flow.end_call()
