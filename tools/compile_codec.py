"""Compile the codec with mypyc into a separate folder, and run tests on the compiled modules.

These are the tests of the codec, and those of the client and the fake broker, which use it. The
sources are compiled unchanged. The result is not installed: the folder is put in front of
Python's path for the tests, and deleted afterwards unless it is given with --into.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODEC = ROOT / "packages/amqp-codec"
TESTED = ("amqp-codec", "aioamqp", "aioamqp-testing")
INTERPRETED = {"errors.py", "__main__.py"}
"""Compiled exceptions could not be pickled, nor subclassed by a module that is not compiled; a
compiled program could not be run with `python -m`."""


def main() -> int:
    """Run the command; return the exit status of the tests."""
    parser = argparse.ArgumentParser(prog="hatch run compiled", description=__doc__)
    parser.add_argument("--into", type=Path, help="keep the compiled package in this folder")
    parser.add_argument("--no-tests", action="store_true", help="compile only")
    options = parser.parse_args()
    if options.into:
        return compile_and_test(options.into.resolve(), run_tests=not options.no_tests)
    with tempfile.TemporaryDirectory() as folder:
        return compile_and_test(Path(folder), run_tests=not options.no_tests)


def compile_and_test(folder: Path, *, run_tests: bool) -> int:
    """Compile into a folder and run the tests; return their exit status, or 0 without tests."""
    package = folder / "amqp_codec"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(
        CODEC / "src/amqp_codec", package, ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    sources = sorted(
        str(path.relative_to(folder))
        for path in package.rglob("*.py")
        if path.name not in INTERPRETED
    )
    mypyc = [sys.executable, "-m", "mypyc", "--strict", *sources]
    done = subprocess.run(mypyc, cwd=folder, capture_output=True, text=True, check=False)
    modules = list(package.rglob("*.so")) + list(package.rglob("*.pyd"))
    if done.returncode or len(modules) != len(sources):
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        print(f"{len(modules)} of {len(sources)} modules were compiled", file=sys.stderr)
        return done.returncode or 1
    print(f"Compiled {len(modules)} modules of amqp_codec")
    if not run_tests:
        return 0
    environment = {**os.environ, "PYTHONPATH": str(folder), "AMQP_CODEC_COMPILED": "1"}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tests = [str(ROOT / "packages" / name / "tests") for name in TESTED]
    command = [*pytest, "--numprocesses=logical", *tests]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
