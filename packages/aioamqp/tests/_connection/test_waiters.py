"""Tasks that wait for the same event."""

import asyncio

import pytest

from aioamqp._connection.waiters import Waiters
from scripted_server import wait_idle

pytestmark = pytest.mark.asyncio


async def waiting(waiters: Waiters, count: int = 3) -> list[asyncio.Task[None]]:
    """Return tasks that wait."""
    tasks = [asyncio.create_task(waiters.wait()) for _ in range(count)]
    await wait_idle()
    assert len(waiters) == count
    return tasks


async def test_wake_wakes_all_tasks() -> None:
    waiters = Waiters()
    tasks = await waiting(waiters)

    waiters.wake()
    await wait_idle()

    assert all(task.done() for task in tasks)
    assert len(waiters) == 0


async def test_wake_one_wakes_the_task_that_has_waited_longest() -> None:
    waiters = Waiters()
    tasks = await waiting(waiters)

    waiters.wake_one()
    await wait_idle()

    assert [task.done() for task in tasks] == [True, False, False]
    waiters.wake()
    await asyncio.wait(tasks)


async def test_fail_raises_the_error_in_all_tasks() -> None:
    waiters, error = Waiters(), ConnectionError("lost")
    tasks = await waiting(waiters)

    waiters.fail(error)
    await wait_idle()

    assert [task.exception() for task in tasks] == [error] * 3
    assert len(waiters) == 0


async def test_tasks_that_begin_to_wait_later_are_not_woken() -> None:
    waiters = Waiters()
    waiters.wake()
    waiters.wake_one()
    waiters.fail(ConnectionError("lost"))

    (task,) = await waiting(waiters, 1)

    assert not task.done()
    waiters.wake()
    await task


async def test_a_cancelled_task_leaves_the_others_waiting() -> None:
    waiters = Waiters()
    first, second, third = await waiting(waiters)

    second.cancel()
    await wait_idle()

    assert len(waiters) == 2
    waiters.wake_one()
    waiters.wake_one()
    await asyncio.wait([first, third])


async def test_a_task_that_is_cancelled_when_it_is_woken_alone_wakes_the_next() -> None:
    waiters = Waiters()
    first, second, third = await waiting(waiters)

    waiters.wake_one()
    first.cancel()
    await wait_idle()

    assert first.cancelled()
    assert (second.done(), third.done()) == (True, False)
    waiters.wake()
    await third


@pytest.mark.parametrize("end", [Waiters.wake, lambda w: w.fail(ConnectionError("lost"))])
async def test_a_task_that_is_cancelled_when_all_are_woken_wakes_no_other(end: object) -> None:
    waiters = Waiters()
    (first,) = await waiting(waiters, 1)
    assert callable(end)

    end(waiters)
    first.cancel()
    later = asyncio.create_task(waiters.wait())
    await wait_idle()

    assert first.cancelled()
    assert not later.done()
    waiters.wake()
    await later


async def test_a_closed_coroutine_no_longer_waits() -> None:
    waiters = Waiters()
    coroutine = waiters.wait()
    coroutine.send(None)

    coroutine.close()

    assert len(waiters) == 0
