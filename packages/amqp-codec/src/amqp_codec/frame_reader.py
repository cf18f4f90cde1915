"""The frame reader: received bytes to frames, however the bytes are sliced. Spec: 4.2.3.

It knows where a frame begins and ends, and neither which peer it reads from nor what a frame means.
``Decoder`` turns its frames into commands; a broker whose replies quote the frame at fault reads
frames itself.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from .errors import DecodeError
from .frames import OVERHEAD, PREFIX, PROTOCOL_HEADER
from .protocol import METHODS
from .protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)

HEADER_SIZE: Final = 12
"""Bytes of a content header before its properties: class, weight and body size. Spec: 4.2.6.1."""

# type, channel and payload size of a frame
_PREFIX: Final[Callable[[bytes, int], tuple[int, int, int]]] = Struct(">BHI").unpack_from
# a prefix and the first four bytes of the payload, which are the index of a method
_METHOD: Final[Callable[[bytes, int], tuple[int, int, int, int]]] = Struct(">BHII").unpack_from
# a prefix, class id and weight of a content header as one number, and the size of its body
_HEADER: Final[Callable[[bytes, int], tuple[int, int, int, int, int]]] = Struct(
    ">BHIIQ"
).unpack_from
# the end of a frame and the prefix of the next one
_NEXT: Final[Callable[[bytes, int], tuple[int, int, int, int]]] = Struct(">BBHI").unpack_from

_METHOD_SIZE: Final = PREFIX + 4
_CLASS: Final = 0xFFFF0000  # the bits of an index that are the class id
_NO_LIMIT: Final = 1 << 64

_HEADER_SIZE: Final = len(PROTOCOL_HEADER)
_AMQP: Final = PROTOCOL_HEADER[:4]
_VERSIONS: Final = frozenset(range(10))  # the bytes behind AMQP; text has others
_FIRST_BYTES: Final = (FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT, PROTOCOL_HEADER[0])
_SHORTEST: Final = {FRAME_METHOD: 4, FRAME_HEADER: HEADER_SIZE, FRAME_BODY: 0, FRAME_HEARTBEAT: 0}
_CONTENT_CLASSES: Final = {index & _CLASS for index, each in METHODS.items() if each.HAS_CONTENT}
_USUAL_LARGEST: Final = 131072 - OVERHEAD
"""The largest payload that is plausible without a ``frame_max``: RabbitMQ's default."""


