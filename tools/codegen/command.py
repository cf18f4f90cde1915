"""Write the protocol modules of amqp_codec and the pages about them, or check them."""

import argparse
import difflib
import sys
from pathlib import Path

import amqp_spec
from pages import render_pages
from render import render

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "packages/amqp-spec/src/amqp_spec"
TARGET = ROOT / "packages/amqp-codec/src/amqp_codec/protocol"
PAGES = ROOT / "docs/protocol"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="hatch run codegen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; print what differs and exit with 1"
    )
    parser.add_argument(
        "--spec", type=Path, default=SPEC, help="folder of the XML files, or one of them"
    )
    parser.add_argument("--target", type=Path, help="folder of the modules only")
    parser.add_argument("--pages", type=Path, help="folder of the pages of the reference")
    options = parser.parse_args(arguments)
    pages = PAGES if options.target is None else None
    try:
        wanted = {options.target or TARGET: render(options.spec)}
        if options.pages or pages:
            wanted[options.pages or pages] = render_pages(options.spec)
    except amqp_spec.SpecError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        stale = [name for target, files in wanted.items() for name in check(target, files)]
        if stale:
            print(f"\n{len(stale)} generated files are stale. Run: hatch run codegen")
        return 1 if stale else 0
    for target, files in wanted.items():
        write(target, files)
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


def check(target: Path, wanted: dict[str, str]) -> list[str]:
    """Print the differences between a folder and these files; return the names of those."""
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
    return stale


def present(target: Path) -> list[Path]:
    """List the files in a folder, without subfolders such as Python's bytecode cache."""
    return [p for p in target.glob("*") if p.is_file()] if target.is_dir() else []
