"""The calls of a channel that publish."""

import asyncio
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from amqp_codec import EncodeError, confirm

from .._channel.confirms import Content
from ..exceptions import AmqpClosedConnection, ChannelClosed, InvalidArgument, not_sent
from ..properties import Properties, to_codec
from .base import Methods

_Payload: TypeAlias = bytes | bytearray | memoryview | str
_Properties: TypeAlias = Mapping[str, Any] | Properties | None


def _check_absent(value: object, name: str, alias: str) -> None:
    if value is not None:
        raise InvalidArgument(f"is another name of {name}: give one of them", (alias,))


class PublishMethods(Methods):
    """Publishing, and the confirm class of AMQP, by the names of 0.15."""

    @property
    def publisher_confirms(self) -> bool:
        """Whether the channel is in confirm mode."""
        return self._confirms.is_selected

    @property
    def delivery_tag_iter(self) -> Iterator[int] | None:
        """The delivery tags of the messages to come; None outside confirm mode."""
        return itertools.count(self._confirms.last_tag + 1) if self.publisher_confirms else None

    async def confirm_select(
        self, *, no_wait: bool = False, timeout: float | None = None
    ) -> bool | None:
        """Go into confirm mode, in which ``publish`` waits for the server's word on the message.

        It holds from here on, for as long as the channel lives. RabbitMQ: confirms.html.

        Raises:
            ValueError: the channel is in confirm mode already.
        """
        method = confirm.Select(no_wait)
        self._dialogue.check(method)
        if self._confirms.is_selected:
            raise ValueError("The channel is in confirm mode already: call confirm_select() once")
        # The server counts from the next message on, whether or not it has answered by then.
        self._confirms.is_selected = True
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
        """Publish a message, and never wait for the server's word on it. Spec: basic.publish.

        It is written together with what else is written in the same turn of the event loop. The
        call waits only while the connection cannot take more; cancelled then, nothing is sent.

        Args:
            payload: the body; a string is sent as UTF-8.
            exchange_name: empty for the default exchange.
            routing_key: for the default exchange, the name of a queue.
            properties: by the names of ``Properties``.
            mandatory: give the message to ``return_callback`` if no queue takes it.
            immediate: RabbitMQ: not supported, it closes the connection.
            exchange: another name of ``exchange_name``.
            body: another name of ``payload``.

        Raises:
            InvalidArgument: something of it cannot be sent; nothing has been.
            PublishNotSent: the channel or the connection is over; also a ChannelClosed or an
                AmqpClosedConnection.
        """
        octets, content = self._encode(
            payload, exchange_name, routing_key, properties, mandatory, immediate, exchange, body
        )
        await self._room()
        self._wire.write(octets)
        if self._confirms.is_selected:
            self._confirms.count(None, content)

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
        """Publish a message, and in confirm mode wait for the server's word on it.

        Without confirm mode it does what ``basic_publish`` does. Cancelled while it waits for the
        server's word, the message has been sent.

        Args:
            payload: the body; encode strings yourself, they are deprecated here.
            exchange_name: see ``basic_publish``, as for all others.
            routing_key: see there.
            properties: see there.
            mandatory: let it fail if no queue takes the message, besides calling
                ``return_callback``; the latter only, without confirm mode.
            immediate: see there.
            exchange: see there.
            body: see there.

        Raises:
            InvalidArgument: something of it cannot be sent; nothing has been.
            PublishNotSent: the channel or the connection is over; also a ChannelClosed or an
                AmqpClosedConnection.
            PublishUnconfirmed: the channel or the connection ended before the server's word, so
                the server may have the message or not; also a ChannelClosed or an
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
        octets, content = self._encode(
            payload, exchange_name, routing_key, properties, mandatory, immediate, exchange, body
        )
        await self._room()
        wire = self._wire
        wire.write(octets)
        if not self._confirms.is_selected:
            return
        outcome = wire.loop.create_future()
        self._confirms.count(outcome, content)
        wire.backlog.call_begins()  # a consumer's callback may be what waits here
        try:
            await outcome
        finally:
            outcome.cancel()  # does nothing unless the coroutine itself was closed
            wire.backlog.call_ends()

    def _encode(
        self,
        payload: _Payload | None,
        exchange_name: str | None,
        routing_key: str | None,
        properties: _Properties,
        mandatory: bool,
        immediate: bool,
        exchange: str | None,
        body: _Payload | None,
    ) -> tuple[bytes, Content | None]:
        """Encode a message; return with it how to recognize it, if it may come back."""
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
        self._check_open()
        try:
            readied = to_codec(properties)
        except EncodeError as error:
            raise InvalidArgument(error.reason, error.path) from None
        octets = self._wire.encode_publish(
            self.channel_id, exchange_name, routing_key, mandatory, immediate, readied, payload
        )
        if not (mandatory or immediate):
            return octets, None
        return octets, Content.of(exchange_name, routing_key, readied, bytes(payload))

    async def _room(self) -> None:
        """Wait until the connection takes a message, and the server wants one."""
        wire, may_publish = self._wire, self.inbound.may_publish
        if wire.owes_turn:
            wire.owes_turn = False
            await asyncio.sleep(0)
            self._check_open()
        while wire.is_paused or not may_publish.is_set():
            try:
                await wire.writable()
            except (AmqpClosedConnection, ChannelClosed) as error:
                raise not_sent(error) from error
            await may_publish.wait()
            self._check_open()

    def _check_open(self) -> None:
        try:
            self._dialogue.check_open()
        except (AmqpClosedConnection, ChannelClosed) as error:
            raise not_sent(error) from error
