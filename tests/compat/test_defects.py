"""Each defect of aioamqp 0.15 has a test that passes with this aioamqp and fails with 0.15.0.

The tests are in the folder defects. This file runs them with aioamqp 0.15.0.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.compat.test_rows import FAMILIES, rows_of

ROOT = Path(__file__).parents[2]
DEFECTS = Path(__file__).parent / "defects"

ROWS = next(family.rows for family in FAMILIES if family.letter == "D")

FIXED = {"D32": "decoding and sending of basic.cancel, and of basic.return"}
"""Rows that 0.15.0 has fixed itself, so their tests pass with it."""


class Case(NamedTuple):
    """A test in the folder.

    Attributes:
        name: of the function.
        rows: at the beginning of its docstring, such as D7 or R3.
        fails: whether it must fail with 0.15.0.
    """

    name: str
    rows: frozenset[str]
    fails: bool


def cases_in(source: str) -> Iterator[Case]:
    """Yield the tests of a module."""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            yield Case(
                node.name,
                frozenset(rows_of(ast.get_docstring(node))),
                any(mark.startswith("fails_on_0_15(") for mark in marks),
            )


CASES = [case for path in sorted(DEFECTS.glob("test_*.py")) for case in cases_in(path.read_text())]


def test_every_defect_has_a_test_that_fails_on_0_15() -> None:
    tested = {row for case in CASES if case.fails for row in case.rows if row[0] == "D"}

    assert sorted(ROWS - tested) == sorted(FIXED)


def test_every_test_of_a_defect_names_its_row() -> None:
    without_row = [case.name for case in CASES if case.fails and not case.rows]

    assert without_row == []


# ---------------------------------------------------------------- on 0.15.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that contains only aioamqp 0.15.0.

    At the front of PYTHONPATH it replaces this aioamqp. The dependencies of 0.15.0 are in the environment.
    """
    folder = tmp_path_factory.mktemp("aioamqp-0.15.0")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--only-binary=:all:", "--target", str(folder), "aioamqp==0.15.0"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"aioamqp 0.15.0 cannot be installed:\n{done.stderr}"
    return folder


def run_on_0_15(library: Path, tmp_path: Path, *tests: Path) -> subprocess.CompletedProcess[str]:
    """Run tests with aioamqp 0.15.0 and without the pytest settings of this repository."""
    settings = tmp_path / "pytest.ini"
    settings.write_text(
        "[pytest]\n"
        "asyncio_mode = strict\n"
        "asyncio_default_fixture_loop_scope = function\n"
        "timeout = 20\n"  # seconds of real time, for code that blocks the event loop
    )
    command = [sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir", str(tmp_path)]
    command += ["--confcutdir", str(DEFECTS), "--import-mode=importlib"]
    command += ["-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    command += ["--tb=native", "-rfE", "--strict-markers"]
    return subprocess.run(
        [*command, *map(str, tests)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(library), str(ROOT))),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_marked_tests_fail_with_their_symptom_on_0_15_and_others_pass(
    library: Path, tmp_path: Path
) -> None:
    done = run_on_0_15(library, tmp_path, DEFECTS)

    assert f"aioamqp 0.15.0 from {library}" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout[-20_000:]
    passed, failed = counts(done.stdout)
    assert passed >= sum(not case.fails for case in CASES)
    assert failed >= sum(case.fails for case in CASES)


@pytest.mark.slow
def test_a_marked_test_that_passes_or_fails_otherwise_is_reported(
    library: Path, tmp_path: Path
) -> None:
    test = tmp_path / "defects" / "test_none.py"
    test.parent.mkdir()
    (test.parent / "conftest.py").write_text((DEFECTS / "conftest.py").read_text())
    test.write_text(
        "import pytest, aioamqp\n"
        "@pytest.mark.fails_on_0_15('a symptom')\n"
        "def test_that_passes(): pass\n"
        "@pytest.mark.fails_on_0_15('a symptom')\n"
        "def test_that_fails_otherwise(): raise aioamqp.EmptyQueue('another symptom')\n"
        "@pytest.mark.fails_on_0_15('a symptom')\n"
        "def test_that_fails_so(): raise aioamqp.EmptyQueue('a symptom')\n"
    )

    done = run_on_0_15(library, tmp_path, test)

    assert done.returncode == 1, done.stdout
    assert re.search(r"^=+ 2 failed, 1 xfailed in", done.stdout, re.MULTILINE)
    assert "It passes on 0.15.0, so it does not show the defect." in done.stdout
    assert "Not 'a symptom', but:" in done.stdout


def counts(output: str) -> tuple[int, int]:
    """Return how many tests passed and how many failed as expected."""
    found = re.search(
        r"^=+ (\d+) passed, (\d+) xfailed(?:, \d+ warnings?)? in", output, re.MULTILINE
    )
    assert found is not None, output[-2000:]
    return int(found[1]), int(found[2])
