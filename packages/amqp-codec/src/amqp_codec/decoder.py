"""The decoder: received bytes to commands.

``FrameReader`` cuts the bytes into frames; the decoder puts the frames of each channel together. A
channel is between commands, or it is in the middle of a content:

    state             frame           result                             next state
    between commands  method          without content: a command         between commands
                                      with content                       header expected
    header expected   content header  size 0: a command                  between commands
                                      else                               body expected
    body expected     content body    a part of the body                 body expected
                                      the last part: a command           between commands

Any other frame in a state is an error, and so is an error in a frame: the decoder is dead from then
on. Heartbeats can come at any point, between the frames of a content too. Spec: 4.2.6, 4.2.7.
"""

from collections.abc import Callable, Container
from io import BytesIO
from struct import Struct
from struct import error as StructError
from typing import Final

from .command import Command
from .errors import DecodeError
from .frame_reader import HEADER_SIZE, FrameReader
from .frames import PREFIX, PROTOCOL_HEADER
from .method import HEARTBEAT, Method
from .protocol import METHODS
from .protocol.basic import Properties
from .protocol.constants import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)

# class, weight and body size of a content header
_HEADER: Final[Callable[[bytes, int], tuple[int, int, int]]] = Struct(">HHQ").unpack_from
_INDEX_SIZE: Final = 4
_AMQP: Final = PROTOCOL_HEADER[:4]

LEAST_UNFINISHED: Final = 16 * 1024 * 1024
"""Bytes that the unfinished bodies of all channels may have, however small a body must be.

For so many, memory is reserved when their headers announce them.
"""

_DECODE: Final = {index: method.decode for index, method in METHODS.items()}
_MISFITS: Final = (ValueError, IndexError, StructError)
_METHOD_ERRORS: Final = (KeyError, DecodeError, *_MISFITS)


class _Content:
    """A content of which some frames are still to come."""

    __slots__ = ("body", "is_dropped", "method", "properties", "remaining", "reserved")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.properties: Properties | None = None
        self.remaining = 0
        # Not a list, since a peer may send frames of one byte; and it hands out bytes uncopied.
        self.body: BytesIO | None = None
        self.reserved = 0  # bytes of the body's memory
        self.is_dropped = False


