"""The Python names for the names of the specification."""

import keyword

INHERITED = {"encode", "decode", "refusal"}
OWN_LOCALS = {"self", "cls", "data", "offset", "end", "start", "size", "bits", "error"}


def class_name(name: str) -> str:
    """Return the name of a method's class: ``get-ok`` becomes ``GetOk``."""
    return "".join(part.capitalize() for part in name.split("-"))


def attribute_name(name: str) -> str:
    """Return the name of a field or module: ``no-wait`` is ``no_wait``, ``global`` ``global_``."""
    snake = name.replace("-", "_")
    return f"{snake}_" if keyword.iskeyword(snake) or snake in INHERITED else snake


def property_name(name: str) -> str:
    """Return the name of a content property.

    The last one is "reserved" in 0-9-1, but cluster-id in 0-8, in RabbitMQ and in every client.
    """
    return "cluster_id" if name == "reserved" else attribute_name(name)


def local_name(attribute: str) -> str:
    """Return the name of a field's variable, which must not be one that generated code uses."""
    taken = attribute in OWN_LOCALS or attribute.startswith("bits_")
    return f"{attribute}_" if taken else attribute


def constant_name(name: str) -> str:
    """Return the name of a constant: ``frame-end`` becomes ``FRAME_END``."""
    return name.replace("-", "_").upper()
