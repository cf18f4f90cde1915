"""The leak checks of the root conftest.py, run on tests that leak on purpose."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEAKING_TESTS = """
import asyncio
import socket

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def background():
    task = asyncio.create_task(asyncio.sleep(60), name="of the fixture")
    yield
    task.cancel()


async def test_tidy(background):
    await asyncio.create_task(asyncio.sleep(0))


async def test_task_cancelled_but_not_awaited():
    asyncio.create_task(asyncio.sleep(60)).cancel()


async def test_leaks_task():
    asyncio.create_task(asyncio.sleep(60), name="forgotten")


async def test_leaks_socket_in_a_cycle():
    cycle = [socket.socket()]
    cycle.append(cycle)


async def test_leaks_transport():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())


async def test_forgets_to_await():
    cycle = [asyncio.sleep(0)]
    cycle.append(cycle)


@pytest.mark.asyncio(loop_scope="module")
async def test_shares_its_loop():
    pass


async def test_tidy_again():
    pass
"""

EXPECTED_TO_LEAK = [
    "test_leaks_task",
    "test_leaks_socket_in_a_cycle",
    "test_leaks_transport",
    "test_forgets_to_await",
    "test_shares_its_loop",
]


@pytest.mark.slow
def test_exactly_the_leaking_tests_fail(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    pytester.makepyprojecttoml((ROOT / "pyproject.toml").read_text())
    pytester.makepyfile(test_leaks=LEAKING_TESTS)

    run = pytester.runpytest_subprocess("test_leaks.py", "-rE", "-p", "no:cacheprovider")

    errors = {
        line.split("::")[1].split(" ")[0] for line in run.outlines if line.startswith("ERROR test")
    }
    assert errors == set(EXPECTED_TO_LEAK)
    run.stdout.fnmatch_lines(["1 task(s) left running*", "*name='forgotten'*"])
    run.stdout.fnmatch_lines(["*unclosed <socket*"])
    run.stdout.fnmatch_lines(["*coroutine 'sleep' was never awaited*"])
