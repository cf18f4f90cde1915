"""The style of CONTRIBUTING.md where a machine can check it: first words, and phrases that are not used."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import ROOT, shown

PROGRAMS = sorted(
    path
    for folder in ("packages/*/src", "tools", "benchmarks", "examples")
    for path in ROOT.glob(f"{folder}/**/*.py")
)
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "benchmarks/*.md",
        "examples/*.md",
        "packages/*/*.md",
        "packages/**/*.xml",
        "tools/**/*.j2",
    )
    for path in ROOT.glob(pattern)
)

FIRST_WORD = re.compile(
    r"(let|have|has|having|be|is|are|being|take|taking|taken|say|said|tell|told|give|giving|given"
    r"|do|does|done)s?\b",
    re.IGNORECASE,
)
"""A summary line names the effect by a verb of its own, not by one that fits everything."""

PHRASES = re.compile(
    r"\b(server's word|who waits?|what is due|in vain|as ever|lets? go|hears? of|takes? notice"
    r"|(come|came) about|ha(s|ve) (its|their) say|of its own account)\b",
    re.IGNORECASE,
)
"""They have to be read twice. The glossary of ARCHITECTURE.md has the words to use instead."""

OCTETS = re.compile(r"\b[Oo]ctets\b(?! = <<)")
"""Bytes, but for the specification and its field types; RabbitMQ's texts quote `octets = <<`."""

FIELD_TYPES = (
    ROOT / "docs/protocol",
    ROOT / "packages/amqp-spec",
    ROOT / "packages/amqp-codec/src/amqp_codec/protocol",
    ROOT / "packages/amqp-codec/src/amqp_codec/values.py",
)


def docstrings(source: str) -> list[str]:
    """List the docstrings of a module, its classes and functions, and those under attributes."""
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    return [
        statement.value.value
        for body in bodies
        for statement in body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]


DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def begins_badly(docstring: str) -> bool:
    return FIRST_WORD.match(docstring.strip()) is not None


def prose(path: Path) -> Iterator[str]:
    """Yield what is written for readers: of a program its strings and comments, else everything."""
    text = path.read_text()
    if path.suffix != ".py":
        yield text
        return
    yield from (
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield " ".join(token.string.lstrip("#") for token in tokens if token.type == tokenize.COMMENT)


def found(phrases: re.Pattern[str], text: str) -> list[str]:
    """List these phrases in a text, also where a line ends inside one."""
    return [match.group() for match in phrases.finditer(" ".join(text.split()))]


@pytest.mark.parametrize("path", PROGRAMS, ids=shown)
def test_no_docstring_begins_with_an_empty_verb(path: Path) -> None:
    assert [text for text in docstrings(path.read_text()) if begins_badly(text)] == []


@pytest.mark.parametrize("path", PROGRAMS + DOCUMENTS, ids=shown)
def test_no_phrase_has_to_be_read_twice(path: Path) -> None:
    assert [phrase for text in prose(path) for phrase in found(PHRASES, text)] == []


@pytest.mark.parametrize("path", PROGRAMS + DOCUMENTS, ids=shown)
def test_octets_are_bytes_outside_of_field_types(path: Path) -> None:
    if any(place in (path, *path.parents) for place in FIELD_TYPES):
        return
    assert [line for text in prose(path) for line in text.splitlines() if found(OCTETS, line)] == []


# The tests below show that the rules above can fail.


@pytest.mark.parametrize(
    ("source", "docstring"),
    [
        ('"""Let it be."""', "Let it be."),
        ('class A:\n    """\n    Gives it."""', "\n    Gives it."),
        ('async def f():\n    """Be told.\n\n    More."""', "Be told.\n\n    More."),
        ('x = 1\n"""Taken from there."""', "Taken from there."),
        ('class A:\n    x: int = 1\n    """Does it."""', "Does it."),
    ],
)
def test_a_docstring_that_begins_with_an_empty_verb_is_found(source: str, docstring: str) -> None:
    assert docstrings(source) == [docstring]
    assert begins_badly(docstring)


@pytest.mark.parametrize(
    "word", ["Lettuce", "Domain", "Return", "Beside", "Haste", "Dot", "Isolate"]
)
def test_a_word_that_begins_like_an_empty_verb_is_none(word: str) -> None:
    assert not begins_badly(f"{word} is fine.")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("The Server's word", ["Server's word"]),
        ("tell all who\n    wait", ["who wait"]),
        ("Let go of it; it came about in vain.", ["Let go", "came about", "in vain"]),
        ("the server sends the word", []),
    ],
)
def test_a_phrase_is_found(text: str, phrases: list[str]) -> None:
    assert found(PHRASES, text) == phrases


def test_the_octets_of_a_reply_text_are_rabbitmqs() -> None:
    assert found(OCTETS, "all octets = <<0>>, 3 octets") == ["octets"]


def test_strings_and_comments_of_a_program_are_prose(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text('octets = f("one") + f"two {octets}"  # three\n# four')

    assert list(prose(program)) == ["one", "two ", " three  four"]
