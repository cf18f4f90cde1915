"""Standard input without blocking the event loop, and standard output line by line."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from typing import Any, Final

_PART: Final = 65536
"""Bytes that are read at a time."""

_PARTS_AHEAD: Final = 16
"""Parts that are kept until they are published."""


def write_record(record: Mapping[str, Any]) -> None:
    """Write an object as a line of JSON."""
    write_bytes(json.dumps(record, ensure_ascii=False).encode())


def write_bytes(line: bytes) -> None:
    """Write a line, which has been passed on when this returns."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def announce_input(what: str) -> None:
    """Print what is read from a terminal, which would otherwise wait in silence."""
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        sys.stderr.write(f"{what} is read from this terminal, until {end}\n")


async def read_input() -> bytes:
    """Return all of standard input."""
    return b"".join([part async for part in _read()])


async def read_lines() -> AsyncIterator[bytes]:
    """Yield the lines of standard input as they arrive, with their line feeds."""
    rest = b""
    async for part in _read():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


async def _read() -> AsyncIterator[bytes]:
    """Yield standard input in parts.

    A thread of the event loop's executor would have to end before the program can: after Ctrl-C
    it would wait for more input. Nothing waits for a daemon, if it holds no lock of ``sys.stdin``.
    """
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[bytes | OSError] = asyncio.Queue(_PARTS_AHEAD)
    descriptor = sys.stdin.fileno()

    def read_all() -> None:
        part: bytes | OSError = b"unread"
        while part and isinstance(part, bytes):
            try:
                part = os.read(descriptor, _PART)
            except OSError as error:
                part = error
            try:
                asyncio.run_coroutine_threadsafe(parts.put(part), loop).result()
            except (RuntimeError, CancelledError):  # the loop is closed, or about to be
                return

    threading.Thread(target=read_all, name="standard input", daemon=True).start()
    while part := await parts.get():
        if isinstance(part, OSError):
            raise part
        yield part
