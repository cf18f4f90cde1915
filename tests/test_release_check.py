"""`hatch run release-check`: what it prints and returns, and the checks that need no build."""

import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import NoReturn

import pytest

from tests.source_tree import ROOT
from tools import release_check
from tools.distributions import NAMES
from tools.release_check import (
    CHECKS,
    CannotRun,
    CheckFailed,
    Release,
    check_clean_tree,
    check_contents,
    check_docs,
    check_links,
    check_reproducible,
    check_versions,
    find_python,
    main,
    run,
)


def passes(_release: Release) -> None:
    pass


def fails(_release: Release) -> NoReturn:
    raise CheckFailed("the cat is on the keyboard")


def cannot_run(_release: Release) -> NoReturn:
    raise CannotRun("there is no cat")


def release_of(tmp_path: Path, **versions: str) -> Release:
    """Make a tree of four packages, which require one another as ours do."""
    for name in NAMES:
        version = versions.get(name.replace("-", "_"), "1.2.0")
        package = tmp_path / "packages" / name
        source = package / "src" / name.replace("-", "_")
        source.mkdir(parents=True)
        (source / "version.py").write_text(f'__version__ = "{version}"\n')
        (package / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version}, 2026-12-01\n\n- It.\n")
        required = '"amqp-codec>=1.1,<2"' if name == "aioamqp" else ""
        (package / "pyproject.toml").write_text(
            f"[project]\ndependencies = [{required}]\nurls.Source = 'https://example.com/source#it'\n"
            "[dependency-groups]\ntest = ['pytest>=9']\n"
        )
    return Release(tmp_path, tmp_path / "work")


def test_each_check_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([], {"one": passes, "two": fails, "three": cannot_run, "four": passes})

    assert status == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       one",
        "failed   two: the cat is on the keyboard",
        "not run  three: there is no cat",
        "ok       four",
    ]


def test_a_check_that_cannot_run_is_no_failure() -> None:
    assert main([], {"one": passes, "three": cannot_run}) == 0


def test_one_check_is_chosen_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    checks = {"one": passes, "two": fails, "three": passes}

    assert main(["--only", "three", "one"], checks) == 0
    assert capsys.readouterr().out.splitlines() == ["ok       three", "ok       one"]


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--only", "nothing"], {"one": passes})

    assert refused.value.code == 2
    assert "nothing" in capsys.readouterr().err


def test_the_names_are_listed() -> None:
    command = [sys.executable, "-m", "tools.release_check", "--help"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for name in CHECKS:
        assert name in " ".join(printed.split())


def test_the_versions_of_this_repository_fit(tmp_path: Path) -> None:
    check_versions(Release(ROOT, tmp_path))


def test_versions_may_differ_as_far_as_packages_allow_it(tmp_path: Path) -> None:
    check_versions(release_of(tmp_path, aioamqp="1.9.0", amqp_codec="1.1.0"))


def test_a_version_that_another_package_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_versions(release_of(tmp_path, amqp_codec="2.0.0"))

    assert str(failed.value) == "aioamqp requires amqp-codec<2,>=1.1, but here is 2.0.0"


@pytest.mark.parametrize(
    ("version", "changelog", "complaint"),
    [
        ("1.2.0", "# Changelog\n", "is missing, but the version is 1.2.0"),
        ("1.2.0", "## 1.1.0, 2026-11-01\n", 'is "## 1.1.0, 2026-11-01", but the version is 1.2.0'),
        ("1.2.0", "## 1.2.0, unreleased\n", "but only a .dev version is unreleased"),
        ("1.2.0.dev0", "## 1.2.0.dev0, 2026-12-01\n", "but only a .dev version is unreleased"),
    ],
)
def test_a_version_without_an_entry_is_named(
    version: str, changelog: str, complaint: str, tmp_path: Path
) -> None:
    release = release_of(tmp_path, amqp_spec=version)
    (tmp_path / "packages/amqp-spec/CHANGELOG.md").write_text(changelog)

    with pytest.raises(CheckFailed) as failed:
        check_versions(release)

    assert "packages/amqp-spec/CHANGELOG.md" in str(failed.value)
    assert complaint in str(failed.value)


def test_a_tree_with_changes_is_not_released(tmp_path: Path) -> None:
    release = Release(tmp_path, tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    check_clean_tree(release)
    (tmp_path / "forgotten.py").write_text("")

    with pytest.raises(CheckFailed, match=r"forgotten\.py"):
        check_clean_tree(release)


def test_wrong_distributions_are_named(tmp_path: Path) -> None:
    release = release_of(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("git", "add", ".", cwd=tmp_path)
    release.built = (tmp_path / "first", tmp_path / "second")
    for folder in release.built:
        folder.mkdir()
    with tarfile.open(tmp_path / "first/amqp_spec-1.0.tar.gz", "w:gz"):
        pass

    with pytest.raises(CheckFailed, match=r"amqp_spec-1.0.tar.gz has other bytes"):
        check_reproducible(release)
    with pytest.raises(CheckFailed, match=r"amqp_spec-1.0.tar.gz lacks CHANGELOG.md"):
        check_contents(release)


def test_the_end_of_a_failed_command_is_shown(tmp_path: Path) -> None:
    program = "print(*range(1000), sep='\\n'); raise SystemExit('broken')"

    with pytest.raises(CheckFailed) as failed:
        run(sys.executable, "-c", program, cwd=tmp_path)

    shown = str(failed.value).splitlines()
    assert shown[-2:] == ["999", "broken"]
    assert len(shown) < 50


def test_a_command_that_is_not_installed_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no-such-command is not installed"):
        run("no-such-command", cwd=tmp_path)


def test_a_python_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotRun):
        find_python(Release(ROOT, tmp_path), "3.99")


def test_without_an_environment_for_documents_these_are_not_built(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.envs.default]\n")

    with pytest.raises(CannotRun, match="no environment"):
        check_docs(Release(tmp_path, tmp_path))


class TestLinks:
    """The links of a tree whose documents have one, and whose packages have another."""

    @pytest.fixture
    def release(self, tmp_path: Path) -> Release:
        release = release_of(tmp_path)
        (tmp_path / "README.md").write_text("[It](https://example.com/manual), [here](docs/it.md)")
        run("git", "init", "--quiet", cwd=tmp_path)
        run("git", "add", ".", cwd=tmp_path)
        return release

    def test_documents_and_packages_are_searched(self, release: Release) -> None:
        found = release_check.links(release.root)

        assert found == ["https://example.com/manual", "https://example.com/source"]

    def test_a_page_that_does_not_exist_is_a_failure(
        self, release: Release, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = {"https://example.com/manual": 404, "https://example.com/source": 200}
        monkeypatch.setattr(release_check, "answer_of", answers.get)

        with pytest.raises(CheckFailed) as failed:
            check_links(release)

        assert str(failed.value) == "https://example.com/manual: 404"

    def test_hosts_that_do_not_answer_are_none(
        self, release: Release, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(urllib.request, "urlopen", refuse)

        with pytest.raises(CannotRun, match="2 of 2 links cannot be reached"):
            check_links(release)


def refuse(request: urllib.request.Request, timeout: float) -> NoReturn:
    raise urllib.error.URLError("no network")


def test_the_status_of_an_answer_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: urllib.request.Request, timeout: float) -> NoReturn:
        raise urllib.error.HTTPError(request.full_url, 410, "Gone", Message(), None)

    monkeypatch.setattr(urllib.request, "urlopen", answer)

    assert release_check.answer_of("https://example.com/") == 410
