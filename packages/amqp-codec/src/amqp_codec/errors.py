"""The exceptions that the codec raises.

CodecError
├── EncodeError      a command cannot be encoded (also a ValueError)
└── DecodeError      the received bytes are not AMQP 0-9-1; has the reply code for the close
"""

from .protocol.constants import ReplyCode


class CodecError(Exception):
    """The base class of the errors of this package."""


class EncodeError(CodecError, ValueError):
    """A command, property or field value cannot be encoded.

    It is raised before any bytes are returned, so the caller has not written part of a command.

    Attributes:
        path: the path to the invalid value, such as ``("headers", "x-death", "[0]")``.
        reason: the reason, without the path.
    """

    def __init__(self, reason: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def under(self, name: str) -> "EncodeError":
        """Return the same error with ``name`` in front of its path."""
        return EncodeError(self.reason, (name, *self.path))

    def __str__(self) -> str:
        where = ""
        for name in self.path:
            where += name if name.startswith("[") or not where else f".{name}"
        return f"{where}: {self.reason}" if where else self.reason


class DecodeError(CodecError):
    """Received bytes are not valid AMQP 0-9-1.

    The connection can no longer be used, because nothing in the bytes marks where a frame begins.

    Attributes:
        reply_code: the code to close the connection with: 501, 502 or 505. Spec: 4.10.
        kind: the kind of error, one of ``frame_type``, ``frame_end``, ``frame_size``,
            ``heartbeat``, ``method_unknown``, ``method_arguments``, ``field_value``,
            ``method_expected``, ``header_expected``, ``body_expected``, ``header_class``,
            ``body_size``.
        frame_type: the type of the invalid frame; None if the error is outside a frame.
        channel: its channel number; None if the error is outside a frame.
        size: the size of its payload as announced; None if the error is outside a frame.
        payload: its payload as far as it was received; empty if it was not examined.
        index: ``class id << 16 | method id`` of the invalid method; None if there is none.
        end: the byte in place of the frame-end; None if the frame-end is not the error.
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
