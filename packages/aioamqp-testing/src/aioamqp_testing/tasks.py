"""The tasks that a broker has running for a test, and what went wrong in them."""

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Tasks that end with the broker.

    Attributes:
        failures: what was raised in them, or by a function that a test has given to the broker.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run something."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.failures.append(error)

    async def cancel(self) -> None:
        """End them all."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until all have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what was raised.

        Raises:
            Exception: the first of it.
        """
        if self.failures:
            raise self.failures[0]
