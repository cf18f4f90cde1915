"""Waiting for a state of the broker, woken by its activity instead of polling a clock."""

import asyncio
import inspect
from collections.abc import Callable
from textwrap import dedent, indent
from typing import Final, TypeVar

from ..threads import iterate
from ..transport.protocol import Connections

_T = TypeVar("_T")

_QUIET_ITERATIONS: Final = 10
"""Iterations of the event loop without activity after which none is expected.

A reply takes a few: a transport delivers data in one, a task that waits for it continues in the
next, and what that task sends is written in a third.
"""

_MAX_ITERATIONS: Final = 100_000


class WaitTimeout(AssertionError, TimeoutError):
    """A test has waited for something that did not happen in time."""


async def wait_for(
    predicate: Callable[[], _T],
    connections: Connections,
    timeout: float,
    describe: Callable[[], str],
) -> _T:
    """Wait until a predicate is true. It is called again after every activity.

    Raises:
        WaitTimeout: it has not become true in time; the text ends with ``describe()``.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    try:
        async with asyncio.timeout(timeout) as limit:
            while True:
                before = connections.activity_count
                result = await _within_a_few_iterations(predicate, connections)
                if result:
                    break
                if not connections.is_open:
                    raise WaitTimeout(
                        f"{_name(predicate)} did not become true before the broker was closed.\n"
                        f"{_source(predicate)}{describe()}"
                    )
                # Clients may still handle what was sent to them in the last of these iterations.
                if connections.activity_count == before:
                    result = await connections.wait_activity(predicate)
                    if result:
                        break
    except TimeoutError:
        if not limit.expired():
            raise  # the predicate has raised it
        raise WaitTimeout(
            f"{_name(predicate)} did not become true within {timeout} s.\n"
            f"{_source(predicate)}{describe()}"
        ) from None
    return result


async def _within_a_few_iterations(predicate: Callable[[], _T], connections: Connections) -> _T:
    """Call the predicate until clients have handled what the broker has just sent them."""
    __tracebackhide__ = True
    result = predicate()
    for _ in range(_QUIET_ITERATIONS):
        if result:
            break
        await iterate(connections.loops)
        result = predicate()
    return result


async def wait_idle(connections: Connections) -> None:
    """Wait until there is no more activity between the broker and its clients in memory.

    Raises:
        WaitTimeout: the activity does not end.
    """
    __tracebackhide__ = True
    quiet = 0
    for _ in range(_MAX_ITERATIONS):
        before = connections.activity_count
        await iterate(connections.loops)
        quiet = quiet + 1 if connections.activity_count == before else 0
        if quiet == _QUIET_ITERATIONS:
            return
    raise WaitTimeout(
        f"the broker and its clients were still active after {_MAX_ITERATIONS} iterations of the"
        " event loop; check for a consumer that requeues the same message again and again"
    )


def _name(predicate: Callable[[], object]) -> str:
    name = getattr(predicate, "__name__", "")
    return "the predicate" if name in ("", "<lambda>") else f"{name}()"


def _source(predicate: Callable[[], object]) -> str:
    """Return the source of a function, indented; nothing if there is none."""
    try:
        if inspect.getfile(inspect.unwrap(predicate)) == "<string>":
            return ""  # of eval(): Python 3.13 has the program of ``python -c`` under this name
        source = inspect.getsource(predicate)
    except (OSError, TypeError):  # it was defined in an interactive session, or is no function
        return ""
    return indent(f"{dedent(source).rstrip()}\n", "    ")
