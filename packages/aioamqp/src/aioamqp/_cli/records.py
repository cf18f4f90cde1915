"""Messages as JSON records: what the commands print, and what they publish.

A record is an object with ``body`` (or ``body_base64`` where the body is not UTF-8),
``exchange``, ``routing_key`` and ``properties``. JSON has no types for some values of headers:
they are objects with one key, ``$base64``, ``$timestamp``, ``$decimal`` or ``$float``.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ..properties import Properties

FIELDS: Final = (
    "body",
    "body_base64",
    "exchange",
    "routing_key",
    "redelivered",
    "properties",
)


class InvalidRecord(ValueError):
    """A line is not the record of a message; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A message to publish.

    Attributes:
        body: its bytes.
        exchange: None if the record has none.
        routing_key: None if the record has none.
        properties: by the names of ``Properties``.
    """

    body: bytes
    exchange: str | None = None
    routing_key: str | None = None
    properties: Mapping[str, Any]


def dump(
    body: bytes, exchange: str, routing_key: str, redelivered: bool, properties: Properties
) -> str:
    """Return the record of a message that was received, on one line."""
    try:
        content = {"body": body.decode()}
    except UnicodeDecodeError:
        content = {"body_base64": base64.b64encode(body).decode()}
    present = {name: getattr(properties, name) for name in Properties.__slots__}
    record = {
        **content,
        "exchange": exchange,
        "routing_key": routing_key,
        "redelivered": redelivered,
        "properties": {
            name: _plain(value)
            for name, value in present.items()
            if value is not None and not (name == "cluster_id" and value == "")
        },
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def parse(line: bytes) -> Record:
    """Return the message of a record, as ``dump`` prints it.

    Raises:
        InvalidRecord: the line is not one.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InvalidRecord(f"it is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise InvalidRecord('it must be a JSON object, such as {"body": "hello"}')
    unknown = [name for name in record if name not in FIELDS]
    if unknown:
        raise InvalidRecord(f"it has the unknown field {unknown[0]!r}; there are {_list(FIELDS)}")
    properties = record.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidRecord("its properties must be a JSON object")
    return Record(
        body=_body(record),
        exchange=_text(record, "exchange"),
        routing_key=_text(record, "routing_key"),
        properties={name: _value(value) for name, value in properties.items()},
    )


def parse_value(text: str) -> Any:
    """Return the value of an option: JSON, or else the text itself."""
    try:
        return _value(json.loads(text))
    except ValueError:
        return text


def _body(record: Mapping[str, Any]) -> bytes:
    if ("body" in record) == ("body_base64" in record):
        raise InvalidRecord("it must have either a body or a body_base64")
    if "body" in record:
        if not isinstance(record["body"], str):
            raise InvalidRecord("its body must be a string")
        return _encoded(record["body"])
    return _from_base64(record["body_base64"])


def _text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRecord(f"its {name} must be a string")
    return value


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidRecord("its body is not Unicode: use body_base64") from None


def _from_base64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise InvalidRecord(f"its base64 is invalid: {error}") from None


def _plain(value: Any) -> Any:
    """Return a value of a property or a header as JSON can hold it."""
    if isinstance(value, bytes | bytearray):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$timestamp": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(float(value))}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


_TYPES: Final[Mapping[str, Any]] = {
    "$base64": _from_base64,
    "$timestamp": datetime.fromisoformat,
    "$decimal": Decimal,
    "$float": float,
}


def _value(value: Any) -> Any:
    """Return the value that ``_plain`` has written."""
    if isinstance(value, list):
        return [_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, written)] = value.items()
        if name in _TYPES:
            try:
                return _TYPES[name](written)
            except (InvalidOperation, TypeError, ValueError) as error:
                raise InvalidRecord(f"{name} cannot have the value {written!r}: {error}") from None
    return {name: _value(each) for name, each in value.items()}


def _list(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
