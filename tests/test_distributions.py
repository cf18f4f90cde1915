"""What is in the wheels and source distributions; they are built from copies, without the network."""

import re
import shutil
import tarfile
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tools import distributions
from tools.distributions import NAMES, differing, members, wrong_members

# They share what one worker of pytest-xdist has built.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("distributions"),
]

UNWANTED = re.compile(
    r"(^|/)(tests?|conftest\.py|__pycache__|[^/]*cache|hatch_build\.py)(/|$)|\.py[cod]$|\.so$"
)
"""Nothing of this is in a wheel."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders with the distributions, built from copies at different paths and times."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("only git knows which files belong to a package")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HATCH_BUILD_HOOKS_ENABLE", "1")  # which must have no effect
        return distributions.build_twice(ROOT, tmp_path_factory.mktemp("release"))


def wheel_of(folder: Path, name: str) -> Path:
    (wheel,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


def sdist_of(folder: Path, name: str) -> Path:
    (sdist,) = folder.glob(f"{name.replace('-', '_')}-*.tar.gz")
    return sdist


def metadata_of(wheel: Path) -> PathDistribution:
    folder = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    return PathDistribution(zipfile.Path(wheel, f"{folder}/"))


def test_a_second_build_has_the_same_bytes(built: tuple[Path, Path]) -> None:
    first, second = built

    assert len(list(first.iterdir())) == 2 * len(NAMES)
    assert differing(first, second) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_source_distribution_holds_the_files_of_its_package(
    name: str, built: tuple[Path, Path]
) -> None:
    sdist = sdist_of(built[0], name)
    held = members(sdist)

    assert wrong_members(ROOT, sdist) == []
    assert {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "pytest.ini"} <= held
    assert any(re.fullmatch(r"tests/(\w+/)*test_\w+\.py", each) for each in held)


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_holds_its_modules_and_nothing_else(name: str, built: tuple[Path, Path]) -> None:
    wheel = wheel_of(built[0], name)
    held = members(wheel)
    package = name.replace("-", "_")

    assert wrong_members(ROOT, wheel) == []
    assert [each for each in held if UNWANTED.search(each)] == []
    assert {f"{package}/__init__.py", f"{package}/py.typed", f"{package}/version.py"} <= held
    assert any(each.endswith(".dist-info/licenses/LICENSE") for each in held)
    assert {each.partition("/")[0] for each in held if ".dist-info/" not in each} == {package}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_wheel_is_its_readme(name: str, built: tuple[Path, Path]) -> None:
    metadata = metadata_of(wheel_of(built[0], name)).metadata

    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_payload().strip() == (  # type: ignore[attr-defined]
        (ROOT / "packages" / name / "README.md").read_text().strip()
    )


def test_pytest_finds_the_plugin_of_the_fake_broker(built: tuple[Path, Path]) -> None:
    (plugin,) = metadata_of(wheel_of(built[0], "aioamqp-testing")).entry_points

    assert (plugin.group, plugin.name) == ("pytest11", "aioamqp-testing")
    assert plugin.value == "aioamqp_testing.pytest_plugin"
    assert "aioamqp_testing/pytest_plugin.py" in members(wheel_of(built[0], "aioamqp-testing"))


def test_what_git_ignores_is_not_built(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Tools leave such files beside the sources; builds for a release may run there."""
    distributions.copy_tracked(ROOT, tmp_path / "copy", modified=0x7000_0000, mode=0o644)
    package = tmp_path / "copy/packages/amqp-spec"
    for name in (
        "src/amqp_spec/__pycache__/load.cpython-311.pyc",
        "src/amqp_spec/load.cpython-311-x86_64-linux-gnu.so",
        "tests/__pycache__/test_load.pyc",
        "src/.mypy_cache/cache.json",
        "dist/amqp_spec-0.1.tar.gz",
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(b"junk")

    distributions.build(package, tmp_path / "dist", "sdist", "wheel")

    for file in (tmp_path / "dist").iterdir():
        assert wrong_members(ROOT, file) == []
        assert file.read_bytes() == (built[0] / file.name).read_bytes()


def test_a_build_that_fails_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'it'\n")

    with pytest.raises(distributions.BuildFailed, match="version"):
        distributions.build(tmp_path, tmp_path / "dist", "wheel")


def test_every_classifier_exists() -> None:
    trove = pytest.importorskip("trove_classifiers", reason="a part of hatchling")

    for name in NAMES:
        classifiers = distributions.project_of(ROOT, name)["project"]["classifiers"]
        assert set(classifiers) <= trove.classifiers
        assert classifiers == sorted(classifiers)


def test_unwanted_and_missing_files_are_named(tmp_path: Path) -> None:
    wheel = tmp_path / "amqp_spec-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("amqp_spec/__init__.py", "")
        archive.writestr("tests/test_load.py", "")
    sdist = tmp_path / "amqp_spec-1.0.tar.gz"
    (tmp_path / "surprise").write_text("")
    with tarfile.open(sdist, "w:gz") as tar:
        tar.add(tmp_path / "surprise", "amqp_spec-1.0/src/surprise")

    assert f"{wheel.name} should not hold tests/test_load.py" in wrong_members(ROOT, wheel)
    assert f"{wheel.name} lacks amqp_spec/py.typed" in wrong_members(ROOT, wheel)
    assert f"{wheel.name} lacks amqp_spec/__init__.py" not in wrong_members(ROOT, wheel)
    assert f"{sdist.name} should not hold src/surprise" in wrong_members(ROOT, sdist)
    assert f"{sdist.name} lacks pytest.ini" in wrong_members(ROOT, sdist)


def test_files_that_differ_or_are_missing_are_named(tmp_path: Path) -> None:
    for folder, files in (("first", "same other alone"), ("second", "same other")):
        (tmp_path / folder).mkdir()
        for name in files.split():
            (tmp_path / folder / name).write_text(folder if name == "other" else name)

    assert differing(tmp_path / "first", tmp_path / "second") == ["alone", "other"]
