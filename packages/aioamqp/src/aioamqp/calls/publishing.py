"""The calls of a channel that publish."""

from collections.abc import Mapping
from typing import Any

from ..properties import Properties, to_codec
from .calls import Calls


class PublishingCalls(Calls):
    """Publishing, by the names of 0.15."""

    async def basic_publish(
        self,
        payload: bytes | bytearray | memoryview | str,
        exchange_name: str,
        routing_key: str,
        properties: Mapping[str, Any] | Properties | None = None,
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        """Publish a message. Spec: basic.publish.

        It is written together with what else is written in the same turn of the event loop. The
        call waits only while the connection cannot take more; cancelled then, nothing is sent.

        Args:
            payload: the body; a string is sent as UTF-8.
            exchange_name: empty for the default exchange.
            routing_key: for the default exchange, the name of a queue.
            properties: by the names of ``Properties``.
            mandatory: give the message to ``return_callback`` if no queue takes it.
            immediate: RabbitMQ: not supported, it closes the connection.

        Raises:
            InvalidArgument: something of it cannot be sent; nothing has been.
        """
        if isinstance(payload, str):
            payload = payload.encode()
        self._dialogue.check_open()
        wire = self._wire
        octets = wire.encode_publish(
            self.channel_id,
            exchange_name,
            routing_key,
            mandatory,
            immediate,
            to_codec(properties),
            payload,
        )
        while wire.is_paused or not self.inbound.may_publish.is_set():
            await wire.writable()
            await self.inbound.may_publish.wait()
            self._dialogue.check_open()
        wire.write(octets)
