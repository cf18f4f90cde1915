"""Threads and event loops: what lets one broker serve several of them at once.

    thread A: loop A ── connections ──┐
    thread B: loop B ── connections ──┼─ BrokerLock ─ sessions, model, timers
    a test that is not a coroutine ───┘

Every thread holds the lock while it works in the broker. What belongs to an event loop is only
touched in that loop: output for a connection of another loop is handed over with
``call_soon_threadsafe``.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial, wraps
from inspect import iscoroutinefunction, isfunction
from typing import Any, Final, Protocol, TypeVar

from .model import Clock, Timer

_ITERATION_SECONDS: Final = 1.0  # in which a loop of another thread completes an iteration

_T = TypeVar("_T")


class WrongProcess(RuntimeError):
    """A forked process uses its copy of a broker, which is no longer the broker of the test."""


class BrokerLock:
    """The lock of one broker. A thread that holds it can acquire it again.

    Attributes:
        on_enter: called with the running event loop, or None, when a thread has acquired the lock
            and did not hold it before. If it returns True, it is not called again while nobody but
            that loop enters.
    """

    def __init__(self) -> None:
        self.on_enter: Callable[[asyncio.AbstractEventLoop | None], bool] = lambda _: False
        self._lock = threading.RLock()
        self._depth = 0
        self._only_loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            self.check_process()
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            loop = running_loop()
            if loop is None or loop is not self._only_loop:
                try:
                    self._only_loop = loop if self.on_enter(loop) else None
                except BaseException:
                    self.__exit__()
                    raise

    def __exit__(self, *exc_info: object) -> None:
        self._depth -= 1
        self._lock.release()

    def reset(self) -> None:
        """Call ``on_enter`` the next time that any thread enters."""
        self._only_loop = None

    def check_process(self) -> None:
        """Check that this process is the one in which the broker was created.

        Raises:
            WrongProcess: it was forked from that one.
        """
        if os.getpid() != self._process:
            raise WrongProcess(
                f"process {os.getpid()} was forked from process {self._process}, which has the fake"
                " broker, and has only a copy of it: nothing that is published here reaches the"
                " test. Serve the broker over TCP: run pytest with --amqp-backend=tcp, or pass the"
                " URL from `await broker.listen()` to the program"
            )


class _HasLock(Protocol):
    @property
    def lock(self) -> BrokerLock: ...


def thread_safe(cls: type[_T]) -> type[_T]:
    """Make every public method and property of a class hold the ``lock`` of its object.

    Coroutine functions are left as they are: a lock must not be held while waiting.
    """
    for name, member in list(vars(cls).items()):
        if name == "lock" or (name.startswith("_") and name != "__str__"):
            continue
        if isinstance(member, property) and member.fget is not None:
            setattr(cls, name, property(_locked(member.fget), member.fset, None, member.__doc__))
        elif isfunction(member) and not iscoroutinefunction(member):
            setattr(cls, name, _locked(member))
    return cls


def _locked(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(self: _HasLock, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with self.lock:
            return function(self, *args, **kwargs)

    return call


class LockedClock:
    """A clock whose timers hold the lock of a broker while they fire.

    Args:
        clock: a manual clock, which a test advances in any thread.
        lock: of the broker.
    """

    def __init__(self, clock: Clock, lock: BrokerLock) -> None:
        self.is_real = clock.is_real
        self.time = clock.time
        self.now = clock.now
        self._clock = clock
        self._lock = lock

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Call an action once after a number of seconds."""

        def run() -> None:
            with self._lock:
                action()

        return self._clock.call_later(seconds, run)


# --------------------------------------------------------------------------------- event loops


running_loop: Final = asyncio._get_running_loop
"""Returns the event loop that runs in this thread, or None."""


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> bool:
    """Call a function in the next iteration of an event loop, from any thread.

    Returns:
        whether it will be called; not if the loop is closed.
    """
    if running_loop() is loop:
        loop.call_soon(callback)
        return True
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # "Event loop is closed"
        return False
    return True


def wake(future: "asyncio.Future[None]") -> None:
    """Complete a future of any event loop, from any thread."""

    def complete() -> None:
        if not future.done():
            future.set_result(None)

    if running_loop() is future.get_loop():
        complete()
    else:
        call_in(future.get_loop(), complete)


async def iterate(loops: Iterable[asyncio.AbstractEventLoop]) -> None:
    """Wait until this event loop, and each of ``loops`` that is running, has done an iteration.

    A loop of another thread that is blocked for longer than a second is not waited for.
    """
    here = asyncio.get_running_loop()
    done: list[asyncio.Future[None]] = []
    for loop in loops:
        if loop is not here and loop.is_running():
            future = here.create_future()
            if call_in(loop, partial(wake, future)):
                done.append(future)
    if done:
        await asyncio.wait(done, timeout=_ITERATION_SECONDS)
    else:
        await asyncio.sleep(0)
