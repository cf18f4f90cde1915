"""What queues say to a channel while it has something else to do.

RabbitMQ: queues and channels are processes that send each other letters. What a queue has to say
about a command (the reply to basic.consume and basic.cancel, deliveries, notices) lies behind all
that the client has sent in the same piece, and the replies to that come first.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from ...model import Consumer, QueuedMessage

Parcel: TypeAlias = tuple[Consumer, QueuedMessage]
"""A message for a consumer."""

_MOST_OCTETS: Final = 0x40000
_WRAPPING: Final = 100  # octets that a message takes beside its body


class Mailbox:
    """The letters of one channel that it has not read yet, the oldest first.

    Attributes:
        is_full: whether there should be no more before they are read.
    """

    __slots__ = ("_letters", "_octets", "is_full")

    def __init__(self) -> None:
        self.is_full = False
        self._letters: deque[Parcel | Callable[[], None]] = deque()
        self._octets = 0

    def __bool__(self) -> bool:
        return bool(self._letters)

    def put(self, notice: Callable[[], None]) -> None:
        """Leave something to be done, such as a reply to be sent."""
        self._letters.append(notice)

    def put_parcel(self, parcel: Parcel) -> None:
        """Leave a message for a consumer."""
        self._letters.append(parcel)
        self._octets += len(parcel[1].message.body) + _WRAPPING
        self.is_full = self._octets > _MOST_OCTETS

    def take(self) -> Iterator[Parcel | Callable[[], None]]:
        """Take the letters out one after the other."""
        self._octets, self.is_full = 0, False
        while self._letters:
            yield self._letters.popleft()

    def take_parcels(self) -> list[Parcel]:
        """Take the messages out and throw the notices away."""
        return [letter for letter in self.take() if isinstance(letter, tuple)]
