"""A message as ``Channel.consume`` gives it."""

from collections.abc import Awaitable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from amqp_codec import Command, basic

from .envelope import Envelope
from .exceptions import AlreadySettled, AmqpClosedConnection, ChannelClosed
from .properties import Properties

if TYPE_CHECKING:
    from .channel import Channel


class Message:
    """A message that was delivered, and is to be settled once: by ack, nack or reject.

    ``async with message:`` does so by itself: it acknowledges the message when the block ends, and
    rejects it when an exception leaves the block; ``async with message.process(requeue=True):``
    requeues it then. A block that is cancelled has not judged the message, so that is requeued in
    any case. What the block has settled itself stays as it is.

    Attributes:
        channel: that it came over, and is settled on.
        body: its octets.
    """

    __slots__ = ("_envelope", "_is_settled", "_method", "_properties", "_wire_properties", "body",
                 "channel", "no_ack")  # fmt: skip

    def __init__(self, channel: "Channel", delivery: Command, no_ack: bool) -> None:
        assert isinstance(delivery.method, basic.Deliver)
        assert delivery.properties is not None
        self.channel: Channel = channel
        self.body: bytes = bytes(delivery.body)
        self.no_ack: bool = no_ack
        self._method = delivery.method
        self._wire_properties = delivery.properties
        self._envelope: Envelope | None = None
        self._properties: Properties | None = None
        self._is_settled = no_ack

    def __repr__(self) -> str:
        what = self._method
        return (
            f"<Message {what.delivery_tag} from exchange {what.exchange!r} with routing key"
            f" {what.routing_key!r}, {len(self.body)} octets>"
        )

    @property
    def envelope(self) -> Envelope:
        """How it was delivered: with which tag, from which exchange, whether for the first time."""
        if self._envelope is None:
            self._envelope = Envelope.from_codec(self._method)
        return self._envelope

    @property
    def properties(self) -> Properties:
        """Its properties, decoded when they are first asked for.

        Raises:
            amqp_codec.DecodeError: the headers cannot be decoded; body and envelope are good.
        """
        if self._properties is None:
            self._properties = Properties.from_codec(self._wire_properties)
        return self._properties

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to say to the server; so it is with ``no_ack`` from the start."""
        return self._is_settled

    async def ack(self, *, multiple: bool = False) -> None:
        """Tell the server that the message has been handled. Spec: basic.ack.

        Args:
            multiple: and all before it on this channel.

        Raises:
            AlreadySettled: it has been settled, or came with ``no_ack``.
            ChannelClosed, AmqpClosedConnection: the channel is over, so the server has queued the
                message again.
        """
        self._check_unsettled()
        await self._settle(self.channel.basic_client_ack(self._method.delivery_tag, multiple))

    async def nack(self, *, multiple: bool = False, requeue: bool = True) -> None:
        """Tell the server that the message has not been handled. RabbitMQ: nack.html.

        Args:
            multiple: nor any before it on this channel.
            requeue: queue it again, rather than drop or dead-letter it.

        Raises:
            AlreadySettled, ChannelClosed, AmqpClosedConnection: as for ``ack``.
        """
        self._check_unsettled()
        tag = self._method.delivery_tag
        await self._settle(self.channel.basic_client_nack(tag, multiple, requeue))

    async def reject(self, *, requeue: bool = False) -> None:
        """Tell the server that the message will not be handled. Spec: basic.reject.

        Args:
            requeue: queue it again, rather than drop or dead-letter it.

        Raises:
            AlreadySettled, ChannelClosed, AmqpClosedConnection: as for ``ack``.
        """
        self._check_unsettled()
        await self._settle(self.channel.basic_reject(self._method.delivery_tag, requeue))

    def process(self, *, requeue: bool = False) -> "Processing":
        """Settle the message by what becomes of an ``async with`` block.

        Args:
            requeue: queue it again when an exception leaves the block, rather than drop or
                dead-letter it.
        """
        return Processing(self, requeue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.process().__aexit__(error_type, error, traceback)

    async def _settle(self, saying: Awaitable[None]) -> None:
        # It counts as settled while that waits for the link, or else it could be settled twice.
        self._is_settled = True
        try:
            await saying
        except BaseException:
            self._is_settled = False
            raise

    def _check_unsettled(self) -> None:
        if self.no_ack:
            raise AlreadySettled(
                f"{self!r} came with no_ack=True: the server takes it for acknowledged, so do not"
                " settle it"
            )
        if self._is_settled:
            raise AlreadySettled(f"{self!r} has been settled already: do so once")


class Processing:
    """Settles a message by how a block ends. See ``Message``."""

    __slots__ = ("_message", "_requeue")

    def __init__(self, message: Message, requeue: bool) -> None:
        self._message = message
        self._requeue = requeue

    async def __aenter__(self) -> Message:
        return self._message

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        message = self._message
        if message.is_settled:
            return
        if error is None:
            await message.ack()
            return
        requeue = self._requeue or not isinstance(error, Exception)
        # If the channel is over, the server has queued it again; what left the block matters more.
        with suppress(ChannelClosed, AmqpClosedConnection):
            await message.reject(requeue=requeue)
