"""The exceptions that the codec raises.

CodecError
├── EncodeError      a command cannot be encoded (also a ValueError)
└── DecodeError      the received bytes are not AMQP 0-9-1; has the reply code for the close
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from .protocol.constants import ReplyCode

REFUSED: Final = Exception
"""What an invalid value can cause while it is encoded: a class may override any method."""

_SHOWN: Final = 60
"""Characters of a value that an error message shows."""

_SHOWN_BITS: Final = 256
"""Larger integers are not shown: Python refuses to print those of more than 4,300 digits."""

_NAME_OF: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__
"""The name of a class, whatever its metaclass says."""


class CodecError(Exception):
    """The base class of the errors of this package.

    Errors are equal if they are of the same class and all their attributes are equal.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((type(self), str(self)))


class EncodeError(CodecError, ValueError):
    """A command, property or field value cannot be encoded.

    It is raised before any bytes are returned, so the caller has not written part of a command.

    Attributes:
        path: the path to the invalid value, such as ``("headers", "x-death", "[0]")``.
        reason: the reason, without the path.
    """

    def __init__(self, reason: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(reason, path)
        self.reason: str = reason
        self.path: tuple[str, ...] = path

    def under(self, name: str) -> "EncodeError":
        """Return the same error with ``name`` in front of its path."""
        return EncodeError(self.reason, (name, *self.path))

    def __str__(self) -> str:
        where = ""
        for name in self.path:
            where += name if name.startswith("[") or not where else f".{name}"
        text = f"{where}: {self.reason}" if where else self.reason
        return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates can be printed


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


def encode_error(error: Exception) -> EncodeError:
    """Return an exception that was raised while encoding as an EncodeError."""
    if isinstance(error, EncodeError):
        return error
    if isinstance(error, RecursionError):
        return EncodeError("is nested too deep for the stack")
    try:
        text = f"{error}"[:_SHOWN]
    except REFUSED:
        text = ""
    return EncodeError(f"cannot be encoded: {type_name(error)}{': ' if text else ''}{text}")


def type_name(value: object) -> str:
    """Return the name of a value's class for an error message."""
    return _NAME_OF(type(value))[:_SHOWN]


def shown(value: object) -> str:
    """Return a short text for a value in an error message, whatever methods its class overrides."""
    try:
        if isinstance(value, int):
            bits = int.bit_length(value)
            return int.__repr__(value) if bits <= _SHOWN_BITS else f"an int of {bits} bits"
        if isinstance(value, float):
            return float.__repr__(value)
        if isinstance(value, Decimal):
            return Decimal.__str__(value)[:_SHOWN]
        if isinstance(value, str):
            return ascii(str.__getitem__(value, slice(40)))
        if isinstance(value, bytes):
            return bytes.__repr__(bytes.__getitem__(value, slice(40)))
    except REFUSED:
        pass  # a class that only claims to be one of these
    return f"an object of type {type_name(value)}"
