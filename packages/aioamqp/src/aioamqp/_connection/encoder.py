"""Encoding of what a connection sends, which checks it before its first byte is written."""

from typing import Final, TypeAlias

from amqp_codec import METHODS, ContentEncoder, EncodeError, Method, basic, encode_method

from ..exceptions import InvalidArgument, MessageTooLarge
from ..properties import check_finite
from .large_contents import LargeContent
from .server import Server

CACHED_PUBLISHES: Final = 1024
"""Encoders that are kept, one for each route of a channel; a few hundred bytes each."""

LARGE: Final = 128 * 1024
"""Bytes of a body above which it is not encoded at once."""

_TABLES: Final = {
    method: name
    for method in METHODS.values()
    for name, wire_type in method.FIELDS
    if wire_type == "table"
}
"""The field tables of methods, such as the arguments of queue.declare."""

_Route: TypeAlias = tuple[int, str, str, bool, bool]  # channel, arguments of basic.publish


class Encoder:
    """Encodes methods and messages within the limits of one connection.

    Args:
        frame_max: bytes that a frame may have, as negotiated; 0 for no limit.
        server: limits the body, unless the program does.
        max_message_size: bytes that a body may have; None for the limit of the server.

    Attributes:
        frame_max: see above; set again when it has been negotiated.
        server: see above; set again when it is known.
        most_at_once: bytes of a body that are encoded at once.
    """

    __slots__ = (
        "_frame_max",
        "_is_chosen",
        "_max_message_size",
        "_publishes",
        "_server",
        "most_at_once",
    )

    def __init__(self, frame_max: int, server: Server, max_message_size: int | None = None) -> None:
        self._frame_max = frame_max
        self._is_chosen = max_message_size is not None
        self._max_message_size = max_message_size or 0
        self.server = server
        self._publishes: dict[_Route, ContentEncoder] = {}

    @property
    def frame_max(self) -> int:
        """Bytes that a frame may have; 0 for no limit."""
        return self._frame_max

    @frame_max.setter
    def frame_max(self, frame_max: int) -> None:
        self._frame_max = frame_max
        self._publishes.clear()

    @property
    def server(self) -> Server:
        """The server that messages are encoded for."""
        return self._server

    @server.setter
    def server(self, server: Server) -> None:
        self._server = server
        if not self._is_chosen:
            self._max_message_size = server.max_message_size
        self.most_at_once: int = min(LARGE, self._max_message_size)

    def encode_method(self, channel: int, method: Method) -> bytes:
        """Encode a method that carries no content.

        Raises:
            InvalidArgument: an argument of it cannot be sent.
        """
        try:
            payload = method.encode()
            if type(method) in _TABLES:
                name = _TABLES[type(method)]
                check_finite(getattr(method, name), (method.NAME, name))
            return encode_method(channel, payload, self._frame_max)
        except EncodeError as error:
            raise InvalidArgument(error.reason, error.path) from None

    def encode_publish(
        self,
        channel: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        properties: bytes,
        body: bytes | bytearray | memoryview,
    ) -> bytes | LargeContent:
        """Encode a basic.publish with its content; the method only once for equal arguments.

        A large body is only checked, and encoded when it is written. If it is not bytes, which
        cannot change until then, it is copied.

        Args:
            channel: to publish on.
            exchange: of the basic.publish, as are the three that follow.
            routing_key: see there.
            mandatory: see there.
            immediate: see there.
            properties: encoded.
            body: of the message.

        Raises:
            InvalidArgument: an argument, a property or the body cannot be sent.
            MessageTooLarge: the body is larger than the program or the server allows.
        """
        route = (channel, exchange, routing_key, mandatory, immediate)
        try:
            try:
                encoder = self._publishes[route]
            except (KeyError, TypeError):  # new, or of a type that cannot be sent
                encoder = self._new_encoder(route)
            if type(body) is not bytes or len(body) > self.most_at_once:
                return self._encode_in_pieces(encoder, channel, properties, body)
            return encoder.encode(properties, body)
        except MessageTooLarge:
            raise
        except EncodeError as error:
            path = ("payload",) if error.path == ("body",) else error.path
            raise InvalidArgument(error.reason, path) from None

    def prepare(
        self, channel: int, exchange: str, routing_key: str, mandatory: bool
    ) -> ContentEncoder:
        """Return the encoder of the messages of one basic.publish.

        Raises:
            EncodeError: an argument cannot be sent.
        """
        return self._new_encoder((channel, exchange, routing_key, mandatory, False))

    def _encode_in_pieces(
        self,
        encoder: ContentEncoder,
        channel: int,
        properties: bytes,
        body: bytes | bytearray | memoryview,
    ) -> bytes | LargeContent:
        """Encode a basic.publish whose body may be large, or is not bytes."""
        try:
            size = memoryview(body).nbytes
        except TypeError:
            size = 0  # it is refused below
        if size > self._max_message_size:
            self._refuse(size)
        if size <= LARGE:
            return encoder.encode(properties, body)
        return LargeContent(channel, size, encoder.encode_in_pieces(properties, body))

    def _refuse(self, size: int) -> None:
        limit = self._max_message_size
        if self._is_chosen or not self._server.name:
            text = (
                f"has {size} bytes, more than max_message_size={limit}: send it in parts, or raise"
                " max_message_size in connect() if the server takes such messages"
            )
        else:
            text = (
                f"has {size} bytes, more than the {limit} that {self._server.name} takes by"
                " default: send it in parts, or pass max_message_size to connect() if that is"
                " higher in the server's configuration"
            )
        raise MessageTooLarge(text, ("payload",))

    def _new_encoder(self, route: _Route) -> ContentEncoder:
        channel, exchange, routing_key, mandatory, immediate = route
        for name, flag in (("mandatory", mandatory), ("immediate", immediate)):
            if flag not in (False, True, None):  # 0 and 1 are equal to these
                raise EncodeError(f"must be True or False, not {flag!r:.80}", (name,))
        method = basic.Publish(exchange, routing_key, mandatory, immediate).encode()
        if len(self._publishes) >= CACHED_PUBLISHES:
            self._publishes.clear()
        encoder = self._publishes[route] = ContentEncoder(channel, method, self._frame_max)
        return encoder
