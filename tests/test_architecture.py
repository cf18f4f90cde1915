"""The rules of ARCHITECTURE.md that a machine can check, each with examples that violate it."""

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.source_tree import (
    CODEGEN,
    HOMES,
    ROOT,
    Graph,
    circles,
    import_graph,
    imports,
    is_generated,
    modules_of,
    shown,
    sources,
)

GENERATED_FOLDER = ROOT / "packages/amqp-codec/src/amqp_codec/protocol"
LONGEST_FILE = 800
SMALL_FILE = 60

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
    """A folder or module, and what it may import besides the standard library."""

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

# Imports inside a package that go against its order. A row says who must not import whom; a folder
# stands for all that is in it. TYPE_CHECKING imports count: they tie files together as well.
NEVER = {
    # aioamqp: _recovery ─▶ the facade ─▶ _methods ─▶ _channel ─▶ _connection ─▶ types and values
    "aioamqp._connection": {
        "aioamqp._channel",
        "aioamqp._methods",
        "aioamqp._recovery",
        "aioamqp.channel",
        "aioamqp.connecting",
        "aioamqp.protocol",
    },
    "aioamqp._channel": {
        "aioamqp._methods",
        "aioamqp._recovery",
        "aioamqp.channel",
        "aioamqp.connecting",
        "aioamqp.protocol",
    },
    "aioamqp._methods": {"aioamqp._recovery", "aioamqp.connecting", "aioamqp.connection"},
    "aioamqp._recovery": {"aioamqp.connection"},
    # aioamqp_testing: control, faults ─▶ transport ─▶ session ─▶ model
    "aioamqp_testing.session": {
        "aioamqp_testing.broker",
        "aioamqp_testing.control",
        "aioamqp_testing.redirecting",
        "aioamqp_testing.faults",
        "aioamqp_testing.transport",
    },
    "aioamqp_testing.transport": {
        "aioamqp_testing.broker",
        "aioamqp_testing.control",
        "aioamqp_testing.redirecting",
        "aioamqp_testing.faults",
    },
    "aioamqp_testing.faults": {
        "aioamqp_testing.broker",
        "aioamqp_testing.control",
        "aioamqp_testing.redirecting",
    },
    "aioamqp_testing.control": {"aioamqp_testing.broker", "aioamqp_testing.redirecting"},
}

# Modules that only these may import, of the importers in the folder that is named first.
ONLY = {
    "aioamqp._legacy": ("aioamqp", {"aioamqp.protocol"}),
    "aioamqp_testing.cli": ("aioamqp_testing", {"aioamqp_testing.__main__"}),
    "aioamqp_testing.management": ("aioamqp_testing", {"aioamqp_testing.broker"}),
    "aioamqp_testing.plugin": ("aioamqp_testing", {"aioamqp_testing.pytest_plugin"}),
    "aioamqp_testing.model.vhost": (
        "aioamqp_testing.model",
        {"aioamqp_testing.model.__init__", "aioamqp_testing.model.node"},
    ),
}

FACADE = {
    f"aioamqp.{name}" for name in ("callbacks", "channel", "message", "protocol", "publisher")
}
"""These name each other in the types of public calls, and so do the modules of `_methods`."""

PATCHED_HERE = ("aioamqp.connecting", "aioamqp.__init__")
"""`from_url` looks `connect` up on the package, where programs replace it in their tests."""

MODULES_OF_0_15 = {
    f"aioamqp.{name}"
    for name in (
        "channel",
        "constants",
        "envelope",
        "exceptions",
        "frame",
        "properties",
        "protocol",
        "version",
    )
}
"""Programs of 0.15 import them by these names."""

FAMILIES = {"aioamqp._methods"}
"""Folders with one file for each AMQP class, however short."""


MODEL = "aioamqp_testing.model"

# What the folders of the model may import of the model; only vhost.py and policy.py know them all.
ROOMS_OF_THE_MODEL = {
    "erlang": {"erlang", "errors"},
    "messages": {"messages", "erlang", "errors", "access", "profile"},
    "queues": {"queues", "messages", "erlang", "errors", "agenda", "clock", "profile"},
    "exchanges": {"exchanges", "messages", "erlang", "errors", "profile"},
}

