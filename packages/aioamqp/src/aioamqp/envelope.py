"""Envelopes: how a message was delivered, or why it was returned."""

from typing import Any

from amqp_codec import basic

from ._delegating import delegated

_OWN_SLOTS: tuple[str, ...] = ("_deliver",)
_NAMES = ("consumer_tag", "delivery_tag", "exchange_name", "routing_key", "is_redeliver")


class _Values:
    """Base of the classes that are equal if all of their values are, and can be copied."""

    __slots__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Values) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()


class Envelope(_Values):
    """The arguments of the basic.deliver of a message.

    Attributes:
        consumer_tag: the consumer that the message was delivered to.
        delivery_tag: the tag to acknowledge the message with.
        exchange_name: the exchange that the message was published to.
        routing_key: the routing key that the message was published with.
        is_redeliver: whether the message may have been delivered before.
    """

    # They are read from what the codec has decoded: programs look at few of them.

    __slots__: tuple[str, ...] = _OWN_SLOTS

    consumer_tag: str = delegated("_deliver", "consumer_tag")
    delivery_tag: int = delegated("_deliver", "delivery_tag")
    exchange_name: str = delegated("_deliver", "exchange")
    routing_key: str = delegated("_deliver", "routing_key")
    is_redeliver: bool = delegated("_deliver", "redelivered")

    def __init__(
        self,
        consumer_tag: str,
        delivery_tag: int,
        exchange_name: str,
        routing_key: str,
        is_redeliver: bool,
    ) -> None:
        self._deliver = basic.Deliver(
            consumer_tag, delivery_tag, is_redeliver, exchange_name, routing_key
        )

    @classmethod
    def from_codec(cls, deliver: basic.Deliver) -> "Envelope":
        """Return the envelope of a basic.deliver, which changes with it."""
        envelope = cls.__new__(cls)
        envelope._deliver = deliver
        return envelope


Envelope.__slots__ = _NAMES  # as in 0.15: the arguments, in their order


class ReturnEnvelope(_Values):
    """The arguments of the basic.return of a message.

    Attributes:
        reply_code: 312 if no queue is bound for the message, 313 if no consumer is ready.
        reply_text: the reason in words.
        exchange_name: the exchange that the message was published to.
        routing_key: the routing key that the message was published with.
    """

    __slots__ = (  # noqa: RUF023 - the order of the arguments, as in 0.15
        "reply_code",
        "reply_text",
        "exchange_name",
        "routing_key",
    )

    def __init__(
        self, reply_code: int, reply_text: str, exchange_name: str, routing_key: str
    ) -> None:
        self.reply_code: int = reply_code
        self.reply_text: str = reply_text
        self.exchange_name: str = exchange_name
        self.routing_key: str = routing_key

    @classmethod
    def from_codec(cls, returned: basic.Return) -> "ReturnEnvelope":
        """Create an envelope from a basic.return."""
        return cls(
            returned.reply_code, returned.reply_text, returned.exchange, returned.routing_key
        )
