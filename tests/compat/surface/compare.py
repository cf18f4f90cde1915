"""Find where this aioamqp is not what 0.15 was; more than 0.15 had is no difference."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from .describe import Description

ABSENT = "absent"
BY_NAME = ("bases", "slots", "signatures", "aliases", "constants")
"""Sections about names that are in the section "names" too."""


class Parameter(NamedTuple):
    """A parameter of a signature as text."""

    name: str
    kind: str
    default: str | None


def differences(theirs: Description, ours: Description) -> dict[str, str]:
    """List what a program of 0.15 would find changed.

    Returns:
        by section and name, such as ``"names: aioamqp.channel.io"``, what it finds instead.
    """
    found: dict[str, str] = {}
    for section, wanted in theirs.items():
        have = ours.get(section, {})
        for name, value in wanted.items():
            if section == "names":
                missing = [each for each in value if each not in have.get(name, ())]
                found |= {f"names: {name}.{each}": ABSENT for each in missing}
            elif section in BY_NAME and not is_named(name, ours):
                assert f"names: {name}" in found, name  # and there once is enough
            elif name not in have:
                found[f"{section}: {name}"] = ABSENT
            elif not is_kept(section, value, have[name]):
                found[f"{section}: {name}"] = (
                    f"not {', '.join(sorted(set(value) - set(have[name])))}"
                    if section == "bases"
                    else str(have[name])
                )
    return found


def is_named(name: str, ours: Description) -> bool:
    """Tell whether a name of a module or a class is there at all."""
    place, _, last = name.rpartition(".")
    return last.startswith("_") or last in ours["names"].get(place, ())


def is_kept(section: str, theirs: object, ours: object) -> bool:
    """Tell whether a program of 0.15 gets along with ours where it expects theirs."""
    match section, theirs, ours:
        case "bases", list(), list():
            return set(theirs) <= set(ours)
        case "signatures", str(), str():
            return takes(ours, theirs)
        case "outcomes", str(), str():
            return theirs == ours or raises_as(ours, theirs)
        case _:
            return theirs == ours


def takes(ours: str, theirs: str) -> bool:
    """Tell whether a signature takes each call that another does, to the same effect."""
    if (theirs == "property") != (ours == "property"):
        return False
    if theirs == "property":
        return True
    if theirs.startswith("async ") != ours.startswith("async "):
        return False
    wanted, have = list(parameters(theirs)), list(parameters(ours))
    for kind in ("positional or keyword", "keyword", "the rest", "the rest by keyword"):
        old = [each for each in wanted if each.kind == kind]
        new = [each for each in have if each.kind == kind]
        if kind == "positional or keyword" and old != new:
            return False
        if kind == "keyword":
            if not set(old) <= set(new):
                return False
            if any(each.default is None for each in set(new) - set(old)):
                return False
        if kind.startswith("the rest") and old and not new:
            return False
    return True


def parameters(signature: str) -> Iterator[Parameter]:
    """Read a signature as ``describe`` writes it."""
    function = ast.parse(f"def f{signature.removeprefix('async ')}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    assert not arguments.posonlyargs
    required = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * required, *arguments.defaults]
    for argument, default in zip(arguments.args, defaults, strict=True):
        yield Parameter(argument.arg, "positional or keyword", text(default))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(argument.arg, "keyword", text(default))
    # Their names are nobody's business.
    if arguments.vararg is not None:
        yield Parameter("", "the rest", None)
    if arguments.kwarg is not None:
        yield Parameter("", "the rest by keyword", None)


def text(default: ast.expr | None) -> str | None:
    return None if default is None else ast.unparse(default)


def raises_as(ours: str, theirs: str) -> bool:
    """Tell whether what is raised is caught by who catches theirs, and has the same code."""
    old, new = (re.fullmatch(r"(.*)raises ([\w, ]+?)( with .*)?", text) for text in (theirs, ours))
    if old is None or new is None or (old[1], old[3]) != (new[1], new[3]):
        return False
    return set(old[2].split(", ")) <= set(new[2].split(", "))
