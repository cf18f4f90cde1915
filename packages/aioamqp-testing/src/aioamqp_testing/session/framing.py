"""Octets to frames, one at a time, whatever is in them: a broker's answer quotes what it got."""

from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

from amqp_codec import ReplyCode
from amqp_codec.protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)

from ..model import BrokerError, erlang

_PREFIX: Final = Struct(">BHI")
_PREFIX_SIZE: Final = 7
_END: Final = bytes((FRAME_END,))
_OVERHEAD: Final = 8
_QUOTED: Final = 16  # octets of a payload that a reply text shows
_SHORTEST: Final = {FRAME_METHOD: 4, FRAME_HEADER: 12, FRAME_BODY: 0}


@dataclass(slots=True)
class Frame:
    """One frame. Spec: 4.2.3.

    Attributes:
        type: its type octet.
        channel: its channel number.
        size: octets of payload that it announces.
        octets: all of it; only as far as the size when that is too large.
    """

    type: int
    channel: int
    size: int
    octets: bytes

    @classmethod
    def of(cls, frame_type: int, channel: int, payload: bytes) -> Self:
        """Make a frame of what belongs into it."""
        prefix = _PREFIX.pack(frame_type, channel, len(payload))
        return cls(frame_type, channel, len(payload), prefix + payload + _END)

    @property
    def payload(self) -> bytes:
        """What is between prefix and frame-end."""
        return self.octets[_PREFIX_SIZE:-1]

    @property
    def is_known(self) -> bool:
        """Whether its type and size let it be a frame of AMQP."""
        if self.type == FRAME_HEARTBEAT:
            return not self.size
        return self.size >= _SHORTEST.get(self.type, self.size + 1)

    @property
    def has_end(self) -> bool:
        """Whether it ends with the frame-end octet."""
        return self.octets[-1] == FRAME_END

    def unknown(self) -> BrokerError:
        """Return what RabbitMQ says about a frame that is none of AMQP."""
        return BrokerError(ReplyCode.FRAME_ERROR, f"{self._quoted()}: unknown_frame")

    def unexpected(self) -> BrokerError:
        """Return what RabbitMQ says about a frame at the wrong time."""
        return BrokerError(ReplyCode.UNEXPECTED_FRAME, self._quoted())

    def wrong_end(self) -> BrokerError:
        """Return what RabbitMQ says about the octet where the frame-end belongs."""
        text = f"{self._quoted()}: "
        column = len(text) - 1 - text.rfind("\n")
        text += erlang.pair("invalid_frame_end_marker", str(self.octets[-1]), column)
        return BrokerError(ReplyCode.FRAME_ERROR, text)

    def _quoted(self) -> str:
        payload = self.payload
        which = "all" if len(payload) <= _QUOTED else f"first {_QUOTED}"
        text = f"type {self.type}, {which} octets = "
        return text + erlang.binary(payload[:_QUOTED], len(text))


class FrameTooLarge(BrokerError):
    """A frame above what was agreed on, refused by its first seven octets."""

    def __init__(self, frame_type: int, size: int, frame_max: int) -> None:
        super().__init__(
            ReplyCode.FRAME_ERROR,
            f"type {frame_type}, all octets = <<>>:"
            f" {{frame_too_large,{size},{frame_max - _OVERHEAD}}}",
        )


class FrameReader:
    """Cuts what a client sends into frames.

    Attributes:
        frame_max: octets that were agreed on. RabbitMQ: it lets a payload have that many, eight
            more than a frame has room for.
    """

    def __init__(self, frame_max: int) -> None:
        self.frame_max = frame_max
        self._octets = b""
        self._offset = 0

    def feed(self, octets: bytes) -> None:
        """Take the next octets, in any slices."""
        rest = self._octets[self._offset :]
        self._octets = rest + octets if rest else octets
        self._offset = 0

    def take(self, count: int) -> bytes | None:
        """Return the next octets as they are, or None while there are fewer."""
        if len(self._octets) - self._offset < count:
            return None
        self._offset += count
        return self._octets[self._offset - count : self._offset]

    def next(self) -> Frame | None:
        """Return the next frame, or None while it is not complete.

        Raises:
            FrameTooLarge: nothing behind it can be read any more.
        """
        octets, start = self._octets, self._offset
        if len(octets) - start < _PREFIX_SIZE:
            return None
        frame_type, channel, size = _PREFIX.unpack_from(octets, start)
        if size > self.frame_max:
            raise FrameTooLarge(frame_type, size, self.frame_max)
        end = start + size + _OVERHEAD
        if end > len(octets):
            return None
        self._offset = end
        return Frame(frame_type, channel, size, octets[start:end])
