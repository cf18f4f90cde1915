"""Message properties by 0.15's names: ``message_type`` is the specification's ``type``."""

import calendar
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from amqp_codec import EncodeError, FieldTable
from amqp_codec import Properties as CodecProperties

_CODEC_NAMES: Final = CodecProperties.__match_args__
_codec_values: Final = attrgetter(*_CODEC_NAMES)
_OWN_SLOTS: tuple[str, ...] = ("_codec", "cluster_id", "headers")


def _codec_property(name: str) -> Any:
    """Make a property that stands for the one of that name on ``self._codec``."""

    def assign(self: Any, value: object) -> None:
        setattr(self._codec, name, value)

    return property(attrgetter(f"_codec.{name}"), assign)


class Properties:
    """Properties of a received message; one that is absent is None.

    Most of them are read from what the codec has decoded, since programs look at few of the
    fourteen, and copying all of them for every delivery takes longer.

    Attributes:
        timestamp: a datetime in UTC; the bare number of seconds where no datetime can hold it.
        cluster_id: obsolete; empty when absent, as in 0.15.
    """

    __slots__: tuple[str, ...] = _OWN_SLOTS

    content_type: str | None = _codec_property("content_type")
    content_encoding: str | None = _codec_property("content_encoding")
    delivery_mode: int | None = _codec_property("delivery_mode")
    priority: int | None = _codec_property("priority")
    correlation_id: str | None = _codec_property("correlation_id")
    reply_to: str | None = _codec_property("reply_to")
    expiration: str | None = _codec_property("expiration")
    message_id: str | None = _codec_property("message_id")
    timestamp: datetime | int | None = _codec_property("timestamp")
    message_type: str | None = _codec_property("type")
    user_id: str | None = _codec_property("user_id")
    app_id: str | None = _codec_property("app_id")

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
        self.headers: FieldTable | None = headers
        self.cluster_id: str | None = cluster_id

    def __reduce__(self) -> tuple[type["Properties"], tuple[object, ...]]:
        return type(self), tuple(getattr(self, name) for name in self.__slots__)

    @classmethod
    def from_codec(cls, codec: CodecProperties) -> "Properties":
        """Return the properties of a content header.

        Raises:
            amqp_codec.DecodeError: the headers cannot be decoded.
        """
        properties = cls.__new__(cls)
        properties._codec = codec
        properties.headers = codec.headers
        properties.cluster_id = codec.cluster_id or ""
        return properties

    def to_codec(self) -> CodecProperties:
        """Return a copy for a content header."""
        copy = CodecProperties(*_codec_values(self._codec))
        copy.headers = self.headers
        copy.cluster_id = self.cluster_id or None
        return copy


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
    if codec.delivery_mode not in (2, None, 1):  # RabbitMQ would close the channel
        raise EncodeError(
            f"must be 1 (transient) or 2 (persistent), not {codec.delivery_mode!r}",
            ("basic.properties", "delivery_mode"),
        )
    return codec


def _named(properties: Mapping[str, Any]) -> CodecProperties:
    try:
        named = dict(properties)
    except (TypeError, ValueError):
        kind = type(properties).__name__
        raise EncodeError(f"must be a dict of properties, not {kind}", ("properties",)) from None
    if "message_type" in named:
        named["type"] = named.pop("message_type")
    try:
        return CodecProperties(**named)
    except TypeError:
        known = {*Properties.__slots__, "type"}
        unknown = ", ".join(repr(name) for name in named if name not in known)
        raise EncodeError(
            f"there is no property {unknown}; there are {', '.join(Properties.__slots__)}",
            ("properties",),
        ) from None


def _to_codec_timestamp(timestamp: Any) -> Any:
    if isinstance(timestamp, datetime) and timestamp.utcoffset() is None:
        return timestamp.replace(tzinfo=UTC)  # 0.15 too takes a naive datetime for UTC
    if isinstance(timestamp, time.struct_time):
        return calendar.timegm(timestamp)
    return timestamp
