"""Every numbered row of the contract with aioamqp 0.15 has a test that says so.

A test says which rows it holds for at the beginning of its docstring: ``\"\"\"B23, B24.\"\"\"``, with
or without a sentence after that.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (ROOT / "tests/compat", ROOT / "packages/aioamqp/tests")

ROWS = re.compile(r"([A-Z]\d+(?:, [A-Z]\d+)*)\.(?:\s|$)")


class Family(NamedTuple):
    """Rows with one letter, counted from 1.

    Attributes:
        letter: before the number.
        last: the number of the last row.
        files: of tests/compat, in which every test must name a row of this family.
    """

    letter: str
    last: int
    files: str

    @property
    def rows(self) -> set[str]:
        """All of them."""
        return {f"{self.letter}{number}" for number in range(1, self.last + 1)}


FAMILIES = (
    Family("B", 54, "test_behaviour_*.py"),
    Family("M", 28, "test_documented*.py"),
)


def rows_of(docstring: str | None) -> set[str]:
    """Return the rows that a docstring begins with."""
    found = ROWS.match(docstring or "")
    return set(found[1].split(", ")) if found else set()


def docstrings(source: str) -> Iterator[tuple[str, str | None]]:
    """Go through the names and docstrings of the tests that are run, and expected to pass."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        marks = " ".join(map(ast.unparse, node.decorator_list))
        if node.name.startswith("test_") and not re.search(r"skip|xfail", marks):
            yield node.name, ast.get_docstring(node)


def rows_in(sources: Iterable[str]) -> set[str]:
    """Return the rows that some test names."""
    return {row for source in sources for _, text in docstrings(source) for row in rows_of(text)}


def sources() -> list[str]:
    return [path.read_text() for place in PLACES for path in sorted(place.glob("test_*.py"))]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.letter)
def test_every_row_has_a_test_and_no_test_names_another(family: Family) -> None:
    named = {row for row in rows_in(sources()) if row[0] == family.letter}

    assert sorted(family.rows - named) == [], "rows without a test"
    assert sorted(named - family.rows) == [], "rows that do not exist"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.letter)
def test_every_test_of_a_family_s_files_names_a_row_of_it(family: Family) -> None:
    silent = [
        f"{path.name}::{name}"
        for path in sorted(PLACES[0].glob("*.py"))
        if fnmatch(path.name, family.files)
        for name, text in docstrings(path.read_text())
        if not any(row[0] == family.letter for row in rows_of(text))
    ]

    assert silent == []


# What follows shows that the rules above can fail.


@pytest.mark.parametrize(
    ("docstring", "rows"),
    [
        ("B1.", {"B1"}),
        ("B1, M28.", {"B1", "M28"}),
        ("B1, B2. In a sentence that goes on.", {"B1", "B2"}),
        ("B1.\n\nMore.", {"B1"}),
        ("B1 says", set()),
        ("As B1.", set()),
        ("B1.5", set()),
        ("", set()),
        (None, set()),
    ],
)
def test_rows_are_read_at_the_beginning_of_a_docstring(
    docstring: str | None, rows: set[str]
) -> None:
    assert rows_of(docstring) == rows


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ('async def test_a():\n "B1."', {"B1"}),
        ('def test_a():\n "B1."\ndef test_b():\n "B2."', {"B1", "B2"}),
        ('def helper():\n "B1."', set()),
        ('@pytest.mark.skip\ndef test_a():\n "B1."', set()),
        ('@pytest.mark.skipif(x, reason="")\nasync def test_a():\n "B1."', set()),
        ('@pytest.mark.parametrize("x", [1])\ndef test_a(x):\n "B1."', {"B1"}),
        ('@fails_on("x")\n@pytest.mark.xfail\ndef test_a():\n "B1."', set()),
    ],
)
def test_only_tests_that_are_run_and_should_pass_count(source: str, rows: set[str]) -> None:
    assert rows_in([source]) == rows
