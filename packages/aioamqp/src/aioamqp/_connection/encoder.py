"""Encoding of what a connection sends, which checks it before its first byte is written."""

from typing import Final

from amqp_codec import EncodeError, Method, Properties, basic, encode_content, encode_method

from ..exceptions import InvalidArgument, MessageTooLarge

CACHED_PUBLISHES: Final = 1024
"""Encoded basic.publish methods that are kept, of a few hundred bytes each."""


class Encoder:
    """Encodes methods and messages within the limits of one connection.

    Args:
        frame_max: bytes that a frame may have, as negotiated; 0 for no limit.
        max_message_size: bytes that a body may have.

    Attributes:
        frame_max: see above; set again when it has been negotiated.
    """

    __slots__ = ("_max_message_size", "_publishes", "frame_max")

    def __init__(self, frame_max: int, max_message_size: int) -> None:
        self.frame_max: int = frame_max
        self._max_message_size = max_message_size
        self._publishes: dict[tuple[str, str, bool, bool], bytes] = {}

    def encode_method(self, channel: int, method: Method) -> bytes:
        """Encode a method that carries no content.

        Raises:
            InvalidArgument: an argument of it cannot be sent.
        """
        try:
            return encode_method(channel, method.encode(), self.frame_max)
        except EncodeError as error:
            raise InvalidArgument(error.reason, error.path) from None

    def encode_publish(
        self,
        channel: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        properties: Properties | None,
        body: bytes | bytearray | memoryview,
    ) -> bytes:
        """Encode a basic.publish with its content; the method only once for equal arguments.

        Raises:
            InvalidArgument: an argument, a property or the body cannot be sent.
            MessageTooLarge: the body is larger than ``max_message_size``.
        """
        arguments = (exchange, routing_key, mandatory, immediate)
        try:
            method = self._encode_publish_method(arguments)
            data = encode_content(channel, method, properties, body, self.frame_max)
        except EncodeError as error:
            path = ("payload",) if error.path == ("body",) else error.path
            raise InvalidArgument(error.reason, path) from None
        if len(data) > self._max_message_size:
            self._check_size(body)
        return data

    def _check_size(self, body: bytes | bytearray | memoryview) -> None:
        size = memoryview(body).nbytes
        if size > self._max_message_size:
            raise MessageTooLarge(
                f"has {size} bytes, more than max_message_size={self._max_message_size}: send it"
                " in parts, or raise max_message_size in connect() if the server takes such"
                " messages",
                ("payload",),
            )

    def _encode_publish_method(self, arguments: tuple[str, str, bool, bool]) -> bytes:
        try:
            return self._publishes[arguments]
        except (KeyError, TypeError):  # new, or of a type that encode() refuses
            for name, flag in (("mandatory", arguments[2]), ("immediate", arguments[3])):
                if flag not in (False, True, None):  # 0 and 1 are equal to these
                    text = f"must be True or False, not {flag!r:.80}"
                    raise EncodeError(text, (name,)) from None
            method = basic.Publish(*arguments).encode()
        if len(self._publishes) >= CACHED_PUBLISHES:
            self._publishes.clear()
        self._publishes[arguments] = method
        return method
