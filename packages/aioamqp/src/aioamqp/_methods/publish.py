"""The methods of a channel about publishing and publisher confirms."""

import asyncio
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from amqp_codec import EncodeError, basic, confirm

from .._channel.confirms import Content
from .._channel.core import ChannelCore
from .._channel.requests import check_timeout
from ..exceptions import AmqpClosedConnection, ChannelClosed, InvalidArgument, not_sent
from ..properties import Properties, to_codec
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
        self._core.requests.check(method)
        if self._core.confirms.is_selected:
            raise ValueError("The channel is in confirm mode already: call confirm_select() once")
        # The server counts from the next message on, whether or not it has answered by then.
        self._core.confirms.is_selected = True
        return await self._do(method, no_wait, timeout)

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
    ) -> None:
        """Publish a message, and never wait for its publisher confirm. Spec: basic.publish.

        It is written together with what else is written in the same turn of the event loop. The
        call waits only while the connection cannot take more; cancelled then, nothing is sent.

        Args:
            payload: the body; a string is sent as UTF-8.
            exchange_name: empty for the default exchange.
            routing_key: for the default exchange, the name of a queue.
            properties: by the names of ``Properties``.
            mandatory: the message is returned to ``return_callback`` if no queue takes it.
            immediate: RabbitMQ: not supported, it closes the connection.
            exchange: another name of ``exchange_name``.
            body: another name of ``payload``.

        Raises:
            InvalidArgument: an argument cannot be sent; nothing was sent.
            PublishNotSent: the channel or the connection is closed; also a ChannelClosed or an
                AmqpClosedConnection.
        """
        core = self._core
        data, content = _encode(
            core, payload, exchange_name, routing_key, properties, mandatory, immediate, exchange,
            body,
        )  # fmt: skip
        await _wait_for_gate(core)
        core.connection.writer.write(data)
        if core.confirms.is_selected:
            core.confirms.add(None, content)

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
    ) -> None:
        """Publish a message and, in confirm mode, wait for its publisher confirm.

        Without confirm mode it is ``basic_publish``. If it is cancelled while it waits for the
        publisher confirm, the message has been sent.

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

        Raises:
            InvalidArgument: an argument cannot be sent; nothing was sent.
            PublishNotSent: the channel or the connection is closed; also a ChannelClosed or an
                AmqpClosedConnection.
            PublishUnconfirmed: the channel or the connection ended before the publisher confirm,
                so the server may have the message or not; also a ChannelClosed or an
                AmqpClosedConnection.
            PublishReturned: no queue took the mandatory message.
            PublishFailed: the server could not take the message.
        """
        if isinstance(payload, str) or isinstance(body, str):
            warnings.warn(
                "publish() takes bytes: encode the string, as in publish(text.encode(), ...)",
                DeprecationWarning,
                stacklevel=2,
            )
        core, connection = self._core, self._core.connection
        data, content = _encode(
            core, payload, exchange_name, routing_key, properties, mandatory, immediate, exchange,
            body,
        )  # fmt: skip
        await _wait_for_gate(core)
        connection.writer.write(data)
        if not core.confirms.is_selected:
            return
        outcome = connection.loop.create_future()
        core.confirms.add(outcome, content)
        connection.read_flow.begin_call()  # it may be a consumer's callback that waits here
        try:
            await outcome
        finally:
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
) -> tuple[bytes, Content | None]:
    """Encode a message; return with it the content of one that may be returned."""
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
    if isinstance(payload, str):
        payload = payload.encode()
    _check_open(core)
    try:
        codec_properties = to_codec(properties)
    except EncodeError as error:
        raise InvalidArgument(error.reason, error.path) from None
    number, connection = core.number, core.connection
    data = connection.encoder.encode_publish(
        number, exchange_name, routing_key, mandatory, immediate, codec_properties, payload
    )
    if connection.is_traced:
        method = basic.Publish(exchange_name, routing_key, mandatory, immediate)
        connection.log_sent(number, method, len(payload))
    if not (mandatory or immediate):
        return data, None
    return data, Content.of(exchange_name, routing_key, codec_properties, bytes(payload))


async def _wait_for_gate(core: ChannelCore) -> None:
    """Wait until the connection can take a message, and the server wants one."""
    gate, may_publish = core.connection.gate, core.may_publish
    if gate.owes_turn:
        gate.owes_turn = False
        await asyncio.sleep(0)
        _check_open(core)
    while gate.is_paused or not may_publish.is_set():
        try:
            await gate.wait()
        except (AmqpClosedConnection, ChannelClosed) as error:
            raise not_sent(error) from error
        await may_publish.wait()
        _check_open(core)


def _check_open(core: ChannelCore) -> None:
    try:
        core.check_open()
    except (AmqpClosedConnection, ChannelClosed) as error:
        raise not_sent(error) from error
