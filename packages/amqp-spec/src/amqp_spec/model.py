"""The specification as plain data, overlays merged and domains resolved.

    Spec > Constant
         > Domain
         > Class > Field (content properties)
                 > Method > Field (arguments)

Everything is frozen and keeps the order of the XML, which is the order in which fields are encoded.
Names are those of the specification (``get-ok``, ``no-wait``); a code generator turns them into
names of its language.
"""

from dataclasses import dataclass

from .errors import Source

PRIMITIVE_TYPES = frozenset(
    {"bit", "octet", "short", "long", "longlong", "shortstr", "longstr", "timestamp", "table"}
)
"""The types in which fields are encoded. Spec: 4.2.1"""


@dataclass(frozen=True, slots=True)
class Constant:
    """A named number.

    Args:
        name: such as ``frame-end`` or ``not-found``.
        value: 0 to 4294967295.
        kind: ``soft-error`` for reply codes that end a channel, ``hard-error`` for those that end
            the connection, None for every other constant.
        label: a short noun phrase.
        doc: what matters in practice, one paragraph.
        source: where it is defined.
    """

    name: str
    value: int
    kind: str | None
    label: str
    doc: str
    source: Source


@dataclass(frozen=True, slots=True)
class Domain:
    """A meaning given to a primitive type, shared by several fields.

    Args:
        name: such as ``queue-name``; the primitive types are domains of their own name.
        type: one of PRIMITIVE_TYPES.
        label: a short noun phrase.
        doc: what matters in practice, one paragraph.
        source: where it is defined.
    """

    name: str
    type: str
    label: str
    doc: str
    source: Source


@dataclass(frozen=True, slots=True)
class Field:
    """An argument of a method, or a property of a content.

    Args:
        name: unique within its method or class.
        domain: the name of its domain, or of its primitive type.
        type: the primitive type behind the domain.
        reserved: whether it has no meaning: sent as zero or empty, and ignored when received.
        label: a short noun phrase; the domain's where the field has none.
        doc: what matters in practice, one paragraph; the domain's where the field has none.
        source: where it is defined.
    """

    name: str
    domain: str
    type: str
    reserved: bool
    label: str
    doc: str
    source: Source


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a class.

    Args:
        name: unique within its class.
        index: method id, 1 to 65535, unique within its class.
        class_name: name of the class that it belongs to.
        class_index: class id.
        synchronous: whether it is a request that is answered, or such an answer.
        content: whether a content header and a body follow it.
        responses: names of the methods of the same class that can answer it; the sender gets one.
        receivers: ``client``, ``server`` or both: who must be able to receive it.
        fields: the arguments in the order in which they are encoded, including reserved ones.
        label: an imperative phrase.
        doc: what matters in practice, one paragraph.
        source: where it is defined; for a method that an overlay replaces, in the overlay.
    """

    name: str
    index: int
    class_name: str
    class_index: int
    synchronous: bool
    content: bool
    responses: tuple[str, ...]
    receivers: tuple[str, ...]
    fields: tuple[Field, ...]
    label: str
    doc: str
    source: Source


@dataclass(frozen=True, slots=True)
class Class:
    """A group of methods on one subject.

    Args:
        name: such as ``basic``.
        index: class id, 1 to 65535.
        fields: the content properties, starting with the one that has the highest flag.
        methods: in the order of the XML; those added by overlays come last.
        label: a short noun phrase.
        doc: what matters in practice, one paragraph.
        source: where it is first defined.
    """

    name: str
    index: int
    fields: tuple[Field, ...]
    methods: tuple[Method, ...]
    label: str
    doc: str
    source: Source


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole protocol.

    Args:
        major: protocol version, as are minor and revision: 0, 9, 1.
        minor: see major.
        revision: see major.
        port: the TCP port a server listens on by default.
        constants: frame types, sizes and reply codes.
        domains: the domains that fields refer to.
        classes: with their methods.
    """

    major: int
    minor: int
    revision: int
    port: int
    constants: tuple[Constant, ...]
    domains: tuple[Domain, ...]
    classes: tuple[Class, ...]
