"""Write the protocol modules of amqp_codec, or check that they are up to date."""

import argparse
import difflib
import sys
from pathlib import Path

import amqp_spec
from render import render

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "packages/amqp-spec/src/amqp_spec"
TARGET = ROOT / "packages/amqp-codec/src/amqp_codec/protocol"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="hatch run codegen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; print what differs and exit with 1"
    )
    parser.add_argument(
        "--spec", type=Path, default=SPEC, help="folder of the XML files, or one of them"
    )
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the modules")
    options = parser.parse_args(arguments)
    try:
        wanted = render(options.spec)
    except amqp_spec.SpecError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        return check(options.target, wanted)
    write(options.target, wanted)
    return 0


def write(target: Path, wanted: dict[str, str]) -> None:
    """Write these files to a folder, and delete all other files in it."""
    target.mkdir(parents=True, exist_ok=True)
    for path in present(target):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (target / name).write_text(text, encoding="utf-8")
    print(f"Wrote {len(wanted)} files to {target}")


def check(target: Path, wanted: dict[str, str]) -> int:
    """Print the differences between a folder and these files; return 1 if there are any."""
    found = {path.name: path.read_text(encoding="utf-8") for path in present(target)}
    stale = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
    for name in stale:
        sys.stdout.writelines(
            difflib.unified_diff(
                found.get(name, "").splitlines(keepends=True),
                wanted.get(name, "").splitlines(keepends=True),
                f"{target.name}/{name} (in the tree)",
                f"{target.name}/{name} (as generated)",
            )
        )
    if stale:
        print(f"\n{len(stale)} generated files are stale. Run: hatch run codegen")
        return 1
    return 0


def present(target: Path) -> list[Path]:
    """List the files in a folder, without subfolders such as Python's bytecode cache."""
    return [p for p in target.glob("*") if p.is_file()] if target.is_dir() else []
