"""Headers that the broker edits; all others are relayed octet for octet."""

from amqp_codec import FieldTable, FieldValue, Properties


def with_headers(properties: Properties, headers: FieldTable) -> Properties:
    """Return properties with other headers. RabbitMQ: a table that it edits has its keys sorted."""
    copy = Properties(**{name: getattr(properties, name) for name, _ in Properties.FIELDS})
    copy.headers = sorted_table(headers)
    return copy


def with_header(properties: Properties, name: str, value: FieldValue) -> Properties:
    """Return properties with one more header."""
    return with_headers(properties, {**(properties.headers or {}), name: value})


def sorted_table(table: FieldTable) -> dict[str, FieldValue]:
    """Return a table in the order of its keys' octets."""
    keys = sorted(table, key=lambda key: key.encode("utf-8", "surrogateescape"))
    return {key: table[key] for key in keys}


def further_keys(headers: FieldTable) -> list[str]:
    """Return the routing keys that headers name beside that of the publish: CC and BCC."""
    keys: list[str] = []
    for name in ("CC", "BCC"):
        value = headers.get(name)
        if isinstance(value, list | tuple):
            keys += [key for key in value if isinstance(key, str)]
    return keys
