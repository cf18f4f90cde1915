"""What a library must offer to be measured: one class for each library, used by the worker.

The methods of blocking libraries are coroutines that never wait, so that one worker runs all
libraries. This folder imports only the standard library and the library that is measured.
"""

import itertools
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self
from urllib.parse import unquote, urlsplit

PROPERTIES: dict[str, Any] = {
    "content_type": "application/json",
    "delivery_mode": 1,
    "headers": {"attempt": 3, "tenant": "blue"},
    "message_id": "7d3b8c64-0e1f-4c5d-9a6b",
}
"""Four properties, one of them a table, as messages of a program have them."""

NOT_PREPARED = "has no publisher that keeps exchange, routing key and properties"

REPLY_TO = "amq.rabbitmq.reply-to"


class Client:
    """A connection of one library.

    Attributes:
        cannot: the kinds of cases that the library does not offer, with the reason.
        channels: those that are open.
    """

    cannot: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self.channels: list[Any] = []

    async def open(self, url: str) -> None:
        """Connect, without opening a channel."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connection."""
        raise NotImplementedError

    async def open_channels(self, count: int) -> None:
        """Open channels."""
        raise NotImplementedError

    def prepare(self, queue: str, body: bytes) -> None:
        """Prepare for messages with this body; not measured. Only floors need it."""

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        """Publish to a queue, over all channels in turn, without confirms."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Send a request on the last channel and wait for its reply: all messages are written."""
        raise NotImplementedError

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        """Publish with confirms, so many messages of which are unconfirmed at a time."""
        raise NotImplementedError

    async def deferred(self, queue: str, body: bytes, count: int) -> None:
        """Publish all messages, then wait for all confirms."""
        raise NotImplementedError

    async def unconfirmed(self, queue: str, body: bytes, count: int) -> list[Any]:
        """Publish with confirms, which never arrive; return the tasks that wait for them."""
        raise NotImplementedError

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        """Consume by callback until so many messages are handled."""
        raise NotImplementedError

    async def iterate(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        """Consume by iterator until so many messages are handled."""
        raise NotImplementedError

    async def get(self, queue: str, count: int) -> None:
        """Get messages one by one."""
        raise NotImplementedError

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        """Send requests to a queue, each after the reply to the one before; return the seconds."""
        raise NotImplementedError


def in_turn(channels: list[Any], count: int) -> Iterable[Any]:
    """Return so many channels, one after the other and again from the first."""
    return itertools.islice(itertools.cycle(channels), count)


def parts_of(url: str) -> dict[str, Any]:
    """Return host, port, user, password and virtual host of a URL."""
    parts = urlsplit(url)
    return {
        "host": parts.hostname or "localhost",
        "port": parts.port or 5672,
        "user": unquote(parts.username or "guest"),
        "password": unquote(parts.password or "guest"),
        "vhost": unquote(parts.path[1:]) or "/",
    }


class Stopwatch:
    """The CPU and wall-clock seconds of this process in a ``with`` block."""

    cpu = 0.0
    wall = 0.0

    def __enter__(self) -> Self:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = time.process_time() - self._cpu
        self.wall = time.perf_counter() - self._wall
