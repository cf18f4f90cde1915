"""Commands: the methods, with their contents, that peers send to each other."""

from typing import ClassVar

from .method import Method
from .protocol.basic import Properties


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
        channel: int,
        method: Method,
        properties: Properties | None = None,
        body: bytes | bytearray | memoryview = b"",
    ) -> None:
        self.channel: int = channel
        self.method: Method = method
        self.properties: Properties | None = properties
        self.body: bytes | bytearray | memoryview = body

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Command)
            and self.channel == other.channel
            and self.method == other.method
            and self.properties == other.properties
            and self.body == other.body
        )

    def __repr__(self) -> str:
        if not self.method.HAS_CONTENT:
            return f"Command({self.channel}, {self.method!r})"
        return f"Command({self.channel}, {self.method!r}, {self.properties!r}, {self.body!r})"
