"""Deferred work and timers of a virtual host."""

from functools import partial

from aioamqp_testing.model import Agenda, ManualClock
from aioamqp_testing.model.agenda import SLICE


def test_pending_work_runs_in_order_with_what_is_added_meanwhile() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    agenda.call_soon(lambda: agenda.call_soon(lambda: done.append("added")))
    agenda.call_soon(lambda: done.append("second"))
    assert done == []

    agenda.run_pending()

    assert done == ["second", "added"]


def test_work_beyond_a_slice_is_continued_when_other_timers_have_run() -> None:
    """Row U47. Without other timers, advancing the clock still does all of it."""
    clock, done = ManualClock(), list[int]()
    agenda = Agenda(clock)

    def add_work() -> None:
        for number in range(3 * SLICE):
            agenda.call_soon(partial(done.append, number))

    seen: list[int] = []
    agenda.call_later(1, add_work)
    clock.call_later(1, lambda: seen.append(len(done)))

    clock.advance(1)

    assert 0 < seen[0] <= SLICE
    assert done == list(range(3 * SLICE))


def test_timers_that_are_called_together_share_a_slice() -> None:
    """Row U47."""
    clock, done = ManualClock(), list[int]()
    agenda = Agenda(clock)

    def add_work(timer: int) -> None:
        for _ in range(SLICE):
            agenda.call_soon(lambda: done.append(timer))

    for timer in range(5):
        agenda.call_later(1, partial(add_work, timer))
    seen: list[int] = []
    clock.call_later(1, lambda: seen.append(len(done)))

    clock.advance(1)

    assert seen[0] <= SLICE
    assert done == sorted(done)
    assert len(done) == 5 * SLICE


def test_work_that_is_pending_can_be_dropped() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    agenda.call_soon(lambda: done.append("dropped"))

    agenda.clear()
    agenda.run_pending()

    assert done == []


def test_a_timer_runs_the_work_that_it_defers() -> None:
    clock, done = ManualClock(), list[str]()
    agenda = Agenda(clock)
    agenda.call_later(5, lambda: agenda.call_soon(lambda: done.append("deferred")))

    clock.advance(4)
    assert done == []
    clock.advance(1)

    assert done == ["deferred"]
