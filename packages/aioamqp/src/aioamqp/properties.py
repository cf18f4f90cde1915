"""The properties of a message by 0.15's names: ``message_type`` is the specification's ``type``."""

import calendar
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from amqp_codec import FieldTable
from amqp_codec import Properties as WireProperties

from .exceptions import InvalidArgument


class Properties:
    """Properties of a message that came; one that is absent is None.

    Attributes:
        timestamp: a datetime in UTC; the bare number of seconds where no datetime can hold it.
        cluster_id: obsolete; empty when absent, as in 0.15.
    """

    __slots__ = (  # noqa: RUF023 - the order of the wire, as in 0.15
        "content_type",
        "content_encoding",
        "headers",
        "delivery_mode",
        "priority",
        "correlation_id",
        "reply_to",
        "expiration",
        "message_id",
        "timestamp",
        "message_type",
        "user_id",
        "app_id",
        "cluster_id",
    )

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
        self.content_type: str | None = content_type
        self.content_encoding: str | None = content_encoding
        self.headers: FieldTable | None = headers
        self.delivery_mode: int | None = delivery_mode
        self.priority: int | None = priority
        self.correlation_id: str | None = correlation_id
        self.reply_to: str | None = reply_to
        self.expiration: str | None = expiration
        self.message_id: str | None = message_id
        self.timestamp: datetime | int | None = timestamp
        self.message_type: str | None = message_type
        self.user_id: str | None = user_id
        self.app_id: str | None = app_id
        self.cluster_id: str | None = cluster_id

    @classmethod
    def from_codec(cls, wire: WireProperties) -> "Properties":
        """Take them from a content header.

        Raises:
            amqp_codec.DecodeError: the headers cannot be decoded.
        """
        return cls(
            wire.content_type,
            wire.content_encoding,
            wire.headers,
            wire.delivery_mode,
            wire.priority,
            wire.correlation_id,
            wire.reply_to,
            wire.expiration,
            wire.message_id,
            wire.timestamp,
            wire.type,
            wire.user_id,
            wire.app_id,
            wire.cluster_id or "",
        )


def from_pamqp(instance: Any) -> Properties:
    """Take them from anything that has them by these names, as in 0.15.

    A timestamp without a time zone is taken for UTC.
    """
    found = Properties(*(getattr(instance, name) for name in Properties.__slots__))
    if isinstance(found.timestamp, datetime) and found.timestamp.utcoffset() is None:
        found.timestamp = found.timestamp.replace(tzinfo=UTC)
    return found


def to_codec(properties: Mapping[str, Any] | Properties | None) -> WireProperties | None:
    """Turn what a caller gives with a message into what the codec encodes.

    Args:
        properties: a mapping by the names of ``Properties`` (``type`` is understood too), or
            properties that came with another message.

    Raises:
        InvalidArgument: there is no property of a name, or no such delivery mode.
    """
    if not properties:
        return None
    if isinstance(properties, Properties):
        named = {name: getattr(properties, name) for name in Properties.__slots__}
        named["cluster_id"] = properties.cluster_id or None
    else:
        try:
            named = dict(properties)
        except (TypeError, ValueError):
            kind = type(properties).__name__
            raise InvalidArgument(
                f"must be a dict of properties, not {kind}", ("properties",)
            ) from None
    if "message_type" in named:
        named["type"] = named.pop("message_type")
    timestamp = named.get("timestamp")
    if timestamp is not None:
        named["timestamp"] = _to_wire_time(timestamp)
    try:
        wire = WireProperties(**named)
    except TypeError:
        known = {*Properties.__slots__, "type"}
        unknown = ", ".join(repr(name) for name in named if name not in known)
        raise InvalidArgument(
            f"there is no property {unknown}; there are {', '.join(Properties.__slots__)}",
            ("properties",),
        ) from None
    if wire.delivery_mode not in (2, None, 1):  # over which RabbitMQ would close the channel
        raise InvalidArgument(
            f"must be 1 (transient) or 2 (persistent), not {wire.delivery_mode!r}",
            ("basic.properties", "delivery_mode"),
        )
    return wire


def _to_wire_time(timestamp: object) -> object:
    # A datetime without a time zone is taken for UTC, as it always was in this library.
    if isinstance(timestamp, datetime) and timestamp.utcoffset() is None:
        return timestamp.replace(tzinfo=UTC)
    if isinstance(timestamp, time.struct_time):
        return calendar.timegm(timestamp)
    return timestamp