# The first room that contains a file applies.
ROOMS = [
    Room("packages/amqp-spec/src/amqp_spec", "amqp_spec", {"amqp_spec"}),
    Room(
        "tools/codegen",
        "",
        {"amqp_spec", "jinja2", *(path.stem for path in CODEGEN.glob("*.py"))},
    ),
    # For type checkers, and for mypyc.
    Room(
        "packages/amqp-codec/src/amqp_codec/compiling.py",
        "amqp_codec",
        {"amqp_codec", "mypy_extensions"},
        does_no_io=True,
    ),
    Room(
        "packages/amqp-codec/src/amqp_codec",
        "amqp_codec",
        {"amqp_codec"},
        does_no_io=True,
    ),
    # Each of these is an extra, which nothing else imports.
    *(
        Room(f"packages/aioamqp/src/aioamqp/{extra}.py", "aioamqp", {"aioamqp", library})
        for extra, library in (
            ("opentelemetry", "opentelemetry"),
            ("prometheus", "prometheus_client"),
        )
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
    # These return a client, or connect one to a broker, or are pytest's fixtures.
    *(
        Room(
            f"packages/aioamqp-testing/src/aioamqp_testing/{file}.py",
            "aioamqp_testing",
            {"aioamqp_testing", "amqp_codec", "aioamqp"},
        )
        for file in ("broker", "redirecting")
    ),
    # The server of HTTP, whose library is optional.
    Room(
        "packages/aioamqp-testing/src/aioamqp_testing/management/server.py",
        "aioamqp_testing.management",
        {"aioamqp_testing", "aiohttp"},
    ),
    Room(
        "packages/aioamqp-testing/src/aioamqp_testing/plugin",
        "aioamqp_testing.plugin",
        {"aioamqp_testing", "amqp_codec", "aioamqp"},
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


def is_in(module: str, place: str) -> bool:
    """Return whether a module is in a place, which is a folder, or is that module itself."""
    return f"{module}.".startswith(f"{place}.")


def against_the_order(graph: Graph, never: Mapping[str, set[str]]) -> list[str]:
    """List the imports of modules in one place from modules in places that it must not import."""
    return sorted(
        f"{module} imports {imported}"
        for place, forbidden in never.items()
        for module in graph
        if is_in(module, place)
        for imported in graph[module]
        if any(is_in(imported, each) for each in forbidden) and not is_in(imported, place)
    )


def by_strangers(graph: Graph, only: Mapping[str, tuple[str, set[str]]]) -> list[str]:
    """List the imports of modules that only some others may import."""
    return sorted(
        f"{module} imports {imported}"
        for place, (among, allowed) in only.items()
        for module in graph
        if is_in(module, among) and not is_in(module, place) and module not in allowed
        for imported in graph[module]
        if is_in(imported, place)
    )


def is_part_of_the_facade(module: str) -> bool:
    return module in FACADE or is_in(module, "aioamqp._methods")


def idle_small_files(texts: Mapping[str, str]) -> list[str]:
    """List the small modules that have one importer, and no name that programs import."""
    graph = import_graph(texts)
    public = {
        imported
        for module in graph
        if module.endswith(".__init__") and "__all__" in texts[module]
        for imported in graph[module]
    }
    return sorted(
        module
        for module, text in texts.items()
        if len(text.splitlines()) < SMALL_FILE
        and not is_generated(text)
        and module.rpartition(".")[2] not in ("__init__", "__main__", "version")
        and module not in public | MODULES_OF_0_15
        and not any(is_in(module, family) for family in FAMILIES)
        and sum(module in imported for imported in graph.values()) < 2
    )


def is_too_long(text: str) -> bool:
    """Return whether a hand-written file has more lines than a reader should have to search."""
    return len(text.splitlines()) > LONGEST_FILE and not is_generated(text)


def misdeclared(source: str) -> set[str]:
    """List the names by which `__all__` and what a package's `__init__.py` makes public differ."""
    public: set[str] = set()
    declared: list[str] = []
    body = ast.parse(source).body
    lazy = [line for node in body if isinstance(node, ast.If) for line in node.body]
    for node in body + lazy:
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and node.module in sys.stdlib_module_names
        ):
            continue  # for the module itself
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


def room_of(path: Path) -> Room:
    homes = [ROOT / room.folder for room in ROOMS]
    return next(
        room for room, home in zip(ROOMS, homes, strict=True) if home in (path, *path.parents)
    )


def package_of(path: Path, room: Room) -> str:
    home = ROOT / room.folder
    folders = path.parent.relative_to(home).parts if home.is_dir() else ()
    return ".".join([room.package, *folders])


@pytest.mark.parametrize("path", sources(), ids=shown)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)

    assert trespasses(path.read_text(), package_of(path, room), room) == []


@pytest.mark.parametrize("package", HOMES)
def test_no_import_goes_against_the_order_of_a_package(package: str) -> None:
    graph = import_graph(modules_of(package))

    assert against_the_order(graph, NEVER) + by_strangers(graph, ONLY) == []


def test_every_place_that_the_order_names_exists() -> None:
    modules = {module for package in HOMES for module in modules_of(package)}
    places = {*NEVER, *ONLY, *FAMILIES, *FACADE, *PATCHED_HERE, *MODULES_OF_0_15}
    places.update(*NEVER.values(), *(allowed for _, allowed in ONLY.values()))

    assert {place for place in places if not any(is_in(each, place) for each in modules)} == set()


@pytest.mark.parametrize("package", ["amqp_spec", "codegen", "amqp_codec"])
def test_no_modules_import_one_another(package: str) -> None:
    assert circles(import_graph(modules_of(package))) == []


def test_no_modules_of_the_client_import_one_another_but_those_of_the_facade() -> None:
    graph = import_graph(modules_of("aioamqp"))
    importer, imported = PATCHED_HERE
    graph[importer].remove(imported)

    found = circles(graph)

    assert [circle for circle in found if not all(map(is_part_of_the_facade, circle))] == []


def test_at_most_three_modules_of_the_fake_import_one_another() -> None:
    found = circles(import_graph(modules_of("aioamqp_testing")))

    assert [circle for circle in found if len(circle) > 3] == []


@pytest.mark.parametrize("package", HOMES)
def test_a_small_file_has_two_importers_or_a_public_name(package: str) -> None:
    assert idle_small_files(modules_of(package)) == []


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


# The tests below show that the rules above can fail.

BANNER = "# Generated by `hatch run codegen` from p.xml; do not edit."
LONG = "\n" * SMALL_FILE


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


def test_an_import_counts_for_the_module_that_defines_the_name() -> None:
    texts = {
        "p.__init__": "from .a import A\nB = 1",
        "p.a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from .sub import S",
        "p.sub.__init__": "from .s import S",
        "p.sub.s": "def later():\n from p import A, B\n from .. import sub",
    }

    assert import_graph(texts) == {
        "p.__init__": {"p.a"},
        "p.a": {"p.sub.s"},
        "p.sub.__init__": {"p.sub.s"},
        "p.sub.s": {"p.a", "p.__init__", "p.sub.__init__"},
    }


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        (
            {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}},
            [["a", "b", "c"], ["d", "e"]],
        ),
    ],
)
def test_a_circle_is_found(graph: Graph, found: list[list[str]]) -> None:
    assert circles(graph) == found


