"""Checks for every test of the repository: no task left running, no resource left unclosed."""

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings, strategies

# The same examples in every run, and no result that depends on the speed of the machine. To search
# for new examples: hatch run test --hypothesis-profile=explore
settings.register_profile(
    "repeat", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("repeat"), derandomize=False)
settings.load_profile("repeat")

pytest_plugins = ["pytester"]

LEAST_WORKERS = 4
"""Worker processes of pytest-xdist, however few processors there are."""

FREEZE_EVERY = 100
"""Tests after which ``freeze`` is called."""

ended = itertools.count(1)
"""The number of the test that has ended."""

TURNS_TO_END = 3
"""Iterations of the event loop in which a task that was cancelled, or is returning, can end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--eager-tasks",
        action="store_true",
        help="run all event loops with asyncio.eager_task_factory, which needs Python 3.12",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a second")
    if config.getoption("--eager-tasks"):
        make_tasks_eager()


def make_tasks_eager() -> None:
    """Start the tasks of every event loop that is made from now on eagerly."""
    eager_task_factory = getattr(asyncio, "eager_task_factory", None)
    if eager_task_factory is None:
        pytest.exit("--eager-tasks needs Python 3.12 or later", returncode=4)
    make_loop = asyncio.BaseEventLoop.__init__

    def make_eager_loop(loop: asyncio.BaseEventLoop) -> None:
        make_loop(loop)
        loop.set_task_factory(eager_task_factory)

    asyncio.BaseEventLoop.__init__ = make_eager_loop  # type: ignore[assignment, method-assign]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of worker processes of pytest-xdist.

    More than processors if there are few: many tests wait for a server or for another program.
    """
    return max(LEAST_WORKERS, os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    register_random_generator()
    freeze()


@given(strategies.none())
def register_random_generator(_: None) -> None:
    """Make Hypothesis register its random generator before it is frozen.

    On Python 3.14 Hypothesis warns of one that the garbage collector does not examine.
    """


def pytest_runtest_logfinish() -> None:
    # pytest keeps some twenty objects of each test.
    if next(ended) % FREEZE_EVERY == 0:
        freeze()


def freeze() -> None:
    """Exempt from garbage collection what exists now, which stays until the end.

    Or else the garbage collector would examine all of it after each test, which takes longer than
    most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_unclosed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a socket, transport or coroutine unclosed, not a later test.

    The ResourceWarning or RuntimeWarning is issued when they are collected, and filterwarnings in
    pyproject.toml makes it an error.
    """
    yield
    if is_async(request):
        gc.collect()


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest, nothing_unclosed: None) -> None:
    """Fail a test that leaves a task running after its fixtures are torn down.

    pytest-asyncio cancels such tasks silently.
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
    """Return whether the test runs in an event loop, which must be its own."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None and marker.kwargs.get("loop_scope", "function") != "function":
        pytest.fail("remove loop_scope: tests that share a loop cannot be checked for leaked tasks")
    return marker is not None
