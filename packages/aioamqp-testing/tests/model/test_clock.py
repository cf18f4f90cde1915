"""The manual clock."""

import pytest

from aioamqp_testing import ManualClock


def test_things_happen_in_their_order_and_at_their_moment() -> None:
    clock = ManualClock()
    happened: list[tuple[str, float]] = []
    clock.call_later(2, lambda: happened.append(("second", clock.time())))
    clock.call_later(1, lambda: happened.append(("first", clock.time())))
    clock.call_later(2, lambda: happened.append(("third", clock.time())))

    clock.advance(1.5)
    assert happened == [("first", 1.0)]

    clock.advance(1)
    assert happened == [("first", 1.0), ("second", 2.0), ("third", 2.0)]
    assert clock.time() == 2.5


def test_what_a_timer_sets_happens_in_the_same_advance_if_it_is_due() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.time())
        clock.call_later(1, tick)

    clock.call_later(1, tick)
    clock.advance(3)

    assert ticks == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_does_not_happen() -> None:
    clock = ManualClock()
    happened: list[int] = []
    timer = clock.call_later(1, lambda: happened.append(1))

    timer.cancel()
    timer.cancel()
    clock.advance(5)

    assert happened == []


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="0 or more seconds, not -1"):
        ManualClock().advance(-1)
