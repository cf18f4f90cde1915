"""Methods that RabbitMQ answers though no protocol description lists them."""

from struct import Struct
from typing import ClassVar, Final

from amqp_codec import Method

_CREDIT: Final = Struct(">I?")


class AccessRequest(Method):
    """Access.request of AMQP 0-8. RabbitMQ grants everything."""

    __slots__ = ()
    NAME: ClassVar[str] = "access.request"
    INDEX: ClassVar[int] = 30 << 16 | 10

    @classmethod
    def decode(cls, data: bytes, offset: int, end: int) -> "AccessRequest":
        """Skip a realm and five bits."""
        if offset + 2 + data[offset] != end:
            raise ValueError
        return cls()


class AccessRequestOk(Method):
    """Access.request-ok, always with the same ticket."""

    __slots__ = ()
    NAME: ClassVar[str] = "access.request-ok"
    INDEX: ClassVar[int] = 30 << 16 | 11

    @classmethod
    def decode(cls, data: bytes, offset: int, end: int) -> "AccessRequestOk":
        """Skip a ticket."""
        del data
        if offset + 2 != end:
            raise ValueError
        return cls()

    def encode(self) -> bytes:
        """Return the payload of the method frame."""
        return b"\x00\x1e\x00\x0b\x00\x01"


class Credit(Method):
    """Basic.credit, an extension of RabbitMQ for its other protocols."""

    __slots__ = ("consumer_tag", "credit", "drain")
    NAME: ClassVar[str] = "basic.credit"
    INDEX: ClassVar[int] = 60 << 16 | 200
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("consumer_tag", "shortstr"),
        ("credit", "long"),
        ("drain", "bit"),
    )

    def __init__(self, consumer_tag: str = "", credit: int = 0, drain: bool = False) -> None:
        self.consumer_tag = consumer_tag
        self.credit = credit
        self.drain = drain

    @classmethod
    def decode(cls, data: bytes, offset: int, end: int) -> "Credit":
        """Read the arguments from ``data[offset:end]``."""
        behind = offset + 1 + data[offset]
        if behind + _CREDIT.size != end:
            raise ValueError
        tag = data[offset + 1 : behind].decode("utf-8", "surrogateescape")
        return cls(tag, *_CREDIT.unpack_from(data, behind))


class CreditOk(Method):
    """Basic.credit-ok: how many messages were ready."""

    __slots__ = ("available",)
    NAME: ClassVar[str] = "basic.credit-ok"
    INDEX: ClassVar[int] = 60 << 16 | 201
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = (("available", "long"),)

    def __init__(self, available: int = 0) -> None:
        self.available = available

    @classmethod
    def decode(cls, data: bytes, offset: int, end: int) -> "CreditOk":
        """Read the arguments from ``data[offset:end]``."""
        if offset + 4 != end:
            raise ValueError
        return cls(int.from_bytes(data[offset:end], "big"))

    def encode(self) -> bytes:
        """Return the payload of the method frame."""
        return self.INDEX.to_bytes(4, "big") + self.available.to_bytes(4, "big")


UNDOCUMENTED: Final[dict[int, type[Method]]] = {
    method.INDEX: method for method in (AccessRequest, AccessRequestOk, Credit, CreditOk)
}
"""By INDEX, like the codec's METHODS."""
