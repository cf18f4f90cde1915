"""Draws the pictures of the documentation from data; with --check, compares them with the files.

| picture | its data |
| --- | --- |
| road.svg | the classes and packages that a message passes |
| connection-states.svg | the table in the docstring of ConnectionState |
| recovery.svg | the commands that a Connection sent to a fake broker before and after a loss |
| x-death.svg | the headers that a fake broker gave to a message that was retried |
"""

import asyncio
import inspect
import logging
import re
import sys
import textwrap
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, Final

import aioamqp
from aioamqp_testing import FakeBroker
from amqp_codec import METHODS, FieldTable

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs/images"
WIDTH: Final = 420
"""A phone shows it in almost its own size."""

LINE: Final = 18
INK, PALE, BLUE = "#1f2430", "#eef1f6", "#3f5bd9"
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1f2430}"
    ".m{font-family:ui-monospace,monospace;font-size:12px}.b{font-weight:600}"
)


class Picture:
    """An SVG that is drawn from top to bottom."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self.y = 12

    def text(
        self, x: float, y: float, text: str, *, style: str = "", anchor: str = "start"
    ) -> None:
        """Write one line; ``y`` is its base line."""
        place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
        self._parts.append(f'<text {place} class="{style}">{escape(text)}</text>')

    def box(self, x: float, width: float, lines: list[str], *, colour: str = INK) -> int:
        """Draw a box with centred lines at the current height; return its height."""
        height = LINE * len(lines) + 12
        self._parts.append(
            f'<rect x="{x:g}" y="{self.y}" width="{width:g}" height="{height}" rx="6"'
            f' fill="{PALE}" stroke="{colour}"/>'
        )
        for number, line in enumerate(lines):
            style = "" if number else "b"
            base = self.y + 19 + LINE * number
            self.text(x + width / 2, base, line, style=style, anchor="middle")
        return height

    def arrow(self, path: str, *, colour: str = INK) -> None:
        """Draw a line along an SVG path, with a head at its end."""
        self._parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"'
            ' marker-end="url(#head)"/>'
        )

    def mark(self, x: float, y: float, text: str) -> None:
        """Draw a number in a circle."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="9" fill="#fff" stroke="{BLUE}"/>')
        self.text(x, y + 4, text, anchor="middle")

    def paragraph(self, x: int, text: str, *, columns: int) -> None:
        """Write a text in several lines, and move below it."""
        for line in textwrap.wrap(text, columns):
            self.text(x, self.y + 13, line)
            self.y += LINE

    def render(self) -> str:
        """Return the SVG, as high as what was drawn."""
        head = (
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto"><path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker>'
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y + 12}"'
                f' width="{WIDTH}" height="{self.y + 12}" role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{STYLE}</style>",
                f"<defs>{head}</defs>",
                '<rect width="100%" height="100%" fill="#fff"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


ROAD: Final = (
    ("your program", "channel.publish, async for message"),
    ("Channel", "publisher confirms, consumers, prefetch"),
    ("AmqpProtocol", "channels, heartbeats, joined writes"),
    ("amqp_codec", "Command to bytes, bytes to Command"),
    ("transport", "TCP, TLS, or memory in tests"),
    ("RabbitMQ, or the FakeBroker", "exchanges, queues"),
)


def draw_road() -> str:
    """Draw the way of a message from the program to the server, and back."""
    picture = Picture("The road of a message: from the program to the server, and back")
    for number, (name, what) in enumerate(ROAD):
        height = picture.box(60, 300, [name, what], colour=BLUE if number in (1, 2, 3) else INK)
        picture.y += height
        if number < len(ROAD) - 1:
            picture.arrow(f"M180 {picture.y}v26")
            picture.arrow(f"M240 {picture.y + 28}v-26")
            picture.y += 28
    picture.y += 6
    picture.paragraph(60, "Left: publishing. Right: deliveries and confirms.", columns=60)
    return picture.render()


def transitions() -> list[tuple[str, str, str]]:
    """List the rows of the table of ConnectionState: the state, the event and the next state."""
    rows: list[tuple[str, str, str]] = []
    state = ""
    for line in (inspect.getdoc(aioamqp.ConnectionState) or "").splitlines():
        if row := re.fullmatch(r"([A-Z]*) +(\S.*?) {2,}([A-Z]+)", line):
            state = row[1] or state
            rows.append((state, row[2].replace("``", ""), row[3]))
    return rows


def draw_states() -> str:
    """Draw the states of a connection; the numbers of the arrows are explained below them."""
    picture = Picture("The states of a Connection")
    tops: dict[str, int] = {}
    for state in aioamqp.ConnectionState:
        tops[state.name] = picture.y
        height = picture.box(150, 130, [state.name], colour=BLUE)
        picture.y += height + 46
    rows = transitions()
    order = list(tops)
    lanes = iter((300, 330, 360))
    for number, (old, _, new) in enumerate(rows, 1):
        low, high = tops[old], tops[new]
        distance = order.index(new) - order.index(old)
        if distance == 1 and new != "CLOSED":
            picture.arrow(f"M190 {low + 30}V{high - 1}")
            picture.mark(190, (low + high + 30) / 2, str(number))
        elif distance < 0:
            picture.arrow(f"M240 {low}V{high + 31}")
            picture.mark(240, (low + high + 30) / 2, str(number))
        else:
            lane = next(lanes)
            picture.arrow(f"M280 {low + 15}H{lane}V{high + 5 + (lane - 300) / 3:g}H281")
            picture.mark(lane, low + 40, str(number))
    picture.y -= 36
    for number, (old, event, new) in enumerate(rows, 1):
        picture.mark(20, picture.y + 9, str(number))
        picture.paragraph(40, f"{old} to {new}: {event}", columns=52)
        picture.y += 4
    return picture.render()


