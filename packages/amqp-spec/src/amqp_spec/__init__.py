"""The AMQP 0-9-1 protocol and RabbitMQ's extensions as XML, with a loader."""

from .errors import Source, SpecError
from .load import load, sources
from .model import PRIMITIVE_TYPES, Class, Constant, Domain, Field, Method, Spec
from .version import __version__

__all__ = [
    "PRIMITIVE_TYPES",
    "Class",
    "Constant",
    "Domain",
    "Field",
    "Method",
    "Source",
    "Spec",
    "SpecError",
    "__version__",
    "load",
    "sources",
]
