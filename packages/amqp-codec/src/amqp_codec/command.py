"""Commands: the methods, with their contents, that peers send to each other."""

from typing import ClassVar

from .compiling import Unchecked, mypyc_attr
from .method import Method
from .protocol.basic import Properties


@mypyc_attr(allow_interpreted_subclasses=True)
class Command:
    """A method on a channel, together with its content if it carries one. Spec: 4.2.6.

    Attributes:
        channel: the number of the channel; 0 is the connection itself.
        method: the method with its arguments, or HEARTBEAT.
        properties: the properties of the content; None if there is no content.
        body: the whole body of the content, however many frames it was sent in.
    """

    __slots__ = ("body", "channel", "method", "properties")
    __match_args__: ClassVar[tuple[str, ...]] = ("channel", "method", "properties", "body")

    def __init__(
        self,
        channel: int | Unchecked,
        method: Method | Unchecked,
        properties: Properties | Unchecked | None = None,
        body: bytes | bytearray | memoryview | Unchecked = b"",
    ) -> None:
        self.channel: int | Unchecked = channel
        self.method: Method | Unchecked = method
        self.properties: Properties | Unchecked | None = properties
        self.body: bytes | bytearray | memoryview | Unchecked = body

    def __reduce__(self) -> tuple[type["Command"], tuple[object, ...]]:
        # A memoryview can be neither pickled nor deep-copied.
        body = bytes(self.body) if isinstance(self.body, memoryview) else self.body
        return type(self), (self.channel, self.method, self.properties, body)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Command)
            and self.channel == other.channel
            and self.method == other.method
            and self.properties == other.properties
            and self.body == other.body
        )

    def __repr__(self) -> str:
        if not getattr(self.method, "HAS_CONTENT", True):
            return f"Command({self.channel}, {self.method!r})"
        return f"Command({self.channel}, {self.method!r}, {self.properties!r}, {self.body!r})"
