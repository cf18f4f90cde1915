"""What can be wrong with a command to encode or with octets to decode.

CodecError
├── EncodeError      what the caller wants to send cannot be sent (also a ValueError)
└── DecodeError      what the peer has sent is not AMQP 0-9-1; knows the reply code to close with
"""

from .protocol.constants import ReplyCode


class CodecError(Exception):
    """The common parent of all errors of this package."""


class EncodeError(CodecError, ValueError):
    """A command, property or field value that cannot be put on the wire.

    It is raised before anything is produced, so a caller that writes only what the codec returns
    has written nothing.

    Attributes:
        path: names the culprit from the outside in, such as ``("headers", "x-death", "[0]")``.
        reason: a sentence without the path.
    """

    def __init__(self, reason: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def under(self, name: str) -> "EncodeError":
        """Return the same error seen from one level further out."""
        return EncodeError(self.reason, (name, *self.path))

    def __str__(self) -> str:
        where = ""
        for name in self.path:
            where += name if name.startswith("[") or not where else f".{name}"
        return f"{where}: {self.reason}" if where else self.reason


class DecodeError(CodecError):
    """Octets that no conforming peer sends.

    The connection they came from cannot be used any more: frames have no marker to start again at.

    Attributes:
        reply_code: the code the connection is to be closed with: 501, 502 or 505. Spec: 4.10.
        kind: a word for what is wrong, one of ``frame_type``, ``frame_end``, ``frame_size``,
            ``heartbeat``, ``method_unknown``, ``method_arguments``, ``field_value``,
            ``method_expected``, ``header_expected``, ``body_expected``, ``header_class``,
            ``body_size``.
        frame_type: the type octet of the frame at fault, None outside a frame.
        channel: its channel number, None outside a frame.
        size: the payload size that its envelope announces, None outside a frame.
        payload: its payload as far as it has come, empty where it was not looked at.
        index: ``class id << 16 | method id`` of the method at fault, None where there is none.
        end: the octet that stands where the frame-end belongs, None where that is not the fault.
    """

    def __init__(
        self,
        reason: str,
        *,
        reply_code: ReplyCode = ReplyCode.SYNTAX_ERROR,
        kind: str = "field_value",
        frame_type: int | None = None,
        channel: int | None = None,
        size: int | None = None,
        payload: bytes = b"",
        index: int | None = None,
        end: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reply_code = reply_code
        self.kind = kind
        self.frame_type = frame_type
        self.channel = channel
        self.size = size
        self.payload = payload
        self.index = index
        self.end = end
