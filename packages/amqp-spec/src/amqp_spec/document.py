"""One XML file as a tree of elements with line numbers.

GRAMMAR lists the elements and attributes that exist; everything else is refused here, so the code
that reads the tree need not check for it. The meaning of the values is checked in load.py. The
published files have rules and assertions for implementors besides, which nothing here reads.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from .errors import Source, SpecError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Rule:
    """The attributes and children that an element may have.

    Args:
        required: attributes.
        optional: attributes.
        children: tags.
        text: whether it has text, unless it has a label.
        published: attributes and tags of the published files that have no effect.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    text: bool = False
    published: tuple[str, ...] = ()


GRAMMAR = {
    "amqp": Rule(
        ("major", "minor", "revision"),
        ("port",),
        ("constant", "domain", "class"),
        published=("comment",),
    ),
    "constant": Rule(("name", "value"), ("class", "label"), ("doc",)),
    "domain": Rule(("name", "type"), ("label",), ("doc",), published=("rule", "assert")),
    # an overlay may omit the index of a class that it only extends
    "class": Rule(
        ("name",),
        ("index", "label"),
        ("doc", "field", "method"),
        published=("handler", "chassis", "rule"),
    ),
    "method": Rule(
        ("name", "index"),
        ("synchronous", "content", "label"),
        ("doc", "chassis", "response", "field"),
        text=True,
        published=("deprecated", "rule"),
    ),
    "chassis": Rule(("name",), published=("implement",)),
    "response": Rule(("name",)),
    "field": Rule(
        ("name",),
        ("domain", "type", "reserved", "label"),
        ("doc",),
        text=True,
        published=("rule", "assert"),
    ),
    # a doc with a type is a grammar or a test scenario
    "doc": Rule(text=True, published=("type",)),
    "rule": Rule(("name",), published=("on-failure", "doc")),
    "assert": Rule(("check",), published=("value", "method", "field")),
}


@dataclass(slots=True)
class Element:
    """An element of a file."""

    tag: str
    attributes: dict[str, str]
    source: Source
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def fail(self, sentence: str) -> NoReturn:
        """Raise SpecError with the position of this element."""
        raise SpecError.at(self.source, sentence)

    @property
    def name(self) -> str:
        """The ``name`` attribute, which most elements have."""
        return self.attributes["name"]

    @property
    def label(self) -> str:
        """The ``label`` attribute, or a text in its place; empty if there is neither.

        RabbitMQ's extended file labels the methods of the class confirm by a text.
        """
        return self.attributes.get("label") or " ".join(self.text.split())

    @property
    def doc(self) -> str:
        """The text of the ``doc`` child on one line; empty if there is none."""
        return " ".join(" ".join(doc.text.split()) for doc in self.named("doc") if doc.is_prose)

    @property
    def is_prose(self) -> bool:
        """Whether a ``doc`` describes its parent, instead of showing a grammar or a test of it."""
        return "type" not in self.attributes

    def named(self, tag: str) -> Iterator["Element"]:
        """Yield the children with a tag."""
        return (child for child in self.children if child.tag == tag)

    def unique(self, tag: str) -> dict[str, "Element"]:
        """Return the children with a tag by name, and refuse a repeated name."""
        found: dict[str, Element] = {}
        for child in self.named(tag):
            if (first := found.setdefault(child.name, child)) is not child:
                child.fail(
                    f'{tag} "{child.name}" is already defined on line {first.source.line}; '
                    "remove or rename one of the two"
                )
        return found

    def integer(self, attribute: str, low: int, high: int) -> int:
        """Return an attribute as an integer from ``low`` to ``high``."""
        text = self.required(attribute)
        if not (text.isascii() and text.isdigit()):
            self.fail(f'{attribute}="{text}" must be a whole number, digits only')
        if not low <= int(text) <= high:
            self.fail(f'{attribute}="{text}" must be between {low} and {high}')
        return int(text)

    def flag(self, attribute: str) -> bool:
        """Return whether an attribute is "1"; it may also be "0" or absent."""
        text = self.attributes.get(attribute, "0")
        if text not in ("0", "1"):
            self.fail(f'{attribute}="{text}" must be "1", or left out')
        return text == "1"

    def required(self, attribute: str) -> str:
        """Return an attribute that must be present."""
        if attribute not in self.attributes:
            self.fail(f'{self.tag} needs the attribute "{attribute}"')
        return self.attributes[attribute]


def read_document(path: Path) -> Element:
    """Parse a file and check it against the grammar.

    Returns:
        The root element, an ``amqp``.

    Raises:
        SpecError: the file cannot be read, is not XML, or does not follow the grammar.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        sentence = f"the file cannot be read: {error.strerror or error}"
        raise SpecError.at(Source(path, 1), sentence) from error
    return _Builder(path).build(data)


class _Builder:
    """Handlers for expat: the element trees of the standard library have no line numbers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: list[Element] = []
        self.root: Element | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    @property
    def source(self) -> Source:
        return Source(self.path, self.parser.CurrentLineNumber)

    def build(self, data: bytes) -> Element:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            sentence = f"the XML is malformed: {expat.ErrorString(error.code)}"
            raise SpecError.at(Source(self.path, error.lineno), sentence) from error
        assert self.root is not None  # the parser refuses a document without a root
        return self.root

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, self.source)
        if not self.open:
            if tag != "amqp":
                element.fail(f"the outermost element must be amqp, not {tag}")
            self.root = element
        else:
            parent = self.open[-1]
            rule = GRAMMAR[parent.tag]
            allowed = rule.children
            if tag not in allowed + rule.published:
                element.fail(
                    f"{tag} does not belong in {parent.tag}, which holds "
                    f"{' and '.join(allowed) if allowed else 'no elements'}"
                )
            is_repeated = element.is_prose and any(doc.is_prose for doc in parent.named("doc"))
            if tag == "doc" and tag in allowed and is_repeated:
                element.fail(f"{parent.tag} has a doc already; join the two")
            parent.children.append(element)
        self.check_attributes(element)
        self.open.append(element)

    def check_attributes(self, element: Element) -> None:
        rule = GRAMMAR[element.tag]
        known = (*rule.required, *rule.optional)
        for attribute in element.attributes:
            if attribute not in known + rule.published:
                element.fail(
                    f'{element.tag} has no attribute "{attribute}"; '
                    f"it has {' and '.join(known) if known else 'none'}"
                )
        for attribute in rule.required:
            element.required(attribute)
        # the names of rules are numbers and sentences
        if element.tag != "rule" and not NAME.fullmatch(element.attributes.get("name", "unnamed")):
            element.fail(
                f'name="{element.name}" must be lower-case words and digits joined by hyphens'
            )

    def end(self, _tag: str) -> None:
        self.open.pop()

    def characters(self, text: str) -> None:
        element = self.open[-1]
        if GRAMMAR[element.tag].text and "label" not in element.attributes:
            element.text += text
        elif text.strip():  # the parser passes text line by line, so the position is right
            raise SpecError.at(
                self.source,
                f'text does not belong in {element.tag}: "{text.strip()[:40]}"; '
                "put it in a doc or a comment",
            )

    def doctype(self, *_declaration: object) -> None:
        raise SpecError.at(self.source, "remove the DOCTYPE: entities and DTDs are not read")
