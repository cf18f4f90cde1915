"""Single frames over asyncio's streams."""

import asyncio
from typing import Any

import pytest

from aioamqp import AmqpClosedConnection, frame
from amqp_codec import (
    HEARTBEAT,
    Command,
    DecodeError,
    EncodeError,
    Properties,
    basic,
    encode_command,
    queue,
)

pytestmark = pytest.mark.asyncio


class Written(bytearray):
    def write(self, data: bytes) -> None:
        self.extend(data)


def stream(*pieces: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


async def test_a_written_frame_can_be_read() -> None:
    written = Written()
    frame.write(written, 1, queue.Declare("q"))
    frame.write(written, 0, HEARTBEAT)
    reader = stream(bytes(written))

    assert await frame.read(reader) == (1, Command(1, queue.Declare("q")))
    assert await frame.read(reader) == (0, Command(0, HEARTBEAT))


async def test_contents_of_two_channels_may_be_mixed() -> None:
    deliveries = [
        Command(n, basic.Deliver("t", n, False, "", "q"), Properties(), b"body") for n in (1, 2)
    ]
    first, second = (encode_command(delivery) for delivery in deliveries)
    cut = len(first) - len(b"body") - 8
    reader = stream(first[:cut], second, first[cut:])

    assert await frame.read(reader) == (2, deliveries[1])
    assert await frame.read(reader) == (1, deliveries[0])


@pytest.mark.parametrize("data", [b"", b"\x01\x00", b"\x01\x00\x01\x00\x00\x00\x04\x00"])
async def test_eof_is_a_closed_connection(data: bytes) -> None:
    with pytest.raises(AmqpClosedConnection):
        await frame.read(stream(data))


async def test_a_broken_link_is_a_closed_connection() -> None:
    reader = asyncio.StreamReader()
    reader.set_exception(ConnectionResetError("reset"))

    with pytest.raises(AmqpClosedConnection) as caught:
        await frame.read(reader)

    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_reading_without_a_reader_is_a_closed_connection() -> None:
    with pytest.raises(AmqpClosedConnection):
        await frame.read(None)


async def test_bytes_that_are_no_frame_are_refused() -> None:
    with pytest.raises(DecodeError):
        await frame.read(stream(b"\x63\x00\x00\x00\x00\x00\x00\xce"))


async def test_a_method_that_cannot_be_sent_is_not_written() -> None:
    written = Written()
    too_long: Any = queue.Declare("q" * 256)

    with pytest.raises(EncodeError):
        frame.write(written, 1, too_long)

    assert not written
