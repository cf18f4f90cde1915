"""The documents name files and folders that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import HOMES, ROOT, shown

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/*.md", "packages/*/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # which speaks of what was
)
QUOTED = re.compile(r"`([^`\s]+)`")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINKED = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY = re.compile(r"https://github\.com/Polyconseil/aioamqp/(?:blob|tree)/HEAD/([^\s)#]+)")
SITE = re.compile(r"https://polyconseil\.github\.io/aioamqp/([^\s)#]*)")
PATH = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")
SUFFIXES = (".py", ".md", ".xml", ".toml", ".txt", ".j2")
SOMETHING = re.compile(r"\bX\b")
"""Stands for the name of a distribution, as in `packages/X/tests`."""


def paths_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield what looks like a path, with the heading of its section."""
    for section in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        sentences, drawings = FENCED.sub("", section), " ".join(FENCED.findall(section))
        words = [
            *(word for word in QUOTED.findall(sentences) if "/" in word or word.endswith(SUFFIXES)),
            *(word for word in drawings.split() if word.endswith(("/", *SUFFIXES))),
            *LINKED.findall(sentences),
        ]
        yield from ((heading, word) for word in words if PATH.fullmatch(word))


def places(heading: str, document: Path) -> list[Path]:
    """List the folders that a path in a document is relative to.

    They are the repository, the document's own folder and package, and the package that the heading
    of the section names.
    """
    packages = [home for name, home in HOMES.items() if f"`{name}`" in heading]
    own = [document.parent, *document.parent.glob("src/*")]
    return [ROOT, *own, *ROOT.glob("packages/*/src"), *packages]


def missing(text: str, document: Path) -> list[str]:
    """List the paths in a text that do not exist."""
    return [
        path
        for heading, path in paths_in(text)
        if not any(
            any(place.glob(SOMETHING.sub("*", path.rstrip("/"))))
            for place in places(heading, document)
        )
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_path_in_a_document_exists(document: Path) -> None:
    assert missing(document.read_text(), document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_link_to_the_repository_and_the_site_leads_somewhere(document: Path) -> None:
    text = document.read_text()

    assert [path for path in REPOSITORY.findall(text) if not (ROOT / path).exists()] == []
    assert [page for page in SITE.findall(text) if not any(sources_of(page))] == []


def sources_of(page: str) -> Iterator[Path]:
    """Yield the source of a page of the documentation site, by its path there."""
    name = page.rstrip("/")
    for candidate in (f"docs/{name}.md", f"docs/{name}/index.md"):
        if (ROOT / candidate).exists():
            yield ROOT / candidate


def test_the_tour_names_many_paths() -> None:
    assert len(list(paths_in((ROOT / "ARCHITECTURE.md").read_text()))) > 50


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("see `tests/source_tree.py`, `examples/`, `packages/X/src` and `amqp_codec/values.py`", 0),
        ("see `tests/nothing.py`, `examples/nothing/` and [it](nothing.md)", 3),
        ("see `nothing.py`", 1),
        ("call `f()`, `a.b` or `connect`, at `amqp://host/`, with `-k a/b c`", 0),
        ("see `values.py`", 1),
        ("## The codec (`amqp_codec`)\n\nsee `values.py`", 0),
        ("## The codec (`amqp_codec`)\n\n## The rest\n\nsee `values.py`", 1),
        ("```\nnothing.py\n nothing/ ─▶ a / b\n```\n", 2),
        ("## `amqp_codec`\n\n```\nprotocol/ ─▶ values.py ─▶ print(a/b)\n```\n", 0),
    ],
)
def test_a_path_that_does_not_exist_is_found(text: str, count: int) -> None:
    assert len(missing(text, ROOT / "ARCHITECTURE.md")) == count
