"""Fixtures and marker of the tests that run with this aioamqp and with aioamqp 0.15.0.

With this aioamqp all tests pass. ``tests/compat/test_defects.py`` starts the run with 0.15.0, in which a
test with the marker ``fails_on_0_15(symptom)`` must fail with that symptom, and all others must pass.
"""

from collections.abc import AsyncIterator, Callable, Generator

import pytest
import pytest_asyncio

import aioamqp
from tests.compat.defects.idle_time import IdleTimeLoop
from tests.compat.defects.scripted_tcp import ScriptedServer

IS_0_15 = aioamqp.__version__ == "0.15.0"


def pytest_configure(config: pytest.Config) -> None:
    line = "fails_on_0_15(symptom): shows a defect of aioamqp 0.15.0, with which it fails with this text"
    config.addinivalue_line("markers", line)


def pytest_report_header() -> str:
    return f"aioamqp {aioamqp.__version__} from {aioamqp.__file__}"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], IdleTimeLoop]]:
    return {"idle": IdleTimeLoop}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.listen()
    yield server
    await server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("fails_on_0_15")
    if IS_0_15 and marker is not None and call.when == "teardown" and report.failed:
        report.outcome = "passed"  # a defect may leave tasks and sockets behind
    if IS_0_15 and marker is not None and call.when == "call":
        (symptom,) = marker.args
        if call.excinfo is None:
            report.outcome = "failed"
            report.longrepr = "It passes on 0.15.0, so it does not show the defect."
        elif symptom in (error := call.excinfo.exconly()):
            report.outcome = "skipped"
            report.wasxfail = error.splitlines()[0]
        else:
            report.longrepr = f"Not {symptom!r}, but:\n{error}\n\n{report.longrepr}"
    return report
