"""What a user meets first: the commands to install, the links of a package, and builds of the root."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.source_tree import ROOT, shown

PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
README_FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for folder in PACKAGES for path in folder.glob("README.md")),
]
INSTALLS = re.compile(r"^[ $]*(?:python3 -m )?pip install ", re.MULTILINE)
ENVIRONMENT = re.compile(r"^[ $]*python3 -m venv \.venv && \. \.venv/bin/activate$", re.MULTILINE)


GITHUB = sorted((ROOT / ".github").glob("**/*.yml"))
COMMANDS = [*GITHUB, *sorted((ROOT / ".ci").iterdir()), *sorted(ROOT.glob("*.md"))]
"""Files with commands of the repository."""

HATCH_RUN = re.compile(r"\bhatch run (?:([a-z]+):)?([a-z][a-z-]*)")


def project_of(package: Path) -> dict[str, Any]:
    return tomllib.loads((package / "pyproject.toml").read_text())


@pytest.mark.parametrize("path", README_FILES, ids=shown)
def test_nothing_is_installed_outside_of_a_virtual_environment(path: Path) -> None:
    """Row U30. The Python of Debian and Ubuntu refuses that."""
    text = path.read_text()
    first = INSTALLS.search(text)

    if first is not None:
        made = ENVIRONMENT.search(text)
        assert made is not None
        assert made.start() < first.start()


def test_the_commands_to_install_are_found() -> None:
    assert sum(INSTALLS.search(path.read_text()) is not None for path in README_FILES) >= 5


@pytest.mark.parametrize("package", PACKAGES, ids=shown)
def test_the_page_of_a_package_has_links(package: Path) -> None:
    """Row U30."""
    urls = project_of(package)["project"]["urls"]

    assert {"Documentation", "Changelog", "Source", "Issues"} <= set(urls)
    for url in urls.values():
        assert url.startswith(urls["Source"])
        in_repository = re.fullmatch(
            r"/(?:blob|tree)/HEAD/([^#]+)(?:#readme)?", url[len(urls["Source"]) :]
        )
        if in_repository is not None:
            assert (ROOT / in_repository[1]).exists()


@pytest.mark.parametrize("package", PACKAGES, ids=shown)
def test_the_page_of_a_package_says_what_it_is(package: Path) -> None:
    project = project_of(package)["project"]
    topics = {each for each in project["classifiers"] if each.startswith("Topic :: ")}
    supported = {f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)}

    assert project["authors"]
    assert project["description"]
    assert project["requires-python"] == ">=3.11"
    assert {"amqp", "rabbitmq"} <= set(project["keywords"])
    assert {"Typing :: Typed", "Intended Audience :: Developers"} <= set(project["classifiers"])
    assert supported <= set(project["classifiers"])
    assert topics
    assert project["urls"]["Changelog"].endswith(f"/packages/{package.name}/CHANGELOG.md")


@pytest.mark.parametrize("package", PACKAGES, ids=shown)
def test_a_source_distribution_has_what_its_tests_need(package: Path) -> None:
    """Row U30. That they pass is tested by .ci/wheels."""
    project = project_of(package)
    sdist = project["tool"]["hatch"]["build"]["targets"]["sdist"]

    assert {"/src", "/tests", "/CHANGELOG.md", "/LICENSE", "/README.md"} <= set(sdist["include"])
    assert sdist["force-include"] == {"tests/sdist.ini": "pytest.ini"}
    assert (package / "tests/sdist.ini").read_text().count("[pytest]\n") == 1
    assert any(each.startswith("pytest>=") for each in project["dependency-groups"]["test"])


def test_wheels_are_pure_unless_a_compiled_one_is_asked_for() -> None:
    """.ci/compiled builds and tests one."""
    codec = ROOT / "packages/amqp-codec"
    hatch = project_of(codec)["tool"]["hatch"]["build"]["targets"]

    assert hatch["wheel"]["hooks"]["custom"]["enable-by-default"] is False
    assert "/hatch_build.py" in hatch["sdist"]["include"]
    assert (codec / "hatch_build.py").is_file()
    for package in PACKAGES:
        assert package == codec or "hooks" not in str(project_of(package)["tool"]["hatch"])


def test_the_compiler_is_the_type_checker() -> None:
    """Another version of mypy may compile differently than what is checked and tested."""
    hook = project_of(ROOT / "packages/amqp-codec")["tool"]["hatch"]["build"]["targets"]["wheel"]
    checked = project_of(ROOT)["tool"]["hatch"]["envs"]["default"]["dependencies"]

    (mypy,) = (each for each in checked if each.startswith("mypy=="))
    assert mypy in hook["hooks"]["custom"]["dependencies"]


def test_compiled_wheels_are_released_for_every_python_that_is_supported() -> None:
    project = project_of(ROOT / "packages/amqp-codec")
    supported = [
        f"cp{text.replace('.', '')}-*"
        for each in project["project"]["classifiers"]
        if re.fullmatch(r"3\.\d+", text := each.rpartition(" ")[2])
    ]
    settings = project["tool"]["cibuildwheel"]

    assert settings["build"] == supported
    assert settings["environment"] == {"HATCH_BUILD_HOOKS_ENABLE": "1"}
    assert settings["test-environment"] == {"AMQP_CODEC_COMPILED": "1"}


@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel", "build_sdist", "build_editable"])
def test_a_build_of_the_root_says_what_to_do(hook: str) -> None:
    """Row U30."""
    system = project_of(ROOT)["build-system"]
    (folder,) = system["backend-path"]
    program = f"import {system['build-backend']} as backend; backend.{hook}('dist')"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "`hatch run build`" in done.stderr


@pytest.mark.parametrize("path", COMMANDS, ids=shown)
def test_every_command_that_is_named_exists(path: Path) -> None:
    environments = project_of(ROOT)["tool"]["hatch"]["envs"]

    for environment, command in HATCH_RUN.findall(path.read_text()):
        scripts = environments[environment or "default"]["scripts"]
        assert command in scripts


@pytest.mark.parametrize("path", GITHUB, ids=shown)
def test_a_file_for_github_is_valid(path: Path) -> None:
    content = yaml.safe_load(path.read_text())

    assert isinstance(content, dict)
    for job in content.get("jobs", {}).values():
        assert "uses" in job or job["timeout-minutes"] <= 60


@pytest.mark.parametrize(
    ("name", "asked"), [("bug", {"versions", "log"}), ("feature", {"versions"})]
)
def test_an_issue_has_what_one_must_know(name: str, asked: set[str]) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    required = {
        question["id"]
        for question in form["body"]
        if question.get("validations", {}).get("required")
    }

    assert asked <= required
    assert {"name", "description"} <= set(form)
