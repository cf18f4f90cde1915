"""Frames of one channel to commands, and RabbitMQ's reply texts for frames that do not fit.

The states of a channel are those of ``amqp_codec.Decoder``, but for a body that is longer than its
header says: RabbitMQ before 4.3 does not refuse it, and waits for more of it.
"""

from struct import Struct
from struct import error as StructError
from typing import Final

from amqp_codec import METHODS, Command, DecodeError, FrameReader, Method, ReplyCode, basic
from amqp_codec.frame_reader import HEADER_SIZE
from amqp_codec.protocol.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD

from ...model import BrokerError
from ...model.erlang import printing as erlang
from ...model.erlang import terms as values
from .undocumented import UNDOCUMENTED

_HEADER: Final = Struct(">HHQ").unpack_from  # class, weight, size of the body
_MISFITS: Final = (ValueError, IndexError, StructError)
_UNCHECKED: Final = (basic.Publish, basic.Ack)
_IDS: Final = 4  # bytes of class id and method id
_UNKNOWN_FLAGS: Final = 3  # in the second byte; Spec: 4.2.6.1
_UNREADABLE: Final = b"\x20\0" + b"\0\0\0\3" + b"\1?\0"  # headers with a value of an unknown type


class ReaderCrash(Exception):
    """Input that crashes RabbitMQ's reader process: the connection is reset at once."""


class FrameRefused(BrokerError):
    """A frame that does not fit, together with the method that the close method names.

    Attributes:
        index: class id << 16 | method id, 0 for none.
    """

    def __init__(self, reply_code: ReplyCode, text: str = "", index: int = 0) -> None:
        super().__init__(reply_code, text)
        self.index = index


def decode_method(frame: FrameReader) -> Method:
    """Decode the method of a method frame.

    Raises:
        FrameRefused: 501, its arguments do not end where the frame does, or are not UTF-8; 541,
            they cannot be read on channel 0.
        ReaderCrash: there is no such method, or a table in it cannot be read.
    """
    method = METHODS.get(frame.index) or UNDOCUMENTED.get(frame.index)
    if method is None:
        raise _unknown(frame.index)
    try:
        decoded = method.decode(frame.data, frame.start + _IDS, frame.end)
    except (DecodeError, *_MISFITS) as error:
        if not frame.channel:
            # RabbitMQ: its reader catches the errors of methods that are for the reader itself
            raise FrameRefused(ReplyCode.INTERNAL_ERROR) from None
        if isinstance(error, DecodeError):
            raise ReaderCrash(f"{method.NAME}: {error}") from None
        text = f"cannot decode {erlang.raw_binary(frame.payload[_IDS:])}"
        raise FrameRefused(ReplyCode.FRAME_ERROR, text, frame.index) from None
    # RabbitMQ: it checks every short string but those of basic.publish
    if method not in _UNCHECKED and not (frame.channel and method.HAS_CONTENT):
        _check_arguments(decoded, frame)
    return decoded


def _check_arguments(method: Method, frame: FrameReader) -> None:
    """Refuse values that AMQP allows and RabbitMQ does not."""
    # RabbitMQ: it names the method on channel 0 only; and Erlang has no infinite number and no NaN
    is_ascii = frame.payload.isascii()
    for name, wire_type in method.FIELDS:
        if wire_type == "shortstr" and not is_ascii:
            try:
                getattr(method, name).encode()
            except UnicodeEncodeError:
                text = "Malformed UTF-8 in shortstr"
                index = 0 if frame.channel else method.INDEX
                raise FrameRefused(ReplyCode.FRAME_ERROR, text, index) from None
        elif wire_type == "table" and not values.is_representable(getattr(method, name)):
            if not frame.channel:
                raise FrameRefused(ReplyCode.INTERNAL_ERROR)
            raise ReaderCrash(f"{method.NAME}: {name} has a number that Erlang cannot read")


