"""When reading stops and goes on."""

from aioamqp._connection.read_flow import OVERHEAD, ReadFlow

LIMIT = 10_000


class Reading:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.backlog = ReadFlow(
            LIMIT, lambda: self.log.append("pause"), lambda: self.log.append("resume")
        )


def test_reading_stops_above_the_limit_and_goes_on_below_half_of_it() -> None:
    reading = Reading()
    backlog = reading.backlog
    half = LIMIT // 2 - OVERHEAD

    backlog.add(half)
    backlog.add(half)
    assert reading.log == []
    backlog.add(0)
    assert reading.log == ["pause"]
    backlog.remove(0)
    assert reading.log == ["pause"]
    backlog.remove(half)
    assert reading.log == ["pause"]
    backlog.remove(half)
    assert reading.log == ["pause", "resume"]
    assert backlog.size == 0


def test_a_call_that_waits_for_its_reply_keeps_reading_on() -> None:
    reading = Reading()

    reading.backlog.begin_call()
    reading.backlog.add(LIMIT)

    assert reading.log == []

    reading.backlog.end_call()

    assert reading.log == ["pause"]


def test_a_call_that_is_made_while_reading_is_stopped_lets_it_go_on() -> None:
    reading = Reading()

    reading.backlog.add(LIMIT)
    reading.backlog.begin_call()
    reading.backlog.begin_call()
    reading.backlog.end_call()

    assert reading.log == ["pause", "resume"]

    reading.backlog.end_call()

    assert reading.log == ["pause", "resume", "pause"]


def test_empty_bodies_count_too() -> None:
    reading = Reading()

    for _ in range(LIMIT // OVERHEAD + 1):
        reading.backlog.add(0)

    assert reading.log == ["pause"]
