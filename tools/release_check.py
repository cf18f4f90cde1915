"""Check what a release needs, as far as this machine can: `hatch run release-check`.

It prints a line for each check, and exits with 1 if one has failed. A check that this machine
cannot run, because a Python or the network is missing, is no failure: the line has the reason. The
distributions are built from the files that git has, in a temporary folder.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tools import distributions
from tools.distributions import project_of

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OLDEST_PYTHON = PYTHONS[0]
LAST_LINES = 40
BARE = {"PYTHONPATH": "", "PYTEST_ADDOPTS": ""}
"""So that nothing of another environment is used."""

HEADING = re.compile(r"^## (\S+)(?:, (unreleased|\d{4}-\d\d-\d\d))?$", re.MULTILINE)
LINK = re.compile(r"\]\((https?://[^)\s]+)\)")
SECONDS_FOR_A_LINK = 20
NOT_THERE = (404, 410)


class CheckFailed(Exception):
    """What a check has found, as text."""


class CannotRun(Exception):
    """Why a check cannot be run on this machine."""


@dataclass
class Release:
    """The tree to release, and a folder for what is built from it."""

    root: Path
    work: Path

    @cached_property
    def built(self) -> tuple[Path, Path]:
        """Two folders with the distributions, built from two copies of the tree."""
        try:
            return distributions.build_twice(self.root, self.work)
        except distributions.BuildFailed as failed:
            raise CheckFailed(last_lines(str(failed))) from None

    def distributions(self, pattern: str = "*") -> list[Path]:
        """List the distributions that match a pattern."""
        return sorted(self.built[0].glob(pattern))


Check = Callable[[Release], None]


def command(*words: str) -> Check:
    """Return a check that runs a command of the repository."""

    def check(release: Release) -> None:
        run(*words, cwd=release.root)

    return check


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command; return its standard output.

    Raises CheckFailed with the last lines of its output, or CannotRun if it is not installed.
    """
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        raise CannotRun(f"{words[0]} is not installed")
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckFailed(f"{' '.join(words)}\n{last_lines(done.stdout + done.stderr)}")
    return done.stdout


def last_lines(text: str) -> str:
    """Return the end of the output of a command."""
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


def raise_if_any(complaints: Iterable[str]) -> None:
    """Raise CheckFailed with the complaints, one on a line."""
    if text := "\n".join(complaints):
        raise CheckFailed(text)


def check_versions(release: Release) -> None:
    """Compare versions with changelogs, and with what the packages require of one another."""
    versions = {name: version_of(release.root, name) for name in distributions.NAMES}
    headings = (wrong_heading(release.root, name, versions[name]) for name in versions)
    raise_if_any(
        [
            *filter(None, headings),
            *(
                f"{name} requires {required}, but here is {versions[required.name]}"
                for name in versions
                for required in map(Requirement, all_requirements(project_of(release.root, name)))
                if required.name in versions
                and not required.specifier.contains(versions[required.name], prereleases=True)
            ),
        ]
    )


