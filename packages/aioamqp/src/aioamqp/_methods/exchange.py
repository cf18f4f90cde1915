"""The methods of a channel about exchanges."""

from amqp_codec import FieldTable, exchange

from .base import Methods, check_flags


class ExchangeMethods(Methods):
    """AMQP's class exchange, by the names of 0.15."""

    async def exchange_declare(
        self,
        exchange_name: str,
        type_name: str = "direct",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Create an exchange, or check that it exists. Spec: exchange.declare."""
        check_flags(passive=passive, durable=durable, auto_delete=auto_delete, no_wait=no_wait)
        method = exchange.Declare(
            exchange_name,
            type_name,
            passive,
            durable,
            auto_delete,
            no_wait=no_wait,
            arguments=arguments,
        )
        return await self._do(method, no_wait, timeout)

    async def exchange_delete(
        self,
        exchange_name: str,
        if_unused: bool = False,
        no_wait: bool = False,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Delete an exchange. Spec: exchange.delete."""
        check_flags(if_unused=if_unused, no_wait=no_wait)
        method = exchange.Delete(exchange_name, if_unused, no_wait)
        return await self._do(method, no_wait, timeout)

    async def exchange_bind(
        self,
        exchange_destination: str,
        exchange_source: str,
        routing_key: str,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Bind an exchange to another one, which it gets messages from. RabbitMQ: e2e.html."""
        check_flags(no_wait=no_wait)
        method = exchange.Bind(
            exchange_destination, exchange_source, routing_key, no_wait, arguments
        )
        return await self._do(method, no_wait, timeout)

    async def exchange_unbind(
        self,
        exchange_destination: str,
        exchange_source: str,
        routing_key: str,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        timeout: float | None = None,
    ) -> bool | None:
        """Remove the binding with the same arguments. RabbitMQ: e2e.html."""
        check_flags(no_wait=no_wait)
        method = exchange.Unbind(
            exchange_destination, exchange_source, routing_key, no_wait, arguments
        )
        return await self._do(method, no_wait, timeout)

    exchange = exchange_declare