@pytest.mark.parametrize(
    ("module", "imported", "is_found"),
    [
        ("p._core.calls", "p.channel", True),
        ("p._core.calls", "p.channel.sub", True),
        ("p._core.calls", "p.channels", False),
        ("p._core.calls", "p._core.other", False),
        ("p._core", "p.channel", True),
        ("p._corer", "p.channel", False),
    ],
)
def test_an_import_against_the_order_is_found(module: str, imported: str, is_found: bool) -> None:
    found = against_the_order({module: {imported}}, {"p._core": {"p.channel"}})

    assert found == ([f"{module} imports {imported}"] if is_found else [])


def test_what_a_folder_may_not_import_can_be_all_that_is_around_it() -> None:
    graph = {"p.sub.a": {"p.b", "p.sub.c"}}

    assert against_the_order(graph, {"p.sub": {"p"}}) == ["p.sub.a imports p.b"]


def test_an_import_by_a_stranger_is_found() -> None:
    graph = {"p.a": {"p.old"}, "p.b": {"p.old"}, "p.old": {"p.old"}, "q.a": {"p.old"}}

    assert by_strangers(graph, {"p.old": ("p", {"p.a"})}) == ["p.b imports p.old"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, ["p.small"]),
        ({"p.small": "x = 1\n" * SMALL_FILE}, []),
        ({"p.small": f"{BANNER}\n"}, []),
        ({"p.second": f"from .small import x{LONG}"}, []),
        ({"p.__init__": "from .small import x"}, []),
        ({"p.__init__": "from .small import x\n__all__ = ['x']"}, []),
    ],
)
def test_a_small_file_for_one_user_is_found(changed: dict[str, str], found: list[str]) -> None:
    texts = {
        "p.__init__": "",
        "p.__main__": "",
        "p.version": "",
        "p.first": f"from .small import x{LONG}",
        "p.second": LONG,
        "p.small": "x = 1",
    }

    assert idle_small_files(texts | changed) == found


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
