"""The pages of the protocol reference: what its templates print, and the rendered Markdown."""

from dataclasses import dataclass
from pathlib import Path

import jinja2

import amqp_spec
from names import attribute_name, class_name, constant_name, property_name
from prose import sentence

TEMPLATES = Path(__file__).with_name("templates") / "pages"
PEERS = {"client": "the server", "server": "the client"}
"""Who sends what a peer receives."""


@dataclass(frozen=True)
class FieldRow:
    """A field of a method, or a property of a content."""

    name: str
    anchor: str
    attribute: str
    domain: str
    type: str
    text: str


@dataclass(frozen=True)
class MethodSection:
    """A method: its anchor is its name, such as ``basic.get-ok``."""

    name: str
    number: str
    path: str
    summary: str
    text: str
    senders: str
    replies: tuple[str, ...]
    requests: tuple[str, ...]
    has_content: bool
    source: str
    fields: tuple[FieldRow, ...]


@dataclass(frozen=True)
class ClassPage:
    """A class of methods, with the properties of its content."""

    name: str
    index: int
    module: str
    summary: str
    text: str
    methods: tuple[MethodSection, ...]
    properties: tuple[FieldRow, ...]


@dataclass(frozen=True)
class Number:
    """A constant or a reply code."""

    name: str
    anchor: str
    value: int
    attribute: str
    kind: str
    text: str


@dataclass(frozen=True)
class Index:
    """What the first page of the reference prints."""

    version: str
    pages: tuple[ClassPage, ...]
    reply_codes: tuple[Number, ...]
    constants: tuple[Number, ...]
    domains: tuple[tuple[str, str, str], ...]


def render_pages(folder: Path) -> dict[str, str]:
    """Generate the protocol reference for the XML files in a folder.

    Returns:
        The text of each page by its file name.

    Raises:
        amqp_spec.SpecError: a file is not a valid specification.
    """
    spec = amqp_spec.load(folder)
    pages = tuple(map(_page, spec.classes))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    files = {"index.md": environment.get_template("index.md.j2").render(index=_index(spec, pages))}
    template = environment.get_template("class.md.j2")
    for page in pages:
        files[f"{page.name}.md"] = template.render(page=page)
    return {name: _without_blank_runs(text) for name, text in files.items()}


def _index(spec: amqp_spec.Spec, pages: tuple[ClassPage, ...]) -> Index:
    numbers = sorted(spec.constants, key=lambda constant: constant.value)
    codes = [c for c in numbers if c.kind is not None or c.name == "reply-success"]
    return Index(
        version=f"{spec.major}-{spec.minor}-{spec.revision}",
        pages=pages,
        reply_codes=tuple(_number(c, "reply-code") for c in codes),
        constants=tuple(_number(c, "constant") for c in numbers if c not in codes),
        domains=tuple((d.name, d.type, _text(d.label, d.doc)) for d in spec.domains),
    )


def _number(constant: amqp_spec.Constant, prefix: str) -> Number:
    return Number(
        name=constant.name,
        anchor=f"{prefix}.{constant.name}",
        value=constant.value,
        attribute=constant_name(constant.name),
        kind=(constant.kind or "").replace("-", " "),
        text=_text(constant.label, constant.doc),
    )


def _page(cls: amqp_spec.Class) -> ClassPage:
    requests = {
        method.name: tuple(
            f"{cls.name}.{m.name}" for m in cls.methods if method.name in m.responses
        )
        for method in cls.methods
    }
    module = attribute_name(cls.name)
    return ClassPage(
        name=cls.name,
        index=cls.index,
        module=f"amqp_codec.protocol.{module}",
        summary=_text(cls.label),
        text=_text(cls.doc),
        methods=tuple(_section(cls, method, requests[method.name]) for method in cls.methods),
        properties=tuple(
            _row(f"{cls.name}.properties", field, property_name(field.name)) for field in cls.fields
        ),
    )


def _section(
    cls: amqp_spec.Class, method: amqp_spec.Method, requests: tuple[str, ...]
) -> MethodSection:
    name = f"{cls.name}.{method.name}"
    return MethodSection(
        name=name,
        number=f"{cls.index}.{method.index}",
        path=f"amqp_codec.protocol.{attribute_name(cls.name)}.{class_name(method.name)}",
        summary=_text(method.label),
        text=_text(method.doc),
        senders=" or ".join(PEERS[receiver] for receiver in method.receivers),
        replies=tuple(f"{cls.name}.{reply}" for reply in method.responses),
        requests=requests,
        has_content=method.content,
        source=method.source.path.name,
        fields=tuple(
            _row(name, field, "" if field.reserved else attribute_name(field.name))
            for field in method.fields
        ),
    )


def _row(owner: str, field: amqp_spec.Field, attribute: str) -> FieldRow:
    return FieldRow(
        name=field.name,
        anchor=f"{owner}.{field.name}",
        attribute=attribute,
        domain=field.domain,
        type=field.type,
        text="Reserved: sent as zero or empty, and ignored."
        if not attribute
        else _text(field.label, field.doc),
    )


def _text(*parts: str) -> str:
    """Join labels and docs to sentences in which nothing is Markdown."""
    text = " ".join(filter(None, map(sentence, parts))).replace("\\\\", "\\")
    for character in "\\`*_<>[]|":
        text = text.replace(character, f"\\{character}")
    return text


def _without_blank_runs(text: str) -> str:
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip("\n") + "\n"
