"""Encoding of many contents that have something in common, as a publisher sends them.

``encode_content`` encodes one. What is the same in all is encoded once here, and properties that
are given by name are encoded without an object for them.
"""

from datetime import datetime
from struct import Struct
from typing import Any, Final

from .compiling import Unchecked
from .encoder import ContentPieces, encode_content, encode_content_in_pieces
from .errors import REFUSED
from .frames import END, OVERHEAD
from .protocol.basic import Properties
from .protocol.constants import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD
from .values import OCTETS, UTF8, Table, encode_table, encode_timestamp

_FRAME: Final = Struct(">BHI").pack
_HEADER: Final = Struct(">BBH").pack  # previous frame-end; type and channel of a content header
_SIZES: Final = Struct(">IIQ").pack  # payload size of a content header; class, weight; body size
_LONGLONG: Final = Struct(">Q").pack

_HEADER_SIZE: Final = 12  # class, weight and body size
_NO_LIMIT: Final = (1 << 32) - 1  # the largest size that a frame can announce

_FIELDS: Final[dict[str, tuple[int, str]]] = {
    name: (position, wire_type) for position, (name, wire_type) in enumerate(Properties.FIELDS)
}
"""The position of each property, which is that of its flag, and its type. Spec: 4.2.6.1."""


class ContentEncoder:
    """Encoder of contents on one channel that have the same method.

    Args:
        channel: the number of the channel, 1 to 65535.
        payload: the result of the method's ``encode``.
        frame_max: the negotiated frame size in bytes; 0 for no limit.

    Raises:
        EncodeError: the channel number is out of range, or the method does not fit into a frame.
    """

    __slots__ = ("_body", "_channel", "_class", "_frame_max", "_largest", "_method", "_payload")

    def __init__(self, channel: int, payload: bytes, frame_max: int) -> None:
        encode_content(channel, payload, None, b"", frame_max)  # which checks the arguments
        self._channel = channel
        self._payload = payload
        self._frame_max = frame_max
        self._largest = frame_max - OVERHEAD if frame_max else _NO_LIMIT
        self._class = (payload[0] << 8 | payload[1]) << 16  # and the weight, which is 0
        self._method = (
            _FRAME(FRAME_METHOD, channel, len(payload))
            + payload
            + _HEADER(FRAME_END, FRAME_HEADER, channel)
        )
        self._body = _HEADER(FRAME_END, FRAME_BODY, channel)

    def encode(
        self,
        properties: bytes,
        body: bytes | bytearray | memoryview | Unchecked,
    ) -> bytes:
        """Encode a command with a content.

        Args:
            properties: the result of the ``encode`` of ``Properties``, or of ``encode_properties``.
            body: the body of the content.

        Raises:
            EncodeError: the body is not bytes, or the properties do not fit into a frame.
        """
        if type(body) is bytes:
            size = len(body)
            header_size = len(properties) + _HEADER_SIZE
            if 0 < size <= self._largest and header_size <= self._largest:
                sizes = _SIZES(header_size, self._class, size)
                return b"".join(
                    (self._method, sizes, properties, self._body, sizes[12:], body, END)
                )
        decoded = Properties.decode(properties, 0, len(properties))
        return encode_content(self._channel, self._payload, decoded, body, self._frame_max)

    def encode_in_pieces(
        self, properties: bytes, body: bytes | bytearray | memoryview | Unchecked
    ) -> ContentPieces:
        """Encode a command with a large content, as ``encode_content_in_pieces`` does.

        Args:
            properties: as for ``encode``.
            body: the body of the content.

        Raises:
            EncodeError: as for ``encode``.
        """
        decoded = Properties.decode(properties, 0, len(properties))
        return encode_content_in_pieces(
            self._channel, self._payload, decoded, body, self._frame_max
        )


def encode_properties(values: "dict[str, Any]") -> bytes | None:
    """Encode properties given by name, if their values are of the usual types.

    The result is that of ``Properties(**values).encode()``, and takes half the time.

    Args:
        values: str, dict, int and datetime by the names of ``Properties``; None for one that is
            absent.

    Returns:
        None if a name is unknown, or a value is of another type or cannot be encoded: ``encode``
        encodes it, or raises the error.
    """
    encoded: dict[int, bytes] = {}  # by position
    flags, last, is_sorted = 0, -1, True
    try:
        for name, value in values.items():
            if value is None:
                continue
            position, wire_type = _FIELDS[name]
            if position < last:
                is_sorted = False
            last = position
            flags |= 0x8000 >> position
            if wire_type == "shortstr":
                if type(value) is not str:
                    return None
                octets = UTF8(value)
                encoded[position] = OCTETS[len(octets)] + octets
            elif wire_type == "table":
                if type(value) is not dict and type(value) is not Table:
                    return None
                encoded[position] = encode_table(value)
            elif wire_type == "octet":
                if type(value) is not int or value < 0:
                    return None
                encoded[position] = OCTETS[value]
            elif type(value) is datetime:
                encoded[position] = _LONGLONG(encode_timestamp(value))
            else:
                return None
    except REFUSED:
        return None
    parts = list(encoded.values()) if is_sorted else [encoded[each] for each in sorted(encoded)]
    return OCTETS[flags >> 8] + OCTETS[flags & 0xFF] + b"".join(parts)
