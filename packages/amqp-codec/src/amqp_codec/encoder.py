"""Encoder: turns a command into bytes, and finds every error before the first of them is sent.

The result is one bytes object, or, for a large body, pieces that are encoded one after the other.
"""

from collections.abc import Iterator
from operator import index
from struct import Struct
from typing import Any, Final

from .command import Command
from .compiling import Unchecked
from .errors import REFUSED, EncodeError, encode_error, shown, type_name
from .frames import END, OVERHEAD, PREFIX
from .method import Heartbeat, Method
from .protocol.basic import Properties
from .protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)
from .values import as_bytes

_FRAME: Final = Struct(">BHI").pack
_HEADER: Final = Struct(">BBHIHHQ").pack  # previous frame-end, envelope; class, weight, body size
_BODY: Final = Struct(">BBHI").pack  # previous frame-end, envelope
_HEADER_SIZE: Final = 12  # class, weight and body size
_NO_LIMIT: Final = (1 << 32) - 1  # the largest size that a frame can announce
_NO_PROPERTIES: Final = Properties().encode()
_SIZE: Final = Struct(">Q").pack  # body size

PIECE: Final = 131072
"""Bytes of the pieces of a large content: frames that are larger gain nothing, and delay others."""


def encode_command(command: Command | Unchecked, frame_max: int | Unchecked = 131072) -> bytes:
    """Encode all frames of a command.

    Args:
        command: the command; without properties, an empty set of properties is sent.
        frame_max: the negotiated frame size in bytes, to which bodies are split; 0 for no limit.

    Raises:
        EncodeError: an argument, a property or the body cannot be encoded, or the method or its
            properties do not fit into a frame.
    """
    try:
        method: Any = command.method
        if method.HAS_CONTENT:
            return encode_content(
                command.channel, method.encode(), command.properties, command.body, frame_max
            )
        if command.properties is not None or len(command.body):
            reason = "takes no properties and no body: it carries no content"
            raise EncodeError(reason, (method.NAME,))
        if type(method) is Heartbeat:
            return _FRAME(FRAME_HEARTBEAT, command.channel, 0) + END
        return encode_method(command.channel, method.encode(), frame_max)
    except REFUSED as error:
        raise _refused_command(error, command, frame_max) from None


def encode_method(
    channel: int | Unchecked, payload: bytes | Unchecked, frame_max: int | Unchecked = 0
) -> bytes:
    """Wrap the result of a method's ``encode`` in a frame.

    Raises:
        EncodeError: it is too large for a frame, or the channel number is not 0 to 65535.
    """
    try:
        if type(payload) is not bytes:
            payload = _bytes_of("payload", payload)
        size = len(payload)
        if size > frame_max - OVERHEAD and frame_max > 0:
            raise _too_large("the arguments of the method", size, frame_max)
        return _FRAME(FRAME_METHOD, channel, size) + payload + END
    except REFUSED as error:
        raise _refused(error, channel, frame_max) from None


def encode_content(
    channel: int | Unchecked,
    payload: bytes | Unchecked,
    properties: Properties | Unchecked | None,
    body: bytes | bytearray | memoryview | Unchecked,
    frame_max: int | Unchecked = 131072,
) -> bytes:
    """Encode a command with a content whose method is already encoded.

    A program that publishes repeatedly with the same arguments can reuse the result of ``encode``.

    Args:
        channel: the number of the channel, 1 to 65535.
        payload: the result of the method's ``encode``.
        properties: the properties of the content, or None.
        body: the body of the content.
        frame_max: as for ``encode_command``.

    Raises:
        EncodeError: as for ``encode_command``.
    """
    try:
        if type(body) is not bytes:
            body = _bytes_of("body", body)
        if type(payload) is not bytes:
            payload = _bytes_of("payload", payload)
        header = _NO_PROPERTIES if properties is None else Properties.encode(properties)
        method_size = len(payload)
        header_size = len(header) + _HEADER_SIZE
        size = len(body)
        largest = frame_max - OVERHEAD if frame_max else _NO_LIMIT
        if method_size > largest:
            raise _too_large("the method with its arguments", method_size, frame_max)
        if header_size > largest:
            raise _too_large("the properties", header_size, frame_max)
        class_id = payload[0] << 8 | payload[1]
        method_frame = _FRAME(FRAME_METHOD, channel, method_size)
        header_frame = _HEADER(FRAME_END, FRAME_HEADER, channel, header_size, class_id, 0, size)
        if 0 < size <= largest:
            body_frame = _BODY(FRAME_END, FRAME_BODY, channel, size)
            return b"".join((method_frame, payload, header_frame, header, body_frame, body, END))
        frames = _body_frames(channel, memoryview(body), largest)
        return b"".join((method_frame, payload, header_frame, header, END, *frames))
    except REFUSED as error:
        raise _refused(error, channel, frame_max, properties) from None


