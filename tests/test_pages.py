"""The pages of the documentation name everything that is public, and their pictures are up to date."""

import inspect
import re
from types import ModuleType

import pytest

import aioamqp
import aioamqp_testing
import amqp_codec
import amqp_spec
from tests.source_tree import ROOT
from tools import pictures

PACKAGES = (aioamqp, aioamqp_testing, amqp_codec, amqp_spec)
API = "".join(path.read_text() for path in (ROOT / "docs/api").glob("*.md"))
ERRORS = (ROOT / "docs/errors.md").read_text()
IDENTIFIER = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
CURE = "**What to do:** "


def public_names(package: ModuleType) -> set[str]:
    """List the public names of a package, without modules and the version."""
    return {
        f"{package.__name__}.{name}"
        for name in package.__all__
        if not inspect.ismodule(getattr(package, name))
        and getattr(getattr(package, name), "__module__", "").partition(".")[0] != "urllib"
        and name != "__version__"
    }


def exceptions() -> list[str]:
    """List the exceptions of all packages, by their names."""
    names = {
        name
        for package in PACKAGES
        for name in public_names(package)
        if is_exception(getattr(package, name.rpartition(".")[2]))
    }
    return sorted(names, key=lambda name: name.rpartition(".")[2])


def is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_has_a_place_in_the_reference(package: ModuleType) -> None:
    shown = set(IDENTIFIER.findall(API + ERRORS))
    if package is amqp_codec:
        shown.add("amqp_codec.Properties")  # as amqp_codec.protocol.basic.Properties

    assert public_names(package) - shown == set()


def test_the_errors_are_in_alphabetical_order_each_with_a_cure() -> None:
    _, _, section = ERRORS.partition("\n## Exceptions\n")
    parts = section.split("\n::: ")[1:]

    assert [part.partition("\n")[0] for part in parts] == exceptions()
    assert [part.partition("\n")[0] for part in parts if CURE not in part] == []


def test_the_pictures_show_what_is() -> None:
    assert pictures.main(["--check"]) == 0


def test_the_picture_of_the_states_has_every_state() -> None:
    states = {state.name for state in aioamqp.ConnectionState}

    rows = pictures.transitions()

    assert {old for old, _, _ in rows} == states - {"CLOSED"}
    assert {new for _, _, new in rows} == states - {"CONNECTING"}
    assert len(rows) == 6
