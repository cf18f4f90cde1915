"""Build hook of hatchling: compiles the modules of the wheel with mypyc.

HATCH_BUILD_HOOKS_ENABLE=1 enables it. It compiles in a temporary folder, so it leaves nothing
beside the sources. The wheel contains these too: type checkers, editors and tracebacks read them.
"""

import ast
import re
import shutil
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "amqp_codec"
INTERPRETED = {"__init__.py", "__main__.py", "errors.py", "version.py"}
"""Compiled exceptions could not be pickled, nor subclassed by a module that is not compiled; a
compiled program could not be run with `python -m`; the other two gain nothing."""

SETTER = re.compile(r"(?<=PyObject \*value, void \*closure\)\n)(\s*\{)(?=\n\s*char retval = )")
DELETED = """
if (value == NULL) {
    PyErr_SetString(PyExc_AttributeError, "property cannot be deleted");
    return -1;
}"""


class MypycHook(BuildHookInterface[Any]):
    """Hook for the wheel; hatchling calls its two methods."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the package, and add the extension modules to the wheel."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        folder = Path(self._folder.name).resolve()
        shutil.copytree(Path(self.root, "src", PACKAGE), folder / PACKAGE)
        with chdir(folder):
            compile_package(into=Path("compiled"))
        for path in (folder / "compiled").rglob("*.*"):
            name = path.relative_to(folder / "compiled").as_posix()
            build_data["force_include"][str(path)] = name
        build_data.update(pure_python=False, infer_tag=True)

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Delete the temporary folder."""
        if version != "editable":
            self._folder.cleanup()


def compile_package(into: Path) -> None:
    """Compile the copy of the package in the current folder."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    sources = {path.relative_to(PACKAGE).as_posix(): path for path in Path(PACKAGE).rglob("*.py")}
    compiled = [path for name, path in sorted(sources.items()) if name not in INTERPRETED]
    for path in compiled:
        path.write_text(with_docstrings(path.read_text("utf-8")), "utf-8")
    arguments = ["--strict", *map(str, compiled)]
    extensions = mypycify(arguments, debug_level="0", group_name=PACKAGE)
    setters = sum(path.read_text("utf-8").count(".setter\n") for path in compiled)
    guarded = sum(guard_setters(path) for path in Path("build").rglob("*.c"))
    if guarded != setters:
        raise RuntimeError(f"{guarded} of {setters} setters were found in the code of mypyc")
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib = str(into)
    command.ensure_finalized()
    command.run()


def guard_setters(path: Path) -> int:
    """Make the setters of properties in a C file refuse a deletion, which crashes mypyc's."""
    code, guarded = SETTER.subn(rf"\1{DELETED}", path.read_text("utf-8"))
    path.write_text(code, "utf-8")
    return guarded


def with_docstrings(source: str) -> str:
    """Return a module that assigns its docstring, and those of its classes, which mypyc drops."""
    tree = ast.parse(source)
    added = f"__doc__ = {ast.get_docstring(tree, clean=False)!r}\n"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node, clean=False)):
            added += f"setattr({node.name}, '__doc__', {text!r})\n"
    return source + added