class FrameReader:
    """Reader of the frames that a peer sends.

    ``next`` moves to the next frame, and the attributes describe that one until the next call:

        reader.feed(data)
        while reader.next():
            print(reader.frame_type, reader.channel, reader.payload)

    No bytes are copied unless ``payload`` is asked for: the payload is ``data[start:end]``. Neither
    the type of a frame is checked nor whether the frame is expected.

    What was recorded may begin in the middle, contain a protocol header, or be damaged:

        while (skipped := reader.resynchronize()) or reader.next_header() or reader.next():
            print(len(skipped) or reader.payload)

    Args:
        frame_max: the largest frame in bytes; 0 is no limit.

    Attributes:
        frame_type: the type of the current frame.
        channel: its channel number.
        index: the first four bytes of its payload as a number: of a method frame, ``Method.INDEX``.
            Meaningless if the payload is shorter.
        data: the bytes that the payload is a part of.
        start: where the payload begins in ``data``.
        end: where the payload ends in ``data``.
    """

    __slots__ = (
        "_frame_max",
        "_largest",
        "_missing",
        "_offset",
        "_tail",
        "channel",
        "data",
        "end",
        "frame_type",
        "index",
        "start",
    )

    def __init__(self, frame_max: int = 0) -> None:
        self.frame_type: int = -1
        self.channel: int = 0
        self.index: int = 0
        self.data: bytes = b""
        self.start: int = 0
        self.end: int = 0
        self._offset = 0  # where the next frame begins in the data
        self._tail = bytearray()  # the beginning of a frame, when nothing else is left to read
        self._missing = 0  # bytes that the tail has to grow to before it is looked at
        self._frame_max = frame_max
        self._largest = _largest_payload(frame_max)

    @property
    def frame_max(self) -> int:
        """The largest frame in bytes; 0 is no limit. It may be changed between two frames."""
        return self._frame_max

    @frame_max.setter
    def frame_max(self, frame_max: int) -> None:
        self._frame_max = frame_max
        self._largest = _largest_payload(frame_max)

    @property
    def size(self) -> int:
        """The payload size that the current frame announces."""
        return self.end - self.start

    @property
    def payload(self) -> bytes:
        """The payload of the current frame."""
        return self.data[self.start : self.end]

    @property
    def pending(self) -> int:
        """How many bytes are kept that were not read as a frame yet."""
        return len(self.data) - self._offset + len(self._tail)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add received bytes, in slices of any size."""
        if not self._tail:
            if self._offset == len(self.data):
                self.data = data if isinstance(data, bytes) else bytes(data)
                self._offset = 0
                return
            self._tail += self.data[self._offset :]
            self.data, self._offset = b"", 0
        self._tail += data
        if len(self._tail) >= self._missing:
            self._use_tail()

    def take(self, size: int) -> bytes | None:
        """Return the next ``size`` bytes, which are no frame, or None until there are so many.

        A server reads the protocol header with it.
        """
        if self._tail:
            self._use_tail()
        behind = self._offset + size
        if behind > len(self.data):
            self._missing = size
            return None
        taken = self.data[self._offset : behind]
        self._offset = behind
        return taken

    def enter(self) -> bool:
        """Move into the frame that has begun, if some of its payload is here; return whether it is.

        The rest of it, with the frame-end, is read by ``take_part``.
        """
        if self.start >= len(self.data):
            return False
        self._offset = self.start
        return True

    def take_part(self, size: int) -> memoryview:
        """Return as many of the next ``size`` bytes as are here; they are not read as a frame."""
        start = self._offset
        part = memoryview(self.data)[start : start + size]
        self._offset = start + len(part)
        return part

    def check_end(self, end: int, payload: bytes = b"") -> None:
        """Check the last byte of the frame.

        Raises:
            DecodeError: ``frame_end``, it is another.
        """
        if end != FRAME_END:
            reason = f"a frame ends with {end:#04x} instead of {FRAME_END:#04x}"
            raise self._error("frame_end", reason, payload, end)

    def next(self) -> bool:
        """Move to the next frame; return whether there is a whole one.

        If there is not, ``frame_type``, ``channel`` and ``size`` are those of the frame that has
        begun. The type is -1 if its prefix has not been received either.

        Raises:
            DecodeError: ``frame_size``, the prefix announces a frame above ``frame_max``;
                ``frame_end``, the last byte of the frame is not the frame-end. Only
                ``resynchronize`` finds the next frame behind such a one.
        """
        data, offset = self.data, self._offset
        available = len(data)
        if available - offset >= _METHOD_SIZE:
            self.frame_type, self.channel, size, self.index = _METHOD(data, offset)
        elif available - offset >= PREFIX:
            self.frame_type, self.channel, size = _PREFIX(data, offset)
            self.index = -1
        else:
            if not self._tail:
                self.frame_type, self._missing = -1, PREFIX
            return False
        self.start = start = offset + PREFIX
        self.end = end = start + size
        if size > self._largest:
            if available - offset < _HEADER_SIZE and self._may_be_header(offset):
                return False  # only the last byte is missing
            reason = (
                f"a frame of {size + OVERHEAD} bytes is larger than frame_max, {self.frame_max}"
            )
            raise self._error("frame_size", reason, self.payload)
        if end >= available:
            self._missing = size + OVERHEAD
            return False
        if data[end] != FRAME_END:
            self.check_end(data[end], self.payload)
        self._offset = end + 1
        return True

    def next_header(self) -> bool:
        """Move over a protocol header of any version; return whether there is a whole one.

        It is not a frame, but its eight bytes are the ``payload`` then, and its first byte is the
        ``frame_type``.
        """
        if self._tail:
            self._use_tail()
        data, offset = self.data, self._offset
        if len(data) - offset < _HEADER_SIZE or not self._may_be_header(offset):
            return False
        self.frame_type, self.channel, self.index = data[offset], 0, -1
        self.start, self.end = offset, offset + _HEADER_SIZE
        self._offset = self.end
        return True

    def resynchronize(self) -> bytes:
        """Skip the bytes before the next plausible frame or protocol header; return these bytes.

        Nothing marks the beginning of a frame, so a frame is recognized by a type that exists, a
        size up to ``frame_max`` and a frame-end at its end; behind skipped bytes also by what it
        holds. If the end of a frame has not been received yet, its first bytes are kept. After this
        call, ``next_header`` or ``next`` reads what follows, and neither raises.

        Returns:
            the skipped bytes; empty if a frame or protocol header comes next, or may come.
        """
        if self._tail:
            self._use_tail()
        data, start = self.data, self._offset
        offset, available = start, len(data)
        if self._end_of(offset) is None:
            offset += 1
            while offset < available and not self._begins_at(offset):
                offset += 1
        self._offset = offset
        return data[start:offset]

    def next_content(self) -> bytes | None:
        """Move over the content of the current method frame at once; return the body.

        That is possible when the header and the whole body follow in one frame each, as in nearly
        all contents. The current frame is the content header then, and its properties begin
        ``HEADER_SIZE`` bytes behind ``start``.

        Returns:
            the body, or None when the content is to be read frame by frame: some of it has not been
            received, it has no body or several body frames, or it is damaged.
        """
        data, offset = self.data, self._offset
        available = len(data)
        if available - offset < PREFIX + HEADER_SIZE:
            return None
        frame_type, channel, header_size, class_and_weight, size = _HEADER(data, offset)
        start = offset + PREFIX
        end = start + header_size
        body = end + 1 + PREFIX
        body_end = body + size
        if (
            frame_type != FRAME_HEADER
            or channel != self.channel
            or class_and_weight != self.index & _CLASS
            or not HEADER_SIZE <= header_size <= self._largest
            or not 0 < size <= self._largest
            or body_end >= available
            or data[body_end] != FRAME_END
            or _NEXT(data, end) != (FRAME_END, FRAME_BODY, channel, size)
        ):
            return None
        self.frame_type, self.start, self.end = frame_type, start, end
        self._offset = body_end + 1
        return data[body:body_end]

    def _may_be_header(self, offset: int) -> bool:
        """Return whether a protocol header, or as much of one as was received, is at an offset."""
        first = self.data[offset : offset + _HEADER_SIZE]
        return _AMQP.startswith(first[:4]) and _VERSIONS.issuperset(first[4:])

    def _end_of(self, offset: int) -> int | None:
        """Return where a frame or protocol header at an offset ends; None if none may be there."""
        data = self.data
        available = len(data) - offset
        if self._may_be_header(offset):
            return offset + _HEADER_SIZE
        if available < PREFIX:
            return offset + PREFIX if data[offset] in _FIRST_BYTES else None
        frame_type, channel, size = _PREFIX(data, offset)
        end = offset + PREFIX + size
        if size > self._largest or frame_type not in _SHORTEST or size < _SHORTEST[frame_type]:
            return None
        if frame_type == FRAME_HEARTBEAT and (channel or size):
            return None
        if end < len(data):
            return end + 1 if data[end] == FRAME_END else None
        if (size > _USUAL_LARGEST and not self._frame_max) or not self._is_known(offset):
            return None
        return end + 1

    def _begins_at(self, offset: int) -> bool:
        """Return whether a frame or protocol header begins at an offset behind skipped bytes."""
        if self.data[offset] not in _FIRST_BYTES:
            return False
        end = self._end_of(offset)
        if end is None or not self._is_known(offset):
            return False
        return end >= len(self.data) or self.data[end] in _FIRST_BYTES

    def _is_known(self, offset: int) -> bool:
        """Return whether the method, or the class of the content header, at an offset exists."""
        data = self.data
        if len(data) - offset < _METHOD_SIZE:
            return True
        frame_type, _, _, index = _METHOD(data, offset)
        if frame_type == FRAME_METHOD:
            return index in METHODS
        return frame_type != FRAME_HEADER or index in _CONTENT_CLASSES

    def _use_tail(self) -> None:
        self.data, self._offset, self._missing = bytes(self._tail), 0, 0
        self._tail.clear()

    def _error(self, kind: str, reason: str, payload: bytes, end: int | None = None) -> DecodeError:
        return DecodeError(
            reason,
            reply_code=ReplyCode.FRAME_ERROR,
            kind=kind,
            frame_type=self.frame_type,
            channel=self.channel,
            size=self.size,
            payload=payload,
            end=end,
        )


def _largest_payload(frame_max: int) -> int:
    return (frame_max or _NO_LIMIT) - OVERHEAD
