"""How far a consumer has got in a stream, so that it can continue there on another connection."""

from collections import OrderedDict
from collections.abc import Callable

from amqp_codec import Command, DecodeError

OFFSET: str = "x-stream-offset"
"""The argument of a consumer that says where it begins, and the header of each message."""


class StreamPosition:
    """The offsets that one consumer of a stream has received and settled. RabbitMQ: streams.html.

    Args:
        on_advance: called when ``next_offset`` has changed.

    Attributes:
        next_offset: that of the first message which is not settled; None before the first one is,
            or is delivered again.
    """

    __slots__ = ("_highest", "_on_advance", "_unsettled", "next_offset")

    def __init__(self, on_advance: Callable[[], None] | None = None) -> None:
        self.next_offset: int | None = None
        self._on_advance = on_advance
        self._unsettled: OrderedDict[int, int] = OrderedDict()
        self._highest = -1

    def deliver(self, delivery_tag: int, delivery: Command) -> None:
        """Note the offset of a message, if it has one."""
        assert delivery.properties is not None
        try:
            offset = (delivery.properties.headers or {}).get(OFFSET)
        except DecodeError:  # the program gets the message all the same
            return
        if isinstance(offset, int):
            self._unsettled[delivery_tag] = int(offset)

    def settle(self, delivery_tag: int) -> None:
        """Note that a message is settled."""
        offset = self._unsettled.pop(delivery_tag, None)
        if offset is None:
            return
        self._highest = max(self._highest, offset)
        first = next(iter(self._unsettled.values()), self._highest + 1)
        if first != self.next_offset:
            self.next_offset = first
            if self._on_advance is not None:
                self._on_advance()

    def restart(self) -> None:
        """Begin again with the first message that was not settled, wherever the consumer began."""
        if self.next_offset is None and self._unsettled:
            self.next_offset = next(iter(self._unsettled.values()))
        self._unsettled.clear()
