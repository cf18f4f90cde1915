"""What the tests of this package share: a time of their own, and a server that obeys."""

from collections.abc import Callable

import pytest

from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()