class ContentPieces:
    """A command with a content in pieces, each of which is encoded when it is asked for.

    Pieces consist of whole frames, so frames of other channels can be sent between two of them. The
    first begins with the method and the header. A piece has PIECE bytes of body frames, or a bit
    less; the last one has the rest.
    """

    __slots__ = ("_body", "_channel", "_head", "_largest", "_size")

    def __init__(self, channel: int, head: bytes, body: bytes, largest: int) -> None:
        self._channel = channel
        self._head = head
        self._body = memoryview(body)
        self._largest = largest  # bytes of the payload of a frame
        self._size = PIECE // (largest + OVERHEAD) * largest  # bytes of the body in a piece

    def __len__(self) -> int:
        return max(1, -(-len(self._body) // self._size))

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> bytes:
        start = number * self._size
        body = self._body[start : start + self._size]
        if number < 0 or (number and not body):
            raise IndexError(number)
        if number and len(body) <= self._largest:  # without calls: the caches are cold here
            return b"".join((_FRAME(FRAME_BODY, self._channel, len(body)), body, END))
        frames = _body_frames(self._channel, body, self._largest)
        return b"".join(frames if number else [self._head, *frames])


def encode_content_in_pieces(
    channel: int | Unchecked,
    payload: bytes | Unchecked,
    properties: Properties | Unchecked | None,
    body: bytes | bytearray | memoryview | Unchecked,
    frame_max: int | Unchecked = 131072,
) -> ContentPieces:
    """Encode a command with a content as ``encode_content`` does, but not all of it at once.

    Everything is checked now: encoding the pieces raises nothing.

    Args:
        channel: the number of the channel, 1 to 65535.
        payload: the result of the method's ``encode``.
        properties: the properties of the content, or None.
        body: the body of the content. Bytes are not copied; anything else is, since it may change.
        frame_max: as for ``encode_command``; no frame is larger than PIECE either.

    Raises:
        EncodeError: as for ``encode_command``.
    """
    try:
        method, content = _bytes_of("payload", payload), _bytes_of("body", body)
        head = encode_content(channel, method, properties, b"", frame_max)
        # The body size is 0 there.
        at = OVERHEAD + len(method) + PREFIX + _HEADER_SIZE - 8
        head = head[:at] + _SIZE(len(content)) + head[at + 8 :]
        largest = min(index(frame_max) or PIECE, PIECE) - OVERHEAD
        return ContentPieces(index(channel), head, content, largest)
    except REFUSED as error:
        raise _refused(error, channel, frame_max, properties) from None


def _body_frames(channel: int, body: memoryview, largest: int) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for start in range(0, len(body), largest):
        part = body[start : start + largest]
        parts += (_FRAME(FRAME_BODY, channel, len(part)), part, END)
    return parts


def _bytes_of(name: str, value: object) -> bytes:
    try:
        return as_bytes(value)
    except REFUSED as error:
        raise encode_error(error).under(name) from None


def _too_large(what: str, size: int, frame_max: int) -> EncodeError:
    return EncodeError(f"{what} take {size} bytes, but a frame holds {frame_max - OVERHEAD}")


def _refused_command(error: Exception, command: Any, frame_max: object) -> EncodeError:
    """Return the EncodeError for a command that could not be encoded."""
    if isinstance(error, EncodeError):
        return error
    if not issubclass(type(command), Command):  # isinstance() asks the object, which may raise
        return EncodeError(f"must be a Command, not {type_name(command)}")
    method: object = command.method
    if not issubclass(type(method), Method):
        reason = f"must be a method such as basic.Publish(...), not {type_name(method)}"
        return EncodeError(reason, ("method",))
    try:
        _bytes_of("body", command.body)
    except EncodeError as refused:
        return refused
    return _refused(error, command.channel, frame_max)


def _refused(
    error: Exception, channel: object, frame_max: object, properties: object = None
) -> EncodeError:
    """Return the EncodeError for frames that could not be made."""
    if isinstance(error, EncodeError):
        return error
    if properties is not None and not issubclass(type(properties), Properties):
        reason = f"must be Properties or None, not {type_name(properties)}"
        return EncodeError(reason, ("properties",))
    try:
        is_channel = 0 <= index(channel) <= 0xFFFF  # type: ignore[arg-type]
    except REFUSED:
        is_channel = False
    if not is_channel:
        reason = f"must be an int from 0 to 65535, not {shown(channel)}"
        return EncodeError(reason, ("channel",))
    if not issubclass(type(frame_max), int):
        return EncodeError(f"must be an int, not {shown(frame_max)}", ("frame_max",))
    if isinstance(error, IndexError):
        return EncodeError("must be what a method's encode returned", ("payload",))
    return encode_error(error)
