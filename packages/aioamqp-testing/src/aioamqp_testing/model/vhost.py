"""Virtual hosts: declaring, binding, deleting and publishing, with the checks of RabbitMQ."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Final

from amqp_codec import FieldTable, ReplyCode

from .access import FULL_ACCESS, Access
from .agenda import Agenda
from .clock import Clock
from .deprecated import DeprecatedFeatures
from .erlang.arguments import Argument
from .erlang.terms import decode_long_strings
from .errors import BrokerError
from .exchanges.exchange import (
    ALTERNATE_EXCHANGE,
    Binding,
    Destination,
    Exchange,
    ExchangeDeclaration,
    ExchangeHost,
)
from .exchanges.explain import Route, explain
from .exchanges.plugins import ExchangeTypes
from .exchanges.routing import Publication, route
from .exchanges.types import LOG_EXCHANGE, PREDECLARED
from .limits import Limits
from .messages.direct_reply_to import DirectReplies, is_address
from .messages.events import EventType, routed_event, trim_events
from .messages.history import History
from .messages.message import REPLY_TO, Message, Outcome
from .policy import Policies
from .profile import MASTER_LOCATOR, TRANSIENT_QUEUES, Profile
from .queues.arguments import DEAD_LETTER_EXCHANGE, check_queue, check_unnamed
from .queues.classic import ClassicQueue
from .queues.dead_letter import KEEPERS, Reason, is_cycle
from .queues.dead_letter_worker import DeadLetter
from .queues.declaration import QueueDeclaration
from .queues.queue import Queue, QueueHost, in_delivery_order
from .queues.quorum import QuorumQueue
from .queues.replicated import Replicated
from .queues.stream import Stream

_RESERVED: Final = "amq."

_QUEUE_TYPES: Final[Mapping[str, type[Queue]]] = {
    each.TYPE: each for each in (ClassicQueue, QuorumQueue, Stream)
}


class VirtualHost:
    """A virtual host: exchanges, queues, bindings and policies, apart from those of others.

    Attributes:
        name: such as ``/``.
        profile: the version of RabbitMQ that it answers as.
        deprecated: the check of deprecated features.
        clock: the clock of its queues.
        agenda: deferred work of its queues; a session runs it after each command.
        exchanges: by name; the default exchange has the empty name.
        queues: by name.
        history: the messages that were published.
        replies: the consumers of direct replies, which all virtual hosts share.
        policies: the policies for exchanges and queues.
        max_connections: the limit of connections; None is unlimited.
        max_queues: the limit of queues.
        default_queue_type: the type of durable queues that are declared without one.
        is_down: whether connection.open is refused, as by RabbitMQ when the virtual host has
            crashed.
    """

    def __init__(
        self,
        name: str,
        new_name: Callable[[str], str],
        clock: Clock,
        replies: DirectReplies,
        exchange_types: ExchangeTypes,
        profile: Profile,
        deprecated: DeprecatedFeatures,
        limits: Limits,
    ) -> None:
        self.name = name
        self.profile = profile
        self.deprecated = deprecated
        self.clock = clock
        self.agenda = Agenda(clock)
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.history = History()
        self.replies = replies
        self.policies = Policies(profile.arguments)
        self.max_connections: int | None = None
        self.max_queues: int | None = None
        self.default_queue_type = "classic"
        self.is_down = False
        self._limits = limits
        self._new_name = new_name
        self._deaths = KEEPERS[profile.deaths]
        self._exchange_types = exchange_types
        self._exchange_host = ExchangeHost(
            profile=profile,
            find_type=self._exchange_types.find,
            random=Random("aioamqp-testing"),  # the same choices in every run
            call_later=self.agenda.call_later,
            publish=self._publish_delayed,
            send=self._send_history,
        )
        self._queue_host = QueueHost(
            self.agenda, profile, self.remove_queue, self._dead_letter, self._publish_dead_letter
        )
        self._incoming: dict[Destination, dict[Binding, None]] = {}
        own = (LOG_EXCHANGE,) if name == "/" and profile.has_log_exchange else ()
        for exchange, exchange_type in (*PREDECLARED, *own):
            self._add_exchange(
                ExchangeDeclaration(
                    name,
                    exchange,
                    exchange_type,
                    durable=True,
                    auto_delete=False,
                    internal=exchange.startswith("amq.rabbitmq."),
                    arguments={},
                )
            )

    def __repr__(self) -> str:
        return f"VirtualHost({self.name!r})"

    def restart(self) -> None:
        """Drop what does not survive a restart of the broker; the connections are closed."""
        for queue in list(self.queues.values()):
            if queue.durable:
                queue.restart()
            else:
                self.remove_queue(queue)
        for exchange in list(self.exchanges.values()):
            is_dropped = not (exchange.durable or self.profile.keeps_transient_exchanges)
            if is_dropped and exchange.name in self.exchanges:
                self._remove_exchange(exchange)
            else:
                exchange.restart()
        self.agenda.run_pending()

    def clear(self) -> None:
        """Delete everything, because the virtual host is deleted."""
        for queue in list(self.queues.values()):
            if queue.name in self.queues:
                self.remove_queue(queue)
        self.exchanges.clear()
        self._incoming.clear()
        self.agenda.run_pending()

    def apply_policies(self) -> None:
        """Apply the present policies to all queues. (Exchanges look theirs up when they route.)"""
        for queue in list(self.queues.values()):
            queue.apply_policy(self.policies.for_queue(queue.name))
        self.agenda.run_pending()

    # ----------------------------------------------------------------------------- exchanges

    def exchange(self, name: str) -> Exchange:
        """Return an exchange.

        Raises:
            BrokerError: 404.
        """
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise self._not_found("exchange", name)
        return exchange

    def check_exchange(self, name: str, access: Access = FULL_ACCESS) -> None:
        """Declare an exchange passively.

        Raises:
            BrokerError: 403, 404.
        """
        name = one_line(name)
        _check_not_default(name)
        access.check_any("exchange", name)
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
        access: Access = FULL_ACCESS,
    ) -> None:
        """Declare an exchange, or check that the existing one is equivalent.

        Raises:
            BrokerError: 403, 406, 503, 541.
        """
        self._exchange_types.find(exchange_type)
        declaration = ExchangeDeclaration(
            self.name,
            one_line(name),
            exchange_type,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=decode_long_strings(arguments or {}),
        )
        name = declaration.name
        _check_not_default(name)
        access.check_configure("exchange", name)
        if name in self.exchanges:
            self.exchanges[name].declaration.check_equivalence(declaration)
            return
        _check_not_reserved("exchange", name)
        _check_other_exchange(ALTERNATE_EXCHANGE, "exchange", declaration, access)
        self._limits.check_exchange(name, self)
        self._add_exchange(declaration)

    def _add_exchange(self, declaration: ExchangeDeclaration) -> None:
        found = self._exchange_types.find(declaration.exchange_type)
        self.exchanges[declaration.name] = found(declaration, self._exchange_host)

    def delete_exchange(
        self, name: str, *, if_unused: bool = False, access: Access = FULL_ACCESS
    ) -> None:
        """Delete an exchange; nothing happens if it does not exist.

        Raises:
            BrokerError: 403, 406.
        """
        name = one_line(name)
        _check_not_default(name)
        if name.startswith(_RESERVED):
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED,
                f"deletion of system exchange '{name}' in vhost '{self.name}' not allowed",
            )
        access.check_configure("exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.outgoing:
            raise BrokerError(ReplyCode.PRECONDITION_FAILED, f"{exchange.described} in use")
        self._remove_exchange(exchange)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in exchange.outgoing:
            self._remove_binding(binding)
        self._unbind_destination(exchange)

    # ----------------------------------------------------------------------------- queues

    def queue(self, name: str, owner: object, access: Access = FULL_ACCESS) -> Queue:
        """Return a queue that a connection may read from.

        Args:
            name: the name of the queue.
            owner: the connection.
            access: its access to the virtual host.

        Raises:
            BrokerError: 403, 404, or 405 if the queue belongs to another connection.
        """
        access.check_read("queue", name)
        queue = self._queue(name)
        queue.declaration.check_access(owner)
        return queue

    def _queue(self, name: str) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            raise self._not_found("queue", name)
        return queue

    def _not_found(self, kind: str, name: str) -> BrokerError:
        return BrokerError(ReplyCode.NOT_FOUND, f"no {kind} '{name}' in vhost '{self.name}'")

    def check_queue(self, name: str, owner: object, access: Access = FULL_ACCESS) -> Queue:
        """Declare a queue passively.

        Raises:
            BrokerError: 403, 404, 405.
        """
        name = one_line(name)
        access.check_any("queue", name)
        queue = self.queue(name, owner)
        queue.on_redeclared()
        return queue

    def check_reply_queue(self, name: str) -> None:
        """Declare a direct reply address, passively or not; it exists while it has a consumer.

        Raises:
            BrokerError: 404, 541.
        """
        if name == REPLY_TO:
            return
        if self.profile.has_reply_queues and not self.replies.begins_well(name):
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
        if not (is_address(name) and self.replies.find(name)):
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
        access: Access = FULL_ACCESS,
    ) -> Queue:
        """Declare a queue, or check that the existing one is equivalent.

        Args:
            name: the name of the queue; if it is empty, the broker makes up a name.
            owner: the connection that declares the queue.
            durable: whether the queue survives a restart of the broker.
            exclusive: whether only this connection may use the queue, which is deleted with it.
            auto_delete: whether the queue is deleted when its last consumer is removed.
            arguments: the optional arguments.
            access: the access of the connection.

        Raises:
            BrokerError: 403, 405, 406, 541.
        """
        name, arguments = one_line(name), decode_long_strings(arguments or {})
        # RabbitMQ: if the default type can have queues with these properties
        if durable and not (exclusive or auto_delete or arguments.get("x-queue-type")):
            arguments = self._with_default_type(arguments)
        if name:
            _check_not_reserved("queue", name)
        else:
            check_unnamed(arguments, self.profile.arguments)
            name = self._new_name("amq.gen-")
        access.check_configure("queue", name)
        declaration = QueueDeclaration(
            self.name,
            name,
            # RabbitMQ: an exclusive queue ends with its connection, so durable has no effect
            durable=durable and not exclusive,
            auto_delete=auto_delete,
            owner=owner if exclusive else None,
            arguments=arguments,
            table=self.profile.arguments,
        )
        queue = self.queues.get(name)
        if queue is not None:
            queue.declaration.check_equivalence(declaration)
            queue.on_redeclared()
            return queue
        self._limits.check_queue(name, self)
        _check_other_exchange(DEAD_LETTER_EXCHANGE, "queue", declaration, access)
        check_queue(arguments, declaration.described, declaration.table)
        self._check_deprecated(declaration)
        queue_type = _QUEUE_TYPES[declaration.queue_type]
        if issubclass(queue_type, Replicated):
            queue_type.check_properties(declaration)
        if "x-queue-master-locator" in arguments:
            use = f"declaring {declaration.described} with x-queue-master-locator"
            self.deprecated.check(MASTER_LOCATOR, use)
        queue = self.queues[name] = queue_type(declaration, self._queue_host)
        queue.apply_policy(self.policies.for_queue(name))
        return queue

    def _with_default_type(self, arguments: FieldTable) -> FieldTable:
        if self.default_queue_type == "classic":
            return arguments
        return {**arguments, "x-queue-type": self.default_queue_type}

    def _check_deprecated(self, declaration: QueueDeclaration) -> None:
        if not declaration.durable and declaration.owner is None:
            use = f"declaring {declaration.described}, which is neither durable nor exclusive,"
            self.deprecated.check(TRANSIENT_QUEUES, use)

    def delete_queue(
        self,
        name: str,
        owner: object,
        *,
        if_unused: bool = False,
        if_empty: bool = False,
        access: Access = FULL_ACCESS,
    ) -> int:
        """Delete a queue, and return how many messages were ready; 0 if there is no queue.

        Raises:
            BrokerError: 403, 405, 406.
        """
        name = one_line(name)
        access.check_configure("queue", name)
        queue = self.queues.get(name)
        if queue is None:
            return 0
        queue.declaration.check_access(owner)
        queue.check_deletion(if_unused=if_unused, if_empty=if_empty)
        return self.remove_queue(queue)

    def remove_queue(self, queue: Queue) -> int:
        """Delete a queue without checks, and return how many messages were ready."""
        del self.queues[queue.name]
        self._unbind_destination(queue)
        return queue.close()

    def remove_exclusive_queues(self, owner: object) -> None:
        """Delete the exclusive queues of a connection that ends."""
        for queue in list(self.queues.values()):
            if queue.owner is owner:
                self.remove_queue(queue)

    # ----------------------------------------------------------------------------- bindings

    def bindings_to(self, destination: Destination) -> list[Binding]:
        """Return the bindings of a queue, or of an exchange as the destination; oldest first."""
        return list(self._incoming.get(destination, ()))

    def bind_queue(
        self,
        queue: str,
        exchange: str,
        key: str,
        arguments: FieldTable,
        owner: object,
        access: Access = FULL_ACCESS,
    ) -> None:
        """Bind a queue to an exchange.

        Raises:
            BrokerError: 403, 404 naming the exchange first, 405, 406.
        """
        exchange, queue = one_line(exchange), one_line(queue)
        self._check_not_volatile(queue)
        access.check_write("queue", queue)
        self._check_source(exchange, key, access)
        source, destination = self.exchange(exchange), self._queue(queue)
        source.check_binding(key, arguments)
        source.check_destination(destination)
        destination.declaration.check_access(owner)
        self._add_binding(source, destination, key, arguments)

    def unbind_queue(
        self,
        queue: str,
        exchange: str,
        key: str,
        arguments: FieldTable,
        owner: object,
        access: Access = FULL_ACCESS,
    ) -> None:
        """Remove a binding; nothing happens if queue, exchange or binding do not exist.

        Raises:
            BrokerError: 403, 405.
        """
        exchange, queue = one_line(exchange), one_line(queue)
        self._check_not_volatile(queue)
        access.check_write("queue", queue)
        self._check_source(exchange, key, access)
        destination = self.queues.get(queue)
        binding = self._binding(exchange, destination, key, arguments)
        if destination is not None and binding is not None:
            destination.declaration.check_access(owner)
            self._unbind(binding)

    def bind_exchange(
        self,
        destination: str,
        source: str,
        key: str,
        arguments: FieldTable,
        access: Access = FULL_ACCESS,
    ) -> None:
        """Bind an exchange to another one, which routes messages to it.

        Raises:
            BrokerError: 403, 404, 406.
        """
        source, destination = one_line(source), one_line(destination)
        access.check_write("exchange", destination)
        _check_not_default(destination)
        self._check_source(source, key, access)
        exchange, other = self.exchange(source), self.exchange(destination)
        exchange.check_binding(key, arguments)
        exchange.check_destination(other)
        self._add_binding(exchange, other, key, arguments)

    def unbind_exchange(
        self,
        destination: str,
        source: str,
        key: str,
        arguments: FieldTable,
        access: Access = FULL_ACCESS,
    ) -> None:
        """Remove a binding between exchanges; nothing happens if anything does not exist.

        Raises:
            BrokerError: 403.
        """
        source, destination = one_line(source), one_line(destination)
        access.check_write("exchange", destination)
        _check_not_default(destination)
        self._check_source(source, key, access)
        binding = self._binding(source, self.exchanges.get(destination), key, arguments)
        if binding is not None:
            self._unbind(binding)

    def _check_source(self, name: str, key: str, access: Access) -> None:
        _check_not_default(name)
        access.check_read("exchange", name)
        exchange = self.exchanges.get(name)
        if exchange is not None and exchange.TYPE == "topic":
            access.check_read_topic(name, key)

    def _binding(
        self, source: str, destination: Destination | None, key: str, arguments: FieldTable
    ) -> Binding | None:
        exchange = self.exchanges.get(source)
        if exchange is None or destination is None:
            return None
        return exchange.find(destination, key, arguments)

    def _add_binding(
        self, source: Exchange, destination: Destination, key: str, arguments: FieldTable
    ) -> None:
        binding = source.bind(destination, key, arguments)
        incoming = self._incoming.setdefault(destination, {})
        if binding not in incoming:
            incoming[binding] = None
            source.on_bound(binding)

    def _remove_binding(self, binding: Binding) -> None:
        binding.source.unbind(binding)
        incoming = self._incoming[binding.destination]
        del incoming[binding]
        if not incoming:
            del self._incoming[binding.destination]

    def _unbind(self, binding: Binding) -> None:
        """Remove a binding, and its source if that is auto-delete and has no other binding."""
        self._remove_binding(binding)
        source = binding.source
        if source.auto_delete and not source.outgoing and source.name in self.exchanges:
            self._remove_exchange(source)

    def _unbind_destination(self, destination: Destination) -> None:
        for binding in self.bindings_to(destination):
            self._unbind(binding)

    # ----------------------------------------------------------------------------- messages

    def publish(self, message: Message, user: str = "guest") -> Outcome:
        """Check, route and deliver a message in one call.

        Args:
            message: the message.
            user: the name of the user who publishes it.

        Raises:
            BrokerError: 403, 404, 406, 541.
        """
        return self.deliver(self.accept(message, Access(user)))

    def accept(
        self, message: Message, access: Access = FULL_ACCESS, reply_to: str | None = None
    ) -> Publication:
        """Check and route a message. A direct reply is delivered if its address is no queue.

        Args:
            message: the message.
            access: the access of the connection that publishes it.
            reply_to: the direct reply address of the channel, if it has one.

        Raises:
            BrokerError: 403, 404, 406, 541.
        """
        access.check_write("exchange", message.exchange)
        exchange = self.exchange(message.exchange)
        if exchange.internal:
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED, f"cannot publish to internal {exchange.described}"
            )
        if exchange.TYPE == "topic":
            access.check_write_topic(exchange.name, message.routing_key)
        message = message.validated(access, reply_to, self.profile)
        message.events.append((EventType.PUBLISHED, message.exchange, access.user))
        names = self._route(exchange, message)
        self.history.add(message, len(names))
        if not (exchange.name or self.profile.has_reply_queues):
            self._deliver_direct_replies(names, message)
        if self.profile.finds_queues_at_once:
            names = [name for name in names if name in self.queues or is_address(name)]
        return Publication(message, names)

    def deliver(self, publication: Publication) -> Outcome:
        """Add a message to the queues that it is routed to, as far as they exist."""
        message = publication.message
        queues = [self.queues[name] for name in publication.queues if name in self.queues]
        has_all = len(queues) == len(publication.queues)
        names = publication.queues if has_all else [queue.name for queue in queues]
        if names or message.events[-1][0] is not EventType.DELAYED:
            message.events.append(routed_event(names))
        if self.profile.has_reply_queues:
            self._deliver_direct_replies(publication.queues, message)
        outcome = Outcome.ACCEPTED if queues else Outcome.UNROUTED
        if not queues and self._is_for_reply_queue(publication.queues):
            outcome = Outcome.REPLIED
        self.agenda.steps += len(queues)
        for queue in in_delivery_order(queues, self.profile):
            if not queue.publish(message):
                outcome = Outcome.REFUSED
                message.events.append((EventType.REFUSED, queue.name, ""))
        return outcome

    def _publish_delayed(self, exchange: str, message: Message) -> None:
        """Route a message that an exchange has delayed, if the exchange was not deleted."""
        found = self.exchanges.get(exchange)
        if found is not None:
            self.deliver(Publication(message, self._route(found, message)))

    def _send_history(self, destination: Destination, messages: Iterable[Message]) -> None:
        """Send the last messages of an exchange to a queue or exchange that was bound to it.

        Raises:
            BrokerError: 541, an exchange does not route one of them to a queue.
        """
        for message in messages:
            names = [destination.name]
            if isinstance(destination, Exchange):
                names = self._route(destination, message)
                if not any(name in self.queues for name in names):
                    raise BrokerError(ReplyCode.INTERNAL_ERROR)
            self.agenda.call_soon(partial(self.deliver, Publication(message, names)))

    def _route(self, exchange: Exchange, message: Message) -> list[str]:
        return route(self.exchanges, exchange, message, self.policies.alternate_of)

    def explain(self, message: Message) -> Route:
        """Return where a message would be routed to if it were published now, and why.

        Raises:
            BrokerError: 404, the exchange does not exist.
        """
        self.exchange(message.exchange)
        return explain(self.exchanges, self.queues, message, self.policies.alternate_of)

    def _deliver_direct_replies(self, keys: list[str], message: Message) -> None:
        for address in filter(is_address, keys):
            if self.profile.has_reply_queues and not self.replies.is_well_formed(address):
                continue
            deliver = self.replies.find(address)
            if deliver is not None:
                self.agenda.call_soon(partial(deliver, message))

    def _check_not_volatile(self, queue: str) -> None:
        if self.profile.has_reply_queues and is_address(queue):
            raise BrokerError(
                ReplyCode.ACCESS_REFUSED,
                "cannot bind or unbind to a volatile (direct reply-to) queue",
            )

    def has_reply_queue(self, name: str) -> bool:
        """Return whether a name is that of a queue of direct replies that has a consumer."""
        return self._is_for_reply_queue([name]) and self.replies.find(name) is not None

    def _is_for_reply_queue(self, names: list[str]) -> bool:
        """Return whether one of the names is the queue of direct replies, which may be gone."""
        return self.profile.has_reply_queues and any(
            is_address(name) and self.replies.is_well_formed(name) for name in names
        )

    def _dead_letter(self, queue: Queue, message: Message, reason: Reason) -> None:
        """Publish a message of a queue to the queue's dead-letter exchange, if it has one.

        RabbitMQ: the message is dropped silently if that exchange does not exist or routes it to no
        queue.
        """
        routed = self._route_dead_letter(queue, message, reason, self.clock.now())
        if routed is None:
            return
        dead, queues = routed
        accepting = [
            each for each in self._without_cycles(dead, reason, queues) if each.accepts_dead_letters
        ]
        self._record_routed(dead, accepting)
        for each in in_delivery_order(accepting, self.profile):
            each.accept_dead_letter(dead)

    def _publish_dead_letter(self, queue: Queue, letter: DeadLetter) -> bool:
        """Publish a dead letter to the queues that do not have it; return whether all have it.

        RabbitMQ: a dead letter that has reached one queue is done if it is routed nowhere any more,
        but it is kept if all that it is still routed to have it.
        """
        reason = letter.reason
        routed = self._route_dead_letter(queue, letter.message, reason, letter.died_at)
        if routed is None:
            return False
        dead, queues = routed
        if not queues:
            return bool(letter.confirmed)
        missing = [each for each in queues if each.name not in letter.confirmed]
        accepting = self._without_cycles(dead, reason, missing)
        if not accepting:
            return False
        letter.published_at = self.clock.time()
        self._record_routed(dead, accepting)
        for each in in_delivery_order(accepting, self.profile):
            if each.publish(dead):
                letter.confirmed.add(each.name)
            else:
                dead.events.append((EventType.REFUSED, each.name, ""))
        return all(each.name in letter.confirmed for each in accepting)

    def _route_dead_letter(
        self, queue: Queue, message: Message, reason: Reason, now: float
    ) -> tuple[Message, list[Queue]] | None:
        """Return a dead letter and the queues that it is routed to; None if it is not published."""
        name, key = queue.settings.dead_letter_exchange, queue.settings.dead_letter_routing_key
        exchange = self.exchanges.get(name or "")
        if name is None or exchange is None:
            return None
        if not self._deaths.accepts(message, queue.name, reason):
            return None
        dead = self._deaths.add(
            message, reason, queue=queue.name, exchange=name, routing_key=key, now=now
        )
        if not name and self.profile.dead_letters_reach_replies:
            try:
                self._deliver_direct_replies(list(dict.fromkeys(dead.routing_keys)), dead)
            except BrokerError:
                return None  # RabbitMQ: the queue crashes over a malformed address
        routed = self._route(exchange, dead)
        return dead, [self.queues[each] for each in routed if each in self.queues]

    def _without_cycles(self, dead: Message, reason: Reason, queues: list[Queue]) -> list[Queue]:
        """Return the queues without those that the message was dead-lettered from before.

        RabbitMQ: they get it again only if a consumer has rejected it.
        """
        if reason is Reason.REJECTED:
            return queues
        deaths = tuple(self._deaths.deaths(dead))
        return [each for each in queues if not is_cycle(deaths, each.name)]

    def _record_routed(self, dead: Message, queues: list[Queue]) -> None:
        self.agenda.steps += len(queues)
        trim_events(dead.events)
        dead.events.append(routed_event([each.name for each in queues]))


def one_line(name: str) -> str:
    """Return a name without line breaks. RabbitMQ: basic.consume and basic.get keep them."""
    return name.replace("\r", "").replace("\n", "")


def _check_not_default(exchange: str) -> None:
    if not exchange:
        raise BrokerError(
            ReplyCode.ACCESS_REFUSED, "operation not permitted on the default exchange"
        )


def _check_not_reserved(kind: str, name: str) -> None:
    if name.startswith(_RESERVED):
        raise BrokerError(
            ReplyCode.ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'"
        )


def _check_other_exchange(
    argument: Argument,
    kind: str,
    declaration: QueueDeclaration | ExchangeDeclaration,
    access: Access,
) -> None:
    """Check an argument that names the exchange to which messages are passed on.

    RabbitMQ: it takes the permissions to read from what passes them on, and to write to that
    exchange.
    """
    argument.check_value(declaration.arguments, declaration.described)
    exchange = declaration.arguments.get(argument.name)
    if isinstance(exchange, str):
        access.check_read(kind, declaration.name)
        access.check_write("exchange", exchange)
