"""Every method, and invalid frames, in every connection state, on the fake broker and RabbitMQ."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from aioamqp_testing import FakeBroker
from amqp_codec import METHODS, Method, basic, channel, connection, exchange, queue
from tests.conformance.client import MethodOrCommand
from tests.conformance.raw_client import Endpoint, content_header, frame
from tests.conformance.scenario import profile_of, selection
from tests.rabbitmq import RabbitMQNode

CONCURRENCY: Final = 16
"""The number of cases that run concurrently."""

PUBLISH = frame(1, 1, basic.Publish("", "nowhere").encode())
HEADER = frame(2, 1, content_header(5))

STATES: Final[dict[str, MethodOrCommand | bytes]] = {
    "between commands": b"",
    "header expected": PUBLISH,
    "body expected": PUBLISH + HEADER + frame(3, 1, b"ab"),
    "channel closing": queue.Declare("no-such-queue", passive=True),
    "connection closing": channel.Open(),
}
"""What is sent first to reach each state; methods have a reply, frames have none."""

UNTIMED: Final = (channel.Close, channel.CloseOk, connection.Close, connection.CloseOk)
"""Methods whose replies before the end of the connection depend on timing."""

UNUSUAL_FRAMES: Final = (
    *((1, payload) for payload in (b"", b"\0\x0a\0", b"\0\x63\0\x01", b"\0\x3c\0\x63")),
    *((2, payload) for payload in (b"", b"\0" * 11, content_header(0), HEADER[7:-1])),
    *((2, content_header(5, class_id=class_id)) for class_id in (50, 99)),
    *((2, content_header(0, rest=rest)) for rest in (b"\0", b"\0\1\0\0", b"\x80\0\2\xff\xfe")),
    *((3, payload) for payload in (b"", b"abc", b"abcdefgh")),
    *((kind, payload) for kind in (0, 4, 8, 255) for payload in (b"", b"\0abcdefghijklmnopq")),
)
"""Types and payloads of unusual frames."""


class Case(NamedTuple):
    """A frame, its channel, and the state in which it is sent."""

    state: str
    number: int
    kind: int
    payload: bytes


DIFFERING: Final[dict[str, set[Case]]] = {
    "3.10": set(),
    "4.3": {
        # a basic.cancel-ok of a server
        Case("between commands", 1, 1, b"\0\x3c\0\x1f\0"),
    },
}
"""Cases that a version does not answer as the fake broker with its profile."""


def cases() -> Iterator[Case]:
    """Yield all cases: on channel 0, on the open channel, and on a channel that is not open."""
    for state in STATES:
        for number in (0, 1, 2) if state == "between commands" else (0, 1):
            for kind, payload in (*methods(), *UNUSUAL_FRAMES):
                yield Case(state, number, kind, payload)


def methods() -> Iterator[tuple[int, bytes]]:
    """Yield the payloads of all methods, with their arguments and without them."""
    for method in METHODS.values():
        if method in UNTIMED:
            continue
        payload = with_defaults(method).encode()
        yield 1, payload
        if len(payload) > 4:
            yield 1, payload[:4]


def with_defaults(method: type[Method]) -> Method:
    """Return a method with default arguments that all versions of RabbitMQ answer in one way.

    A declared queue is exclusive, and an exchange of a known type.
    """
    if method is queue.Declare:
        return queue.Declare(exclusive=True)
    return exchange.Declare(type="direct") if method is exchange.Declare else method()


async def replies_to(endpoint: Endpoint, case: Case) -> str:
    """Send a frame and connection.close; return everything that the broker sends, as text."""
    raw = await endpoint.open_connection(1)
    before = STATES[case.state]
    raw.send(before)
    if isinstance(before, Method):
        await raw.next_command()
    raw.send(frame(case.kind, case.number, case.payload))
    raw.send(connection.Close(200, "bye"), channel=0)
    received: list[MethodOrCommand | None] = []
    while not received or not isinstance(
        received[-1], connection.Close | connection.CloseOk | None
    ):
        received.append(await raw.next_command_or_none())
    await raw.abort()
    return re.sub(r"amq\.(gen|ctag)-[\w-]{22}", "made up", repr(received))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_fake_answers_every_frame_in_every_state_as_rabbitmq_does(
    rabbitmq_node: RabbitMQNode,
) -> None:
    """Rows 28, 31, 32, 33, 34, 35, 36, 39, 41, 43, 44, 47, 48, 66."""
    slots = asyncio.Semaphore(CONCURRENCY)
    async with FakeBroker(clock="manual", rabbitmq=profile_of(rabbitmq_node.version)) as broker:
        fake, rabbitmq = Endpoint(None, broker), Endpoint(rabbitmq_node.url, None)

        async def differing(case: Case) -> tuple[Case, str, str] | None:
            async with slots:
                ours, theirs = await replies_to(fake, case), await replies_to(rabbitmq, case)
            return None if ours == theirs else (case, ours, theirs)

        found = await asyncio.gather(*map(differing, cases()))

    assert len(found) > 1000
    differences = [difference for difference in found if difference is not None]
    expected = selection(rabbitmq_node.version)(DIFFERING)
    assert [each for each in differences if each[0] not in expected] == []
    assert {each[0] for each in differences} == expected
