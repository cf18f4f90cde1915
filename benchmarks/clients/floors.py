"""Floors: what reading and writing the same bytes costs without a library.

They know all frames beforehand, so nothing is encoded and next to nothing is parsed.
"""

import asyncio

from amqp_codec import Command, basic, encode_command
from benchmarks.broker import FRAME_MAX, BrokerConnection, delivery_frames, publish_frames

from .client import Client

FRAME_OVERHEAD = 8
STEP = FRAME_MAX - FRAME_OVERHEAD
"""Bytes of a body in one frame."""

READ_SIZE = 1 << 18
TAG = "floor"


class Floor(Client):
    """A connection without a library."""

    async def open(self, url: str) -> None:
        self.connection = BrokerConnection(url)

    async def open_channels(self, count: int) -> None:
        pass

    async def close(self) -> None:
        self.connection.socket.close()


class OneWrite(Floor):
    """Publishing: one ``sendall`` a message, which is encoded beforehand."""

    def prepare(self, queue: str, body: bytes) -> None:
        self._data = publish_frames(queue, len(body))

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        data, send = self._data, self.connection.socket.sendall
        for _ in range(count):
            send(data)

    async def flush(self) -> None:
        self.connection.request(basic.Qos(0, 0), basic.QosOk)


class FrameByFrame(Floor, asyncio.Protocol):
    """Publishing: one ``write`` a frame, then waiting until asyncio's transport takes the next."""

    def prepare(self, queue: str, body: bytes) -> None:
        frames = publish_frames(queue, len(body))
        self._begin = frames[: -len(body) - -(-len(body) // STEP) * FRAME_OVERHEAD]

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._received = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.connection.socket.setblocking(False)
        transport, _ = await loop.create_connection(lambda: self, sock=self.connection.socket)
        self._transport = transport
        begin, view = self._begin, memoryview(body)
        for _ in range(count):
            self._transport.write(begin)
            for offset in range(0, len(body), STEP):
                part = view[offset : offset + STEP]
                header = b"\x03\x00\x01" + len(part).to_bytes(4)
                self._transport.write(b"".join((header, part, b"\xce")))
                await self._may_write.wait()

    async def flush(self) -> None:
        self._transport.write(encode_command(Command(1, basic.Qos(0, 0)), FRAME_MAX))
        await self._received.wait()

    async def close(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._received.set()


class ReadingAlone(Floor):
    """Consuming: ``recv_into`` a buffer, and counting the bytes."""

    def prepare(self, queue: str, body: bytes) -> None:
        self.size, self.length = len(body), len(delivery_frames(queue, TAG, len(body)))

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        left = self.start(queue) + self.length * count
        buffer, receive = bytearray(READ_SIZE), self.connection.socket.recv_into
        while left > 0:
            left -= receive(buffer)

    def start(self, queue: str) -> int:
        """Start a consumer, and return the length of consume-ok, behind which deliveries come."""
        self.connection.send(basic.Consume(queue, TAG, no_ack=True))
        return len(encode_command(Command(1, basic.ConsumeOk(TAG)), FRAME_MAX))


class OneCopy(ReadingAlone):
    """Consuming: one copy of each body, from where it must be in the bytes that were received."""

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        skip = self.start(queue)
        if self.size <= STEP:
            self._slice(skip, count)
        else:
            self._copy(skip, count)

    def _slice(self, skip: int, count: int) -> None:
        """Slice bodies of one frame."""
        receive, tail = self.connection.socket.recv, b""
        size, length = self.size, self.length
        place = length - size - 1
        while count:
            data, position = tail + receive(READ_SIZE), skip
            end = len(data) - length
            while position <= end:
                data[position + place : position + place + size]
                position += length
                count -= 1
            skip, tail = (0, data[position:]) if position <= len(data) else (skip, data)

    def _copy(self, skip: int, count: int) -> None:
        """Copy the parts of bodies of several frames into their places."""
        size, length = self.size, self.length
        first = length - size - -(-size // STEP) * FRAME_OVERHEAD + FRAME_OVERHEAD - 1
        parts = [
            (first + place + place // STEP * FRAME_OVERHEAD, place, min(STEP, size - place))
            for place in range(0, size, STEP)
        ]
        receive, view = self.connection.socket.recv_into, memoryview(bytearray(READ_SIZE))
        position, index, body = -skip, 0, bytearray(size)  # in the delivery
        while count:
            received, taken = receive(view), 0
            while taken < received:
                start, place, part = parts[index]
                if position < start:
                    ahead = min(start - position, received - taken)
                    position, taken = position + ahead, taken + ahead
                    continue
                ahead = min(start + part - position, received - taken)
                offset = place + position - start
                body[offset : offset + ahead] = view[taken : taken + ahead]
                position, taken = position + ahead, taken + ahead
                if position == start + part:
                    index += 1
                    if index == len(parts):
                        position, index, body = position - length, 0, bytearray(size)
                        count -= 1
