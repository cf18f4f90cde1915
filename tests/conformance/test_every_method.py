"""Every method, and frames that are none, at any time: the fake says what RabbitMQ says."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from aioamqp_testing import FakeBroker
from amqp_codec import METHODS, Method, basic, channel, connection, queue
from tests.conformance.raw import Door, content_header, frame
from tests.conformance.wire import Said

AT_ONCE: Final = 16
"""Cases that are tried side by side, so that RabbitMQ has enough to do."""

PUBLISH = frame(1, 1, basic.Publish("", "nowhere").encode())
HEADER = frame(2, 1, content_header(5))

MOMENTS: Final[dict[str, Said | bytes]] = {
    "between commands": b"",
    "header expected": PUBLISH,
    "body expected": PUBLISH + HEADER + frame(3, 1, b"ab"),
    "channel closing": queue.Declare("no-such-queue", passive=True),
    "connection closing": channel.Open(),
}
"""What was said before; methods are answered."""

UNTIMED: Final = (channel.Close, channel.CloseOk, connection.Close, connection.CloseOk)
"""Methods of which it is a matter of timing what is said before the connection ends."""

ODDITIES: Final = (
    *((1, octets) for octets in (b"", b"\0\x0a\0", b"\0\x63\0\x01", b"\0\x3c\0\x63")),
    *((2, octets) for octets in (b"", b"\0" * 11, content_header(0), HEADER[7:-1])),
    *((2, content_header(5, class_id=class_id)) for class_id in (50, 99)),
    *((2, content_header(0, rest=rest)) for rest in (b"\0", b"\0\1\0\0", b"\x80\0\2\xff\xfe")),
    *((3, octets) for octets in (b"", b"abc", b"abcdefgh")),
    *((kind, octets) for kind in (0, 4, 8, 255) for octets in (b"", b"\0abcdefghijklmnopq")),
)
"""Types of frames and what is in them."""


class Case(NamedTuple):
    """A frame, the channel that it comes on, and when."""

    moment: str
    number: int
    kind: int
    payload: bytes


def cases() -> Iterator[Case]:
    """Go through all of them: on channel 0, on the one that is open, and on one that is not."""
    for moment in MOMENTS:
        for number in (0, 1, 2) if moment == "between commands" else (0, 1):
            for kind, payload in (*methods(), *ODDITIES):
                yield Case(moment, number, kind, payload)


def methods() -> Iterator[tuple[int, bytes]]:
    """Go through all methods, with arguments, and without those that they should have."""
    for method in METHODS.values():
        if method in UNTIMED:
            continue
        octets = an(method).encode()
        yield 1, octets
        if len(octets) > 4:
            yield 1, octets[:4]


def an(method: type[Method]) -> Method:
    """Return a method with the plainest arguments; what it declares ends with its connection."""
    return queue.Declare(exclusive=True) if method is queue.Declare else method()


async def answers(door: Door, case: Case) -> str:
    """Return what the broker says to a frame, and to connection.close behind it, up to the end."""
    raw = await door.enter(1)
    before = MOMENTS[case.moment]
    raw.send(before)
    if isinstance(before, Method):
        await raw.hear()
    raw.send(frame(case.kind, case.number, case.payload))
    raw.send(connection.Close(200, "bye"), number=0)
    said: list[Said | None] = []
    while not said or not isinstance(said[-1], connection.Close | connection.CloseOk | None):
        said.append(await raw.hear_or_end())
    await raw.hang_up()
    return re.sub(r"amq\.(gen|ctag)-[\w-]{22}", "made up", repr(said))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_fake_says_what_rabbitmq_says_at_any_time(rabbitmq_url: str) -> None:
    """Rows 28, 31, 32, 33, 34, 35, 36, 39, 41, 43, 44, 47, 48, 66."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with FakeBroker(clock="manual") as broker:
        fake, rabbitmq = Door(None, broker), Door(rabbitmq_url, None)

        async def differing(case: Case) -> tuple[Case, str, str] | None:
            async with turns:
                ours, theirs = await answers(fake, case), await answers(rabbitmq, case)
            return None if ours == theirs else (case, ours, theirs)

        found = await asyncio.gather(*map(differing, cases()))

    assert len(found) > 1000
    assert [difference for difference in found if difference is not None] == []
