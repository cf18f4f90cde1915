"""The thread that names who blocks the event loop."""

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Iterator

import pytest

from aioamqp._recovery.loop_watch import LoopWatch, culprit

LONG = 30.0  # a test that fails waits so long, in seconds


class Lines(logging.Handler):
    """The lines of a logger, and an event for the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.has_line = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.has_line.set()


@pytest.fixture
def log() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("aioamqp.protocol")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def watching_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "aioamqp loop watch"]


def join_all() -> None:
    for thread in watching_threads():
        thread.join(LONG)


def test_whoever_blocks_the_loop_is_named_while_it_does(log: Lines) -> None:
    """Row R22."""

    async def block() -> None:
        watch = LoopWatch(asyncio.get_running_loop(), 0.02)
        assert log.has_line.wait(LONG)  # in the event loop's thread, which is blocked by this
        watch.stop()

    asyncio.run(block())

    (line,) = log.lines
    assert re.search(r"The event loop has been blocked for \d+\.\d seconds by ", line)
    assert (
        "test_whoever_blocks_the_loop_is_named_while_it_does.<locals>.block (test_loop_watch.py:"
        in line
    )
    assert ", in Condition.wait (threading.py:" in line
    assert "the server closes the connection after about 0.06 seconds" in line
    join_all()
    assert watching_threads() == []


def test_a_watch_ends_with_its_loop(log: Lines) -> None:
    async def start() -> None:
        LoopWatch(asyncio.get_running_loop(), 0.02)

    asyncio.run(start())

    join_all()
    assert watching_threads() == []
    assert log.lines == []


def test_the_culprit_is_what_the_event_loop_has_called() -> None:
    seen: list[str] = []

    def deep() -> None:
        seen.append(culprit(sys._getframe()))

    async def handler() -> None:
        deep()

    asyncio.run(handler())

    (text,) = seen
    name = "test_the_culprit_is_what_the_event_loop_has_called.<locals>"
    assert text.startswith(f"{name}.handler (test_loop_watch.py:")
    assert f", in {name}.deep (test_loop_watch.py:" in text
