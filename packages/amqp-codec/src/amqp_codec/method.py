"""The base classes of the generated methods and properties."""

from struct import error as StructError
from typing import ClassVar, Final, TypeAlias

from .errors import DecodeError, EncodeError
from .values import encode_table, encode_timestamp

REFUSED: Final = (ValueError, IndexError, TypeError, AttributeError, StructError)
"""The exceptions that invalid values cause in ``encode``."""

_BITS: Final = {"octet": 8, "short": 16, "long": 32, "longlong": 64}


class Fields:
    """An object with named, typed fields: a method or the properties of a content."""

    __slots__ = ()

    NAME: ClassVar[str] = ""
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """The attribute name and primitive type of each field, in the order of encoding."""
    OPTIONAL: ClassVar[bool] = False
    """Whether a field may be None, which means absent."""

    def __repr__(self) -> str:
        shown = []
        for name, _ in self.FIELDS:
            try:
                value = getattr(self, name)
            except DecodeError as error:
                shown.append(f"{name}=<{error}>")
                continue
            if value is not None:
                shown.append(f"{name}={value!r}")
        return f"{self.NAME.partition('.')[0]}.{type(self).__name__}({', '.join(shown)})"

    def refusal(self, error: Exception) -> EncodeError:
        """Return the EncodeError for the field that made ``encode`` fail.

        Generated ``encode`` methods check nothing: an invalid value makes one of their statements
        fail, and only then is the invalid field searched for, here.
        """
        for name, wire_type in self.FIELDS:
            value = getattr(self, name)
            if value is None and self.OPTIONAL:
                continue
            reason = _objection(wire_type, value)
            if reason is not None:
                return EncodeError(reason, (self.NAME, name))
            if wire_type in ("table", "timestamp"):
                try:
                    encode_table(value) if wire_type == "table" else encode_timestamp(value)
                except EncodeError as refused:
                    return refused.under(name).under(self.NAME)
        return EncodeError(f"cannot be encoded: {error}", (self.NAME,))


class Method(Fields):
    """A method of the protocol with its arguments; each class is in the module of its AMQP class.

    Attributes:
        INDEX: class id << 16 | method id, the first four bytes of a method frame.
        NAME: the name in the specification, such as ``basic.publish``.
        HAS_CONTENT: whether properties and a body follow it.
        REPLIES: the methods that answer it; empty if it is not answered.
    """

    __slots__ = ()

    INDEX: ClassVar[int] = 0
    HAS_CONTENT: ClassVar[bool] = False
    REPLIES: ClassVar[tuple[type["Method"], ...]] = ()

    def encode(self) -> bytes:
        """Return the payload of this method's frame. Spec: 4.2.4.

        Raises:
            EncodeError: an argument has the wrong type, is out of range or too long.
        """
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes, offset: int, end: int) -> "Method":
        """Read the arguments from ``data[offset:end]``.

        Raises:
            DecodeError: a field table in them cannot be read.
            IndexError, ValueError, struct.error: they do not end where the frame ends.
        """
        raise NotImplementedError


Replies: TypeAlias = tuple[type[Method], ...]
"""The type of REPLIES. It has a name because ``type`` is a field of one class of methods."""


class Heartbeat(Method):
    """The method of a command that stands for a heartbeat frame; no method of the protocol."""

    __slots__ = ()

    NAME: ClassVar[str] = "heartbeat"

    def encode(self) -> bytes:
        """Return the payload of a heartbeat frame, which is empty. Spec: 4.2.7."""
        return b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heartbeat)

    def __hash__(self) -> int:
        return hash(Heartbeat)

    def __repr__(self) -> str:
        return "HEARTBEAT"


HEARTBEAT = Heartbeat()
"""The method of every command that is a heartbeat."""


def _objection(wire_type: str, value: object) -> str | None:
    """Return why a value is invalid for a field of a type; None if it is valid."""
    if value is None:
        return "must not be None"
    kind = type(value).__name__
    if wire_type in _BITS:
        if not isinstance(value, int):
            return f"must be an int, not {kind}"
        largest = (1 << _BITS[wire_type]) - 1
        return None if 0 <= value <= largest else f"must be 0 to {largest}, not {value}"
    if wire_type == "shortstr":
        if not isinstance(value, str):
            return f"must be a str, not {kind}"
        try:
            size = len(value.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            return f"cannot be encoded as UTF-8: {value!a:.80}"
        return None if size <= 255 else f"must be at most 255 bytes of UTF-8, not {size}"
    if wire_type == "longstr" and not isinstance(value, (bytes, bytearray, memoryview)):
        return f"must be bytes, not {kind}"
    return None
