"""``top``: the ready messages and consumers of queues, again and again."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from amqp_codec import ReplyCode

from ..channel import Channel
from ..exceptions import ChannelClosed
from .standard_streams import write_record


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a queue.

    Attributes:
        queue: its name.
        messages: ready ones; None if the queue does not exist.
        consumers: their number; None likewise.
        change: of the ready messages since the last reading, each second; None without one.
    """

    queue: str
    messages: int | None = None
    consumers: int | None = None
    change: float | None = None


async def top(channel: Channel, options: argparse.Namespace) -> None:
    """Show readings of queues until Ctrl-C, or so many times."""
    screen = _open_screen() if sys.stdout.isatty() else None
    readings: list[Reading] = []
    read_at = 0.0
    count = 0
    loop = asyncio.get_running_loop()
    try:
        while True:
            before = {reading.queue: reading for reading in readings}
            now = loop.time()
            readings = []
            for queue in options.queues:
                channel, reading = await _read(channel, queue)
                readings.append(_compared(reading, before.get(queue), now - read_at))
            read_at = now
            _show(readings, screen)
            count += 1
            if count == options.count:
                return
            await asyncio.sleep(options.interval)
    finally:
        if screen is not None:
            screen.close()


async def _read(channel: Channel, queue: str) -> tuple[Channel, Reading]:
    """Return the state of a queue, and the channel for the next one."""
    try:
        found = await channel.queue_declare(queue, passive=True)
    except ChannelClosed as error:
        if error.code != ReplyCode.NOT_FOUND:
            raise
        return await channel.protocol.channel(), Reading(queue)
    return channel, Reading(queue, found["message_count"], found["consumer_count"])


def _compared(reading: Reading, before: Reading | None, seconds: float) -> Reading:
    if before is None or before.messages is None or reading.messages is None:
        return reading
    change = (reading.messages - before.messages) / seconds
    return Reading(reading.queue, reading.messages, reading.consumers, round(change, 1))


def _show(readings: Sequence[Reading], screen: "_Screen | None") -> None:
    if screen is not None:
        screen.show(readings)
        return
    for reading in readings:
        write_record(
            {
                "queue": reading.queue,
                "messages": reading.messages,
                "consumers": reading.consumers,
                "change_per_second": reading.change,
            }
        )


def _open_screen() -> "_Screen | None":
    if find_spec("rich") is not None:
        return _Screen()
    sys.stderr.write("A table needs rich: pip install 'aioamqp[cli]'\n")
    return None


class _Screen:
    """A table on the terminal, which is drawn anew in its place. Requires rich."""

    def __init__(self) -> None:
        live = import_module("rich.live")
        self._table: Any = import_module("rich.table").Table
        self._live = live.Live(auto_refresh=False)
        self._live.start()

    def show(self, readings: Sequence[Reading]) -> None:
        """Draw these readings."""
        table = self._table("queue")
        for title in ("ready", "per second", "consumers"):
            table.add_column(title, justify="right")
        for reading in readings:
            if reading.messages is None:
                table.add_row(reading.queue, "does not exist", "", "")
            else:
                change = "" if reading.change is None else f"{reading.change:+,.1f}"
                table.add_row(
                    reading.queue, f"{reading.messages:,}", change, f"{reading.consumers:,}"
                )
        self._live.update(table, refresh=True)

    def close(self) -> None:
        """Leave the last table on the terminal."""
        self._live.stop()