class Decoder:
    """Decoder of what a peer sends behind the protocol header.

    Args:
        frame_max: the largest frame in bytes; 0 is no limit.
        max_body_size: the largest body in bytes; None is no limit. All unfinished bodies together
            may have twice as many, and at least LEAST_UNFINISHED.

    Attributes:
        channels: numbers of the channels that are open, if the program knows them, else None. Of a
            content on another channel nothing is kept when it comes in several pieces: its command
            has default arguments and properties, and an empty body.
        error: what is wrong with the input, as soon as the decoder has found it, else None.
    """

    __slots__ = (
        "_contents",
        "_frames",
        "_left",
        "_part",
        "_reserved",
        "_unfinished",
        "channels",
        "error",
        "max_body_size",
    )

    def __init__(self, frame_max: int = 0, max_body_size: int | None = None) -> None:
        self.max_body_size: int | None = max_body_size
        self.channels: Container[int] | None = None
        self.error: DecodeError | None = None
        self._unfinished = 0  # bytes of all contents
        self._reserved = 0  # bytes of memory for them
        self._part: _Content | None = None  # that a body frame belongs to which is not here in full
        self._left = 0  # bytes of that frame still to come, with its end
        self._contents: dict[int, _Content] = {}
        self._frames = FrameReader(frame_max)

    @property
    def frame_max(self) -> int:
        """The largest frame in bytes; 0 is no limit. It changes when a connection is tuned."""
        return self._frames.frame_max

    @frame_max.setter
    def frame_max(self, frame_max: int) -> None:
        self._frames.frame_max = frame_max

    def feed(self, data: bytes | bytearray | memoryview) -> list[Command]:
        """Add received bytes; return the commands that are complete with them.

        Commands that came before an error are returned; the error itself is raised by the next
        call, or by this one when there are none. ``error`` shows it at once.

        Raises:
            DecodeError: the input is not AMQP, now or in an earlier call.
        """
        if self.error is not None:
            raise self.error
        frames, contents = self._frames, self._contents
        commands: list[Command] = []
        frames.feed(data)
        try:
            if self._part is not None:
                command = self._continue_part(self._part)
                if self._left:
                    return commands
                if command is not None:
                    commands.append(command)
            while frames.next():
                channel = frames.channel
                if frames.frame_type != FRAME_METHOD:
                    command = self._continue(channel)
                    if command is not None:
                        commands.append(command)
                    continue
                try:
                    decode = _DECODE[frames.index]
                    method = decode(frames.data, frames.start + _INDEX_SIZE, frames.end)
                except _METHOD_ERRORS as error:
                    raise _refused_method(frames, error) from None
                if channel in contents:
                    raise _unexpected(frames, contents[channel])
                if not method.HAS_CONTENT:
                    commands.append(Command(channel, method))
                    continue
                body = frames.next_content()
                if body is None:
                    contents[channel] = self._begin(channel, method)
                    continue
                try:
                    start = frames.start + HEADER_SIZE
                    properties = Properties.decode(frames.data, start, frames.end)
                except _MISFITS:
                    raise _refused_properties(frames, method) from None
                if self.max_body_size is not None and len(body) > self.max_body_size:
                    raise self._body_too_large(method, len(body))
                commands.append(Command(channel, method, properties, body))
            if frames.frame_type == FRAME_BODY:  # of the frame that has begun
                self._begin_part()
            elif frames.frame_type >= 0:
                self._check_type()
        except DecodeError as error:
            # what is no frame has no size either: of "HTTP/1.1 400" the type is wrong
            self.error = self._wrong_type() or error
            contents.clear()
            if not commands:
                raise self.error from None
        return commands

    def _continue(self, channel: int) -> Command | None:
        """Process the current frame, which is no method; return a command if it completes one."""
        frames = self._frames
        content = self._contents.get(channel)
        if frames.frame_type == FRAME_HEADER:
            if content is None or content.properties is not None:
                raise _unexpected(frames, content)
            content.properties = self._decode_header(content)
        elif frames.frame_type == FRAME_BODY:
            if content is None or content.properties is None:
                raise _unexpected(frames, content)
            if frames.size > content.remaining:
                raise _body_too_long(frames, content)
            self._add(content, memoryview(frames.data)[frames.start : frames.end])
        else:
            self._check_type()
            return Command(0, HEARTBEAT)
        return None if content.remaining else self._finish(channel, content)

    def _begin_part(self) -> None:
        """Read what is here of a body frame, so that it is not copied before the frame is whole."""
        frames = self._frames
        content = self._contents.get(frames.channel)
        if content is None or content.properties is None or frames.size > content.remaining:
            return  # an error, which is raised when the frame is whole
        if frames.enter():
            self._part, self._left = content, frames.size + 1
            self._continue_part(content)

    def _continue_part(self, content: _Content) -> Command | None:
        """Read more of a body frame; return a command if it completes one."""
        frames = self._frames
        part = frames.take_part(self._left)
        self._left -= len(part)
        if self._left:
            self._add(content, part)
            return None
        self._part = None
        frames.check_end(part[-1])
        self._add(content, part[:-1])
        return None if content.remaining else self._finish(frames.channel, content)

    def _add(self, content: _Content, part: memoryview) -> None:
        """Add a part to the body of a content."""
        size = len(part)
        if content.is_dropped:
            content.remaining -= size
            return
        if content.body is None:
            content.reserved = max(0, min(content.remaining, LEAST_UNFINISHED - self._reserved))
            content.body = BytesIO(bytes(content.reserved))
            self._reserved += content.reserved
        content.remaining -= size
        content.body.write(part)
        self._unfinished += size
        self._check_unfinished(content)

    def _finish(self, channel: int, content: _Content) -> Command:
        del self._contents[channel]
        body = b"" if content.body is None else content.body.getvalue()
        self._unfinished -= len(body)
        self._reserved -= content.reserved
        return Command(channel, content.method, content.properties, body)

    def _begin(self, channel: int, method: Method) -> _Content:
        if self.channels is None or channel in self.channels:
            return _Content(method)
        content = _Content(type(method)())
        content.is_dropped = True
        return content

    def _check_unfinished(self, content: _Content) -> None:
        if self.max_body_size is None:
            return
        limit = max(2 * self.max_body_size, LEAST_UNFINISHED)
        if self._unfinished > limit:
            reason = f"the unfinished bodies of all channels have more than {limit} bytes"
            index = content.method.INDEX
            raise _error(self._frames, ReplyCode.FRAME_ERROR, "body_size", reason, index)

    def _decode_header(self, content: _Content) -> Properties:
        """Read a content header, and how much body is to come. Spec: 4.2.6.1."""
        frames, method = self._frames, content.method
        if frames.size < HEADER_SIZE:
            raise _refused_properties(frames, method)
        class_id, weight, content.remaining = _HEADER(frames.data, frames.start)
        if class_id != method.INDEX >> 16 or weight:
            raise _refused_header(frames, method, class_id)
        try:
            properties = Properties.decode(frames.data, frames.start + HEADER_SIZE, frames.end)
        except _MISFITS:
            raise _refused_properties(frames, method) from None
        if self.max_body_size is not None and content.remaining > self.max_body_size:
            raise self._body_too_large(method, content.remaining)
        return Properties() if content.is_dropped else properties

    def _check_type(self) -> None:
        error = self._wrong_type()
        if error is not None:
            raise error

    def _wrong_type(self) -> DecodeError | None:
        """Return what is wrong with the type of the current frame, if anything is."""
        frames = self._frames
        if frames.frame_type in (-1, FRAME_METHOD, FRAME_HEADER, FRAME_BODY):
            return None
        code, kind = ReplyCode.FRAME_ERROR, "heartbeat"
        if frames.frame_type != FRAME_HEARTBEAT:
            reason, kind = f"there is no frame type {frames.frame_type}", "frame_type"
            if frames.data.startswith(_AMQP, frames.start - PREFIX):
                reason = "a protocol header comes where a frame is expected"
        elif frames.size:
            reason = "a heartbeat has a payload"
        elif frames.channel:
            reason = f"a heartbeat is on channel {frames.channel}"
            code = ReplyCode.UNEXPECTED_FRAME
        else:
            return None
        return _error(frames, code, kind, reason)

    def _body_too_large(self, method: Method, size: int) -> DecodeError:
        reason = f"a body of {size} bytes is larger than max_body_size, {self.max_body_size}"
        return _error(self._frames, ReplyCode.FRAME_ERROR, "body_size", reason, method.INDEX)


