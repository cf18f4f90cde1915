"""A virtual host: its exchanges, queues and bindings, and the rules for all of them."""

from collections import deque
from collections.abc import Callable

from amqp_codec import FieldTable, ReplyCode

from . import arguments as declared
from .errors import BrokerError, NotSupported
from .exchange import Destination, Exchange
from .exchange_types import PREDECLARED, TYPES, DefaultExchange, check_type
from .message import REPLY_TO, Message
from .queue import Queue

_RESERVED = "amq."


class VirtualHost:
    """A world of its own in a broker.

    Attributes:
        name: such as ``/``.
        exchanges: by name; the default one has the empty name.
        queues: by name.
    """

    def __init__(self, name: str, new_name: Callable[[str], str]) -> None:
        self.name = name
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Exchange] = {"": DefaultExchange(name, self.queues)}
        for each, exchange_type in PREDECLARED:
            internal = each == "amq.rabbitmq.trace"
            self.exchanges[each] = TYPES[exchange_type](name, each, durable=True, internal=internal)
        self._new_name = new_name
        self._agenda: deque[Callable[[], None]] = deque()

    def __repr__(self) -> str:
        return f"VirtualHost({self.name!r})"

    # ----------------------------------------------------------------------------- what is due

    def later(self, action: Callable[[], None]) -> None:
        """Put something on the agenda: it happens in ``run_later``."""
        self._agenda.append(action)

    def run_later(self) -> None:
        """Do what is on the agenda, and what comes onto it meanwhile."""
        while self._agenda:
            self._agenda.popleft()()

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

    def queue(self, name: str, owner: object) -> Queue:
        """Return a queue that a connection may use.

        Args:
            name: of the queue.
            owner: the connection.

        Raises:
            BrokerError: 404, or 405 when it belongs to another connection.
        """
        if name == REPLY_TO or name.startswith(f"{REPLY_TO}."):
            raise NotSupported(f"the queue {REPLY_TO}")
        queue = self.queues.get(name)
        if queue is None:
            raise self._not_found("queue", name)
        queue.check_access(owner)
        return queue

    def _not_found(self, kind: str, name: str) -> BrokerError:
        return BrokerError(ReplyCode.NOT_FOUND, f"no {kind} '{name}' in vhost '{self.name}'")

    # ----------------------------------------------------------------------------- exchanges

    def check_exchange(self, name: str) -> None:
        """Declare an exchange passively.

        Raises:
            BrokerError: 403, 404.
        """
        name = _one_line(name)
        self._check_not_default(name)
        self.exchange(name)

    def declare_exchange(
        self,
        name: str,
        exchange_type: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: FieldTable | None = None,
    ) -> None:
        """Declare an exchange, or make sure that the one there is like this.

        Raises:
            BrokerError: 403, 406, 503.
        """
        check_type(exchange_type)
        name, arguments = _one_line(name), arguments or {}
        self._check_not_default(name)
        if name in self.exchanges:
            self.exchanges[name].check_equivalence(
                exchange_type=exchange_type,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
            )
            return
        _check_not_reserved("exchange", name)
        declared.check_exchange(arguments, f"exchange '{name}' in vhost '{self.name}'")
        self.exchanges[name] = TYPES[exchange_type](
            self.name,
            name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange; it is no mistake if there is none.

        Raises:
            BrokerError: 403, 406.
        """
        name = _one_line(name)
        self._check_not_default(name)
        if name.startswith(_RESERVED):
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED,
                f"deletion of system exchange '{name}' in vhost '{self.name}' not allowed",
            )
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.outgoing:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{exchange.described} in use")
        self._remove_exchange(exchange)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in exchange.outgoing:
            exchange.unbind(binding)
        self._unbind_destination(exchange)

    def _check_not_default(self, name: str) -> None:
        if not name:
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED, "operation not permitted on the default exchange"
            )

    # ----------------------------------------------------------------------------- queues

    def check_queue(self, name: str, owner: object) -> Queue:
        """Declare a queue passively.

        Raises:
            BrokerError: 404, 405.
        """
        return self.queue(_one_line(name), owner)

    def declare_queue(
        self,
        name: str,
        owner: object,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: FieldTable | None = None,
    ) -> Queue:
        """Declare a queue, or make sure that the one there is like this.

        Args:
            name: empty for one that the broker makes up.
            owner: the connection that declares it.
            durable: whether it survives a restart of the broker.
            exclusive: whether only this connection may use it, and it ends with the connection.
            auto_delete: whether it goes with its last consumer.
            arguments: a TTL, a limit, and so on.

        Raises:
            BrokerError: 403, 405, 406, 541.
        """
        name, arguments = _one_line(name), arguments or {}
        if name == REPLY_TO:
            raise NotSupported(f"the queue {REPLY_TO}")
        if name:
            _check_not_reserved("queue", name)
        else:
            name = self._new_name("amq.gen-")
        # RabbitMQ: an exclusive queue cannot outlive its connection, so durable does not count
        durable = durable and not exclusive
        belongs_to = owner if exclusive else None
        queue = self.queues.get(name)
        if queue is not None:
            queue.check_equivalence(
                durable=durable, auto_delete=auto_delete, arguments=arguments, owner=belongs_to
            )
            return queue
        declared.check_queue(arguments, f"queue '{name}' in vhost '{self.name}'")
        queue = self.queues[name] = Queue(
            self,
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=belongs_to,
            arguments=arguments,
        )
        return queue

    def delete_queue(
        self, name: str, owner: object, *, if_unused: bool = False, if_empty: bool = False
    ) -> int:
        """Delete a queue and return how many ready messages it had; none if there is no queue.

        Raises:
            BrokerError: 405, 406.
        """
        queue = self.queues.get(_one_line(name))
        if queue is None:
            return 0
        queue.check_access(owner)
        if if_empty and queue.message_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{queue.described} not empty")
        if if_unused and queue.consumer_count:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{queue.described} in use")
        return self.remove_queue(queue)

    def remove_queue(self, queue: Queue) -> int:
        """Delete a queue without asking, and return how many ready messages it had."""
        del self.queues[queue.name]
        self._unbind_destination(queue)
        return queue.close()

    def remove_exclusive_queues(self, owner: object) -> None:
        """Delete the queues that belong to a connection, because it ends."""
        for queue in list(self.queues.values()):
            if queue.owner is owner:
                self.remove_queue(queue)

    # ----------------------------------------------------------------------------- bindings

    def bind_queue(
        self, queue: str, exchange: str, key: str, arguments: FieldTable, owner: object
    ) -> None:
        """Bind a queue to an exchange.

        Raises:
            BrokerError: 403, 404 naming the exchange first, 405.
        """
        exchange, queue = _one_line(exchange), _one_line(queue)
        self._check_not_default(exchange)
        source = self.exchange(exchange)
        source.bind(self.queue(queue, owner), key, arguments)

    def unbind_queue(
        self, queue: str, exchange: str, key: str, arguments: FieldTable, owner: object
    ) -> None:
        """Remove a binding; it is no mistake if queue, exchange or binding is not there.

        Raises:
            BrokerError: 403, 405.
        """
        exchange, queue = _one_line(exchange), _one_line(queue)
        self._check_not_default(exchange)
        destination = self.queues.get(queue)
        if destination is not None and self._has_binding(exchange, destination, key, arguments):
            destination.check_access(owner)
            self._unbind(exchange, destination, key, arguments)

    def bind_exchange(self, destination: str, source: str, key: str, arguments: FieldTable) -> None:
        """Bind an exchange to another one, from which it gets messages.

        Raises:
            BrokerError: 403, 404.
        """
        source, destination = _one_line(source), _one_line(destination)
        self._check_not_default(destination)
        self._check_not_default(source)
        self.exchange(source).bind(self.exchange(destination), key, arguments)

    def unbind_exchange(
        self, destination: str, source: str, key: str, arguments: FieldTable
    ) -> None:
        """Remove a binding between exchanges; it is no mistake if anything is not there.

        Raises:
            BrokerError: 403.
        """
        source, destination = _one_line(source), _one_line(destination)
        self._check_not_default(destination)
        self._check_not_default(source)
        if destination in self.exchanges:
            self._unbind(source, self.exchanges[destination], key, arguments)

    def _has_binding(
        self, source: str, destination: Destination, key: str, arguments: FieldTable
    ) -> bool:
        exchange = self.exchanges.get(source)
        return exchange is not None and exchange.find(destination, key, arguments) is not None

    def _unbind(
        self, source: str, destination: Destination, key: str, arguments: FieldTable
    ) -> None:
        exchange = self.exchanges.get(source)
        binding = exchange.find(destination, key, arguments) if exchange else None
        if exchange is not None and binding is not None:
            exchange.unbind(binding)
            self._delete_if_unused(exchange)

    def _unbind_destination(self, destination: Destination) -> None:
        for binding in list(destination.bindings):
            binding.source.unbind(binding)
            self._delete_if_unused(binding.source)

    def _delete_if_unused(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.outgoing and exchange.name in self.exchanges:
            self._remove_exchange(exchange)

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message, user: str) -> bool:
        """Check a message, put it into the queues it is routed to, return if there are any.

        Args:
            message: what is published.
            user: by whom.

        Raises:
            BrokerError: 403, 404, 406.
        """
        exchange = self.exchange(message.exchange)
        if exchange.internal:
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED, f"cannot publish to internal {exchange.described}"
            )
        message.check(user)
        queues = self.route(exchange, message)
        for queue in queues:
            queue.publish(message)
        return bool(queues)

    def route(self, exchange: Exchange, message: Message) -> list[Queue]:
        """Return the queues that a message reaches, each once, over any number of exchanges."""
        queues: dict[Queue, None] = {}
        seen = {exchange}
        to_visit = [exchange]
        for visited in to_visit:
            for destination in visited.route(message):
                if isinstance(destination, Queue):
                    queues[destination] = None
                elif destination not in seen:
                    seen.add(destination)
                    to_visit.append(destination)
        return list(queues)


def _one_line(name: str) -> str:
    """Return a name without line breaks, as RabbitMQ takes it. (basic.consume and get do not.)"""
    return name.replace("\r", "").replace("\n", "")


def _check_not_reserved(kind: str, name: str) -> None:
    if name.startswith(_RESERVED):
        raise BrokerError(
            ReplyCode.ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'"
        )
