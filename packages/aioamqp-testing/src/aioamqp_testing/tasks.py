"""Tasks that a broker runs for a test, and the exceptions raised in them."""

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Tasks that are cancelled or awaited when the broker is closed.

    Attributes:
        failures: the exceptions raised in the tasks, or by functions that a test has given to the
            broker.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run a coroutine in a task."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.failures.append(error)

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until all tasks have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise the first of the failures, if there are any.

        Raises:
            Exception: what was raised in a task or function.
        """
        if self.failures:
            raise self.failures[0]
