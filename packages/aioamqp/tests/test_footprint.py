"""What importing the package loads, counted in modules."""

import subprocess
import sys

import pytest

import aioamqp

IMPORTED = {"aioamqp", "aioamqp.version"}
"""What ``import aioamqp`` loads beyond asyncio."""

NOT_NEEDED_TO_CONNECT = {
    "aioamqp._recovery",
    "aioamqp._retry",
    "aioamqp.connection",
    "aioamqp.rpc",
    "aioamqp.worker",
}


def run(program: str) -> set[str]:
    """Run a program in a new process, and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def loaded_by(statement: str) -> set[str]:
    """Return the names of the modules that a statement loads beyond those of asyncio."""
    return run(
        "import sys, asyncio; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sys.modules.keys() - before)"
    )


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by("import aioamqp") == IMPORTED


def test_connecting_loads_neither_recovery_nor_workers() -> None:
    loaded = loaded_by("from aioamqp import AmqpProtocol, Channel, connect, from_url")

    assert "aioamqp.connecting" in loaded
    assert loaded & NOT_NEEDED_TO_CONNECT == set()


def test_a_star_import_defines_all_public_names() -> None:
    assert run("from aioamqp import *; print(*globals())") >= set(aioamqp.__all__)


def test_the_listing_of_the_package_has_its_names_and_modules_before_their_first_use() -> None:
    listed = run("import aioamqp; print(*dir(aioamqp))")

    assert listed >= {*aioamqp.__all__, "exceptions", "protocol"}


@pytest.mark.parametrize(
    "name",
    ["exceptions.ChannelClosed", "protocol.OPEN", "tls.__name__", "urlparse", "ssl.SSLError"],
)
def test_modules_are_found_without_an_import_of_their_own_as_in_0_15(name: str) -> None:
    assert run(f"import aioamqp; aioamqp.{name}; print('found')") == {"found"}


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'aioamqp' has no attribute 'conect'"):
        _ = aioamqp.conect  # type: ignore[attr-defined]
