"""The event loop may end whatever the state of a connection, and every row has a test."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import aioamqp
from aioamqp import Connection
from aioamqp_testing import FakeBroker
from tests.compat.test_rows import docstrings, rows_of
from virtual_loop import VirtualLoop

URL = "amqp://broker/"


def run_without_closing(program: Callable[[], Awaitable[object]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(program())  # type: ignore[arg-type]
    gc.collect()


@pytest.mark.parametrize("state", ["open", "recovering", "connecting"])
def test_a_loop_may_end_with_the_connection_open(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R26."""
    kept: list[Any] = []

    async def program() -> None:
        broker = FakeBroker()
        broker.open()
        with aioamqp.dialing(broker.dial):
            connection = Connection(URL)
            kept.append(connection)
            if state == "connecting":
                broker.abort()
                opening = asyncio.create_task(connection.open())
                await asyncio.sleep(0.01)
                kept.append(opening)
                return
            await connection.open()
            channel = await connection.channel()
            await channel.queue_declare("q", durable=True)
            kept.append(channel.consume("q"))
            await kept[-1].__aenter__()
            call = asyncio.create_task(anext(kept[-1]))
            kept.append(call)
            await asyncio.sleep(0)
            broker.abort()
            if state == "recovering":
                await asyncio.sleep(0.01)

    run_without_closing(program)
    kept.clear()
    gc.collect()  # or else its warnings would be those of the next test

    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_every_row_has_a_test_through_connection() -> None:
    named = {
        row
        for path in Path(__file__).parent.glob("test_*.py")
        for _, text in docstrings(path.read_text())
        for row in rows_of(text)
    }

    assert {f"R{number}" for number in range(1, 27)} - named == set()
