"""The checks of types and of the third-party stubs can fail."""

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


def test_a_difference_from_the_stubs_must_be_listed_word_for_word() -> None:
    listed = patterns("""
        [[difference]]
        why = "A reason."
        of = ['aioamqp.channel.Channel.* is inconsistent, stub does not have parameter "timeout"']
    """)

    assert unexpected(FOUND, listed) == FOUND[1:]
    assert unexpected(FOUND, [*listed, "aioamqp.channel.Channel.open"]) == FOUND[1:]


def test_what_is_listed_must_be_a_difference_from_the_stubs() -> None:
    assert unused(FOUND, [FOUND[1], "aioamqp.channel.Channel.gone is not present at runtime"]) == [
        "aioamqp.channel.Channel.gone is not present at runtime"
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_callback_that_cannot_be_called_is_a_type_error_and_no_other_is(tmp_path: Path) -> None:
    """typed.py marks what must be an error; without the marks, those errors are what is left."""
    marked = TYPED.read_text()
    wanted = {
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
    assert found == wanted
    assert len(wanted) > 20
