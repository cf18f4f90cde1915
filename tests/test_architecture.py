"""The rules of ARCHITECTURE.md that a machine can check, each with sources that break it."""

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED_FOLDER = ROOT / "packages/amqp-codec/src/amqp_codec/protocol"
CODEGEN = ROOT / "tools/codegen"
LONGEST_FILE = 800

INPUT_OUTPUT_AND_CLOCKS = {
    "asyncio",
    "concurrent",
    "multiprocessing",
    "select",
    "selectors",
    "socket",
    "socketserver",
    "ssl",
    "threading",
    "time",
}
CLOCK_READINGS = ("date.today", "datetime.now", "datetime.today", "datetime.utcnow")


@dataclass(frozen=True)
class Room:
    """A folder or module, and what may be imported in it besides the standard library."""

    folder: str
    package: str
    may_import: set[str]
    does_no_io: bool = False

    @property
    def never(self) -> set[str]:
        return INPUT_OUTPUT_AND_CLOCKS if self.does_no_io else set()


# Reply codes, properties and field values; nothing that turns them into bytes.
CODEC_NAMES_OF_THE_MODEL = {
    "amqp_codec.FieldTable",
    "amqp_codec.FieldValue",
    "amqp_codec.Float32",
    "amqp_codec.Int8",
    "amqp_codec.Int16",
    "amqp_codec.Int32",
    "amqp_codec.Int64",
    "amqp_codec.LongStr",
    "amqp_codec.Properties",
    "amqp_codec.ReplyCode",
    "amqp_codec.Table",
    "amqp_codec.Timestamp",
    "amqp_codec.UInt8",
    "amqp_codec.UInt16",
    "amqp_codec.UInt32",
    "amqp_codec.field_type",
}

MODEL = "aioamqp_testing.model"

# What the folders of the model may import of the model; only vhost.py and policy.py know them all.
ROOMS_OF_THE_MODEL = {
    "erlang": {"erlang", "errors"},
    "messages": {"messages", "erlang", "errors", "access"},
    "queues": {"queues", "messages", "erlang", "errors", "agenda", "clock"},
    "exchanges": {"exchanges", "messages", "erlang", "errors"},
}

# The first room that a file is in counts.
ROOMS = [
    Room("packages/amqp-spec/src/amqp_spec", "amqp_spec", {"amqp_spec"}),
    Room(
        "tools/codegen",
        "",
        {"amqp_spec", "jinja2", *(path.stem for path in CODEGEN.glob("*.py"))},
    ),
    Room(
        "packages/amqp-codec/src/amqp_codec",
        "amqp_codec",
        {"amqp_codec"},
        does_no_io=True,
    ),
    Room("packages/aioamqp/src/aioamqp", "aioamqp", {"aioamqp", "amqp_codec"}),
    *(
        Room(
            f"packages/aioamqp-testing/src/aioamqp_testing/model/{folder}",
            f"{MODEL}.{folder}",
            {f"{MODEL}.{name}" for name in names} | CODEC_NAMES_OF_THE_MODEL,
            does_no_io=True,
        )
        for folder, names in ROOMS_OF_THE_MODEL.items()
    ),
    Room(
        "packages/aioamqp-testing/src/aioamqp_testing/model",
        MODEL,
        {MODEL} | CODEC_NAMES_OF_THE_MODEL,
        does_no_io=True,
    ),
    # These hand out a client, or lead one to a broker, and pytest's fixtures.
    *(
        Room(
            f"packages/aioamqp-testing/src/aioamqp_testing/{file}.py",
            "aioamqp_testing",
            {"aioamqp_testing", "amqp_codec", "aioamqp"},
        )
        for file in ("broker", "fake_broker", "plugin/rabbitmq")
    ),
    Room(
        "packages/aioamqp-testing/src/aioamqp_testing/pytest_plugin.py",
        "aioamqp_testing",
        {"aioamqp_testing", "amqp_codec", "aioamqp", "pytest", "pytest_asyncio"},
    ),
    Room(
        "packages/aioamqp-testing/src/aioamqp_testing",
        "aioamqp_testing",
        {"aioamqp_testing", "amqp_codec"},
    ),
]


def imports(source: str, package: str) -> set[str]:
    """List what a module of `package` imports, as full dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    return names


def trespasses(source: str, package: str, room: Room) -> list[str]:
    """List what a module of `room` may not import or call."""
    found = []
    for name in imports(source, package):
        top = name.partition(".")[0]
        if any(f"{name}.".startswith(f"{allowed}.") for allowed in room.may_import):
            continue
        if top not in sys.stdlib_module_names or top in room.never:
            found.append(name)
    if room.does_no_io:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        found += [
            call for node in calls if (call := ast.unparse(node.func)).endswith(CLOCK_READINGS)
        ]
    return sorted(found)


def is_generated(text: str) -> bool:
    """Tell whether a file says in its first line that `hatch run codegen` wrote it."""
    return (
        re.match(r"# Generated by `hatch run codegen` from .+; do not edit\.\n", text) is not None
    )


def is_too_long(text: str) -> bool:
    """Tell whether a hand-written file has outgrown the one thing that it is about."""
    return len(text.splitlines()) > LONGEST_FILE and not is_generated(text)


def misdeclared(source: str) -> set[str]:
    """List the names by which `__all__` and what a package's `__init__.py` makes public differ."""
    public: set[str] = set()
    declared: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            public.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            public.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names == {"__all__"} and node.value is not None:
                declared = ast.literal_eval(node.value)
            else:
                public |= names
    public = {name for name in public if name == "__version__" or not name.startswith("_")}
    repeated = {name for name in declared if declared.count(name) > 1}
    return public ^ set(declared) | repeated


