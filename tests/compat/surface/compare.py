"""Comparison of two descriptions: what 0.15 had and this aioamqp lacks or changed."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from .describe import Description

ABSENT = "absent"
BY_NAME = ("bases", "slots", "signatures", "aliases", "constants")
"""Sections about names that are also in the section "names"."""


class Parameter(NamedTuple):
    """A parameter of a signature; its default is source text."""

    name: str
    kind: str
    default: str | None


def differences(theirs: Description, ours: Description) -> dict[str, str]:
    """Return what has changed for a program of 0.15.

    Returns:
        the new value by section and name, such as ``"names: aioamqp.channel.io"``.
    """
    found: dict[str, str] = {}
    for section, wanted in theirs.items():
        have = ours.get(section, {})
        for name, value in wanted.items():
            if section == "names":
                missing = [each for each in value if each not in have.get(name, ())]
                found |= {f"names: {name}.{each}": ABSENT for each in missing}
            elif section in BY_NAME and not is_named(name, ours):
                assert f"names: {name}" in found, name  # reported there
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
    """Return whether a module or class still has a name."""
    place, _, last = name.rpartition(".")
    return last.startswith("_") or last in ours["names"].get(place, ())


def is_kept(section: str, theirs: object, ours: object) -> bool:
    """Return whether our value is compatible with theirs for a program of 0.15."""
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
    """Return whether our signature accepts every call that theirs accepts, with the same meaning."""
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
    """Parse a signature as written by ``describe``."""
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
    # The names of *args and **kwargs do not matter.
    if arguments.vararg is not None:
        yield Parameter("", "the rest", None)
    if arguments.kwarg is not None:
        yield Parameter("", "the rest by keyword", None)


def text(default: ast.expr | None) -> str | None:
    return None if default is None else ast.unparse(default)


def raises_as(ours: str, theirs: str) -> bool:
    """Return whether our exception has all base classes and the code of theirs."""
    old, new = (re.fullmatch(r"(.*)raises ([\w, ]+?)( with .*)?", text) for text in (theirs, ours))
    if old is None or new is None or (old[1], old[3]) != (new[1], new[3]):
        return False
    return set(old[2].split(", ")) <= set(new[2].split(", "))
