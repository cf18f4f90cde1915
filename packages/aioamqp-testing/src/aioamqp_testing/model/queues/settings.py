"""What a queue goes by: its arguments and its policy, made one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from amqp_codec import FieldTable, FieldValue


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force for a queue at the moment; None is no limit.

    Attributes:
        message_ttl: milliseconds that a message may wait.
        expires: milliseconds that the queue may go unused.
        max_length: messages that may be ready.
        max_length_bytes: octets that their bodies may have together.
        overflow: what gives way at a limit: drop-head, reject-publish or reject-publish-dlx.
        dead_letter_exchange: where messages go that the queue gives up.
        dead_letter_routing_key: with which key; None keeps the keys they have.
        delivery_limit: how often a quorum queue takes a message back.
    """

    message_ttl: int | None = None
    expires: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None

    @classmethod
    def of(cls, arguments: FieldTable, policy: Mapping[str, FieldValue]) -> Self:
        """Put them together. RabbitMQ: the lower number holds, and of words the argument.

        Args:
            arguments: of queue.declare, checked.
            policy: the definition, with keys such as ``max-length``; empty without a policy.
        """

        def lower(key: str) -> int | None:
            values = (arguments.get(f"x-{key}"), policy.get(key))
            return min((value for value in values if isinstance(value, int)), default=None)

        def first(key: str) -> str | None:
            value = arguments.get(f"x-{key}", policy.get(key))
            return value if isinstance(value, str) else None

        return cls(
            message_ttl=lower("message-ttl"),
            expires=lower("expires"),
            max_length=lower("max-length"),
            max_length_bytes=lower("max-length-bytes"),
            overflow=first("overflow") or "drop-head",
            dead_letter_exchange=first("dead-letter-exchange"),
            dead_letter_routing_key=first("dead-letter-routing-key"),
            delivery_limit=lower("delivery-limit"),
        )
