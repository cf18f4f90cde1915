"""The base classes of the generated methods and properties."""

from operator import index
from typing import Any, ClassVar, Final, TypeAlias

from .compiling import mypyc_attr
from .errors import REFUSED, DecodeError, EncodeError, encode_error, type_name
from .errors import shown as text_of
from .values import as_bytes, encode_table, encode_timestamp, escaped

_BITS: Final = {"octet": 8, "short": 16, "long": 32, "longlong": 64}


@mypyc_attr(allow_interpreted_subclasses=True)
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
            try:
                value = getattr(self, name)
                if value is not None or not self.OPTIONAL:
                    _check(wire_type, value)
            except DecodeError:
                continue  # headers as they were received
            except REFUSED as refused:
                return encode_error(refused).under(name).under(self.NAME)
        return encode_error(error).under(self.NAME)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), tuple([getattr(self, name) for name, _ in self.FIELDS])


@mypyc_attr(allow_interpreted_subclasses=True)
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

    def __reduce__(self) -> tuple[object, ...]:
        return _heartbeat, ()


HEARTBEAT = Heartbeat()
"""The method of every command that is a heartbeat."""


def _heartbeat() -> Heartbeat:
    """Return HEARTBEAT, of which there are no copies."""
    return HEARTBEAT


def _check(wire_type: str, value: Any) -> None:
    """Raise an exception if a value is invalid for a field of a type."""
    if wire_type == "bit":
        bool(value)
    elif value is None:
        raise EncodeError("must not be None")
    elif wire_type == "table":
        encode_table(value)
    elif wire_type == "timestamp":
        encode_timestamp(value)
    elif wire_type == "shortstr":
        _check_short_string(value)
    elif wire_type == "longstr":
        escaped(value) if isinstance(value, str) else as_bytes(value)
    else:
        _check_integer(_BITS[wire_type], value)


def _check_short_string(value: object) -> None:
    if not isinstance(value, str):
        raise EncodeError(f"must be a str, not {type_name(value)}")
    size = len(escaped(value))
    if size > 255:
        raise EncodeError(f"must be at most 255 bytes of UTF-8, not {size}")


def _check_integer(bits: int, value: Any) -> None:
    try:
        number = index(value)
    except TypeError:
        raise EncodeError(f"must be an int, not {type_name(value)}") from None
    largest = (1 << bits) - 1
    if not 0 <= number <= largest:
        raise EncodeError(f"must be 0 to {largest}, not {text_of(number)}")