def _body_too_long(frames: FrameReader, content: _Content) -> DecodeError:
    reason = f"a body is {frames.size - content.remaining} bytes longer than its header says"
    return _error(frames, ReplyCode.FRAME_ERROR, "body_size", reason, content.method.INDEX)


def _unexpected(frames: FrameReader, content: _Content | None) -> DecodeError:
    """Return the error for a frame of the wrong type: it names the frame that was expected."""
    index = None
    if content is None:
        expected, kind = "a method", "method_expected"
    elif content.properties is None:
        expected, kind = f"the content header of {content.method.NAME}", "header_expected"
    else:
        expected, kind = f"the content body of {content.method.NAME}", "body_expected"
    if content is not None:
        index = content.method.INDEX
    reason = f"a frame of type {frames.frame_type} comes on channel {frames.channel}"
    reason += f" where {expected} is expected"
    return _error(frames, ReplyCode.UNEXPECTED_FRAME, kind, reason, index)


def _refused_method(frames: FrameReader, error: Exception) -> DecodeError:
    index = frames.index
    if isinstance(error, KeyError):
        if frames.size < _INDEX_SIZE:
            index = 0
        code, kind = ReplyCode.SYNTAX_ERROR, "method_unknown"
        reason = f"there is no method {index >> 16}.{index & 0xFFFF}"
    elif isinstance(error, DecodeError):
        code, kind = ReplyCode.SYNTAX_ERROR, "field_value"
        reason = f"the arguments of {METHODS[index].NAME} cannot be decoded: {error}"
    else:
        code, kind = ReplyCode.FRAME_ERROR, "method_arguments"
        reason = f"the arguments of {METHODS[index].NAME} do not end where their frame does"
    return _error(frames, code, kind, reason, index)


def _refused_header(frames: FrameReader, method: Method, class_id: int) -> DecodeError:
    """Return the error for the class or the weight of a content header."""
    expected = method.INDEX >> 16
    if class_id == expected:
        reason, kind = "a content header has a weight other than 0", "header_expected"
    else:
        reason, kind = (
            f"a content header is for class {class_id} instead of {expected}",
            "header_class",
        )
    return _error(frames, ReplyCode.UNEXPECTED_FRAME, kind, reason, method.INDEX)


def _refused_properties(frames: FrameReader, method: Method) -> DecodeError:
    reason = "the properties of a content do not end where their frame does"
    return _error(frames, ReplyCode.SYNTAX_ERROR, "field_value", reason, method.INDEX)


def _error(
    frames: FrameReader, code: ReplyCode, kind: str, reason: str, index: int | None = None
) -> DecodeError:
    """Return an error about the current frame."""
    return DecodeError(
        reason,
        reply_code=code,
        kind=kind,
        frame_type=frames.frame_type,
        channel=frames.channel,
        size=frames.size,
        payload=frames.payload,
        index=index,
    )
