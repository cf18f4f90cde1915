"""Write down how aioamqp 0.15 looks from outside, as read from 0.15.0 itself.

    python tools/describe_0_15.py [--check]

installs it from PyPI into an environment of its own, has ``tests/compat/surface/describe.py`` look
at it there, with the fake broker for a server, and writes what that says to ``aioamqp_0_15.toml``
beside it, to which the tests hold this aioamqp. With ``--check`` it compares instead.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

from aioamqp_testing import FakeBroker

Description: TypeAlias = dict[str, dict[str, str | list[str]]]

PACKAGES = ("aioamqp==0.15.0", "pamqp==4.0.1")
SURFACE = Path(__file__).resolve().parents[1] / "tests/compat/surface"
STORED = SURFACE / "aioamqp_0_15.toml"
HEADING = """\
# How aioamqp 0.15 looks from outside. Not written by hand: `python tools/describe_0_15.py` has
# installed {packages}, let describe.py, which lies here too,
# look at them on CPython {version}, and made the calls on the fake broker (RabbitMQ answers them
# alike). Where this aioamqp differs from it on purpose is in differences.toml.
"""


def main() -> int:
    """Write the description, or with --check return 1 if it is not the stored one."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    described = toml(asyncio.run(describe()))
    if options.check:
        is_same = without_heading(described) == without_heading(STORED.read_text())
        print(f"{STORED.name} is " + ("what 0.15 is." if is_same else "not what 0.15 is."))
        return 0 if is_same else 1
    STORED.write_text(described)
    return 0


async def describe() -> Description:
    """Let 0.15 be described in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        await run(sys.executable, "-m", "venv", folder)
        python = str(Path(folder, "bin", "python"))
        quiet = ("--quiet", "--disable-pip-version-check")
        await run(python, "-m", "pip", "install", *quiet, *PACKAGES)
        async with FakeBroker() as broker:
            url = await broker.listen()
            described = await run(python, str(SURFACE / "describe.py"), url)
    found: Description = json.loads(described)
    return found


async def run(*command: str) -> bytes:
    """Run a program; return what it prints."""
    # What 0.15 logs of its own mistakes is no news.
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    printed, complaints = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{complaints.decode()}")
    return printed


def toml(description: Description) -> str:
    """Write a description as TOML: its strings are JSON's."""
    version = ".".join(map(str, sys.version_info[:2]))
    lines = [HEADING.format(packages=" and ".join(PACKAGES), version=version)]
    for section, entries in description.items():
        lines.append(f"[{quoted(section)}]")
        for name, value in entries.items():
            if isinstance(value, list) and len(value) > 1:
                lines += [f"{quoted(name)} = [", *(f"  {quoted(each)}," for each in value), "]"]
            else:
                lines.append(f"{quoted(name)} = {quoted(value)}")
        lines.append("")
    return "\n".join(lines)


def quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def without_heading(text: str) -> str:
    return text.partition("\n[")[2]


if __name__ == "__main__":
    sys.exit(main())
