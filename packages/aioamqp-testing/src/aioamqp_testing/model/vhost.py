"""A virtual host: what may be declared, deleted and published in it, and what comes of it."""

from collections import deque
from collections.abc import Callable
from functools import partial

from amqp_codec import FieldTable, ReplyCode

from .access import Access
from .clock import Clock, Timer
from .erlang import arguments as declared
from .erlang.terms import with_text
from .errors import BrokerError
from .exchanges import routing
from .exchanges.exchange import Exchange
from .exchanges.routing import Publication
from .exchanges.types import TYPES, check_type
from .messages.direct_reply_to import DirectReplies, is_address
from .messages.history import Happened, History, routed
from .messages.message import REPLY_TO, Message, Outcome
from .policy import Policies
from .queues import arguments as queue_arguments
from .queues.queue import Queue
from .queues.types import QUEUE_TYPES
from .topology import ALL, Topology, check_not_default, one_line

_RESERVED = "amq."


class VirtualHost(Topology):
    """A world of its own in a broker.

    Attributes:
        name: such as ``/``.
        clock: what its queues go by.
        exchanges: by name; the default one has the empty name.
        queues: by name.
        history: the messages that were published.
        replies: the consumers of direct replies, which virtual hosts share.
        policies: what an administrator has laid down for exchanges and queues.
        max_connections: how many connections it may have; None is any number.
        max_queues: how many queues.
        is_down: whether RabbitMQ would say that it has crashed, and let nobody in.
    """

    def __init__(
        self,
        name: str,
        new_name: Callable[[str], str],
        clock: Clock,
        replies: DirectReplies | None = None,
    ) -> None:
        super().__init__(name)
        self.clock = clock
        self.history = History()
        self.replies = replies or DirectReplies(new_name)
        self.policies = Policies()
        self.max_connections: int | None = None
        self.max_queues: int | None = None
        self.is_down = False
        self._new_name = new_name
        self._agenda: deque[Callable[[], None]] = deque()

    def restart(self) -> None:
        """Keep what is durable, and the persistent messages in it; the connections are gone."""
        for queue in list(self.queues.values()):
            if queue.durable:
                queue.restart()
            else:
                self.remove_queue(queue)
        for exchange in list(self.exchanges.values()):
            if not exchange.durable and exchange.name in self.exchanges:
                self._remove_exchange(exchange)

    def __repr__(self) -> str:
        return f"VirtualHost({self.name!r})"

    # ----------------------------------------------------------------------------- what is due

    def later(self, action: Callable[[], None]) -> None:
        """Put something on the agenda: it happens in ``run_later``."""
        self._agenda.append(action)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call an action once after so many seconds, and do what that puts on the agenda."""

        def act() -> None:
            action()
            self.run_later()

        return self.clock.call_later(seconds, act)

    def run_later(self) -> None:
        """Do what is on the agenda, and what comes onto it meanwhile."""
        while self._agenda:
            self._agenda.popleft()()

    # ----------------------------------------------------------------------------- exchanges

    def check_exchange(self, name: str) -> None:
        """Declare an exchange passively.

        Raises:
            BrokerError: 403, 404.
        """
        name = one_line(name)
        check_not_default(name)
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
        access: Access = ALL,
    ) -> None:
        """Declare an exchange, or make sure that the one there is like this.

        Raises:
            BrokerError: 403, 406, 503.
        """
        check_type(exchange_type)
        name, arguments = one_line(name), with_text(arguments or {})
        check_not_default(name)
        access.configure("exchange", name)
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
        _check_link("exchange", name, arguments.get("alternate-exchange"), access)
        self.exchanges[name] = TYPES[exchange_type](
            self.name,
            name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )

    def delete_exchange(self, name: str, *, if_unused: bool = False, access: Access = ALL) -> None:
        """Delete an exchange; it is no mistake if there is none.

        Raises:
            BrokerError: 403, 406.
        """
        name = one_line(name)
        check_not_default(name)
        if name.startswith(_RESERVED):
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED,
                f"deletion of system exchange '{name}' in vhost '{self.name}' not allowed",
            )
        access.configure("exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.outgoing:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{exchange.described} in use")
        self._remove_exchange(exchange)

    # ----------------------------------------------------------------------------- queues

    def check_queue(self, name: str, owner: object) -> Queue:
        """Declare a queue passively.

        Raises:
            BrokerError: 404, 405.
        """
        queue = self.queue(one_line(name), owner)
        queue.note_declaration()
        return queue

    def check_reply_queue(self, name: str) -> None:
        """Declare a queue of direct replies, passively or not: it is there while someone waits.

        Raises:
            BrokerError: 404, 541.
        """
        if name != REPLY_TO and not (is_address(name) and self.replies.find(name)):
            raise self._not_found("queue", name)

    def declare_queue(
        self,
        name: str,
        owner: object,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: FieldTable | None = None,
        access: Access = ALL,
    ) -> Queue:
        """Declare a queue, or make sure that the one there is like this.

        Args:
            name: empty for one that the broker makes up.
            owner: the connection that declares it.
            durable: whether it survives a restart of the broker.
            exclusive: whether only this connection may use it, and it ends with the connection.
            auto_delete: whether it goes with its last consumer.
            arguments: a TTL, a limit, and so on.
            access: what the connection may do.

        Raises:
            BrokerError: 403, 405, 406, 541.
        """
        name, arguments = one_line(name), with_text(arguments or {})
        kind = queue_arguments.queue_type(arguments)
        if name:
            _check_not_reserved("queue", name)
        else:
            queue_arguments.check_unnamed(arguments)
            name = self._new_name("amq.gen-")
        access.configure("queue", name)
        # RabbitMQ: an exclusive queue cannot outlive its connection, so durable does not count
        durable = durable and not exclusive
        belongs_to = owner if exclusive else None
        queue = self.queues.get(name)
        if queue is not None:
            queue.check_equivalence(
                durable=durable, auto_delete=auto_delete, arguments=arguments, owner=belongs_to
            )
            queue.note_declaration()
            return queue
        described = f"queue '{name}' in vhost '{self.name}'"
        self._check_room(name)
        _check_link("queue", name, arguments.get("x-dead-letter-exchange"), access)
        queue_arguments.check_queue(arguments, described)
        QUEUE_TYPES[kind].check_declaration(
            described, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )
        queue = self.queues[name] = QUEUE_TYPES[kind](
            self,
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=belongs_to,
            arguments=arguments,
        )
        queue.apply_policy(self.policies.for_queue(name))
        return queue

    def _check_room(self, name: str) -> None:
        if self.max_queues is not None and len(self.queues) >= self.max_queues:
            raise BrokerError(
                ReplyCode.PRECONDITION_FAILED,
                f"cannot declare queue '{name}': queue limit in vhost '{self.name}'"
                f" ({self.max_queues}) is reached",
            )

    def delete_queue(
        self,
        name: str,
        owner: object,
        *,
        if_unused: bool = False,
        if_empty: bool = False,
        access: Access = ALL,
    ) -> int:
        """Delete a queue and return how many ready messages it had; none if there is no queue.

        Raises:
            BrokerError: 403, 405, 406.
        """
        name = one_line(name)
        access.configure("queue", name)
        queue = self.queues.get(name)
        if queue is None:
            return 0
        queue.check_access(owner)
        queue.check_deletion(if_unused=if_unused, if_empty=if_empty)
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

    def clear(self) -> None:
        """Delete everything, because the virtual host is deleted."""
        for queue in list(self.queues.values()):
            if queue.name in self.queues:
                self.remove_queue(queue)
        self.exchanges.clear()
        self.run_later()

    # ----------------------------------------------------------------------------- policies

    def apply_policies(self) -> None:
        """Let the policies that there are now hold for all queues, at once.

        (Exchanges ask for theirs when they need it.)
        """
        for queue in list(self.queues.values()):
            queue.apply_policy(self.policies.for_queue(queue.name))
        self.run_later()

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message, user: str = "guest") -> Outcome:
        """Check a message, and put it into the queues it is routed to.

        Args:
            message: what is published.
            user: by whom.

        Raises:
            BrokerError: 403, 404, 406, 541.
        """
        return self.deliver(self.accept(message, Access(user)))

    def accept(
        self, message: Message, access: Access = ALL, reply_to: str | None = None
    ) -> Publication:
        """Check and route a message. A direct reply goes out at once; it is in no queue.

        Args:
            message: what is published.
            access: what the connection may do that publishes it.
            reply_to: the address for direct replies to its channel, if it has one.

        Raises:
            BrokerError: 403, 404, 406, 541.
        """
        access.write("exchange", message.exchange)
        exchange = self.exchange(message.exchange)
        if exchange.internal:
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED, f"cannot publish to internal {exchange.described}"
            )
        if exchange.TYPE == "topic":
            access.write_topic(exchange.name, message.routing_key)
        message = message.accepted(access, reply_to)
        self.history.add(message)
        message.events.append((Happened.PUBLISHED, message.exchange, access.user))
        names = self._route(exchange, message)
        if not exchange.name:
            for address in filter(is_address, names):
                self._reply(address, message)
        return Publication(message, names)

    def reply(self, message: Message) -> None:
        """Deliver a message to whoever waits for direct replies at one of its routing keys.

        Raises:
            BrokerError: 541, a key looks like an address and cannot be one.
        """
        for address in filter(is_address, dict.fromkeys(message.routing_keys)):
            self._reply(address, message)

    def _reply(self, address: str, message: Message) -> None:
        deliver = self.replies.find(address)
        if deliver is not None:
            self.later(partial(deliver, message))

    def deliver(self, publication: Publication) -> Outcome:
        """Put a message into the queues it was routed to, those that there are."""
        message = publication.message
        queues = [self.queues[name] for name in publication.queues if name in self.queues]
        has_all = len(queues) == len(publication.queues)
        names = publication.queues if has_all else [queue.name for queue in queues]
        message.events.append(routed(names))
        outcome = Outcome.TAKEN if queues else Outcome.UNROUTED
        for queue in queues:
            if not queue.publish(publication.message):
                outcome = Outcome.REFUSED
                message.events.append((Happened.REFUSED, queue.name, ""))
        return outcome

    def route(self, exchange: Exchange, message: Message) -> list[Queue]:
        """Return the queues that a message reaches, each once, over any number of exchanges."""
        names = self._route(exchange, message)
        return [self.queues[name] for name in names if name in self.queues]

    def _route(self, exchange: Exchange, message: Message) -> list[str]:
        return routing.route(self.exchanges, exchange, message, self.policies.alternate_of)


def _check_not_reserved(kind: str, name: str) -> None:
    if name.startswith(_RESERVED):
        raise BrokerError(
            ReplyCode.ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'"
        )


def _check_link(kind: str, name: str, exchange: object, access: Access) -> None:
    """Let only those send messages on from something who may read it, and write to where."""
    if isinstance(exchange, str):
        access.read(kind, name)
        access.write("exchange", exchange)
