"""Build the distributions from copies of the tracked files, and compare their contents."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

NAMES = ("amqp-spec", "amqp-codec", "aioamqp", "aioamqp-testing")
"""In the order of their dependencies, in which they are released."""

CONFIGURATION_OF_TESTS = {"tests/sdist.ini": "pytest.ini"}
"""Files with another name in a source distribution."""

WRITTEN_BY_THE_BUILD = {".gitignore", "PKG-INFO"}
"""Files of a source distribution that the folder of its package does not have."""

HOOKS = {"HATCH_BUILD_HOOKS_ENABLE", "HATCH_BUILD_HOOK_ENABLE_CUSTOM"}
METADATA = {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE"}
ENTRY_POINTS = "entry_points.txt"


class BuildFailed(Exception):
    """The output of a build that has failed."""


def project_of(root: Path, name: str) -> dict[str, Any]:
    """Return the pyproject.toml of a package."""
    return tomllib.loads((root / "packages" / name / "pyproject.toml").read_text("utf-8"))


def tracked_files(root: Path) -> list[str]:
    """List the files that git has in its index, relative to the root."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (root / name).is_file()]


def copy_tracked(root: Path, copy: Path, *, modified: float, mode: int) -> None:
    """Copy the packages as git has them, with another time and other permissions."""
    for name in [".gitignore", *tracked_files(root)]:
        if name == ".gitignore" or name.startswith("packages/"):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            target.chmod(mode)
            os.utime(target, (modified, modified))


def build(package: Path, dist: Path, *targets: str) -> None:
    """Build a package, with the hatchling of this environment; raise BuildFailed.

    The wheels are pure, whatever the environment says: compiled ones differ on each platform.
    """
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist), *chosen]
    pure = {name: value for name, value in os.environ.items() if name not in HOOKS}
    done = subprocess.run(
        command, cwd=package, env=pure, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildFailed(f"{package}: {done.stdout}{done.stderr}")


def build_twice(root: Path, work: Path) -> tuple[Path, Path]:
    """Build all distributions from two copies; return the folders that they are in.

    The copies have different paths, times and permissions. The second wheels are built from the
    source distributions, as package installers do it.
    """
    first, second = work / "dist", work / "dist-again"
    copy_tracked(root, work / "copy", modified=1_000_000_000, mode=0o644)
    copy_tracked(root, work / "another/copy", modified=1_700_000_000, mode=0o600)
    for name in NAMES:
        build(work / "copy/packages" / name, first, "sdist", "wheel")
        build(work / "another/copy/packages" / name, second, "sdist")
    for archive in sorted(second.glob("*.tar.gz")):
        build(unpack(archive, work / "unpacked"), second, "wheel")
    return first, second


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack a source distribution; return its folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def differing(first: Path, second: Path) -> list[str]:
    """List the files that do not have the same bytes in both folders, or are in one only."""
    return sorted({name for name, _ in digests(first) ^ digests(second)})


def digests(folder: Path) -> set[tuple[str, str]]:
    """Return the name and the SHA-256 of every file in a folder."""
    return {(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.iterdir()}


def members(distribution: Path) -> set[str]:
    """List the files of a source distribution, relative to its folder, or of a wheel."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as wheel:
            return set(wheel.namelist())
    with tarfile.open(distribution) as archive:
        return {
            member.name.partition("/")[2] for member in archive.getmembers() if not member.isdir()
        }


def expected_members(root: Path, distribution: Path) -> set[str]:
    """List what a distribution must hold.

    A source distribution holds all tracked files of its package, a wheel those in `src`.
    """
    name = name_of(distribution)
    prefix = f"packages/{name}/"
    tracked = {each.removeprefix(prefix) for each in tracked_files(root) if each.startswith(prefix)}
    if distribution.suffix != ".whl":
        return {CONFIGURATION_OF_TESTS.get(each, each) for each in tracked} | WRITTEN_BY_THE_BUILD
    folder = "-".join(distribution.name.split("-")[:2]) + ".dist-info"
    own = set(METADATA)
    if "entry-points" in project_of(root, name)["project"]:
        own.add(ENTRY_POINTS)
    modules = {each.removeprefix("src/") for each in tracked if each.startswith("src/")}
    return modules | {f"{folder}/{each}" for each in own}


def name_of(distribution: Path) -> str:
    """Return the name of the project, from the name of the file."""
    return distribution.name.partition("-")[0].replace("_", "-")


def wrong_members(root: Path, distribution: Path) -> list[str]:
    """List what a distribution lacks and what it should not hold, each as a line of text."""
    expected, found = expected_members(root, distribution), members(distribution)
    return [
        *(f"{distribution.name} lacks {each}" for each in sorted(expected - found)),
        *(f"{distribution.name} should not hold {each}" for each in sorted(found - expected)),
    ]
