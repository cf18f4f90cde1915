"""Tests that the checks of types and of the third-party stubs can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_stubs import patterns, unexpected, unused

ROOT = Path(__file__).parents[3]
TYPED = Path(__file__).with_name("typed.py")

FOUND = [
    'aioamqp.channel.Channel.open is inconsistent, stub does not have parameter "timeout"',
    "aioamqp.channel.Channel.open_ok is not present at runtime",
]


def test_a_difference_from_the_stubs_must_be_listed_exactly() -> None:
    listed = patterns("""
        [[difference]]
        why = "A reason."
        of = ['aioamqp.channel.Channel.* is inconsistent, stub does not have parameter "timeout"']
    """)

    assert unexpected(FOUND, listed) == FOUND[1:]
    assert unexpected(FOUND, [*listed, "aioamqp.channel.Channel.open"]) == FOUND[1:]


def test_a_listed_difference_from_the_stubs_must_exist() -> None:
    assert unused(FOUND, [FOUND[1], "aioamqp.channel.Channel.gone is not present at runtime"]) == [
        "aioamqp.channel.Channel.gone is not present at runtime"
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_exactly_the_marked_lines_of_typed_py_are_type_errors(tmp_path: Path) -> None:
    """typed.py marks each error with type: ignore; without the marks exactly these errors appear."""
    marked = TYPED.read_text()
    expected = {
        (number, line.rpartition("[")[2].rstrip("]"))
        for number, line in enumerate(marked.splitlines(), 1)
        if "# type: ignore[" in line
    }
    bare = tmp_path / "typed.py"
    bare.write_text(marked.replace("# type: ignore", "# "))

    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-pretty",
            "--hide-error-context",
            str(bare),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    found = {(int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]")) for line in errors}
    assert found == expected
    assert len(expected) > 20
