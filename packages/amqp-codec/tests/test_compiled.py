"""The build under test is the one that was asked for; what differs between pure and compiled builds."""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import amqp_codec
from amqp_codec import Decoder, FrameReader, Properties, basic, decode_table, encode_command

COMPILED = bool(os.environ.get("AMQP_CODEC_COMPILED"))
"""Whether the build under test must be compiled."""

INTERPRETED = {"__init__.py", "__main__.py", "errors.py", "version.py"}
FOLDER = Path(amqp_codec.__file__).parent
SOURCES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py"))


def module_of(source: str) -> ModuleType:
    name = source.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return importlib.import_module("amqp_codec" if name == "__init__" else f"amqp_codec.{name}")


def test_the_build_under_test_is_the_one_that_was_asked_for() -> None:
    """Row C7. `hatch run compiled` runs the tests of the client and the fake broker on it, too."""
    assert amqp_codec.COMPILED is COMPILED


@pytest.mark.parametrize("source", SOURCES)
def test_a_module_is_compiled_with_its_package(source: str) -> None:
    """Row C7. Its source is installed beside it."""
    file = module_of(source).__file__

    assert file is not None
    assert Path(file).is_relative_to(FOLDER)
    assert file.endswith(".py") != (COMPILED and source not in INTERPRETED)


def test_the_package_is_typed() -> None:
    assert (FOLDER / "py.typed").is_file()


def test_a_compiled_wheel_is_for_one_python_and_platform() -> None:
    """Row C7."""
    wheel = distribution("amqp-codec")
    described = message_from_string(wheel.read_text("WHEEL") or "")
    tags = described.get_all("Tag", [])
    pythons = {tag.rpartition("-")[0] for tag in tags}
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"

    assert described["Root-Is-Purelib"] == ("false" if COMPILED else "true")
    assert pythons == ({f"{python}-{python}"} if COMPILED else {"py3-none"})
    assert all(tag.endswith("-any") != COMPILED for tag in tags)


def test_the_command_prints_which_build_it_is() -> None:
    command = [sys.executable, "-m", "amqp_codec", "--version"]

    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    build = "compiled" if COMPILED else "pure Python"
    assert printed == f"amqp-codec {amqp_codec.__version__} ({build})\n"


@pytest.mark.parametrize("source", SOURCES)
def test_modules_and_classes_have_docstrings(source: str) -> None:
    """Of a compiled module, functions have a signature instead."""
    module = module_of(source)
    if source == "version.py":
        return

    assert module.__doc__
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_":
            assert value.__doc__
            assert "mypyc" not in value.__doc__


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Properties(), "headers"), (Decoder(), "frame_max"), (FrameReader(), "frame_max")],
    ids=["Properties", "Decoder", "FrameReader"],
)
def test_a_property_cannot_be_deleted(owner: object, name: str) -> None:
    """The setters that mypyc writes take a deletion for a value, and crash."""
    with pytest.raises(AttributeError):
        delattr(owner, name)


def any_type(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda: decode_table(any_type(bytearray(4))), TypeError),
        (lambda: Properties.decode(any_type(bytearray(2)), 0, 2), TypeError),
        (lambda: setattr(FrameReader(), "channel", "one"), TypeError),
        (lambda: Decoder(max_body_size=any_type("large")), TypeError),
        (lambda: delattr(basic.Ack(1), "multiple"), AttributeError),
        (lambda: (encode_command.__doc__ or "")[0], IndexError),
    ],
)
def test_readme_lists_what_only_a_compiled_build_refuses(
    act: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error) if COMPILED else nullcontext():
        act()
