"""Contents that are too large to be written at once, and what their channels send behind them.

content        until                        then
waiting        the gates are open for it    being written. If its publisher is cancelled or times
                                            out before, nothing has been sent
being written  its last piece is written    written, even if its publisher has been cancelled or has
                                            timed out, or its channel has been closed
               the connection fails         torn: the server drops what it has got

While a content is being written, its channel sends nothing else, but other channels do. Spec: 4.2.6
"""

import asyncio
from collections import deque
from collections.abc import Callable

from amqp_codec import ContentPieces

from .waiters import Waiters


class LargeContent:
    """A basic.publish with its content, which is encoded and written piece by piece.

    Args:
        channel: its number.
        size: bytes of the body.
        pieces: of it.

    Attributes:
        channel: its number.
        pieces: of it.
        count: of its pieces.
        next: number of the piece that is written next.
        is_written: whether all of it has been written.
        on_written: called then.
        on_torn: called with the error of the connection when that has failed before.
        error: why the connection has failed before all of it was written; None if it has not.
    """

    __slots__ = (
        "_size",
        "_waiter",
        "channel",
        "count",
        "error",
        "is_written",
        "next",
        "on_torn",
        "on_written",
        "pieces",
    )

    def __init__(self, channel: int, size: int, pieces: ContentPieces) -> None:
        self.channel: int = channel
        self.pieces: ContentPieces = pieces
        self.count: int = len(pieces)
        self.next: int = 0
        self.is_written: bool = False
        self.on_written: Callable[[], None] | None = None
        self.on_torn: Callable[[Exception], None] | None = None
        self._size = size
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def left(self) -> int:
        """Bytes of the body that are still to be written, about."""
        return self._size * (self.count - self.next) // self.count

    async def wait(self) -> None:
        """Wait until all of it has been written.

        Raises:
            Exception: the error of the connection that has failed before.
        """
        if self.error is not None:
            raise self.error
        if not self.is_written:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def finish(self) -> None:
        """Wake the publisher that waits: all of it has been written."""
        self.is_written = True
        if self.on_written is not None:
            self.on_written()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Raise an error in the publisher that waits: the connection has failed."""
        self.error = error
        if self.on_torn is not None:
            self.on_torn(error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class LargeContents:
    """Queues of the channels that are writing a large content; each channel has its turn.

    Attributes:
        queues: by channel number; the first item is a content of which some is to be written.
    """

    __slots__ = ("_until_empty", "queues")

    def __init__(self) -> None:
        self.queues: dict[int, deque[LargeContent | bytes]] = {}
        self._until_empty = Waiters()

    @property
    def count(self) -> int:
        """The number of contents that are not written yet."""
        return sum(
            isinstance(item, LargeContent) for queue in self.queues.values() for item in queue
        )

    @property
    def size(self) -> int:
        """Bytes that are still to be written of these contents, and of what is behind them."""
        return sum(
            item.left if isinstance(item, LargeContent) else len(item)
            for queue in self.queues.values()
            for item in queue
        )

    def add(self, content: LargeContent) -> None:
        """Queue a content."""
        self.queues.setdefault(content.channel, deque()).append(content)

    def add_behind(self, frames: bytes) -> bool:
        """Queue frames if their channel is writing a content; return whether it is."""
        queue = self.queues.get(frames[1] << 8 | frames[2])
        if queue is None:
            return False
        queue.append(frames)
        return True

    def take(self) -> bytes:
        """Return the next piece of the channel whose turn it is; with the last, what is behind."""
        channel, queue = next(iter(self.queues.items()))
        content = queue[0]
        assert isinstance(content, LargeContent)
        piece = content.pieces[content.next]
        content.next += 1
        if content.next < content.count:
            if len(self.queues) > 1:
                self.queues[channel] = self.queues.pop(channel)
            return piece
        parts = [piece]
        queue.popleft()
        while queue and isinstance(frames := queue[0], bytes):
            parts.append(frames)
            queue.popleft()
        del self.queues[channel]
        if queue:
            self.queues[channel] = queue
        content.finish()
        if not self.queues:
            self._until_empty.wake()
        return b"".join(parts)

    def fail(self, error: Exception) -> None:
        """Tear all contents: the connection has failed."""
        for queue in self.queues.values():
            for item in queue:
                if isinstance(item, LargeContent):
                    item.fail(error)
        self.clear()

    def clear(self) -> None:
        """Drop all contents."""
        self.queues.clear()
        self._until_empty.wake()

    async def wait_empty(self, timeout: float) -> bool:
        """Wait until all contents are written or torn; return False after so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.queues:
                    await self._until_empty.wait()
        except TimeoutError:
            return False
        return True
