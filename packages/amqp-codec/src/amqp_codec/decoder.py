"""Octets to commands, however the octets are sliced.

A decoder looks for whole frames in what it is fed, keeps what is left, and puts the frames of each
channel together. A channel is between commands, or it is in the middle of a content:

    state             frame           what happens                       next
    between commands  method          without content: a command         between commands
                                      with content                       header expected
    header expected   content header  size 0: a command                  between commands
                                      else                               body expected
    body expected     content body    some octets are still to come      body expected
                                      the last: a command                between commands

Any other frame in a state is an error, and so is an error in a frame: the decoder is dead from then
on. Heartbeats can come at any point, between the frames of a content too. Spec: 4.2.6, 4.2.7.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final

from .command import Command
from .errors import DecodeError
from .frames import OVERHEAD, PREFIX
from .method import HEARTBEAT, Method
from .protocol import METHODS
from .protocol.basic import Properties
from .protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)

# Type, channel and payload size of a frame; the same and the index that a method begins with; the
# same and what a content header begins with, which is class, weight and body size.
_PREFIX: Final[Callable[[bytes, int], tuple[int, int, int]]] = Struct(">BHI").unpack_from
_METHOD: Final[Callable[[bytes, int], tuple[int, int, int, int]]] = Struct(">BHII").unpack_from
_HEADER: Final[Callable[[bytes, int], tuple[int, int, int, int, int, int]]] = Struct(
    ">BHIHHQ"
).unpack_from
_METHOD_SIZE: Final = 4
_HEADER_SIZE: Final = 12
_DECODE: Final = {index: method.decode for index, method in METHODS.items()}
_NO_LIMIT: Final = 1 << 64
_MISFITS: Final = (ValueError, IndexError, StructError)


class _Content:
    """A content of which something is still to come."""

    __slots__ = ("method", "pieces", "properties", "remaining")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.properties: Properties | None = None
        self.remaining = 0
        self.pieces: list[bytes] = []


class Decoder:
    """Turns what a peer sends, without the protocol header, into commands.

    Args:
        frame_max: octets that a frame may have; 0 is no limit. The attribute of this name may be
            changed at any time, as it is when a connection has been tuned.
        max_body_size: octets that a body may have; None is no limit.

    Attributes:
        error: what is wrong with the input, as soon as the decoder has seen it, else None.
    """

    __slots__ = ("_contents", "_missing", "_pending", "error", "frame_max", "max_body_size")

    def __init__(self, frame_max: int = 0, max_body_size: int | None = None) -> None:
        self.frame_max: int = frame_max
        self.max_body_size: int | None = max_body_size
        self.error: DecodeError | None = None
        self._contents: dict[int, _Content] = {}
        self._pending = bytearray()
        self._missing = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Command]:
        """Take the next octets; return the commands that are whole now.

        Commands that came before an error are returned; the error itself is raised by the next
        call, or by this one when there are none. ``error`` shows it at once.

        Raises:
            DecodeError: the input is not AMQP, now or in an earlier call.
        """
        if self.error is not None:
            raise self.error
        octets: bytes
        if self._pending:
            self._pending += data
            if len(self._pending) < self._missing:
                return []
            octets = bytes(self._pending)
            self._pending.clear()
        else:
            octets = data if isinstance(data, bytes) else bytes(data)
        commands: list[Command] = []
        try:
            rest = self._decode(octets, commands)
        except DecodeError as error:
            self.error = error
            self._contents.clear()
            if not commands:
                raise
            return commands
        if rest < len(octets):
            self._pending += octets[rest:] if rest else octets
        return commands

    def _decode(self, data: bytes, commands: list[Command]) -> int:
        """Decode the whole frames in some octets; return where the first incomplete one begins."""
        contents = self._contents
        available = len(data)
        largest = self.frame_max or _NO_LIMIT
        offset = 0
        while available - offset >= PREFIX:
            index = -1
            if available - offset >= PREFIX + _METHOD_SIZE:
                frame_type, channel, size, index = _METHOD(data, offset)
            else:
                frame_type, channel, size = _PREFIX(data, offset)
            start = offset + PREFIX
            end = start + size
            if size + OVERHEAD > largest or not FRAME_METHOD <= frame_type <= FRAME_BODY:
                self._check_prefix(data, offset, frame_type, channel, size)
            if end >= available:
                self._missing = size + OVERHEAD
                return offset
            if data[end] != FRAME_END:
                raise _wrong_end(frame_type, channel, data[start:end], data[end])
            offset = end + 1
            if frame_type == FRAME_METHOD:
                method = _decode_method(data, start, end, channel, index)
                if channel in contents:
                    raise _out_of_turn(contents[channel], frame_type, channel, data[start:end])
                if not method.HAS_CONTENT:
                    commands.append(Command(channel, method))
                    continue
                behind = self._decode_content(data, offset, channel, method, commands)
                if behind:
                    offset = behind
                else:
                    contents[channel] = _Content(method)
            elif frame_type == FRAME_HEADER:
                content = contents.get(channel)
                if content is None or content.properties is not None:
                    raise _out_of_turn(content, frame_type, channel, data[start:end])
                properties = self._decode_header(content, data, start, end, channel)
                if content.remaining:
                    content.properties = properties
                else:
                    del contents[channel]
                    commands.append(Command(channel, content.method, properties))
            elif frame_type == FRAME_BODY:
                content = contents.get(channel)
                if content is None or content.properties is None:
                    raise _out_of_turn(content, frame_type, channel, data[start:end])
                if size > content.remaining:
                    raise _body_too_long(content, channel, size)
                content.remaining -= size
                content.pieces.append(data[start:end])
                if not content.remaining:
                    del contents[channel]
                    body = b"".join(content.pieces)
                    commands.append(Command(channel, content.method, content.properties, body))
            else:
                commands.append(Command(0, HEARTBEAT))
        self._missing = PREFIX
        return offset

    def _decode_content(
        self, data: bytes, offset: int, channel: int, method: Method, commands: list[Command]
    ) -> int:
        """Decode header and body at once where they follow their method, each in one whole frame.

        This is how nearly all contents come. It only looks ahead: whatever is out of the ordinary
        it leaves to the loop above.

        Returns:
            the offset behind the content, or 0 when nothing was done.
        """
        available = len(data)
        if available - offset < PREFIX + _HEADER_SIZE:
            return 0
        header, on, header_size, class_id, weight, size = _HEADER(data, offset)
        start = offset + PREFIX + _HEADER_SIZE
        end = offset + PREFIX + header_size
        body = end + 1 + PREFIX
        behind = body + size + 1
        limit = self.frame_max or _NO_LIMIT
        if (
            header != FRAME_HEADER
            or on != channel
            or class_id != method.INDEX >> 16
            or weight
            or not size
            or behind > available
            or size + OVERHEAD > limit
            or header_size + OVERHEAD > limit
            or (self.max_body_size is not None and size > self.max_body_size)
            or data[end] != FRAME_END
            or data[behind - 1] != FRAME_END
        ):
            return 0
        frame_type, on, body_size = _PREFIX(data, end + 1)
        if frame_type != FRAME_BODY or on != channel or body_size != size:
            return 0
        try:
            properties = Properties.decode(data, start, end)
        except _MISFITS:
            return 0
        commands.append(Command(channel, method, properties, data[body : behind - 1]))
        return behind

    def _check_prefix(
        self, data: bytes, offset: int, frame_type: int, channel: int, size: int
    ) -> None:
        """Refuse a frame by its first seven octets, or let it pass if it is a heartbeat."""
        payload = data[offset + PREFIX : offset + PREFIX + size]
        if frame_type not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT):
            reason, code, kind = f"{frame_type} is no type of frame", 501, "frame_type"
        elif frame_type == FRAME_HEARTBEAT and size:
            reason, code, kind = "a heartbeat has a payload", 501, "heartbeat"
        elif frame_type == FRAME_HEARTBEAT and channel:
            reason, code, kind = f"a heartbeat comes on channel {channel}", 505, "heartbeat"
        elif size + OVERHEAD > (self.frame_max or _NO_LIMIT):
            reason = (
                f"a frame has {size + OVERHEAD} octets, but at most {self.frame_max} were agreed on"
            )
            code, kind = 501, "frame_size"
        else:
            return
        raise DecodeError(
            reason,
            reply_code=ReplyCode(code),
            kind=kind,
            frame_type=frame_type,
            channel=channel,
            size=size,
            payload=payload,
        )

    def _decode_header(
        self, content: _Content, data: bytes, start: int, end: int, channel: int
    ) -> Properties:
        """Read a content header, and how much body is to come. Spec: 4.2.6.1."""
        index = content.method.INDEX
        if end - start < _HEADER_SIZE:
            raise _refused_properties(index, channel, data[start:end])
        try:
            _, _, _, class_id, weight, body_size = _HEADER(data, start - PREFIX)
            if class_id != index >> 16 or weight:
                raise _refused_header(class_id, index, channel, data[start:end])
            properties = Properties.decode(data, start + _HEADER_SIZE, end)
        except _MISFITS:
            raise _refused_properties(index, channel, data[start:end]) from None
        if self.max_body_size is not None and body_size > self.max_body_size:
            raise DecodeError(
                f"a body of {body_size} octets is announced, but {self.max_body_size} are allowed",
                reply_code=ReplyCode.FRAME_ERROR,
                kind="body_size",
                frame_type=FRAME_HEADER,
                channel=channel,
                size=end - start,
                index=index,
            )
        content.remaining = body_size
        return properties


def _decode_method(data: bytes, start: int, end: int, channel: int, index: int) -> Method:
    try:
        return _DECODE[index](data, start + _METHOD_SIZE, end)
    except KeyError:
        code, kind = ReplyCode.SYNTAX_ERROR, "method_unknown"
        if end - start < _METHOD_SIZE:
            index = 0
        reason = f"{index >> 16}.{index & 0xFFFF} is no method"
    except _MISFITS:
        code, kind = ReplyCode.FRAME_ERROR, "method_arguments"
        reason = f"the arguments of {METHODS[index].NAME} do not end where their frame does"
    except DecodeError as error:
        code, kind = ReplyCode.SYNTAX_ERROR, "field_value"
        reason = f"the arguments of {METHODS[index].NAME} cannot be decoded: {error}"
    raise DecodeError(
        reason,
        reply_code=code,
        kind=kind,
        frame_type=FRAME_METHOD,
        channel=channel,
        size=end - start,
        payload=data[start:end],
        index=index,
    )


def _wrong_end(frame_type: int, channel: int, payload: bytes, end: int) -> DecodeError:
    return DecodeError(
        f"a frame ends with {end:#04x} instead of {FRAME_END:#04x}",
        reply_code=ReplyCode.FRAME_ERROR,
        kind="frame_end",
        frame_type=frame_type,
        channel=channel,
        size=len(payload),
        payload=payload,
        end=end,
    )


def _body_too_long(content: _Content, channel: int, size: int) -> DecodeError:
    return DecodeError(
        f"a body is {size - content.remaining} octets longer than its header says",
        reply_code=ReplyCode.FRAME_ERROR,
        kind="body_size",
        frame_type=FRAME_BODY,
        channel=channel,
        size=size,
        index=content.method.INDEX,
    )


def _out_of_turn(
    content: _Content | None, frame_type: int, channel: int, payload: bytes
) -> DecodeError:
    """Say which frame was expected on a channel instead of this one."""
    if content is None:
        expected, kind = "a method", "method_expected"
    elif content.properties is None:
        expected, kind = f"the content header of {content.method.NAME}", "header_expected"
    else:
        expected, kind = f"the content body of {content.method.NAME}", "body_expected"
    return DecodeError(
        f"a frame of type {frame_type} comes on channel {channel} where {expected} is expected",
        reply_code=ReplyCode.UNEXPECTED_FRAME,
        kind=kind,
        frame_type=frame_type,
        channel=channel,
        size=len(payload),
        payload=payload,
        index=None if content is None else content.method.INDEX,
    )


def _refused_header(class_id: int, index: int, channel: int, payload: bytes) -> DecodeError:
    """Say what is wrong with the class or the weight of a content header."""
    if class_id == index >> 16:
        reason, kind = "a content header has a weight other than 0", "header_expected"
    else:
        reason = f"a content header is for class {class_id} instead of {index >> 16}"
        kind = "header_class"
    return DecodeError(
        reason,
        reply_code=ReplyCode.UNEXPECTED_FRAME,
        kind=kind,
        frame_type=FRAME_HEADER,
        channel=channel,
        size=len(payload),
        payload=payload,
        index=index,
    )


def _refused_properties(index: int, channel: int, payload: bytes) -> DecodeError:
    return DecodeError(
        "the properties of a content do not end where their frame does",
        reply_code=ReplyCode.SYNTAX_ERROR,
        kind="field_value",
        frame_type=FRAME_HEADER,
        channel=channel,
        size=len(payload),
        payload=payload,
        index=index,
    )
