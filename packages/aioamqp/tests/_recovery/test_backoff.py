"""Delays before attempts to connect."""

import math
from typing import Any

import pytest

from aioamqp import Backoff
from aioamqp.exceptions import InvalidArgument


def test_the_longest_delay_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(initial=0.5, maximum=3)

    assert [backoff.limit(attempt) for attempt in range(1, 6)] == [0.5, 1, 2, 3, 3]


def test_the_whole_delay_is_random() -> None:
    """R13. The clients of a restarted server do not all come back at the same time."""
    asked: list[tuple[float, float]] = []

    def least(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    assert Backoff(initial=0.5, maximum=3).delay(2, least) == 0
    assert asked == [(0, 1)]


def test_delays_differ_without_a_function_of_the_caller() -> None:
    backoff = Backoff(initial=1)

    delays = {backoff.delay(1) for _ in range(10)}

    assert len(delays) > 1
    assert all(0 <= delay <= 1 for delay in delays)


def test_any_number_of_attempts_has_a_delay() -> None:
    assert Backoff().limit(10**9) == Backoff().maximum


def test_a_backoff_of_zero_never_waits() -> None:
    assert Backoff(initial=0, maximum=0).delay(7) == 0


@pytest.mark.parametrize(("failed", "is_exhausted"), [(0, False), (2, False), (3, True), (4, True)])
def test_it_gives_up_after_its_attempts(failed: int, is_exhausted: bool) -> None:
    assert Backoff(attempts=3).is_exhausted(failed) is is_exhausted


def test_by_default_it_never_gives_up() -> None:
    assert not Backoff().is_exhausted(10**9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"initial": -1}, "initial: must be 0 seconds or more"),
        ({"initial": math.nan}, "initial: must be 0 seconds or more"),
        ({"maximum": math.inf}, "maximum: must be 0 seconds or more"),
        ({"maximum": "30"}, "maximum: must be a number of seconds, not str"),
        ({"initial": True}, "initial: must be a number of seconds, not bool"),
        ({"attempts": 0}, "attempts: must be a number of attempts from 1, or None"),
        ({"attempts": 1.5}, "attempts: must be a number of attempts from 1, or None"),
        ({"attempts": True}, "attempts: must be a number of attempts from 1, or None"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        Backoff(**arguments)
