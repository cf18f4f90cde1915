"""Write the public surface of aioamqp 0.15 to a file, as found in 0.15.0 itself.

    python tools/describe_0_15.py [--check]

installs 0.15.0 from PyPI into a separate environment, runs ``tests/compat/surface/describe.py`` on
it there, with the fake broker as the server, and writes the result to ``aioamqp_0_15.toml`` in the
same folder. The tests compare this aioamqp with that file. With ``--check`` nothing is written.
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
# The public surface of aioamqp 0.15. Not written by hand: `python tools/describe_0_15.py` has
# installed {packages}, run describe.py of this folder
# on CPython {version}, and made the calls on the fake broker (RabbitMQ gives the same answers).
# differences.toml lists where this aioamqp differs on purpose.
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
        print(f"{STORED.name} " + ("describes 0.15." if is_same else "does not describe 0.15."))
        return 0 if is_same else 1
    STORED.write_text(described)
    return 0


async def describe() -> Description:
    """Describe 0.15 in a separate environment."""
    with tempfile.TemporaryDirectory() as folder:
        await run(sys.executable, "-m", "venv", folder)
        python = str(Path(folder, "bin", "python"))
        quiet = ("--quiet", "--disable-pip-version-check")
        await run(python, "-m", "pip", "install", *quiet, *PACKAGES)
        async with FakeBroker(rabbitmq="3.10") as broker:
            url = await broker.listen()
            described = await run(python, str(SURFACE / "describe.py"), url)
    found: Description = json.loads(described)
    return found


async def run(*command: str) -> bytes:
    """Run a program; return its output."""
    # The errors that 0.15 logs are expected.
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    printed, complaints = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{complaints.decode()}")
    return printed


def toml(description: Description) -> str:
    """Return a description as TOML, with strings in JSON's syntax."""
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
