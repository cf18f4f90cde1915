"""Every numbered row of the contract with aioamqp 0.15 has a test that names it.

The docstring of a test begins with its rows: ``\"\"\"B23, B24.\"\"\"``, with or without another
sentence.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = (ROOT / "tests/compat", ROOT / "tests/reliability", ROOT / "packages/aioamqp/tests")
"""Folders with tests of rows."""

FOLDERS_OF_ROWS_ONLY = (ROOT / "tests/compat/behaviour",)
"""Folders in which every test names a row."""

ROWS = re.compile(r"([A-Z]\d+(?:, [A-Z]\d+)*)\.(?:\s|$)")

SKIPPING = r"\b(?:pytest|mark)\.(?:skip|skipif|xfail)\b"


class Family(NamedTuple):
    """Rows with one letter, counted from 1.

    Attributes:
        letter: the first character of each row.
        last: the number of the last row.
        untested: the numbers of rows without a test, with the reason.
    """

    letter: str
    last: int
    untested: Mapping[int, str] = MappingProxyType({})

    @property
    def rows(self) -> set[str]:
        """The rows that must have a test."""
        numbers = set(range(1, self.last + 1)) - set(self.untested)
        return {f"{self.letter}{number}" for number in numbers}


NO_RECONNECT = "0.15 did not reconnect; Connection, which does, is tested by the rows R"

FAMILIES = (
    Family("B", 54),  # behaviour
    Family("M", 28),  # mismatches of documentation and code
    Family("D", 34, {33: NO_RECONNECT}),  # defects of 0.15
    Family("R", 26),  # reliability: problems that users of other clients have reported
)


REPORTS = frozenset(
    {f"U{number}" for number in (*range(1, 13), *range(24, 29), *range(31, 44))}
    | {f"C{number}" for number in (1, 2, 3, 4, 7, 8)}
)
"""Rows of what users have reported about the client."""

DOCUMENTED = {
    "U31": "a package that requires aioamqp<0.16 runs unchanged: UPGRADING.md tells how",
    "U43": "it is about the text of UPGRADING.md",
}
"""Reports without a test, with the reason."""


def is_reported(docstring: str | None) -> bool:
    """Return whether a docstring names a report of users, such as ``Row U2.``"""
    return re.search(r"\bRows? [UC]\d+\b", docstring or "") is not None


def rows_of(docstring: str | None) -> set[str]:
    """Return the rows at the beginning of a docstring."""
    found = ROWS.match(docstring or "")
    return set(found[1].split(", ")) if found else set()


def docstrings(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield names and docstrings of the tests that are run and expected to pass."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_") and not re.search(SKIPPING, ast.unparse(node)):
            yield node.name, ast.get_docstring(node)


def rows_in(sources: Iterable[str]) -> set[str]:
    """Return the rows that the tests of all sources name."""
    return {row for source in sources for _, text in docstrings(source) for row in rows_of(text)}


def files_in(folders: Iterable[Path]) -> list[Path]:
    """List the test files in some folders and their subfolders."""
    return [path for folder in folders for path in sorted(folder.rglob("test_*.py"))]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.letter)
def test_every_row_has_a_test_and_every_named_row_exists(family: Family) -> None:
    sources = [path.read_text() for path in files_in(FOLDERS)]
    named = {row for row in rows_in(sources) if row[0] == family.letter}

    assert sorted(family.rows - named) == [], "rows without a test"
    assert sorted(named - family.rows) == [], "rows that do not exist"


def test_every_report_about_the_client_has_a_test() -> None:
    folders = (ROOT / "tests", *ROOT.glob("packages/*/tests"))
    named = {
        report
        for path in files_in(folders)
        for _, text in docstrings(path.read_text())
        if is_reported(text)
        for report in re.findall(r"\b[UC]\d+\b", text or "")
    }

    assert sorted(REPORTS - named - DOCUMENTED.keys()) == [], "reports without a test"
    assert sorted(named & DOCUMENTED.keys()) == [], "reports with a test need no reason"


@pytest.mark.parametrize("path", files_in(FOLDERS_OF_ROWS_ONLY), ids=lambda path: path.stem)
def test_every_test_in_the_behaviour_folder_names_its_rows(path: Path) -> None:
    tests = list(docstrings(path.read_text()))

    assert tests
    assert [name for name, text in tests if not rows_of(text) and not is_reported(text)] == []


# The tests below show that the rules above can fail.


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
def test_rows_are_read_from_the_beginning_of_a_docstring(
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
        ('def test_a():\n "B1."\n pytest.skip("no")', set()),
    ],
)
def test_skipped_and_expected_to_fail_tests_do_not_count(source: str, rows: set[str]) -> None:
    assert rows_in([source]) == rows
