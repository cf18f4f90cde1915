"""Deferred work and timers of a virtual host."""

from aioamqp_testing.model import Agenda, ManualClock


def test_pending_work_runs_in_order_with_what_is_added_meanwhile() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    agenda.call_soon(lambda: agenda.call_soon(lambda: done.append("added")))
    agenda.call_soon(lambda: done.append("second"))
    assert done == []

    agenda.run_pending()

    assert done == ["second", "added"]


def test_a_timer_runs_the_work_that_it_defers() -> None:
    clock, done = ManualClock(), list[str]()
    agenda = Agenda(clock)
    agenda.call_later(5, lambda: agenda.call_soon(lambda: done.append("deferred")))

    clock.advance(4)
    assert done == []
    clock.advance(1)

    assert done == ["deferred"]
