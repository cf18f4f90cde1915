"""Environments in which the libraries run; they are kept in the user's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CODEC: Final = ROOT / "packages/amqp-codec"


@dataclass(frozen=True)
class Library:
    """A library, or a floor, as it is measured.

    Attributes:
        name: in the table and on the command line.
        client: the name of its class in the worker.
        requirements: what is installed for it; nothing for ours.
        module: that programs import; empty for a floor.
        compiled: whether it is ours with the compiled codec.
        uvloop: whether it runs on uvloop.
    """

    name: str
    client: str
    requirements: tuple[str, ...] = ()
    module: str = ""
    compiled: bool = False
    uvloop: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is of this repository."""
        return self.client == "ours"

    @property
    def is_floor(self) -> bool:
        """Whether it is no library."""
        return not self.module

    @property
    def is_peer(self) -> bool:
        """Whether it is another library."""
        return bool(self.requirements)


OURS: Final = "ours"

LIBRARIES: Final[dict[str, Library]] = {
    library.name: library
    for library in (
        Library(OURS, "ours", module="aioamqp"),
        Library("ours, compiled", "ours", module="aioamqp", compiled=True),
        Library("ours, uvloop", "ours", module="aioamqp", uvloop=True),
        Library("aioamqp 0.15", "aioamqp 0.15", ("aioamqp==0.15.0", "pamqp==4.0.1"), "aioamqp"),
        Library("aiormq", "aiormq", ("aiormq==7.2.4", "pamqp==4.0.1"), "aiormq"),
        Library(
            "aio-pika",
            "aio-pika",
            ("aio-pika==10.2.1", "aiormq==7.2.4", "pamqp==4.0.1"),
            "aio_pika",
        ),
        Library("pika", "pika", ("pika==1.4.4",), "pika"),
        Library("py-amqp", "py-amqp", ("amqp==5.4.2", "vine==5.1.0"), "amqp"),
        Library("amqpstorm", "amqpstorm", ("amqpstorm==3.1.4", "pamqp==4.0.1"), "amqpstorm"),
        Library("one write a message", "one write a message"),
        Library("frame by frame", "frame by frame"),
        Library("reading alone", "reading alone"),
        Library("one copy", "one copy"),
    )
}


class NotInstalled(Exception):
    """A library, or the compiled codec, cannot be installed; the message has the output of pip."""


@dataclass(frozen=True)
class Environment:
    """How to start Python with a library."""

    python: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


def environment(library: Library) -> Environment:
    """Return the environment of a library, which is created if it is not in the cache."""
    if library.requirements:
        # The root has the worker; there are no packages of ours in it.
        return Environment(installed(library), {"PYTHONPATH": str(ROOT)})
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    if library.compiled:
        path.insert(0, str(compiled_codec()))
    return Environment(sys.executable, {"PYTHONPATH": os.pathsep.join(path)})


def cache() -> Path:
    """Return the folder for what is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kind: str = sysconfig.get_config_var("EXT_SUFFIX")
    return Path(home) / "aioamqp" / "bench" / kind.split(".")[1]


def installed(library: Library) -> str:
    """Install a library into an environment of its own; return its Python."""
    pins = hashlib.sha256(" ".join(library.requirements).encode()).hexdigest()[:12]
    folder = cache() / f"{library.module}-{pins}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        command = [*pip, "--disable-pip-version-check", *library.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled(f"{library.name} cannot be installed: {done.stderr.strip()}")
        complete.touch()
    return str(python)


def compiled_codec() -> Path:
    """Return a folder with the compiled codec of this work tree, for the front of Python's path."""
    sources = sorted([*CODEC.glob("src/**/*.py"), *CODEC.glob("*.py"), CODEC / "pyproject.toml"])
    contents = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = cache() / f"compiled-{contents}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        compile_codec(folder)
        complete.touch()
    return folder


def compile_codec(folder: Path) -> None:
    """Build the compiled wheel of the codec and install it into a folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-deps", "--target", str(folder), str(CODEC)],
        env={**os.environ, "HATCH_BUILD_HOOKS_ENABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not any(path.suffix in (".so", ".pyd") for path in folder.rglob("*")):
        reason = done.stderr.strip() or "its wheel is pure"
        raise NotInstalled(f"the codec cannot be compiled: {reason}")
