"""Waiting until something has happened in a broker, without looking at a clock to see whether."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from ..transport.connections import Connections

_T = TypeVar("_T")

_QUIET_TURNS: Final = 10
"""Turns of the event loop without a movement after which none is to be expected.

An answer takes a few: a transport hands octets on in one, a task that waited for them goes on in
the next, and what it says is written in one more.
"""

_MOST_TURNS: Final = 100_000


class WaitTimeout(AssertionError, TimeoutError):
    """What a test was waiting for has not happened."""


async def until(
    predicate: Callable[[], _T],
    connections: Connections,
    timeout: float,
    describe: Callable[[], str],
) -> _T:
    """Wait until a predicate holds; it is asked whenever something has moved.

    Raises:
        WaitedInVain: it never did; the text says how things stand.
    """
    try:
        async with asyncio.timeout(timeout) as limit:
            while not (result := await _in_a_few_turns(predicate)):
                if not connections.is_open:
                    raise WaitTimeout(
                        f"{_named(predicate)} did not come true before the broker was left.\n"
                        f"{describe()}"
                    )
                await connections.next_move()
    except TimeoutError:
        if not limit.expired():
            raise  # the predicate's own
        raise WaitTimeout(
            f"{_named(predicate)} did not come true within {timeout} s.\n{describe()}"
        ) from None
    return result


async def _in_a_few_turns(predicate: Callable[[], _T]) -> _T:
    """Ask also while the clients do something with what the broker has just sent them."""
    result = predicate()
    for _ in range(_QUIET_TURNS):
        if result:
            break
        await asyncio.sleep(0)
        result = predicate()
    return result


async def wait_idle(connections: Connections) -> None:
    """Wait until nothing is on its way any more between the broker and its clients in memory.

    Raises:
        WaitedInVain: they do not come to rest.
    """
    quiet = 0
    for _ in range(_MOST_TURNS):
        movements = connections.movements
        await asyncio.sleep(0)
        quiet = quiet + 1 if movements == connections.movements else 0
        if quiet == _QUIET_TURNS:
            return
    raise WaitTimeout(
        f"broker and clients still talk after {_MOST_TURNS} turns of the event loop: does a"
        " consumer requeue the same message for ever?"
    )


def _named(predicate: Callable[[], object]) -> str:
    name = getattr(predicate, "__name__", "")
    return "the predicate" if name in ("", "<lambda>") else f"{name}()"
