"""What there is in a virtual host, by name, and how it is bound together."""

from amqp_codec import FieldTable, ReplyCode

from .access import Access
from .errors import BrokerError
from .exchanges.exchange import Binding, Exchange
from .exchanges.types import PREDECLARED, TYPES, DirectExchange
from .queues.queue import Queue

ALL = Access()
"""For whoever is not asked for permission."""


class Topology:
    """Exchanges, queues and bindings.

    Attributes:
        name: of the virtual host.
        exchanges: by name; the default one has the empty name.
        queues: by name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Exchange] = {"": DirectExchange(name, "", durable=True)}
        for each, exchange_type in PREDECLARED:
            internal = each == "amq.rabbitmq.trace"
            self.exchanges[each] = TYPES[exchange_type](name, each, durable=True, internal=internal)

    # ----------------------------------------------------------------------------- looking up

    def exchange(self, name: str) -> Exchange:
        """Return an exchange.

        Raises:
            BrokerError: 404.
        """
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise self._not_found("exchange", name)
        return exchange

    def queue(self, name: str, owner: object, access: Access = ALL) -> Queue:
        """Return a queue that a connection may read from.

        Args:
            name: of the queue.
            owner: the connection.
            access: what it may do.

        Raises:
            BrokerError: 403, 404, or 405 when it belongs to another connection.
        """
        access.read("queue", name)
        queue = self._queue(name)
        queue.check_access(owner)
        return queue

    def _queue(self, name: str) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            raise self._not_found("queue", name)
        return queue

    def _not_found(self, kind: str, name: str) -> BrokerError:
        return BrokerError(ReplyCode.NOT_FOUND, f"no {kind} '{name}' in vhost '{self.name}'")

    # ----------------------------------------------------------------------------- binding

    def bind_queue(
        self,
        queue: str,
        exchange: str,
        key: str,
        arguments: FieldTable,
        owner: object,
        access: Access = ALL,
    ) -> None:
        """Bind a queue to an exchange.

        Raises:
            BrokerError: 403, 404 naming the exchange first, 405, 406.
        """
        exchange, queue = one_line(exchange), one_line(queue)
        access.write("queue", queue)
        self._check_source(exchange, key, access)
        source, destination = self.exchange(exchange), self._queue(queue)
        source.check_binding(arguments)
        destination.check_access(owner)
        source.bind(destination, key, arguments)

    def unbind_queue(
        self,
        queue: str,
        exchange: str,
        key: str,
        arguments: FieldTable,
        owner: object,
        access: Access = ALL,
    ) -> None:
        """Remove a binding; it is no mistake if queue, exchange or binding is not there.

        Raises:
            BrokerError: 403, 405.
        """
        exchange, queue = one_line(exchange), one_line(queue)
        access.write("queue", queue)
        self._check_source(exchange, key, access)
        destination = self.queues.get(queue)
        binding = self._binding(exchange, destination, key, arguments)
        if destination is not None and binding is not None:
            destination.check_access(owner)
            self._unbind(binding)

    def bind_exchange(
        self,
        destination: str,
        source: str,
        key: str,
        arguments: FieldTable,
        access: Access = ALL,
    ) -> None:
        """Bind an exchange to another one, from which it gets messages.

        Raises:
            BrokerError: 403, 404, 406.
        """
        source, destination = one_line(source), one_line(destination)
        access.write("exchange", destination)
        check_not_default(destination)
        self._check_source(source, key, access)
        exchange, other = self.exchange(source), self.exchange(destination)
        exchange.check_binding(arguments)
        exchange.bind(other, key, arguments)

    def unbind_exchange(
        self,
        destination: str,
        source: str,
        key: str,
        arguments: FieldTable,
        access: Access = ALL,
    ) -> None:
        """Remove a binding between exchanges; it is no mistake if anything is not there.

        Raises:
            BrokerError: 403.
        """
        source, destination = one_line(source), one_line(destination)
        access.write("exchange", destination)
        check_not_default(destination)
        self._check_source(source, key, access)
        binding = self._binding(source, self.exchanges.get(destination), key, arguments)
        if binding is not None:
            self._unbind(binding)

    def _check_source(self, name: str, key: str, access: Access) -> None:
        check_not_default(name)
        access.read("exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is not None and exchange.TYPE == "topic":
            access.read_topic(name, key)

    def _binding(
        self, source: str, destination: Queue | Exchange | None, key: str, arguments: FieldTable
    ) -> Binding | None:
        exchange = self.exchanges.get(source)
        if exchange is None or destination is None:
            return None
        return exchange.find(destination, key, arguments)

    # ----------------------------------------------------------------------------- taking away

    def _unbind(self, binding: Binding) -> None:
        source = binding.source
        source.unbind(binding)
        if source.auto_delete and not source.outgoing and source.name in self.exchanges:
            self._remove_exchange(source)

    def _unbind_destination(self, destination: Queue | Exchange) -> None:
        for binding in list(destination.bindings):
            self._unbind(binding)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in exchange.outgoing:
            exchange.unbind(binding)
        self._unbind_destination(exchange)


def check_not_default(exchange: str) -> None:
    """Refuse to do with the default exchange what can be done with others.

    Raises:
        BrokerError: 403.
    """
    if not exchange:
        raise BrokerError(
            ReplyCode.ACCESS_REFUSED, "operation not permitted on the default exchange"
        )


def one_line(name: str) -> str:
    """Return a name without line breaks, as RabbitMQ takes it. (basic.consume and get do not.)"""
    return name.replace("\r", "").replace("\n", "")
