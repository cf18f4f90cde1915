"""The methods of a channel about queues."""

import asyncio
from typing import Any, Literal, overload

from amqp_codec import FieldTable
from amqp_codec import queue as methods

from .._channel.core import ChannelCore
from .._channel.requests import check_timeout
from .base import Methods, alias, check_flags, given


class QueueMethods(Methods):
    """AMQP's class queue, by the names of 0.15."""

    @overload
    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: Literal[False] = False,
        arguments: FieldTable | None = None,
        *,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]: ...

    @overload
    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any] | None: ...

    async def queue_declare(
        self,
        queue_name: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any] | None:
        """Create a queue, or check that it exists. Spec: queue.declare.

        Args:
            queue_name: empty or None for a name that the server chooses.
            passive: only check that it exists.
            durable: whether the queue survives a restart of the server.
            exclusive: only this connection may use the queue, and it is deleted with it.
            auto_delete: delete the queue when its last consumer has ended.
            no_wait: see ``Channel``.
            arguments: such as ``{"x-max-length": 10}``.
            queue: another name of ``queue_name``, as in the other methods.
            timeout: see ``Channel``.

        Returns:
            The ``queue`` name, ``message_count`` and ``consumer_count``; None with ``no_wait``.
        """
        queue_name = alias("queue_name", queue_name, "queue", queue)
        check_flags(
            passive=passive, durable=durable, exclusive=exclusive, auto_delete=auto_delete,
            no_wait=no_wait,
        )  # fmt: skip
        method = methods.Declare(
            "" if queue_name is None else queue_name,
            passive,
            durable,
            exclusive,
            auto_delete,
            no_wait,
            arguments,
        )
        if no_wait:
            await self._do(method, True, timeout)
            self._core.connection.declared.add("queue", method.queue)
            return None
        reply = await self._request(method, methods.DeclareOk, timeout)
        self._core.connection.declared.add("queue", reply.queue)
        return {
            "queue": reply.queue,
            "message_count": reply.message_count,
            "consumer_count": reply.consumer_count,
        }

    async def queue_delete(
        self,
        queue_name: str | None = None,
        if_unused: bool = False,
        if_empty: bool = False,
        no_wait: bool = False,
        *,
        queue: str | None = None,
        arguments: object = None,  # noqa: ARG002
        timeout: float | None = None,
    ) -> bool | None:
        """Delete a queue. Spec: queue.delete.

        The ``arguments`` that 0.15 documents are ignored: AMQP has none here.
        """
        queue_name = given("queue_name", queue_name, "queue", queue)
        check_flags(if_unused=if_unused, if_empty=if_empty, no_wait=no_wait)
        method = methods.Delete(queue_name, if_unused, if_empty, no_wait)
        deleted = await self._do(method, no_wait, timeout)
        # RabbitMQ cancels the consumers of the queue right behind its reply. In 0.15 cancellation
        # callbacks have been called when this returns, so they go first here too.
        await asyncio.sleep(0)
        return deleted

    async def queue_bind(
        self,
        queue_name: str | None = None,
        exchange_name: str | None = None,
        routing_key: str | None = None,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        queue: str | None = None,
        exchange: str | None = None,
        timeout: float | None = None,
    ) -> bool | None:
        """Bind a queue to an exchange, which it gets messages from. Spec: queue.bind."""
        queue_name = given("queue_name", queue_name, "queue", queue)
        exchange_name = given("exchange_name", exchange_name, "exchange", exchange)
        routing_key = given("routing_key", routing_key)
        check_flags(no_wait=no_wait)
        method = methods.Bind(queue_name, exchange_name, routing_key, no_wait, arguments)
        return await self._do(method, no_wait, timeout)

    async def queue_unbind(
        self,
        queue_name: str | None = None,
        exchange_name: str | None = None,
        routing_key: str | None = None,
        arguments: FieldTable | None = None,
        *,
        queue: str | None = None,
        exchange: str | None = None,
        no_wait: bool = False,
        timeout: float | None = None,
    ) -> bool | None:
        """Remove the binding with the same arguments. Spec: queue.unbind.

        The server always answers; with ``no_wait`` the call does not wait for it.
        """
        queue_name = given("queue_name", queue_name, "queue", queue)
        exchange_name = given("exchange_name", exchange_name, "exchange", exchange)
        routing_key = given("routing_key", routing_key)
        check_flags(no_wait=no_wait)
        method = methods.Unbind(queue_name, exchange_name, routing_key, arguments)
        if no_wait:
            check_timeout(timeout)

            async def send(core: ChannelCore, _: float | None) -> None:
                core.requests.request_nowait(method)

            return await self._over(method, timeout, send)
        return await self._do(method, False, timeout)

    async def queue_purge(
        self,
        queue_name: str | None = None,
        no_wait: bool = False,
        *,
        queue: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any] | None:
        """Drop all messages of a queue that wait for delivery. Spec: queue.purge.

        Returns:
            The ``message_count`` that was dropped; None with ``no_wait``.
        """
        queue_name = given("queue_name", queue_name, "queue", queue)
        check_flags(no_wait=no_wait)
        method = methods.Purge(queue_name, no_wait)
        if no_wait:
            await self._do(method, True, timeout)
            return None
        reply = await self._request(method, methods.PurgeOk, timeout)
        return {"message_count": reply.message_count}

    queue = queue_declare
