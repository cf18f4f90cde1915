"""Encoder: turns a command into one bytes object, so errors are found before anything is sent."""

from struct import Struct
from struct import error as StructError
from typing import Final

from .command import Command
from .errors import EncodeError
from .frames import END, OVERHEAD
from .method import HEARTBEAT
from .protocol.basic import Properties
from .protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)

_FRAME: Final = Struct(">BHI").pack
_HEADER: Final = Struct(">BBHIHHQ").pack  # previous frame-end, envelope; class, weight, body size
_BODY: Final = Struct(">BBHI").pack  # previous frame-end, envelope
_HEADER_SIZE: Final = 12  # class, weight and body size
_NO_LIMIT: Final = 1 << 32  # above the largest size that a frame can announce
_NO_PROPERTIES: Final = Properties().encode()


def encode_command(command: Command, frame_max: int = 131072) -> bytes:
    """Encode all frames of a command.

    Args:
        command: the command; without properties, an empty set of properties is sent.
        frame_max: the negotiated frame size in bytes, to which bodies are split; 0 for no limit.

    Raises:
        EncodeError: an argument, a property or the body cannot be encoded, or the method or its
            properties do not fit into a frame.
    """
    method = command.method
    if method.HAS_CONTENT:
        return encode_content(
            command.channel, method.encode(), command.properties, command.body, frame_max
        )
    if command.properties is not None or len(command.body):
        raise EncodeError("takes no properties and no body: it carries no content", (method.NAME,))
    if method is HEARTBEAT:
        return _FRAME(FRAME_HEARTBEAT, command.channel, 0) + END
    return encode_method(command.channel, method.encode(), frame_max)


def encode_method(channel: int, payload: bytes, frame_max: int = 0) -> bytes:
    """Wrap the result of a method's ``encode`` in a frame.

    Raises:
        EncodeError: it is too large for a frame, or the channel number is not 0 to 65535.
    """
    size = len(payload)
    if 0 < frame_max < size + OVERHEAD:
        raise _too_large("the arguments of the method", size, frame_max)
    try:
        return _FRAME(FRAME_METHOD, channel, size) + payload + END
    except StructError:
        raise _bad_channel(channel) from None


def encode_content(
    channel: int,
    payload: bytes,
    properties: Properties | None,
    body: bytes | bytearray | memoryview,
    frame_max: int = 131072,
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
    if type(body) is not bytes:
        body = _as_bytes(body)
    header = _NO_PROPERTIES if properties is None else properties.encode()
    size = len(body)
    largest = frame_max - OVERHEAD if frame_max else _NO_LIMIT
    if len(payload) > largest:
        raise _too_large("the method with its arguments", len(payload), frame_max)
    if len(header) + _HEADER_SIZE > largest:
        raise _too_large("the properties", len(header) + _HEADER_SIZE, frame_max)
    class_id = payload[0] << 8 | payload[1]
    header_size = len(header) + _HEADER_SIZE
    try:
        method_frame = _FRAME(FRAME_METHOD, channel, len(payload))
        header_frame = _HEADER(FRAME_END, FRAME_HEADER, channel, header_size, class_id, 0, size)
        if 0 < size <= largest:
            body_frame = _BODY(FRAME_END, FRAME_BODY, channel, size)
            return b"".join((method_frame, payload, header_frame, header, body_frame, body, END))
    except StructError:
        raise _bad_channel(channel) from None
    parts = [method_frame, payload, header_frame, header]
    for offset in range(0, size, largest):
        piece = body[offset : offset + largest]
        parts += (_BODY(FRAME_END, FRAME_BODY, channel, len(piece)), piece)
    parts.append(END)
    return b"".join(parts)


def _as_bytes(body: object) -> bytes:
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, bytes):
        return body
    raise EncodeError(
        f"must be bytes, bytearray or memoryview, not {type(body).__name__}", ("body",)
    )


def _too_large(what: str, size: int, frame_max: int) -> EncodeError:
    return EncodeError(f"{what} take {size} bytes, but a frame holds {frame_max - OVERHEAD}")


def _bad_channel(channel: object) -> EncodeError:
    return EncodeError(f"must be an int from 0 to 65535, not {channel!r}", ("channel",))
