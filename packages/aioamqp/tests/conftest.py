"""Fixtures of this package: an event loop in virtual time, and a scripted server."""

from collections.abc import Callable

import pytest

from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()