def sources() -> list[Path]:
    """List the Python files that are shipped, and the generator's."""
    shipped = ROOT.glob("packages/*/src/**/*.py")
    generator = CODEGEN.glob("*.py")
    return sorted([*shipped, *generator])


def room_of(path: Path) -> Room:
    homes = [ROOT / room.folder for room in ROOMS]
    return next(
        room for room, home in zip(ROOMS, homes, strict=True) if home in (path, *path.parents)
    )


def package_of(path: Path, room: Room) -> str:
    home = ROOT / room.folder
    folders = path.parent.relative_to(home).parts if home.is_dir() else ()
    return ".".join([room.package, *folders])


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(), ids=shown)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)

    assert trespasses(path.read_text(), package_of(path, room), room) == []


@pytest.mark.parametrize("path", sources(), ids=shown)
def test_a_file_is_generated_exactly_if_it_is_in_the_generated_folder(path: Path) -> None:
    assert is_generated(path.read_text()) == (GENERATED_FOLDER in path.parents)


def test_the_generated_folder_holds_nothing_but_generated_modules() -> None:
    files = {path for path in GENERATED_FOLDER.rglob("*") if path.is_file()}
    bytecode = {path for path in files if path.parent.name == "__pycache__"}

    assert {path.suffix for path in files - bytecode} == {".py"}


@pytest.mark.parametrize("path", sources(), ids=shown)
def test_a_handwritten_file_is_not_too_long(path: Path) -> None:
    assert not is_too_long(path.read_text())


@pytest.mark.parametrize("path", sorted(ROOT.glob("packages/*/src/*/__init__.py")), ids=shown)
def test_a_package_declares_in_all_exactly_what_it_makes_public(path: Path) -> None:
    assert misdeclared(path.read_text()) == set()


# What follows shows that the rules above can fail.


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("amqp-spec/src/amqp_spec/load.py", "import amqp_codec", ["amqp_codec"]),
        ("amqp-spec/src/amqp_spec/load.py", "import jinja2", ["jinja2"]),
        ("amqp-codec/src/amqp_codec/frames.py", "import asyncio.streams", ["asyncio.streams"]),
        ("amqp-codec/src/amqp_codec/frames.py", "from time import time", ["time.time"]),
        ("amqp-codec/src/amqp_codec/frames.py", "datetime.now(UTC)", ["datetime.now"]),
        ("amqp-codec/src/amqp_codec/frames.py", "def late():\n import amqp_spec", ["amqp_spec"]),
        ("aioamqp/src/aioamqp/channel.py", "import aioamqp_testing", ["aioamqp_testing"]),
        ("aioamqp/src/aioamqp/channel.py", "import opentelemetry", ["opentelemetry"]),
        (
            "aioamqp-testing/src/aioamqp_testing/model/queues/queue.py",
            "from ...session import Session",
            ["aioamqp_testing.session.Session"],
        ),
        (
            "aioamqp-testing/src/aioamqp_testing/model/queues/queue.py",
            "from ..vhost import VirtualHost",
            ["aioamqp_testing.model.vhost.VirtualHost"],
        ),
        (
            "aioamqp-testing/src/aioamqp_testing/model/queues/queue.py",
            "from amqp_codec import Decoder, ReplyCode",
            ["amqp_codec.Decoder"],
        ),
        (
            "aioamqp-testing/src/aioamqp_testing/model/queues/queue.py",
            "import asyncio",
            ["asyncio"],
        ),
        (
            "aioamqp-testing/src/aioamqp_testing/transport/protocol.py",
            "from aioamqp import connect",
            ["aioamqp.connect"],
        ),
        ("aioamqp-testing/src/aioamqp_testing/transport/protocol.py", "import pytest", ["pytest"]),
        ("aioamqp-testing/src/aioamqp_testing/broker.py", "import aioamqp, pytest", ["pytest"]),
    ],
)
def test_a_forbidden_import_is_found(file: str, source: str, found: list[str]) -> None:
    path = ROOT / "packages" / file
    room = room_of(path)

    assert trespasses(source, room.package, room) == found


def test_relative_imports_are_followed_to_their_full_names() -> None:
    source = "from . import a\nfrom .b import c\nfrom .. import d\nfrom ..e.f import g"

    assert imports(source, "package.folder") == {
        "package.folder.a",
        "package.folder.b.c",
        "package.d",
        "package.e.f.g",
    }


def test_an_allowed_name_does_not_allow_names_that_begin_like_it() -> None:
    room = Room("", "aioamqp", {"aioamqp"})

    assert trespasses("import aioamqp_testing", "aioamqp", room) == ["aioamqp_testing"]


@pytest.mark.parametrize("text", ["", "import struct\n", "# Generated by hand; do not edit.\n"])
def test_a_file_without_the_banner_is_not_taken_for_generated(text: str) -> None:
    assert not is_generated(text)


def test_a_file_is_too_long_from_the_first_line_past_the_limit_on() -> None:
    assert not is_too_long("x = 1\n" * LONGEST_FILE)
    assert is_too_long("x = 1\n" * (LONGEST_FILE + 1))


@pytest.mark.parametrize(
    ("source", "differing"),
    [
        ("from .a import b, c\n__all__ = ['b']", {"c"}),
        ("from .a import b\n__all__ = ['b', 'c']", {"c"}),
        ("from .a import b\n__all__ = ['b', 'b']", {"b"}),
        ("import os\nfrom .a import _b\n__all__ = []", {"os"}),
        ("def a(): pass\nB = 1\n__all__ = ['a']", {"B"}),
        ("from .a import b as c\n__all__ = ['c']", set()),
    ],
)
def test_a_difference_between_all_and_what_is_public_is_found(
    source: str, differing: set[str]
) -> None:
    assert misdeclared(source) == differing
