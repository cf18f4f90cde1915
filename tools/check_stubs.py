"""Compare this aioamqp with what the third-party package aioamqp-stubs says of 0.15.

    hatch run stubs:check

mypy's stubtest compares. All that it finds must be in stubs_differences.toml, and nothing else may
be in there.
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
    """Print what differs unexpectedly, or unexpectedly does not; return 1 if there is any."""
    # Before 0.15, which the stubs bring along.
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
    """Have stubtest compare; return one line a finding."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # What the stubs leave out is no difference: they are of an older version.
        stubtest.test_stubs(
            stubtest.parse_options(["aioamqp", "--concise", "--ignore-missing-stub"])
        )
    return printed.getvalue().splitlines()


def patterns(differences: str) -> list[str]:
    """Read what may differ, as TOML: lines of stubtest in which * stands for any text."""
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
