"""Instruments: hooks that see what connections do, for metrics, traces and logs."""

from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from amqp_codec import Method
from amqp_codec import Properties as CodecProperties

from .exceptions import InvalidArgument
from .properties import Properties

__all__ = ["Delivery", "Instrument", "Outcome", "Peer", "Publication", "Settlement", "WaitReason"]

Outcome: TypeAlias = Literal["confirmed", "nacked", "returned", "unknown"]
"""What became of a message in confirm mode; unknown if the channel ended, or the call timed out."""

Settlement: TypeAlias = Literal["acked", "rejected", "requeued"]
"""How a delivery was settled; a rejected message is dropped or dead-lettered."""

WaitReason: TypeAlias = Literal["gate", "recovery", "reply"]
"""What a call waits for: for its turn to write, for the connection to recover, for its reply."""


class Peer(NamedTuple):
    """The server of a connection.

    Attributes:
        host: as given to ``connect``; with a ``Connection``, the address that it has chosen.
        port: of the server.
        virtual_host: that is open.
    """

    host: str
    port: int | str
    virtual_host: str


class Publication:
    """A message that is published.

    Attributes:
        peer: the server.
        channel: number of the channel.
        exchange: empty for the default exchange.
        routing_key: of the message.
        mandatory: whether the server returns it if no queue takes it.
        immediate: RabbitMQ: not supported.
        size: bytes of the body.
        began: the event loop's time at which the message was ready to be encoded.
        headers: that ``Instrument.publishing`` adds to those of the program; they replace headers
            of the same name. Later changes have no effect.
        awaits_confirm: whether ``Instrument.confirmed`` follows. Known when it has been written.
    """

    __slots__ = (
        "__weakref__", "_encoded", "awaits_confirm", "began", "channel", "exchange", "headers",
        "immediate", "mandatory", "peer", "routing_key", "size",
    )  # fmt: skip

    def __init__(
        self,
        peer: Peer,
        channel: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        size: int,
        began: float,
        encoded: bytes,
    ) -> None:
        self.peer: Peer = peer
        self.channel: int = channel
        self.exchange: str = exchange
        self.routing_key: str = routing_key
        self.mandatory: bool = mandatory
        self.immediate: bool = immediate
        self.size: int = size
        self.began: float = began
        self.headers: dict[str, Any] = {}
        self.awaits_confirm: bool = False
        self._encoded = encoded

    @property
    def properties(self) -> Properties:
        """The properties that the program gave: a copy, without ``headers``."""
        return Properties.from_codec(CodecProperties.decode(self._encoded, 0, len(self._encoded)))


class Delivery:
    """A message that the server has delivered, or returned for basic.get.

    Attributes:
        peer: the server.
        channel: number of the channel.
        queue: as given by the program; empty if the consumer is not known.
        consumer_tag: empty for basic.get.
        delivery_tag: as the server counts.
        exchange: that the message was published to.
        routing_key: that it was published with.
        redelivered: whether it may have been delivered before.
        size: bytes of the body.
    """

    __slots__ = (
        "__weakref__", "_codec", "channel", "consumer_tag", "delivery_tag", "exchange", "peer",
        "queue", "redelivered", "routing_key", "size",
    )  # fmt: skip

    def __init__(
        self,
        peer: Peer,
        channel: int,
        queue: str,
        consumer_tag: str,
        delivery_tag: int,
        exchange: str,
        routing_key: str,
        redelivered: bool,
        size: int,
        codec: CodecProperties,
    ) -> None:
        self.peer: Peer = peer
        self.channel: int = channel
        self.queue: str = queue
        self.consumer_tag: str = consumer_tag
        self.delivery_tag: int = delivery_tag
        self.exchange: str = exchange
        self.routing_key: str = routing_key
        self.redelivered: bool = redelivered
        self.size: int = size
        self._codec = codec

    @property
    def properties(self) -> Properties:
        """Its properties."""
        return Properties.from_codec(self._codec)


