"""From the specification's names to Python's: the one place where that is decided."""

import keyword

INHERITED = {"encode", "decode", "refusal"}
OWN_LOCALS = {"self", "cls", "data", "offset", "end", "start", "size", "bits", "error"}


def class_name(name: str) -> str:
    """Name the Python class of a method: ``get-ok`` becomes ``GetOk``."""
    return "".join(part.capitalize() for part in name.split("-"))


def attribute_name(name: str) -> str:
    """Name a field, module or argument: ``no-wait`` becomes ``no_wait``, ``global`` ``global_``."""
    snake = name.replace("-", "_")
    return f"{snake}_" if keyword.iskeyword(snake) or snake in INHERITED else snake


def property_name(name: str) -> str:
    """Name a content property.

    The last one, which 0-9-1 calls reserved, is cluster-id in 0-8, in RabbitMQ and in every client.
    """
    return "cluster_id" if name == "reserved" else attribute_name(name)


def local_name(attribute: str) -> str:
    """Name the variable that holds a field in generated code, which has variables of its own."""
    taken = attribute in OWN_LOCALS or attribute.startswith("bits_")
    return f"{attribute}_" if taken else attribute


def constant_name(name: str) -> str:
    """Name a constant: ``frame-end`` becomes ``FRAME_END``."""
    return name.replace("-", "_").upper()
