"""What holds for every test of the repository: it leaves no task running and nothing unclosed."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

# The same examples in every run, and no verdict that depends on how fast the machine is. To look
# for new ones: hatch run test --hypothesis-profile=explore
settings.register_profile(
    "repeat", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("repeat"), derandomize=False)
settings.load_profile("repeat")

pytest_plugins = ["pytester"]

TURNS_TO_END = 3
"""Turns of the loop in which a task that was just cancelled, or is about to return, may end."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a second")


def pytest_collection_finish() -> None:
    # What exists before the first test stays to the end. Unless the collector is told so, it looks
    # through all of it after each test, which takes longer than most tests.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_unclosed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a forgotten socket, transport or coroutine fail the test that forgot it, not a later one.

    Their ResourceWarning or RuntimeWarning comes when they are collected, and is an error by the
    filterwarnings of pyproject.toml.
    """
    yield
    if is_async(request):
        gc.collect()


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest, nothing_unclosed: None) -> None:
    """Fail a test after which, with its fixtures torn down, a task still runs.

    pytest-asyncio cancels such tasks without a word.
    """
    if is_async(request):
        request.getfixturevalue("task_watch")


@pytest_asyncio.fixture(loop_scope="function")
async def task_watch() -> AsyncIterator[None]:
    yield
    for _ in range(TURNS_TO_END):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        names = "\n".join(sorted(f"  {task!r}" for task in left))
        pytest.fail(
            f"{len(left)} task(s) left running when the test ended:\n{names}", pytrace=False
        )


def is_async(request: pytest.FixtureRequest) -> bool:
    """Tell whether the test runs in an event loop; only one of its own can be watched."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None and marker.kwargs.get("loop_scope", "function") != "function":
        pytest.fail("remove loop_scope: tests that share a loop cannot be checked for leaked tasks")
    return marker is not None
