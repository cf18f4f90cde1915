"""The frame reader: received bytes to frames, however the bytes are sliced. Spec: 4.2.3.

It knows where a frame begins and ends, and neither which peer it reads from nor what a frame means.
``Decoder`` turns its frames into commands; a broker whose replies quote the frame at fault reads
frames itself.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from .errors import DecodeError
from .frames import OVERHEAD, PREFIX
from .protocol.constants import FRAME_BODY, FRAME_END, FRAME_HEADER, ReplyCode

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


class FrameReader:
    """Reader of the frames that a peer sends.

    ``next`` moves to the next frame, and the attributes describe that one until the next call:

        reader.feed(data)
        while reader.next():
            print(reader.frame_type, reader.channel, reader.payload)

    No bytes are copied unless ``payload`` is asked for: the payload is ``data[start:end]``. Neither
    the type of a frame is checked nor whether the frame is expected.

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

    def next(self) -> bool:
        """Move to the next frame; return whether there is a whole one.

        If there is not, ``frame_type``, ``channel`` and ``size`` are those of the frame that has
        begun. The type is -1 if its prefix has not been received either.

        Raises:
            DecodeError: ``frame_size``, the prefix announces a frame above ``frame_max``;
                ``frame_end``, the last byte of the frame is not the frame-end. Nothing behind such
                a frame can be read.
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
            reason = (
                f"a frame of {size + OVERHEAD} bytes is larger than frame_max, {self.frame_max}"
            )
            raise self._error("frame_size", reason)
        if end >= available:
            self._missing = size + OVERHEAD
            return False
        if data[end] != FRAME_END:
            reason = f"a frame ends with {data[end]:#04x} instead of {FRAME_END:#04x}"
            raise self._error("frame_end", reason, data[end])
        self._offset = end + 1
        return True

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

    def _use_tail(self) -> None:
        self.data, self._offset, self._missing = bytes(self._tail), 0, 0
        self._tail.clear()

    def _error(self, kind: str, reason: str, end: int | None = None) -> DecodeError:
        return DecodeError(
            reason,
            reply_code=ReplyCode.FRAME_ERROR,
            kind=kind,
            frame_type=self.frame_type,
            channel=self.channel,
            size=self.size,
            payload=self.payload,
            end=end,
        )


def _largest_payload(frame_max: int) -> int:
    return (frame_max or _NO_LIMIT) - OVERHEAD
