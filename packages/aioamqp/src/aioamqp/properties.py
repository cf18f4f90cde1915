"""Message properties by 0.15's names: ``message_type`` is the specification's ``type``."""

import calendar
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import isfinite
from operator import attrgetter
from typing import Any, Final, cast

from amqp_codec import DecodeError, EncodeError, FieldTable
from amqp_codec import Properties as CodecProperties
from amqp_codec import encode_properties as codec_encode_properties

from ._delegating import delegated
from ._loggers import channel_logger

_CODEC_NAMES: Final = CodecProperties.__match_args__
_codec_values: Final = attrgetter(*_CODEC_NAMES)
_OWN_SLOTS: tuple[str, ...] = ("_absent_cluster_id", "_codec", "_headers", "_headers_error")
NO_PROPERTIES: Final = CodecProperties().encode()
_HEADERS: Final = ("basic.properties", "headers")
_NO_FLOATS: Final = frozenset({str, int, bool, bytes, datetime, type(None)})
"""Types of most headers."""

_TABLE_SIZE: Final = 4  # bytes of the length in front of a field table. Spec: 4.2.5.5


class Properties:
    """Properties of a message; one that is absent is None. Spec: class basic.

    Properties are equal if they are published as the same; they can be copied and pickled.

    Attributes:
        content_type: MIME type of the body, such as ``application/json``.
        content_encoding: such as ``gzip``; neither side compresses the body by it.
        headers: a dict of your own values, which headers exchanges route by; None if absent, and
            if they cannot be decoded: see ``headers_error``.
        delivery_mode: 1 or 2, see ``DeliveryMode``: a persistent message in a durable queue
            survives a restart of the server.
        priority: 0 to 255, higher first, in a queue with ``x-max-priority``.
        correlation_id: of the request that the message answers.
        reply_to: the queue for answers.
        expiration: milliseconds as a str, after which the message leaves a queue; "0" expires it
            unless it can be delivered at once. In messages to publish also a timedelta.
        message_id: chosen by the publisher.
        timestamp: a datetime in UTC, whole seconds; the bare number of seconds since 1970 where no
            datetime can hold it.
        message_type: such as ``order.created``; ``type`` in the specification.
        user_id: the publisher's login. RabbitMQ: closes the channel if it is another one.
        app_id: the program that published.
        cluster_id: obsolete; empty when absent in received messages, as in 0.15.
    """

    # They are read from what the codec has decoded, since programs look at few of the fourteen, and
    # copying all of them for every delivery takes longer.

    __slots__: tuple[str, ...] = _OWN_SLOTS
    _headers_error: DecodeError | None

    content_type: str | None = delegated("_codec", "content_type")
    content_encoding: str | None = delegated("_codec", "content_encoding")
    delivery_mode: int | None = delegated("_codec", "delivery_mode")
    priority: int | None = delegated("_codec", "priority")
    correlation_id: str | None = delegated("_codec", "correlation_id")
    reply_to: str | None = delegated("_codec", "reply_to")
    expiration: str | None = delegated("_codec", "expiration")
    message_id: str | None = delegated("_codec", "message_id")
    timestamp: datetime | int | None = delegated("_codec", "timestamp")
    message_type: str | None = delegated("_codec", "type")
    user_id: str | None = delegated("_codec", "user_id")
    app_id: str | None = delegated("_codec", "app_id")

    def __init__(
        self,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: FieldTable | None = None,
        delivery_mode: int | None = None,
        priority: int | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        timestamp: datetime | int | None = None,
        message_type: str | None = None,
        user_id: str | None = None,
        app_id: str | None = None,
        cluster_id: str | None = None,
    ) -> None:
        self._codec = CodecProperties(
            content_type,
            content_encoding,
            None,
            delivery_mode,
            priority,
            correlation_id,
            reply_to,
            expiration,
            message_id,
            timestamp,
            message_type,
            user_id,
            app_id,
        )
        self._headers: Any = headers
        self._absent_cluster_id: str | None = None
        self._codec.cluster_id = cluster_id

    @property
    def headers(self) -> FieldTable | None:
        """A dict of your own values; see above."""
        self._read_headers()
        headers: FieldTable | None = self._headers
        return headers

    @headers.setter
    def headers(self, headers: FieldTable | None) -> None:
        self._read_headers()  # their error is kept
        self._headers = headers

    def _read_headers(self) -> None:
        if hasattr(self, "_headers"):
            return
        try:
            self._headers = self._codec.headers
        except DecodeError as error:
            self._headers = None
            self._headers_error = error.with_traceback(None)
            channel_logger.warning(
                "The headers of a message cannot be decoded (%s): it is passed on without them,"
                " properties.raw_headers has their bytes",
                error,
            )

    @property
    def cluster_id(self) -> str | None:
        """Obsolete; see above."""
        cluster_id: str | None = self._codec.cluster_id
        return getattr(self, "_absent_cluster_id", "") if cluster_id is None else cluster_id

    @cluster_id.setter
    def cluster_id(self, cluster_id: str | None) -> None:
        self._codec.cluster_id = cluster_id

    @property
    def headers_error(self) -> DecodeError | None:
        """The error of the headers of a received message that cannot be decoded; else None."""
        self._read_headers()
        return getattr(self, "_headers_error", None)

    @property
    def raw_headers(self) -> bytes | None:
        """The bytes of the headers that cannot be decoded, with their length; else None.

        They are published again as they are, unless ``headers`` is set.
        """
        if self.headers_error is None:
            return None
        before = CodecProperties(self._codec.content_type, self._codec.content_encoding)
        table = self._codec.encode()[len(before.encode()) :]
        return table[: _TABLE_SIZE + int.from_bytes(table[:_TABLE_SIZE], "big")]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Properties) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values() and self.raw_headers == other.raw_headers

    def __hash__(self) -> int:
        return hash((self.message_id, self.correlation_id))  # headers have no hash

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._values().items() if value is not None]
        if self.headers_error is not None:
            shown.append(f"headers_error={self.headers_error!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.headers_error is None:
            return type(self), tuple(getattr(self, name) for name in self.__slots__)
        return _restore_unreadable, (
            type(self), self._codec.encode(), self.headers, self.cluster_id
        )  # fmt: skip

    def _values(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        values["cluster_id"] = self.cluster_id or None
        return values

    @classmethod
    def from_codec(cls, codec: CodecProperties) -> "Properties":
        """Return the properties of a content header."""
        properties = cls.__new__(cls)
        properties._codec = codec
        return properties

    def to_codec(self) -> CodecProperties:
        """Return a copy for a content header."""
        if self.headers_error is not None:
            data = self._codec.encode()
            copy = CodecProperties.decode(data, 0, len(data))
            if self.headers is not None:
                _check_headers(self.headers)
                copy.headers = self.headers
        else:
            _check_headers(self.headers)
            copy = CodecProperties(*_codec_values(self._codec))
            copy.headers = self.headers
        copy.cluster_id = self.cluster_id or None
        return copy


def _restore_unreadable(
    cls: type[Properties], data: bytes, headers: FieldTable | None, cluster_id: str | None
) -> Properties:
    properties = cls.from_codec(CodecProperties.decode(data, 0, len(data)))
    properties.headers = headers
    properties.cluster_id = cluster_id
    return properties


# As in 0.15, for programs that read the names of all properties here.
Properties.__slots__ = tuple("message_type" if n == "type" else n for n in _CODEC_NAMES)


def from_pamqp(instance: Any) -> Properties:
    """Return the properties of an object that has them by these names, as in 0.15.

    A timestamp without a time zone is in UTC.
    """
    found = Properties(*(getattr(instance, name) for name in Properties.__slots__))
    if isinstance(found.timestamp, datetime) and found.timestamp.utcoffset() is None:
        found.timestamp = found.timestamp.replace(tzinfo=UTC)
    return found


def encode_properties(properties: Mapping[str, Any] | Properties | None) -> bytes:
    """Encode the properties that a program publishes.

    Args:
        properties: as for ``to_codec``.

    Raises:
        EncodeError: a property is unknown, or cannot be encoded.
    """
    if not properties:
        return NO_PROPERTIES
    # The common case; what needs to be converted or refused takes the longer way.
    if type(properties) is dict and properties.get("delivery_mode", 1) in (1, 2):
        encoded = codec_encode_properties(properties)
        if encoded is not None:
            if "headers" in properties and (headers := properties["headers"]):
                for value in headers.values():
                    if type(value) not in _NO_FLOATS:
                        check_finite(headers, _HEADERS)
                        break
            return encoded
    codec = to_codec(properties)
    if codec is None:
        return NO_PROPERTIES
    encoded = codec.encode()
    if b"d\x7f" in encoded or b"d\xff" in encoded:  # or else there is no such number
        with suppress(DecodeError):  # of a message that was received, and not from RabbitMQ
            check_finite(codec.headers, _HEADERS)
    return encoded


def check_finite(value: object, path: tuple[str, ...]) -> None:
    """Check that a field value contains neither an infinite number nor NaN.

    RabbitMQ: Erlang has no such numbers, and the server closes the connection.

    Args:
        value: that can be encoded.
        path: names it in the error.

    Raises:
        EncodeError: it is such a number, or contains one.
    """
    if isinstance(value, float):
        if not isfinite(value):
            reason = f"must be a finite number, not {float(value)!r}: RabbitMQ has no others"
            raise EncodeError(f"{reason}. Send it as a string, or leave it out", path)
    elif isinstance(value, Mapping):
        for name, each in cast("Mapping[object, object]", value).items():
            if type(each) not in _NO_FLOATS:
                check_finite(each, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(cast("Sequence[object]", value)):
            if type(each) not in _NO_FLOATS:
                check_finite(each, (*path, f"[{index}]"))


def to_codec(properties: Mapping[str, Any] | Properties | None) -> CodecProperties | None:
    """Convert the properties that a program publishes to those that the codec encodes.

    Args:
        properties: a mapping by the names of ``Properties``, with ``type`` for ``message_type``
            too, or the properties of a received message.

    Raises:
        EncodeError: a property is unknown, or the delivery mode is.
    """
    if not properties:
        return None
    codec = properties.to_codec() if isinstance(properties, Properties) else _named(properties)
    if codec.timestamp is not None:
        codec.timestamp = _to_codec_timestamp(codec.timestamp)
    if codec.expiration is not None:
        codec.expiration = _to_codec_expiration(codec.expiration)
    priority = codec.priority
    if isinstance(priority, int) and (priority < 0 or isinstance(priority, bool)):
        raise EncodeError(f"must be 0 to 255, not {priority}", ("basic.properties", "priority"))
    # RabbitMQ would close the channel.
    if codec.delivery_mode not in (2, None, 1) or codec.delivery_mode is True:
        raise EncodeError(
            f"must be 1 (transient) or 2 (persistent), not {codec.delivery_mode!r}",
            ("basic.properties", "delivery_mode"),
        )
    return codec


def by_name(properties: Mapping[str, Any] | Properties | None) -> dict[str, Any]:
    """Return properties by the names of the codec; ``type``, where there is ``message_type``."""
    if isinstance(properties, Properties):
        values = {name: getattr(properties, name) for name in Properties.__slots__}
        values["cluster_id"] = values["cluster_id"] or None  # empty if absent
        named = {name: value for name, value in values.items() if value is not None}
    else:
        named = dict(properties or {})
    if "message_type" in named:
        named["type"] = named.pop("message_type")
    return named


def _named(properties: Mapping[str, Any]) -> CodecProperties:
    try:
        named = dict(properties)
    except (TypeError, ValueError):
        kind = type(properties).__name__
        raise EncodeError(f"must be a dict of properties, not {kind}", ("properties",)) from None
    if "message_type" in named:
        named["type"] = named.pop("message_type")
    _check_headers(named.get("headers"))
    try:
        return CodecProperties(**named)
    except TypeError:
        known = {*Properties.__slots__, "type"}
        unknown = ", ".join(repr(name) for name in named if name not in known)
        raise EncodeError(
            f"there is no property {unknown}; there are {', '.join(Properties.__slots__)}",
            ("properties",),
        ) from None


def _check_headers(headers: object) -> None:
    if headers is not None and not isinstance(
        headers, Mapping
    ):  # the codec takes bytes as they are
        raise EncodeError(f"must be a dict, not {type(headers).__name__}", _HEADERS)


def _to_codec_expiration(expiration: Any) -> str:
    if isinstance(expiration, str):
        return expiration
    if not isinstance(expiration, timedelta):
        # Not a bare number either: other clients take it for seconds, the server for milliseconds.
        raise EncodeError(
            f"must be a timedelta or a str of milliseconds, not {type(expiration).__name__}:"
            " timedelta(minutes=1) or '60000'",
            ("basic.properties", "expiration"),
        )
    if expiration < timedelta(0):
        raise EncodeError(f"must not be negative: {expiration}", ("basic.properties", "expiration"))
    return str(-(-expiration // timedelta(milliseconds=1)))  # rounded up: "0" expires at once


def _to_codec_timestamp(timestamp: Any) -> Any:
    if isinstance(timestamp, bool):
        raise EncodeError(f"must be a time, not {timestamp}", ("basic.properties", "timestamp"))
    if isinstance(timestamp, datetime) and timestamp.utcoffset() is None:
        return timestamp.replace(tzinfo=UTC)  # 0.15 too takes a naive datetime for UTC
    if isinstance(timestamp, time.struct_time):
        return calendar.timegm(timestamp)
    return timestamp