async def recorded_recovery() -> tuple[list[str], list[str]]:
    """Record the commands of a Connection on its first link, and on the one after a loss."""
    async with FakeBroker(rabbitmq="4.3") as broker:
        with aioamqp.dialing(broker.dial):
            backoff = aioamqp.Backoff(initial=0)
            async with aioamqp.Connection("amqp://localhost/", reconnect=backoff) as connection:
                channel = await connection.channel()
                await channel.exchange_declare("events", "topic", durable=True)
                await channel.queue_declare("mails", durable=True)
                await channel.queue_bind("mails", "events", "user.*")
                async with channel.consume("mails", prefetch_count=50):
                    changes = connection.state_changes()
                    broker.close_all_connections("restart")
                    async for change in changes:
                        if change.new is aioamqp.ConnectionState.OPEN:
                            break
                    first, *_, last = broker.journal.connections
                    return received(first.lines), received(last.lines)


def received(lines: list[str]) -> list[str]:
    """List the names of the methods that a broker has received, by the lines of a journal."""
    names = {repr(cls()).partition("(")[0]: cls.NAME for cls in METHODS.values()}
    calls = (re.match(r"-> \d+ ([\w.]+)\(", line) for line in lines)
    return [names[call[1]] for call in calls if call is not None]


async def recorded_deaths() -> list[tuple[str, list[str]]]:
    """Record the x-death header of a message that waits in a retry queue, and is given up then."""
    steps: list[tuple[str, list[str]]] = []
    async with FakeBroker(rabbitmq="4.3", clock="manual") as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()

        def dead_letters_to(queue: str) -> FieldTable:
            return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}

        await channel.queue_declare("mails", durable=True, arguments=dead_letters_to("mails.wait"))
        wait = {**dead_letters_to("mails"), "x-message-ttl": 60_000}
        await channel.queue_declare("mails.wait", durable=True, arguments=wait)
        broker.publish("", "mails", b"Hello")
        for step in ("published", "rejected, after 60 s", "again, after 120 s"):
            message = await channel.basic_get("mails")
            headers: dict[str, Any] = message["properties"].headers or {}
            deaths: list[dict[str, Any]] = headers.get("x-death", [])
            steps.append((step, [f"{d['queue']}: {d['reason']} {d['count']}" for d in deaths]))
            await channel.basic_client_nack(message["delivery_tag"], requeue=False)
            await broker.wait_idle()
            broker.clock.advance(60)
        await protocol.close()
    return steps


def draw_all() -> dict[str, str]:
    """Return the text of each picture by its file name."""
    logging.getLogger("aioamqp").setLevel(logging.ERROR)  # it warns of the loss
    before, after = asyncio.run(recorded_recovery())
    return {
        "road.svg": draw_road(),
        "connection-states.svg": draw_states(),
        "recovery.svg": draw_recovery(before, after),
        "x-death.svg": draw_deaths(asyncio.run(recorded_deaths())),
    }


def draw_recovery(before: list[str], after: list[str]) -> str:
    """Draw the commands before and after a loss, from top to bottom."""
    picture = Picture("A Connection restores what the program had")
    sections = (
        ("the program connects and declares", before, INK),
        ("the Connection connects again, by itself", after, BLUE),
    )
    for number, (title, names, colour) in enumerate(sections):
        if number:
            picture.text(
                WIDTH / 2, picture.y + 22, "the link is lost, a random delay", anchor="middle"
            )
            picture.y += 38
        picture.y += picture.box(20, WIDTH - 40, [title], colour=colour) + 8
        for name in names:
            picture.arrow(f"M250 {picture.y + 9}H390", colour=colour)
            picture.text(240, picture.y + 13, name, style="m", anchor="end")
            picture.y += LINE + 4
    return picture.render()


def draw_deaths(steps: Iterable[tuple[str, list[str]]]) -> str:
    """Draw the header x-death at each arrival of a message in its queue."""
    picture = Picture("The header x-death of a message that is rejected, waits, and comes back")
    for number, (step, deaths) in enumerate(steps):
        if number:
            picture.arrow(f"M110 {picture.y}v28")
            picture.text(122, picture.y + 18, "reject, 60 s in mails.wait")
            picture.y += 30
        top = picture.y
        height = picture.box(20, 180, ["mails", step])
        picture.text(215, top + 14, "x-death", style="b")
        for line, death in enumerate(deaths or ["absent"]):
            picture.text(215, top + 32 + LINE * line, death, style="m")
        picture.y += max(height, 24 + LINE * len(deaths)) + 6
    return picture.render()


def main(arguments: list[str]) -> int:
    """Write the pictures, or with --check print the names of those that are stale."""
    drawn = draw_all()
    stale = [name for name, text in drawn.items() if text != read(FOLDER / name)]
    for name in stale:
        if "--check" in arguments:
            print(f"docs/images/{name} is stale. Run: hatch run pictures")
        else:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(drawn[name], encoding="utf-8")
            print(f"Wrote docs/images/{name}")
    return 1 if stale and "--check" in arguments else 0


def read(path: Path) -> str:
    """Return the text of a file; empty if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
