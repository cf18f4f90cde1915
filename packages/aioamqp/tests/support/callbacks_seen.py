"""Callbacks that record their calls."""

import asyncio
from typing import Any


class Recorder:
    """A callback that records its arguments."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.calls: list[tuple[Any, ...]] = []

    async def __call__(self, *args: Any) -> None:
        self.calls.append(args)
        self.bodies.append(args[1])


class Gate(Recorder):
    """A callback that waits until ``is_open`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()
        self.finished = 0

    async def __call__(self, *args: Any) -> None:
        await super().__call__(*args)
        await self.is_open.wait()
        self.finished += 1
