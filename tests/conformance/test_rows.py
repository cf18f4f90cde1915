"""Every row of the catalogue of RabbitMQ's behaviour has a scenario, or a reason why it has none.

The docstring of a test begins with its rows: "Row 29." or "Rows 29, 44.", with or without another
sentence. The rows without a scenario are in a table of COVERAGE.md.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests/conformance"
TESTS_OF_THE_FAKE = ROOT / "packages/aioamqp-testing/tests"
COVERAGE = ROOT / "packages/aioamqp-testing/COVERAGE.md"

ROWS = set(range(1, 242))

TABLE = "## Rows without a scenario on RabbitMQ\n"

NUMBERS = r"\d+(?:-\d+)?"
NAMED = re.compile(
    rf"Rows? ({NUMBERS}(?:(?:,| and|, and) (?:row )?{NUMBERS})*)(?=[.:]|$|, (?!and row|row|and \d|\d))"
)
SKIPPING = r"\b(?:pytest|mark)\.(?:skip|skipif|xfail)\b|\bfails_on\b"


class Gap(NamedTuple):
    """A line of COVERAGE.md's table."""

    row: int
    reason: str
    is_tested_on_the_fake: bool


def rows_of(docstring: str | None) -> set[int]:
    """Return the rows at the beginning of a docstring."""
    named = NAMED.match(docstring or "")
    found = re.findall(r"(\d+)(?:-(\d+))?", named[1]) if named else []
    return {row for first, last in found for row in range(int(first), int(last or first) + 1)}


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Yield names and docstrings of the tests that are run and expected to pass."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_") and not re.search(SKIPPING, ast.unparse(node)):
            yield node.name, ast.get_docstring(node) or ""


def rows_in(sources: Iterable[str]) -> set[int]:
    """Return the rows that the tests of all sources name."""
    return {row for source in sources for _, text in docstrings(source) for row in rows_of(text)}


def gaps_in(text: str) -> list[Gap]:
    """Read the table of rows without a scenario."""
    _, _, section = text.partition(TABLE)
    lines = re.findall(r"^\| (\d+) \| .+? \| (.+?) \| (yes|no) \|$", section, re.MULTILINE)
    return [Gap(int(row), reason, tested == "yes") for row, reason, tested in lines]


def sources(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.rglob("test_*.py"))]


def test_every_row_has_a_scenario_or_a_line_in_coverage_md() -> None:
    gaps = {gap.row for gap in gaps_in(COVERAGE.read_text())}

    assert sorted(ROWS - rows_in(sources(SCENARIOS)) - gaps) == []


def test_no_row_has_a_scenario_and_a_line_in_coverage_md() -> None:
    gaps = {gap.row for gap in gaps_in(COVERAGE.read_text())}

    assert sorted(gaps & rows_in(sources(SCENARIOS))) == []


def test_the_column_tested_on_the_fake_is_correct() -> None:
    gaps = gaps_in(COVERAGE.read_text())

    tested = {gap.row for gap in gaps if gap.is_tested_on_the_fake}
    assert tested == rows_in(sources(TESTS_OF_THE_FAKE)) & {gap.row for gap in gaps}


def test_every_row_named_by_a_test_exists() -> None:
    named = rows_in(sources(SCENARIOS)) | rows_in(sources(TESTS_OF_THE_FAKE))

    assert sorted(named - ROWS) == []


def test_every_docstring_that_begins_with_row_is_understood() -> None:
    texts = [
        text
        for folder in (SCENARIOS, TESTS_OF_THE_FAKE)
        for source in sources(folder)
        for _, text in docstrings(source)
    ]

    reports = re.compile(
        r"Rows? [UCF]\d"
    )  # rows of what users reported, not of RabbitMQ's behaviour
    unknown = [text for text in texts if text.startswith("Row") and not rows_of(text)]
    assert [text for text in unknown if not reports.match(text)] == []


# The tests below show that the rules above can fail.


@pytest.mark.parametrize(
    ("docstring", "rows"),
    [
        ("Row 7.", {7}),
        ("Rows 7, 9. And why.", {7, 9}),
        ("Rows 7 and 9, on a channel.", {7, 9}),
        ("Row 7, row 9.", {7, 9}),
        ("Row 7, and row 9.", {7, 9}),
        ("Row 7, and more.", {7}),
        ("Row 7, and row 9 for some.", set()),
        ("Rows 7-9: all of them.", {7, 8, 9}),
        ("Rows 2, 7-9 and 12.", {2, 7, 8, 9, 12}),
        ("Row 7 of the other list.", set()),
        ("Row seven.", set()),
        ("In row 7.", set()),
        ("", set()),
        (None, set()),
    ],
)
def test_rows_are_read_from_the_beginning_of_a_docstring(
    docstring: str | None, rows: set[int]
) -> None:
    assert rows_of(docstring) == rows


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ('async def test_a():\n "Row 1."', {1}),
        ('def test_a():\n "Row 1."\ndef test_b():\n "Row 2."', {1, 2}),
        ('def helper():\n "Row 1."', set()),
        ('@pytest.mark.skip\ndef test_a():\n "Row 1."', set()),
        ('@fails_on("tcp", because="")\ndef test_a():\n "Row 1."', set()),
        ('@pytest.mark.parametrize("x", [1])\ndef test_a(x):\n "Row 1."', {1}),
        ('def test_a():\n "Row 1."\n pytest.skip("no")', set()),
    ],
)
def test_skipped_and_expected_to_fail_tests_do_not_count(source: str, rows: set[int]) -> None:
    assert rows_in([source]) == rows


def test_gaps_are_read_only_from_their_own_table() -> None:
    text = f"| 1 | a | b | no |\n{TABLE}\n| Row |\n| --- |\n| 2 | a | b | no |\n| 3 | c, d | e | yes |\n"

    assert gaps_in(text) == [Gap(2, "b", False), Gap(3, "e", True)]
