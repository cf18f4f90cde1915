"""Loader of a Spec: merges the XML files, then checks everything and resolves the domains.

A later file adds to the earlier ones. Where both define the same name, the later file replaces:

- a constant, a domain, a method: all of it, at its old place in the order;
- the content properties of a class: all of them, if the later file has any;
- a class: only its label and doc, and only if the later file has them. Its index is fixed.

So an overlay can define a reserved bit, or add a receiver to a method. A name that is repeated
within one file is refused.
"""

from collections.abc import Iterable
from pathlib import Path

from .document import Element, read_document
from .model import PRIMITIVE_TYPES, Class, Constant, Domain, Field, Method, Spec

BASE = "amqp0-9-1.xml"
ERROR_KINDS = ("soft-error", "hard-error")
PEERS = ("client", "server")
OCTET, SHORT, LONG = 0xFF, 0xFFFF, 0xFFFFFFFF


def sources(path: Path | None = None) -> tuple[Path, ...]:
    """List the files that load() reads, in the order in which they are merged.

    Args:
        path: a folder, whose files are merged; a file, which is read alone; or None for the files
            of this package.
    """
    path = Path(__file__).parent if path is None else path
    if path.is_file():
        return (path,)
    base = path / BASE
    return (base, *sorted(other for other in path.glob("*.xml") if other != base))


def load(path: Path | None = None) -> Spec:
    """Read the XML of a protocol.

    Args:
        path: a folder, whose file ``amqp0-9-1.xml`` is read and every other XML file is merged
            over it, in name order; a file, such as the published one, which is read alone; or None
            for the files of this package.

    Raises:
        SpecError: a file is missing, or something in it is unknown, repeated, out of range or
            contradictory.
    """
    documents = [read_document(source) for source in sources(path)]
    return _Merged(documents).resolve()


class _Merged:
    """The elements of all files, after later files have replaced parts of earlier ones."""

    def __init__(self, documents: list[Element]) -> None:
        self.root = documents[0]
        self.constants: dict[str, Element] = {}
        self.domains: dict[str, Element] = {}
        self.classes: dict[str, _MergedClass] = {}
        for document in documents:
            self.add(document)

    def add(self, document: Element) -> None:
        for attribute in ("major", "minor", "revision", "port"):
            ours, theirs = (d.attributes.get(attribute) for d in (self.root, document))
            if theirs is not None and theirs != ours:
                document.fail(
                    f'{attribute}="{theirs}" must be "{ours}", as in {self.root.source.path.name}'
                )
        self.constants |= document.unique("constant")
        self.domains |= document.unique("domain")
        for name, element in document.unique("class").items():
            if name not in self.classes:
                self.classes[name] = _MergedClass(element)
            self.classes[name].add(element)

    def resolve(self) -> Spec:
        domains = {name: _domain(element) for name, element in self.domains.items()}
        indexes: dict[int, Class] = {}
        for merged in self.classes.values():
            cls = merged.resolve(domains)
            if (other := indexes.setdefault(cls.index, cls)) is not cls:
                merged.element.fail(
                    f'index="{cls.index}" is taken by class "{other.name}" ({other.source})'
                )
        return Spec(
            major=self.root.integer("major", 0, OCTET),
            minor=self.root.integer("minor", 0, OCTET),
            revision=self.root.integer("revision", 0, OCTET),
            port=self.root.integer("port", 1, SHORT),
            constants=tuple(_constant(element) for element in self.constants.values()),
            domains=tuple(domains.values()),
            classes=tuple(indexes.values()),
        )


class _MergedClass:
    """A class, as defined by the first file and extended by later ones."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.index = element.integer("index", 1, SHORT)
        self.label = self.doc = ""
        self.fields: list[Element] = []
        self.methods: dict[str, Element] = {}

    def add(self, element: Element) -> None:
        if "index" in element.attributes and element.integer("index", 1, SHORT) != self.index:
            element.fail(
                f'class "{element.name}" must keep the index {self.index} that it has in '
                f"{self.element.source}"
            )
        self.label = element.label or self.label
        self.doc = element.doc or self.doc
        self.fields = list(element.unique("field").values()) or self.fields
        self.methods |= element.unique("method")

    def resolve(self, domains: dict[str, Domain]) -> Class:
        indexes: dict[int, Method] = {}
        for element in self.methods.values():
            method = self.method(element, domains)
            if (other := indexes.setdefault(method.index, method)) is not method:
                element.fail(
                    f'index="{method.index}" is taken by method "{other.name}" ({other.source})'
                )
        return Class(
            name=self.element.name,
            index=self.index,
            fields=tuple(_field(element, domains) for element in self.fields),
            methods=tuple(indexes.values()),
            label=self.label,
            doc=self.doc,
            source=self.element.source,
        )

    def method(self, element: Element, domains: dict[str, Domain]) -> Method:
        responses = element.unique("response")
        for name, response in responses.items():
            if name not in self.methods:
                response.fail(f'class "{self.element.name}" has no method "{name}" to respond with')
        receivers = element.unique("chassis")
        for name, chassis in receivers.items():
            _one_of(chassis, "name", name, PEERS)
        if not receivers:
            element.fail(f'method "{element.name}" needs a chassis, which names the receiver')
        return Method(
            name=element.name,
            index=element.integer("index", 1, SHORT),
            class_name=self.element.name,
            class_index=self.index,
            synchronous=element.flag("synchronous"),
            content=element.flag("content"),
            responses=tuple(responses),
            receivers=tuple(receivers),
            fields=tuple(_field(f, domains) for f in element.unique("field").values()),
            label=element.label,
            doc=element.doc,
            source=element.source,
        )


def _constant(element: Element) -> Constant:
    kind = element.attributes.get("class")
    if kind is not None:
        _one_of(element, "class", kind, ERROR_KINDS)
    return Constant(
        name=element.name,
        value=element.integer("value", 0, LONG),
        kind=kind,
        label=element.label,
        doc=element.doc,
        source=element.source,
    )


def _domain(element: Element) -> Domain:
    type_ = _primitive_type(element)
    if element.name in PRIMITIVE_TYPES and element.name != type_:
        element.fail(f'domain "{element.name}" must have the type of its own name')
    return Domain(element.name, type_, element.label, element.doc, element.source)


def _field(element: Element, domains: dict[str, Domain]) -> Field:
    if "type" in element.attributes:
        if "domain" in element.attributes:
            element.fail(f'field "{element.name}" must have a domain or a type, not both')
        name = type_ = _primitive_type(element)
    else:
        name = element.required("domain")
        if name not in domains and name not in PRIMITIVE_TYPES:
            element.fail(f'there is no domain "{name}"; define it, or correct the name')
        type_ = domains[name].type if name in domains else name
    domain = domains.get(name)
    return Field(
        name=element.name,
        domain=name,
        type=type_,
        reserved=element.flag("reserved"),
        label=element.label or (domain.label if domain else ""),
        doc=element.doc or (domain.doc if domain else ""),
        source=element.source,
    )


def _primitive_type(element: Element) -> str:
    return _one_of(element, "type", element.required("type"), sorted(PRIMITIVE_TYPES))


def _one_of(element: Element, attribute: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        element.fail(f'{attribute}="{value}" must be one of {", ".join(allowed)}')
    return value