def version_of(root: Path, name: str) -> str:
    """Return the version of a package, as its module `version` has it."""
    path = root / "packages" / name / "src" / name.replace("-", "_") / "version.py"
    found = re.search(r'^__version__(?:: \w+)? = "(.+)"$', path.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise CheckFailed(f"{path} has no line __version__ = ...")
    return found[1]


def wrong_heading(root: Path, name: str, version: str) -> str | None:
    """Return what is wrong with the first heading of a changelog, or None."""
    path = f"packages/{name}/CHANGELOG.md"
    text = (root / path).read_text("utf-8") if (root / path).exists() else ""
    heading = HEADING.search(text)
    if heading is None or heading[1] != version:
        first = "missing" if heading is None else f'"{heading[0]}"'
        return f"the first heading of {path} is {first}, but the version is {version}"
    if (heading[2] == "unreleased") != (".dev" in version):
        return f'{path} says "{heading[0]}", but only a .dev version is unreleased'
    return None


def all_requirements(pyproject: dict[str, Any]) -> list[str]:
    """List all that a package requires, also for its extras and its tests."""
    extras = pyproject["project"].get("optional-dependencies", {}).values()
    groups = [pyproject["project"]["dependencies"], *extras, pyproject["dependency-groups"]["test"]]
    return [each for group in groups for each in group]


def check_clean_tree(release: Release) -> None:
    """Compare the tree with the last commit."""
    changed = run("git", "status", "--porcelain", cwd=release.root).strip()
    if changed:
        raise CheckFailed(f"commit or remove:\n{changed}")


def check_reproducible(release: Release) -> None:
    """Build twice, from copies of the tree at other paths and times, and compare the bytes."""
    files = distributions.differing(*release.built)
    raise_if_any(f"{name} has other bytes when it is built again" for name in files)


def check_descriptions(release: Release) -> None:
    """Check the metadata, and that the description can be shown."""
    run(
        sys.executable,
        "-m",
        "twine",
        "check",
        "--strict",
        *release.distributions(),
        cwd=release.work,
    )


def check_contents(release: Release) -> None:
    """Compare the files in the distributions with those that git has."""
    raise_if_any(
        complaint
        for file in release.distributions()
        for complaint in distributions.wrong_members(release.root, file)
    )


def check_hatch(release: Release) -> None:
    """Build with the command of CONTRIBUTING.md, and with the one that must be refused."""
    by_hatch = release.work / "dist-by-hatch"
    run("hatch", "run", "build", by_hatch, cwd=release.root)
    files = distributions.differing(release.built[0], by_hatch)
    raise_if_any(f"{name} has other bytes when hatch builds it in {release.root}" for name in files)
    try:
        run("hatch", "build", cwd=release.root)
    except CheckFailed as refused:
        if "hatch run build" not in str(refused):
            raise
    else:
        raise CheckFailed("hatch build is not refused in the root")


def check_sdists(release: Release) -> None:
    """Run the tests of each source distribution with the newest versions, and without extras."""
    run_sdist_tests(release, python=sys.executable, resolution="highest")


def check_lowest_versions(release: Release) -> None:
    """Run the tests of each source distribution with the lowest versions that it allows."""
    python = find_python(release, OLDEST_PYTHON)
    run_sdist_tests(release, python=python, resolution="lowest-direct")


def run_sdist_tests(release: Release, *, python: str, resolution: str) -> None:
    """Run the tests of the source distributions, as many at a time as there are processors."""

    def complaint(sdist: Path) -> str | None:
        try:
            run_tests_of(sdist, release, python, resolution)
        except CheckFailed as failed:
            return f"{sdist.name}: {failed}"
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        raise_if_any(filter(None, pool.map(complaint, release.distributions("*.tar.gz"))))


def run_tests_of(sdist: Path, release: Release, python: str, resolution: str) -> None:
    """Run the tests of a source distribution in an environment that has only what these need."""
    folder = distributions.unpack(sdist, release.work / resolution)
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    required = pyproject["dependency-groups"]["test"]
    if resolution != "highest":  # which leaves the extras out
        required = all_requirements(pyproject)
    own = make_environment(release.work / f"{resolution}-{sdist.name}", python, release.root)
    install(own, sdist, *required, "--resolution", resolution, "--find-links", release.built[0])
    run(own, "-m", "pytest", "-q", cwd=folder, environment=BARE)


def make_environment(folder: Path, python: str, root: Path) -> Path:
    """Make a virtual environment; return its Python."""
    run("uv", "venv", "--quiet", "--python", python, folder, cwd=root)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(python: Path, *arguments: str | Path) -> None:
    """Install into the environment of a Python."""
    run("uv", "pip", "install", "--quiet", "--python", python, *arguments, cwd=python.parent)


def find_python(release: Release, version: str) -> str:
    """Return the path of a CPython; raise CannotRun if this machine has none of that version."""
    try:
        versions = run("pyenv", "versions", "--bare", cwd=release.root).split()
    except (CheckFailed, CannotRun):
        versions = []
    # What pyenv has put on the path works only for versions that are selected.
    selected = {"PYENV_VERSION": ":".join(versions)} if versions else {}
    find = ("uv", "python", "find", "--no-project", "--no-python-downloads")
    try:
        return run(*find, f"cpython@{version}", cwd=release.work, environment=selected).strip()
    except CheckFailed:
        raise CannotRun(f"no CPython {version} was found") from None


def check_wheels(version: str, release: Release) -> None:
    """Install the wheels, and nothing else, with one version of Python, and use them."""
    found = find_python(release, version)
    python = make_environment(release.work / f"python-{version}", found, release.root)
    install(python, "--no-index", *release.distributions("*.whl"))
    run(python, "-I", release.root / "tools/smoke.py", cwd=release.work)


def check_docs(release: Release) -> None:
    """Build the documentation site."""
    pyproject = tomllib.loads((release.root / "pyproject.toml").read_text("utf-8"))
    if "docs" not in pyproject["tool"]["hatch"]["envs"]:
        raise CannotRun("pyproject.toml has no environment that builds the documentation")
    run("hatch", "run", "docs", cwd=release.root)


def check_links(release: Release) -> None:
    """Request what the documents and the pages of the packages link to on other hosts."""
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(found := links(release.root), pool.map(answer_of, found), strict=True))
    raise_if_any(f"{url}: {status}" for url, status in answers.items() if status in NOT_THERE)
    if silent := [url for url, status in answers.items() if status is None]:
        raise CannotRun(f"{len(silent)} of {len(answers)} links cannot be reached: {silent[0]}")


