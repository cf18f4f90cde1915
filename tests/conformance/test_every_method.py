"""Every method, and frames that are none, at any time: the fake says what RabbitMQ says, or nothing."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from amqp_codec import METHODS, basic, channel, connection, queue
from tests.conformance.raw import content_header, frame

AT_ONCE = 16
"""Connections, so that RabbitMQ is busy and still answers in time."""

PUBLISH = frame(1, 1, basic.Publish("", "nowhere").encode())
HEADER = frame(2, 1, content_header(5))

MOMENTS = {
    "between commands": [],
    "header expected": [PUBLISH],
    "body expected": [PUBLISH + HEADER + frame(3, 1, b"ab")],
    "channel closing": [queue.Declare("no-such-queue", passive=True)],
    "connection closing": [channel.Open()],
}
"""What was said before; methods are answered."""

MADE_UP_NAME = re.compile(r"amq\.(gen|ctag)-[\w-]{22}")


class Case(NamedTuple):
    """A frame, the channel that it comes on, and when."""

    moment: str
    number: int
    kind: int
    payload: bytes


def payloads() -> Iterator[tuple[int, bytes]]:
    """Go through frames, without their channel."""
    for index, method in METHODS.items():
        if method is channel.Close or method is channel.CloseOk or method is connection.Close:
            continue  # whether they are answered before the connection ends is a matter of timing
        said = queue.Declare(exclusive=True) if method is queue.Declare else None
        yield 1, index.to_bytes(4, "big")
        if method.FIELDS:
            yield 1, said.encode() if said else index.to_bytes(4, "big") + bytes(64)
