"""The mailbox of a channel: deliveries and notices from queues.

RabbitMQ: queues and channels are processes that send each other messages. What a queue sends for a
command (consume-ok, cancel-ok, deliveries, notices) arrives behind all that the client has sent in
the same read, so the replies to that come first.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from ...model import Consumer, QueuedMessage
from ..deferred import Deferred

_MOST_BYTES: Final = 0x40000  # of deliveries; then they are processed before the end of the read
_OVERHEAD: Final = 100  # bytes of a delivery besides the body


class Mailbox:
    """Deliveries and notices of one channel, the oldest first, while the client's input is read.

    At any other time they are processed at once.

    Args:
        number: the number of the channel.
        deferred: of the connection.
        deliver: processes a delivery.
    """

    __slots__ = ("_contents", "_deferred", "_deliver", "_number", "_size")

    def __init__(
        self,
        number: int,
        deferred: Deferred,
        deliver: Callable[[Consumer, QueuedMessage], None],
    ) -> None:
        self._number = number
        self._deferred = deferred
        self._deliver = deliver
        self._contents: deque[tuple[Consumer, QueuedMessage] | Callable[[], None]] = deque()
        self._size = 0

    def put_notice(self, notice: Callable[[], None]) -> None:
        """Call something when it is its turn, such as what sends a reply."""
        if not self._deferred.is_reading:
            notice()
            return
        self._deferred.notices[self._number] = None
        self._contents.append(notice)

    def put_delivery(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Deliver a message to a consumer when it is its turn."""
        if not self._deferred.is_reading:
            self._deliver(consumer, queued)
            return
        self._deferred.notices[self._number] = None
        self._contents.append((consumer, queued))
        self._size += len(queued.message.body) + _OVERHEAD
        if self._size > _MOST_BYTES:
            self.process()

    def process(self) -> None:
        """Process all that is in it.

        Raises:
            BrokerError: 541, from a notice.
        """
        self._size = 0
        while self._contents:
            entry = self._contents.popleft()
            if isinstance(entry, tuple):
                self._deliver(*entry)
            else:
                entry()

    def take_deliveries(self) -> list[tuple[Consumer, QueuedMessage]]:
        """Empty it and return the deliveries; the notices are dropped."""
        contents, self._size = list(self._contents), 0
        self._contents.clear()
        return [entry for entry in contents if isinstance(entry, tuple)]