def links(root: Path) -> list[str]:
    """List the links to other hosts, without fragments."""
    documents = [root / each for each in distributions.tracked_files(root) if each.endswith(".md")]
    found = {url for path in documents for url in LINK.findall(path.read_text("utf-8"))}
    for name in distributions.NAMES:
        found.update(project_of(root, name)["project"]["urls"].values())
    return sorted({url.partition("#")[0] for url in found})


def answer_of(url: str) -> int | None:
    """Return the status of the answer to a request, or None without an answer."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "release-check"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_FOR_A_LINK) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


CHECKS: dict[str, Check] = {
    "versions": check_versions,
    "clean-tree": check_clean_tree,
    "generated-code": command("hatch", "run", "codegen", "--check"),
    "lint": command("hatch", "run", "lint"),
    "types": command("hatch", "run", "types"),
    "reproducible": check_reproducible,
    "descriptions": check_descriptions,
    "contents": check_contents,
    "hatch": check_hatch,
    "sdists": check_sdists,
    "lowest-versions": check_lowest_versions,
    **{f"wheels-{version}": partial(check_wheels, version) for version in PYTHONS},
    "docs": check_docs,
    "links": check_links,
}


def report(checks: Mapping[str, Check], release: Release) -> bool:
    """Run the checks and print a line for each; return whether none has failed."""
    passed = True
    for name, check in checks.items():
        try:
            check(release)
        except CheckFailed as failed:
            passed = False
            print(f"failed   {name}: {failed}", flush=True)
        except CannotRun as reason:
            print(f"not run  {name}: {reason}", flush=True)
        else:
            print(f"ok       {name}", flush=True)
    return passed


def main(arguments: list[str] | None = None, checks: Mapping[str, Check] = CHECKS) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="hatch run release-check", description=__doc__)
    names = ", ".join(checks)
    parser.add_argument("--only", nargs="+", choices=checks, metavar="NAME", help=names)
    chosen = parser.parse_args(arguments).only or checks
    with tempfile.TemporaryDirectory(prefix="release-check-") as folder:
        release = Release(ROOT, Path(folder))
        return 0 if report({name: checks[name] for name in chosen}, release) else 1


if __name__ == "__main__":
    sys.exit(main())
