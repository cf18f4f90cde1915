"""Tasks that a broker runs for a test, and the exceptions raised in them."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Final

from .threads import call_in, running_loop, wake

_STOPPED_SECONDS: Final = 1.0  # until it is checked whether the loop of a task has stopped


class Tasks:
    """Tasks in any event loop that are cancelled or awaited when the broker is closed.

    Attributes:
        failures: the exceptions raised in the tasks, or by functions that a test has given to the
            broker.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        coroutine: Coroutine[object, object, None],
        *loops: asyncio.AbstractEventLoop | None,
    ) -> None:
        """Run a coroutine in a task.

        Args:
            coroutine: what the task runs.
            loops: event loops to run it in; the first that is running is used, or else the one of
                this thread.

        Raises:
            RuntimeError: no event loop is running.
        """
        for loop in (*loops, running_loop()):
            if loop is not None and loop.is_running():
                if loop is running_loop():
                    self._create(loop, coroutine)
                else:
                    call_in(loop, partial(self._create, loop, coroutine))
                return
        coroutine.close()
        raise RuntimeError(
            "a coroutine that the broker runs for the test needs an event loop, and none is"
            " running: call this in a coroutine, or pass a function that is no coroutine function"
        )

    def _create(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[object, object, None]
    ) -> None:
        task = loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.failures.append(error)

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        for task in list(self._tasks):
            call_in(task.get_loop(), task.cancel)
        await self.wait()

    async def wait(self) -> None:
        """Wait until all tasks have ended, except those whose event loop has stopped."""
        ends: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        for task in list(self._tasks):
            end = asyncio.get_running_loop().create_future()
            ends[end] = task.get_loop()
            call_in(task.get_loop(), partial(_wake_at_end, task, end))
        while pending := [each for each in ends if ends[each].is_running() and not each.done()]:
            await asyncio.wait(pending, timeout=_STOPPED_SECONDS)

    def check(self) -> None:
        """Raise the first of the failures, if there are any.

        Raises:
            Exception: what was raised in a task or function.
        """
        if self.failures:
            raise self.failures[0]


def _wake_at_end(task: asyncio.Task[None], future: "asyncio.Future[None]") -> None:
    task.add_done_callback(lambda _: wake(future))
