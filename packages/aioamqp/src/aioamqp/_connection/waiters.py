"""Tasks that wait for the same event."""

from asyncio import Future, get_running_loop
from collections import deque


class Waiters:
    """Futures of the tasks that wait for one event, in the order in which they began to wait.

    Each task has a future of its own, so that a task which is cancelled leaves the others waiting.
    """

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: deque[Future[bool]] | None = None  # an empty deque has 0.8 KB

    def __len__(self) -> int:
        return len(self._futures or ())

    async def wait(self) -> None:
        """Wait until ``wake`` or ``wake_one`` is called; it is up to the caller to wait again.

        Raises:
            Exception: the error that ``fail`` was called with.
        """
        future: Future[bool] = get_running_loop().create_future()
        if self._futures is None:
            self._futures = deque()
        self._futures.append(future)
        try:
            await future
        except BaseException:
            if self._futures and future in self._futures:
                self._futures.remove(future)
            elif not future.cancelled() and not future.exception() and future.result():
                # The task is cancelled in the very turn in which it alone was woken.
                self.wake_one()
            raise

    def wake(self) -> None:
        """Wake all tasks."""
        futures, self._futures = self._futures, None
        for future in futures or ():
            if not future.done():
                future.set_result(False)

    def wake_one(self) -> None:
        """Wake the task that has waited longest."""
        while self._futures:
            future = self._futures.popleft()
            if not future.done():
                future.set_result(True)
                return

    def fail(self, error: Exception) -> None:
        """Raise an error in all tasks."""
        futures, self._futures = self._futures, None
        for future in futures or ():
            if not future.done():
                future.set_exception(error)
