"""Headers that the broker reads or edits; all others are passed on byte for byte."""

from typing import Any

from amqp_codec import FieldTable, FieldValue, LongStr, Properties


def edited(properties: Properties, **changes: Any) -> Properties:
    """Return a copy of properties with changes, or the properties themselves without any.

    The copy has the class of the properties, which may encode headers in its own way.
    """
    if not changes:
        return properties
    current = {name: getattr(properties, name) for name, _ in Properties.FIELDS}
    return type(properties)(**(current | changes))


def with_headers(properties: Properties, headers: FieldTable) -> Properties:
    """Return properties with other headers. RabbitMQ: if it adds some, it sorts all by key."""
    return edited(properties, headers=sorted_table(headers))


def with_header(properties: Properties, name: str, value: FieldValue) -> Properties:
    """Return properties with one more header."""
    return with_headers(properties, {**(properties.headers or {}), name: value})


def sorted_table(table: FieldTable) -> dict[str, FieldValue]:
    """Return a table sorted by the bytes of its keys."""
    keys = sorted(table, key=lambda key: key.encode("utf-8", "surrogateescape"))
    return {key: table[key] for key in keys}


def is_sorted(table: FieldTable) -> bool:
    """Return whether a table is sorted by the bytes of its keys."""
    keys = [key.encode("utf-8", "surrogateescape") for key in table]
    return keys == sorted(keys)


def further_keys(headers: FieldTable) -> list[str]:
    """Return the routing keys in the headers CC and BCC. RabbitMQ: it ignores other types."""
    keys: list[str] = []
    for name in ("CC", "BCC"):
        value = headers.get(name)
        if isinstance(value, list | tuple):
            keys += [_text(key) for key in value if isinstance(key, str | LongStr)]
    return keys


def _text(key: str | LongStr) -> str:
    return key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")
