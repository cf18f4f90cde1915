"""A message as it was published, and its place in a queue."""

from dataclasses import dataclass, field, replace
from enum import Enum

from amqp_codec import Properties, ReplyCode

from ..access import Access
from ..erlang import printing as erlang
from ..erlang.terms import kind_of
from ..errors import BrokerError
from .headers import edited, further_keys
from .history import Event, Happened, Noted

_SHOWN = 40  # octets of a body
LONGEST_TTL = 315_360_000_000  # ms; RabbitMQ: ten years
REPLY_TO = "amq.rabbitmq.reply-to"


class Outcome(Enum):
    """What becomes of a message that is published; true if it was routed."""

    UNROUTED = "there is no queue for it"
    TAKEN = "all queues that it was routed to have dealt with it"
    REFUSED = "a queue has no room for it, though others may have taken it"

    def __bool__(self) -> bool:
        return self is not Outcome.UNROUTED


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a publisher sent; one message may be in any number of queues at once.

    Attributes:
        exchange: its name, as published to. Consumers see this one, whatever the route was.
        routing_key: as published.
        properties: as published, without the header BCC.
        body: as published.
        further_keys: what was in the headers CC and BCC: it is routed by these, too.
        events: what has happened to it so far, as it is noted; a message that is dead-lettered
            takes them along.
    """

    exchange: str
    routing_key: str
    properties: Properties
    body: bytes
    further_keys: tuple[str, ...] = ()
    events: list[Noted] = field(default_factory=list, repr=False)

    @property
    def is_persistent(self) -> bool:
        """Whether it survives a restart in a durable queue. Spec: basic, delivery-mode."""
        return self.properties.delivery_mode == 2

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """All the keys that it is routed by."""
        return (self.routing_key, *self.further_keys)

    @property
    def history(self) -> list[Event]:
        """What has happened to it so far; ``print(message)`` shows it all."""
        return [Event(*event) for event in self.events]

    @property
    def queues(self) -> list[str]:
        """The names of the queues that it was routed to so far."""
        return [
            name
            for what, where, _ in self.events
            if what is Happened.ROUTED and not isinstance(where, str)
            for name in where
        ]

    def __str__(self) -> str:
        body = bytes(self.body[:_SHOWN])
        dots = "..." if len(self.body) > _SHOWN else ""
        to = f"exchange {self.exchange!r} with key {self.routing_key!r}"
        return "\n  ".join([f"message {body!r}{dots} to {to}", *map(str, self.history)])

    def accepted(self, access: Access, reply_to: str | None = None) -> "Message":
        """Check its properties in RabbitMQ's order, and return the message that is routed.

        Args:
            access: of the connection that publishes it.
            reply_to: the address for direct replies to its channel, if it has one.

        Raises:
            BrokerError: 406.
        """
        properties = self.properties
        headers = properties.headers or {}
        if properties.reply_to == REPLY_TO:
            if reply_to is None:
                raise _refused("fast reply consumer does not exist")
            properties = edited(properties, reply_to=reply_to)
        if properties.user_id not in (None, access.user) and not access.is_impersonator:
            raise _refused(
                f"user_id property set to '{properties.user_id}' but authenticated user was"
                f" '{access.user}'"
            )
        if properties.expiration is not None:
            _check_expiration(properties.expiration)
        for name in ("CC", "BCC"):
            if not isinstance(headers.get(name, []), list | tuple):
                kind = kind_of(headers[name])
                raise _refused(f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')
        if properties.delivery_mode not in (None, 1, 2):
            raise _refused(f"invalid message: {{delivery_mode_unknown,{properties.delivery_mode}}}")
        if "BCC" in headers:
            visible = {name: value for name, value in headers.items() if name != "BCC"}
            properties = edited(properties, headers=visible)
        keys = tuple(further_keys(headers))
        if properties is self.properties and not keys:
            return self
        return replace(self, properties=properties, further_keys=keys)


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """A message in one queue.

    Attributes:
        position: where it stands in the queue, and where it comes back to when it is requeued.
        message: what was published.
        redelivered: whether it was handed out before.
        level: what comes before the position; messages of a lower level go first.
        expires_at: the moment of the clock from which on it is not delivered any more.
    """

    position: int
    message: Message
    redelivered: bool = False
    level: int = 0
    expires_at: float | None = None


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def _check_expiration(expiration: str) -> None:
    """Check a per-message TTL as Erlang's string:to_integer reads it."""
    octets = expiration.encode("utf-8", "surrogateescape")
    wrong = f"invalid expiration '{expiration}': "
    column = len(wrong.encode("utf-8", "surrogateescape"))
    end = 1 if octets[:1] in (b"+", b"-") else 0
    digits = end
    while end < len(octets) and octets[end : end + 1].isdigit():
        end += 1
    if end == digits:
        reason = "no_integer"
    elif end < len(octets):
        reason = erlang.pair("leftover_string", erlang.string(octets[end:]), column)
    elif (value := int(octets)) < 0:
        reason = erlang.pair("value_negative", str(value), column)
    elif value > LONGEST_TTL:
        reason = erlang.pair("value_too_large", str(value), column)
    else:
        return
    raise _refused(f"{wrong}{reason}")
