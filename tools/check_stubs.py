"""Compare this aioamqp with the third-party package aioamqp-stubs, which describes 0.15.

    hatch run stubs:check

mypy's stubtest does the comparison. stubs_differences.toml must list exactly what it finds.
"""

import contextlib
import fnmatch
import io
import sys
import tomllib
from pathlib import Path

from mypy import stubtest

ROOT = Path(__file__).resolve().parents[1]
DIFFERENCES = ROOT / "tests/compat/surface/stubs_differences.toml"


def main() -> int:
    """Print unlisted differences, and listed ones that were not found; return 1 if any."""
    # In front of 0.15, which the stubs install.
    sys.path[:0] = [str(ROOT / "packages" / each / "src") for each in ("aioamqp", "amqp-codec")]
    found = findings()
    expected = patterns(DIFFERENCES.read_text())
    complaints = [
        *(f"not in {DIFFERENCES.name}: {finding}" for finding in unexpected(found, expected)),
        *(f"in {DIFFERENCES.name} but no difference: {each}" for each in unused(found, expected)),
    ]
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"The {len(found)} differences from the stubs are those of {DIFFERENCES.name}.")
    return 1 if complaints else 0


def findings() -> list[str]:
    """Run stubtest; return one line for each finding."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # Names that the stubs lack are no difference: the stubs are of an older version.
        stubtest.test_stubs(
            stubtest.parse_options(["aioamqp", "--concise", "--ignore-missing-stub"])
        )
    return printed.getvalue().splitlines()


def patterns(differences: str) -> list[str]:
    """Return the listed differences: lines of stubtest, in which * stands for any text."""
    return [pattern for row in tomllib.loads(differences)["difference"] for pattern in row["of"]]


def unexpected(found: list[str], expected: list[str]) -> list[str]:
    """Return the findings that match no pattern."""
    return [
        finding
        for finding in found
        if not any(fnmatch.fnmatchcase(finding, pattern) for pattern in expected)
    ]


def unused(found: list[str], expected: list[str]) -> list[str]:
    """Return the patterns that match no finding."""
    return [pattern for pattern in expected if not fnmatch.filter(found, pattern)]


if __name__ == "__main__":
    sys.exit(main())
