"""A message as it was published, and its place in a queue."""

from dataclasses import dataclass

from amqp_codec import Properties, ReplyCode, field_type

from . import erlang
from .arguments import TYPE_NAMES
from .errors import BrokerError, NotSupported

_LONGEST_TTL = 2**32 - 1  # ms; RabbitMQ: what an Erlang timer can hold
REPLY_TO = "amq.rabbitmq.reply-to"


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a publisher sent; one message may be in any number of queues at once.

    Attributes:
        exchange: its name, as published to. Consumers see this one, whatever the route was.
        routing_key: as published.
        properties: as published; RabbitMQ adds nothing.
        body: as published.
    """

    exchange: str
    routing_key: str
    properties: Properties
    body: bytes

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """All the keys that it is routed by."""
        return (self.routing_key,)

    def check(self, user: str) -> None:
        """Refuse properties that RabbitMQ refuses, in its order.

        Args:
            user: whom the connection belongs to.

        Raises:
            BrokerError: 406.
            NotSupported: they ask for something that this broker would have to act on.
        """
        properties = self.properties
        if properties.reply_to == REPLY_TO:
            # consuming from that name is not supported, so there never is such a consumer
            raise _refused("fast reply consumer does not exist")
        if properties.user_id is not None and properties.user_id != user:
            raise _refused(
                f"user_id property set to '{properties.user_id}' but authenticated user was"
                f" '{user}'"
            )
        if properties.expiration is not None:
            _check_expiration(properties.expiration)
        for name in ("CC", "BCC"):
            if properties.headers is not None and name in properties.headers:
                value = properties.headers[name]
                if not isinstance(value, list | tuple):
                    kind = TYPE_NAMES[field_type(value)]
                    raise _refused(
                        f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}'
                    )
                raise NotSupported(f"the header {name} of a message")
        if properties.delivery_mode not in (None, 1, 2):
            raise _refused(f"invalid message: {{delivery_mode_unknown,{properties.delivery_mode}}}")


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """A message in one queue.

    Attributes:
        position: where it stands in the queue, and where it comes back to when it is requeued.
        message: what was published.
        redelivered: whether it was handed out before.
    """

    position: int
    message: Message
    redelivered: bool = False


def _refused(text: str) -> BrokerError:
    return BrokerError(ReplyCode.PRECONDITION_FAILED, text)


def _check_expiration(expiration: str) -> None:
    """Check a per-message TTL as Erlang's string:to_integer reads it."""
    octets = expiration.encode("utf-8", "surrogateescape")
    end = 1 if octets[:1] in (b"+", b"-") else 0
    digits = end
    while end < len(octets) and octets[end : end + 1].isdigit():
        end += 1
    if end == digits:
        reason = "no_integer"
    elif end < len(octets):
        reason = f"{{leftover_string,{erlang.string(octets[end:])}}}"
    elif (value := int(octets)) < 0:
        reason = f"{{value_negative,{value}}}"
    elif value > _LONGEST_TTL:
        reason = f"{{value_too_large,{value}}}"
    else:
        raise NotSupported("the property expiration of a message")
    raise _refused(f"invalid expiration '{expiration}': {reason}")
