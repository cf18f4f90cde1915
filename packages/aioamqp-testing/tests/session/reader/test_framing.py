"""Frames that RabbitMQ cannot read, and what it quotes of them."""

import struct

import pytest

from aioamqp_testing.session import Ending
from amqp_codec import Method, connection
from fake_broker_support import SilentClient


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> list[Method]:
    return [connection.Close(code, text, class_id, method_id)]


def header(size: int, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0") -> bytes:
    return struct.pack(">HHQ", class_id, weight, size) + rest


def test_a_payload_may_be_eight_bytes_longer_than_there_is_room_for() -> None:
    """Row 25."""
    client = SilentClient().open(1, frame_max=4096)

    client.frame(3, 1, b"x" * 4096)

    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    assert client.heard() == close(505, text)


def test_a_longer_one_is_refused_by_its_prefix_and_nothing_is_read_any_more() -> None:
    """Row 26."""
    client = SilentClient().open(1, frame_max=4096)

    client.raw(struct.pack(">BHI", 3, 1, 4097))

    text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}"
    assert client.heard() == close(501, text)
    assert client.say(0, connection.CloseOk()) == []
    client.clock.advance(2.9)
    assert client.session.ending is None
    client.clock.advance(0.1)
    assert client.session.ending is Ending.RESET


def test_a_wrong_frame_end_is_quoted_and_ends_all_reading(client: SilentClient) -> None:
    """Row 27."""
    client.frame(1, 1, b"\0\x14\0\x28\0", end=b"x")

    text = "FRAME_ERROR - type 1, all octets = <<0,20,0,40,0>>: {invalid_frame_end_marker,120}"
    assert client.heard() == close(501, text)
    assert client.say(0, connection.Close(200, "bye")) == []
    client.clock.advance(3)
    assert client.session.ending is Ending.RESET


@pytest.mark.parametrize(
    ("frame_type", "number", "payload", "code", "text"),
    [
        (9, 1, b"abc", 501, 'FRAME_ERROR - type 9, all octets = <<"abc">>: unknown_frame'),
        (
            9,
            0,
            b"abcdefghijklmnopq",
            501,
            'FRAME_ERROR - type 9, first 16 octets = <<"abcdefghijklmnop">>: unknown_frame',
        ),
        (1, 1, b"\0", 501, "FRAME_ERROR - type 1, all octets = <<0>>: unknown_frame"),
        (2, 1, b"\0<\0\0", 501, "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame"),
        (8, 0, b"x", 501, 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'),
        (8, 1, b"x", 501, 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'),
        (8, 1, b"", 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        (3, 0, b"abc", 505, 'UNEXPECTED_FRAME - type 3, all octets = <<"abc">>'),
        (
            2,
            1,
            header(1),
            505,
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_quoted(
    client: SilentClient, frame_type: int, number: int, payload: bytes, code: int, text: str
) -> None:
    """Rows 28, 33, 39, 40 and 42."""
    client.frame(frame_type, number, payload)

    assert client.heard() == close(code, text)
    assert client.say(0, connection.Close(200, "bye")) == [connection.CloseOk()]