class Instrument:
    """Hooks that connections call: override those that you need. The others cost nothing.

        class Count(aioamqp.Instrument):
            published_bytes = 0

            def published(self, message, seconds):
                self.published_bytes += message.size

        connection = aioamqp.Connection("amqp://localhost/", instrument=Count())

    One instrument can serve many connections of one event loop; a connection can have several
    instruments: ``instrument=[Count(), other]``. Hooks are plain functions, called in the event
    loop while something else waits: they must return soon, and must not call the connection. An
    exception that a hook raises is logged, with its traceback, the first time for each hook of a
    connection; it has no other effect, and the hook is called again for the next event.

    All times are seconds by the event loop's clock, all sizes bytes of message bodies.
    """

    # ---------------------------------------------------------------- connections

    def connected(self, peer: Peer, seconds: float) -> None:
        """Note that a connection is open, so many seconds after there was a link to the server."""

    def closed(self, peer: Peer, seconds: float) -> None:
        """Note that the program has closed a connection, which was open for so many seconds.

        Each connection that was ``connected`` is either ``closed`` or ``lost``.
        """

    def lost(self, peer: Peer, error: Exception, seconds: float) -> None:
        """Note that a connection has ended without the program's asking.

        Args:
            peer: the server.
            error: why.
            seconds: for which the connection was open.
        """

    def recovered(self, peer: Peer, seconds: float, unrestored: int) -> None:
        """Note that a ``Connection`` is open again, and its channels are restored.

        Args:
            peer: the server, maybe another one.
            seconds: since the loss.
            unrestored: how many declarations, channels and consumers could not be restored.
        """

    def blocked(self, peer: Peer, reason: str) -> None:
        """Note that the server blocks publishers, until ``unblocked``."""

    def unblocked(self, peer: Peer, seconds: float) -> None:
        """Note that publishers are no longer blocked, or that a blocked connection has ended.

        Args:
            peer: the server.
            seconds: for which they were blocked.
        """

    def channel_closed(self, peer: Peer, channel: int, error: Exception | None) -> None:
        """Note that a channel has ended; a channel that recovers has not.

        Args:
            peer: the server.
            channel: its number.
            error: why; None if the program has closed it, or its connection.
        """

    # ---------------------------------------------------------------- publishing

    def publishing(self, message: Publication) -> None:
        """Note that a message is about to be published; add ``message.headers`` to it.

        It is called in the context of the call that publishes. Either ``published`` or
        ``not_published`` follows.
        """

    def published(self, message: Publication, seconds: float) -> None:
        """Note that a message was written; ``seconds`` is how long it has waited for that.

        A message that a publisher sends again is noted again, without ``publishing``.
        """

    def not_published(self, message: Publication, error: BaseException) -> None:
        """Note that nothing of a message was written, because of an error or a cancellation."""

    def confirmed(self, message: Publication, outcome: Outcome, seconds: float) -> None:
        """Note the outcome of a message in confirm mode: exactly one each time it was written.

        Args:
            message: that was published.
            outcome: "confirmed", "nacked", "returned" or "unknown".
            seconds: since it was written.
        """

    def returned(
        self, peer: Peer, channel: int, exchange: str, routing_key: str, size: int, code: int
    ) -> None:
        """Note that the server has returned a mandatory message.

        Args:
            peer: the server.
            channel: number of the channel.
            exchange: that the message was published to.
            routing_key: that it was published with.
            size: bytes of the body.
            code: such as 312, for no route.
        """

    # ---------------------------------------------------------------- consuming

    def delivered(self, message: Delivery) -> None:
        """Note that a message has arrived, before it is given to the program."""

    def handling(self, message: Delivery) -> None:
        """Note that a handler is about to be called: a callback, or the handler of a ``Worker``.

        With ``async for`` it is the body of the loop. It is called in the context of the handler:
        a context variable that is set here can be read there. Either ``handled`` or
        ``handler_failed`` follows.
        """

    def handled(self, message: Delivery, seconds: float) -> None:
        """Note that a handler has returned, so many seconds after it was called.

        With a ``Worker``: that the message was settled, too, and the reply of an ``RpcServer`` was
        sent. With ``async for``: that the loop has asked for the next message, or has been left.
        """

    def handler_failed(self, message: Delivery, error: BaseException, seconds: float) -> None:
        """Note that a handler has raised an error, or was cancelled.

        With ``async for``: that an error has left the ``async with`` block of the messages.
        """

    def settled(
        self, peer: Peer, channel: int, settlement: Settlement, count: int, seconds: float
    ) -> None:
        """Note that deliveries were settled.

        Args:
            peer: the server.
            channel: number of the channel.
            settlement: "acked", "rejected" or "requeued".
            count: how many deliveries; 0 for one that is not known, which the server refuses.
            seconds: since the oldest of them arrived.
        """

    # ---------------------------------------------------------------- calls

    def waiter_added(self, peer: Peer, call: str, reason: WaitReason) -> None:
        """Note that a call begins to wait.

        Args:
            peer: the server, or for "recovery" the one that was lost.
            call: the name of its method, such as "queue.declare".
            reason: "gate", "recovery" or "reply".
        """

    def waiter_gone(self, peer: Peer, call: str, reason: WaitReason, seconds: float) -> None:
        """Note that a call no longer waits, for whatever reason, after so many seconds."""

    # ---------------------------------------------------------------- commands

    def command_sent(self, peer: Peer, channel: int, method: Method, size: int) -> None:
        """Note that a method was given to the write buffer, with a body of ``size`` bytes."""

    def command_received(self, peer: Peer, channel: int, method: Method, size: int) -> None:
        """Note that a method was received, with a body of ``size`` bytes."""


HOOKS: Final = tuple(name for name in vars(Instrument) if not name.startswith("_"))

Instruments: TypeAlias = Instrument | Sequence[Instrument] | None
"""What the argument ``instrument`` takes."""


def is_overridden(instrument: Instrument, hook: str) -> bool:
    """Return whether an instrument has a hook of its own."""
    return getattr(type(instrument), hook) is not getattr(Instrument, hook)


def instruments_of(given: object) -> tuple[Instrument, ...]:
    """Return the instruments that a program has given.

    Raises:
        InvalidArgument: something else was given, or a hook is a coroutine function.
    """
    if given is None:
        return ()
    several = isinstance(given, Sequence)
    instruments: tuple[object, ...] = tuple(given) if several else (given,)  # type: ignore[arg-type]
    for each in instruments:
        if not isinstance(each, Instrument):
            hint = ": call it" if isinstance(each, type) else ""
            text = f"must be an aioamqp.Instrument, several, or None, not {each!r:.80}{hint}"
            raise InvalidArgument(text, ("instrument",))
        for hook in HOOKS:
            if iscoroutinefunction(getattr(each, hook)):
                text = f"has the hook {hook} as a coroutine function: hooks are plain functions"
                raise InvalidArgument(text, ("instrument",))
    return instruments  # type: ignore[return-value]