class Assembler:
    """Assembler of the commands of one channel.

    Args:
        refuses_long_bodies: whether a body that is longer than its header says is refused.
        keeps_unknown_flags: whether properties keep flags that do not exist.
    """

    __slots__ = (
        "_keeps_unknown_flags",
        "_method",
        "_pieces",
        "_properties",
        "_refuses_long_bodies",
        "_remaining",
    )

    def __init__(
        self, *, refuses_long_bodies: bool = False, keeps_unknown_flags: bool = True
    ) -> None:
        self._refuses_long_bodies = refuses_long_bodies
        self._keeps_unknown_flags = keeps_unknown_flags
        self._method: Method | None = None  # with a content that is not complete
        self._properties: basic.Properties | None = None  # of that content, if its header is here
        self._remaining = 0  # bytes of its body; below 0 when there were more than announced
        self._pieces: list[bytes] = []

    def add_frame(self, frame: FrameReader, *, at_once: bool = True) -> Command | None:
        """Process the current frame; return a command if it is complete now.

        Args:
            frame: a frame that ``is_known``. Of a content that is here in full, the reader is moved
                to the end.
            at_once: whether that is allowed; else each frame is a call.

        Raises:
            FrameRefused: 501 or 505.
            ReaderCrash: the connection cannot go on.
        """
        method = self._method
        if method is None:
            if frame.frame_type != FRAME_METHOD:
                text = "expected method frame, got non method frame instead"
                raise FrameRefused(ReplyCode.UNEXPECTED_FRAME, text)
            method = decode_method(frame)
            if not method.HAS_CONTENT:
                return Command(frame.channel, method)
            body = frame.next_content() if at_once else None
            if body is None:
                self._method = method
                return None
            return Command(frame.channel, method, self._decode_properties(frame), body)
        if self._properties is None:
            if frame.frame_type != FRAME_HEADER:
                raise self._unexpected(frame, _header_expected(method, "non content header frame"))
            self._properties = self._read_header(method, frame)
        elif frame.frame_type != FRAME_BODY:
            raise self._unexpected(frame, _body_expected(method))
        else:
            self._remaining -= frame.size
            if self._remaining < 0 and self._refuses_long_bodies:
                text = "content body frame exceeds remaining content size"
                raise FrameRefused(ReplyCode.FRAME_ERROR, text, method.INDEX)
            if self._remaining >= 0:
                self._pieces.append(frame.payload)
        if self._remaining:  # RabbitMQ: it waits even if the body is too long, for a negative size
            return None
        command = Command(frame.channel, method, self._properties, b"".join(self._pieces))
        self._method = self._properties = None
        self._pieces.clear()
        return command

    def _read_header(self, method: Method, frame: FrameReader) -> basic.Properties:
        class_id, weight, self._remaining = _HEADER(frame.data, frame.start)
        if weight:
            raise _header_expected(method, "non content header frame")
        if class_id != method.INDEX >> 16:
            raise _header_expected(method, f"one for class {class_id}")
        return self._decode_properties(frame)

    def _decode_properties(self, header: FrameReader) -> basic.Properties:
        data, start, end = header.data, header.start + HEADER_SIZE, header.end
        if not self._keeps_unknown_flags and start + 1 < end and data[start + 1] & _UNKNOWN_FLAGS:
            known = bytes((data[start], data[start + 1] & ~_UNKNOWN_FLAGS))
            data = known + data[start + 2 : end]
            start, end = 0, len(data)
        return _decode_properties(data, start, end)

    @staticmethod
    def _unexpected(frame: FrameReader, error: FrameRefused) -> Exception:
        """Return the error for a frame that is not the next one of a content."""
        # RabbitMQ: a method is looked up before it is refused, though it is not decoded
        if frame.frame_type == FRAME_METHOD and frame.index not in METHODS | UNDOCUMENTED:
            return _unknown(frame.index)
        return error


def _decode_properties(data: bytes, start: int, end: int) -> basic.Properties:
    """Decode the properties of a content header.

    RabbitMQ: its reader does not look at them, and the channel fails when it does, if nothing else
    is wrong with the message before that. So properties that cannot be decoded become headers that
    cannot be decoded either, because headers are only decoded when they are needed.
    """
    try:
        return basic.Properties.decode(data, start, end)
    except _MISFITS:
        return basic.Properties.decode(_UNREADABLE, 0, len(_UNREADABLE))


def _unknown(index: int) -> ReaderCrash:
    return ReaderCrash(f"there is no method {index >> 16}.{index & 0xFFFF}")


def _header_expected(method: Method, got: str) -> FrameRefused:
    text = f"expected content header for class {method.INDEX >> 16}, got {got} instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, method.INDEX)


def _body_expected(method: Method) -> FrameRefused:
    text = "expected content body, got non content body frame instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, method.INDEX)
