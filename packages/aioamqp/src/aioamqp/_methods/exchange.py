"""The methods of a channel about exchanges."""

from amqp_codec import FieldTable
from amqp_codec import exchange as methods

from .base import Methods, alias, check_flags, given


class ExchangeMethods(Methods):
    """AMQP's class exchange, by the names of 0.15."""

    async def exchange_declare(
        self,
        exchange_name: str | None = None,
        type_name: str = "direct",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        exchange: str | None = None,
        exchange_type: str | None = None,
        timeout: float | None = None,
    ) -> bool | None:
        """Create an exchange, or check that it exists. Spec: exchange.declare.

        Args:
            exchange_name: its name.
            type_name: see ``ExchangeType``.
            passive: only check that it exists.
            durable: whether the exchange survives a restart of the server.
            auto_delete: delete the exchange when its last binding has been removed.
            no_wait: see ``Channel``.
            arguments: such as ``{"alternate-exchange": "unrouted"}``.
            exchange: another name of ``exchange_name``, as in the other methods.
            exchange_type: another name of ``type_name``.
            timeout: see ``Channel``.
        """
        exchange_name = given("exchange_name", exchange_name, "exchange", exchange)
        type_name = alias("type_name", type_name, "exchange_type", exchange_type, absent="direct")
        check_flags(passive=passive, durable=durable, auto_delete=auto_delete, no_wait=no_wait)
        method = methods.Declare(
            exchange_name,
            type_name,
            passive,
            durable,
            auto_delete,
            no_wait=no_wait,
            arguments=arguments,
        )
        done = await self._do(method, no_wait, timeout)
        self._core.connection.declared.add("exchange", exchange_name)
        return done

    async def exchange_delete(
        self,
        exchange_name: str | None = None,
        if_unused: bool = False,
        no_wait: bool = False,
        *,
        exchange: str | None = None,
        timeout: float | None = None,
    ) -> bool | None:
        """Delete an exchange. Spec: exchange.delete."""
        exchange_name = given("exchange_name", exchange_name, "exchange", exchange)
        check_flags(if_unused=if_unused, no_wait=no_wait)
        method = methods.Delete(exchange_name, if_unused, no_wait)
        return await self._do(method, no_wait, timeout)

    async def exchange_bind(
        self,
        exchange_destination: str | None = None,
        exchange_source: str | None = None,
        routing_key: str | None = None,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        destination: str | None = None,
        source: str | None = None,
        timeout: float | None = None,
    ) -> bool | None:
        """Bind an exchange to another one, which it gets messages from. RabbitMQ: e2e.html."""
        to, origin = _ends(exchange_destination, exchange_source, destination, source)
        routing_key = given("routing_key", routing_key)
        check_flags(no_wait=no_wait)
        method = methods.Bind(to, origin, routing_key, no_wait, arguments)
        return await self._do(method, no_wait, timeout)

    async def exchange_unbind(
        self,
        exchange_destination: str | None = None,
        exchange_source: str | None = None,
        routing_key: str | None = None,
        no_wait: bool = False,
        arguments: FieldTable | None = None,
        *,
        destination: str | None = None,
        source: str | None = None,
        timeout: float | None = None,
    ) -> bool | None:
        """Remove the binding with the same arguments. RabbitMQ: e2e.html."""
        to, origin = _ends(exchange_destination, exchange_source, destination, source)
        routing_key = given("routing_key", routing_key)
        check_flags(no_wait=no_wait)
        method = methods.Unbind(to, origin, routing_key, no_wait, arguments)
        return await self._do(method, no_wait, timeout)

    exchange = exchange_declare


def _ends(
    destination_name: str | None,
    source_name: str | None,
    destination: str | None,
    source: str | None,
) -> tuple[str, str]:
    """Return destination and source of a binding, which each have two names."""
    return (
        given("exchange_destination", destination_name, "destination", destination),
        given("exchange_source", source_name, "source", source),
    )
