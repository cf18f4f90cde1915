"""Messages: as they are published, and in a queue."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from amqp_codec import FieldTable, Properties, ReplyCode

from ..access import Access
from ..erlang import printing as erlang
from ..erlang.terms import type_name
from ..errors import BrokerError
from ..profile import DEFAULT_PROFILE, Profile
from .events import Event, EventType, RawEvent
from .headers import edited, further_keys, is_sorted, sorted_table

_SHOWN = 40  # bytes of a body
LONGEST_TTL = 315_360_000_000  # ms; RabbitMQ: ten years
REPLY_TO = "amq.rabbitmq.reply-to"


class Outcome(Enum):
    """The outcome of a publish; true if the message was routed to a queue."""

    UNROUTED = "no queue is bound for the message"
    REPLIED = "it is a direct reply, which no queue has to accept"
    ACCEPTED = "all queues of the message have accepted it"
    REFUSED = "a queue is full; others may have accepted the message"

    def __bool__(self) -> bool:
        return self is not Outcome.UNROUTED


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A published message; it may be in any number of queues at once.

    Attributes:
        exchange: the name of the exchange that it was published to.
        routing_key: the routing key of basic.publish.
        properties: the properties, without the header BCC.
        body: the body.
        further_keys: the routing keys in the headers CC and BCC.
        deaths: the tables of ``x-death``, if they are kept apart from the headers; the last first.
        failures: how often its delivery had failed before it was dead-lettered.
        events: the events so far; a dead letter shares them with the message that it was.
    """

    exchange: str
    routing_key: str
    properties: Properties
    body: bytes
    further_keys: tuple[str, ...] = ()
    deaths: tuple[FieldTable, ...] = ()
    failures: int = 0
    events: list[RawEvent] = field(default_factory=list, repr=False)

    @property
    def is_persistent(self) -> bool:
        """Whether the message survives a restart in a durable queue. Spec: basic, delivery-mode."""
        return self.properties.delivery_mode == 2

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """All routing keys."""
        return (self.routing_key, *self.further_keys)

    @property
    def history(self) -> list[Event]:
        """The events so far; ``print(message)`` shows them."""
        return [Event(*event) for event in self.events]

    @property
    def queues(self) -> list[str]:
        """The names of the queues that the message was routed to so far."""
        return [
            name
            for what, where, _ in self.events
            if what is EventType.ROUTED and not isinstance(where, str)
            for name in where
        ]

    def __str__(self) -> str:
        body = bytes(self.body[:_SHOWN])
        dots = "..." if len(self.body) > _SHOWN else ""
        to = f"exchange {self.exchange!r} with key {self.routing_key!r}"
        return "\n  ".join([f"message {body!r}{dots} to {to}", *map(str, self.history)])

    def validated(
        self, access: Access, reply_to: str | None = None, profile: Profile = DEFAULT_PROFILE
    ) -> "Message":
        """Check the properties in RabbitMQ's order, and return the message that is routed.

        Args:
            access: the permissions of the connection that publishes it.
            reply_to: the address for direct replies to its channel, if there is one.
            profile: the version of RabbitMQ.

        Raises:
            BrokerError: 406.
        """
        properties = self.properties
        headers = properties.headers or {}
        changes: dict[str, Any] = {}
        if properties.reply_to == REPLY_TO:
            if reply_to is None:
                raise _refused("fast reply consumer does not exist")
            changes["reply_to"] = reply_to
        if not profile.checks_user_last:
            _check_user(properties, access)
        if properties.expiration is not None:
            _check_expiration(properties.expiration, profile)
        for name in ("CC", "BCC"):
            if not isinstance(headers.get(name, []), list | tuple):
                kind = type_name(headers[name])
                raise _refused(f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')
        if profile.checks_user_last:
            _check_user(properties, access)
        if profile.checks_delivery_mode and properties.delivery_mode not in (None, 1, 2):
            raise _refused(f"invalid message: {{delivery_mode_unknown,{properties.delivery_mode}}}")
        if "BCC" in headers:
            changes["headers"] = {name: headers[name] for name in headers if name != "BCC"}
        if profile.sorts_headers and not is_sorted(headers):
            changes["headers"] = sorted_table(changes.get("headers", headers))
        keys = tuple(further_keys(headers))
        if not changes and not keys:
            return self
        return replace(self, properties=edited(properties, **changes), further_keys=keys)


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """A message in one queue.

    Attributes:
        position: the position in the queue, also after it is requeued.
        message: the message.
        redelivered: whether the message was delivered before.
        failures: how often its delivery has failed in this queue, as far as that is carried on.
        level: messages of a lower level are delivered first, whatever their position.
        expires_at: the time of the clock at which the message expires, or None.
    """

    position: int
    message: Message
    redelivered: bool = False
    failures: int = 0
    level: int = 0
    expires_at: float | None = None


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def _check_user(properties: Properties, access: Access) -> None:
    if properties.user_id not in (None, access.user) and not access.is_impersonator:
        raise _refused(
            f"user_id property set to '{properties.user_id}' but authenticated user was"
            f" '{access.user}'"
        )


def _check_expiration(expiration: str, profile: Profile) -> None:
    """Check a per-message TTL as Erlang's string:to_integer parses it."""
    data = _encoded(expiration)
    wrong = f"invalid expiration '{expiration}': "
    column = len(wrong if profile.encodes_expiration_twice else _encoded(wrong))
    end = 1 if data[:1] in (b"+", b"-") else 0
    digits = end
    while end < len(data) and data[end : end + 1].isdigit():
        end += 1
    if end == digits:
        reason = "no_integer"
    elif end < len(data):
        leftover = erlang.string(data[end:])
        if profile.encodes_expiration_twice:
            leftover = _encoded(leftover).decode("latin-1")
        reason = erlang.pair("leftover_string", leftover, column)
    elif (value := int(data)) < 0:
        reason = erlang.pair("value_negative", str(value), column)
    elif value > LONGEST_TTL:
        reason = erlang.pair("value_too_large", str(value), column)
    else:
        return
    refused = _refused(f"{wrong}{reason}")
    if profile.encodes_expiration_twice and refused.is_cut and not refused.text.isascii():
        raise BrokerError(ReplyCode.INTERNAL_ERROR)  # RabbitMQ: it cannot shorten such a text
    raise refused


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
