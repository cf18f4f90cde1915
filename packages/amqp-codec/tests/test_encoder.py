"""The encoder: commands to bytes."""

import struct
from typing import Any

import pytest

from amqp_codec import (
    HEARTBEAT,
    Command,
    EncodeError,
    Properties,
    basic,
    channel,
    encode_command,
    encode_content,
    encode_content_in_pieces,
    encode_method,
    queue,
)
from amqp_codec.encoder import PIECE

TEXT: Any = "text"
PUBLISH = basic.Publish("x", "k").encode()


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Split bytes into type, channel and payload of each frame, without the codec."""
    found = []
    while data:
        frame_type, number, size = struct.unpack_from(">BHI", data)
        assert data[7 + size] == 0xCE
        found.append((frame_type, number, data[7 : 7 + size]))
        data = data[8 + size :]
    return found


def test_a_method_is_one_frame() -> None:
    assert encode_command(Command(0x0102, basic.Ack(7))) == (
        b"\x01\x01\x02\x00\x00\x00\x0d\x00\x3c\x00\x50\0\0\0\0\0\0\0\x07\x00\xce"
    )
    assert encode_method(0x0102, basic.Ack(7).encode()) == encode_command(
        Command(0x0102, basic.Ack(7))
    )


def test_a_heartbeat_is_an_empty_frame() -> None:
    assert encode_command(Command(0, HEARTBEAT)) == b"\x08\x00\x00\x00\x00\x00\x00\xce"


def test_a_content_is_a_header_and_a_body_behind_its_method() -> None:
    data = encode_command(Command(1, basic.Publish("x", "k"), Properties(priority=3), b"body"))

    assert frames(data) == [
        (1, 1, PUBLISH),
        (2, 1, b"\x00\x3c\x00\x00" + (4).to_bytes(8, "big") + b"\x08\x00\x03"),
        (3, 1, b"body"),
    ]


def test_an_empty_body_has_no_frame() -> None:
    data = encode_command(Command(1, basic.Publish("x", "k")))

    assert [kind for kind, _, _ in frames(data)] == [1, 2]
    assert frames(data)[1][2] == b"\x00\x3c\x00\x00" + bytes(8) + b"\x00\x00"


@pytest.mark.parametrize(
    ("size", "pieces"), [(4088, [4088]), (4089, [4088, 1]), (8176, [4088, 4088]), (1, [1])]
)
def test_a_body_is_cut_at_frame_max_minus_8(size: int, pieces: list[int]) -> None:
    body = bytes(range(256)) * 32

    data = encode_command(Command(1, basic.Publish("x", "k"), None, body[:size]), frame_max=4096)

    bodies = [payload for kind, _, payload in frames(data) if kind == 3]
    assert [len(piece) for piece in bodies] == pieces
    assert b"".join(bodies) == body[:size]
    assert max(len(payload) + 8 for _, _, payload in frames(data)) <= 4096


def test_a_frame_max_of_0_is_no_limit() -> None:
    data = encode_command(Command(1, basic.Publish("x", "k"), None, bytes(1 << 20)), frame_max=0)

    assert [len(payload) for _, _, payload in frames(data)][2:] == [1 << 20]


@pytest.mark.parametrize(
    "body", [bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"abcd").cast("H")]
)
def test_any_octets_can_be_a_body(body: bytearray | memoryview) -> None:
    assert encode_content(1, PUBLISH, None, body) == encode_content(1, PUBLISH, None, b"abcd")


def test_a_subclass_of_bytes_can_be_a_body() -> None:
    octets = type("Octets", (bytes,), {})(b"abcd")

    assert encode_content(1, PUBLISH, None, octets) == encode_content(1, PUBLISH, None, b"abcd")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            lambda: Command(70000, basic.Ack(1)),
            "channel: must be an int from 0 to 65535, not 70000",
        ),
        (lambda: Command(-1, basic.Publish()), "channel: must be an int from 0 to 65535, not -1"),
        (
            lambda: Command(1, basic.Publish(), None, TEXT),
            "body: must be bytes, .* not str",
        ),
        (lambda: Command(1, basic.Ack(1), Properties()), "basic.ack: takes no properties"),
        (
            lambda: Command(1, channel.CloseOk(), None, b"x"),
            "channel.close-ok: takes no properties",
        ),
        (
            lambda: Command(1, queue.Declare("q", arguments={"a": "x" * 5000})),
            "the arguments of the method take 50.. bytes, but a frame holds 4088",
        ),
        (
            lambda: Command(1, basic.Publish(), Properties(headers={"a": "x" * 5000})),
            "the properties take 50.. bytes, but a frame holds 4088",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_produced(
    command: object, says: str
) -> None:
    unusable = command()  # type: ignore[operator]

    with pytest.raises(EncodeError, match=says):
        encode_command(unusable, frame_max=4096)


def test_a_method_with_content_must_fit_into_a_frame_too() -> None:
    with pytest.raises(EncodeError, match="the method with its arguments take 265 bytes"):
        encode_content(1, basic.Publish("x", "k" * 255).encode(), None, b"", frame_max=100)


@pytest.mark.parametrize("frame_max", [0, 4096, 131072, 1 << 24])
@pytest.mark.parametrize("size", [0, 1, 131064, 131065, 400_000])
def test_the_pieces_of_a_content_are_whole_frames(size: int, frame_max: int) -> None:
    body = bytes(range(250)) * 1600

    pieces = encode_content_in_pieces(1, PUBLISH, None, body[:size], frame_max)

    assert len(list(pieces)) == len(pieces)
    head = len(encode_content(1, PUBLISH, None, b""))
    for number, piece in enumerate(pieces):
        assert next(kind for kind, _, _ in frames(piece)) == (3 if number else 1)
        assert len(piece) <= PIECE + (0 if number else head)
        assert number in (0, len(pieces) - 1) or len(piece) > PIECE - 4096
    together = encode_content(1, PUBLISH, None, body[:size], min(frame_max or PIECE, PIECE))
    assert b"".join(pieces) == together


def test_pieces_are_encoded_from_the_body_as_it_was() -> None:
    body = bytearray(b"a" * 300_000)
    pieces = encode_content_in_pieces(1, PUBLISH, None, body)
    body[:] = b"b" * 300_000

    assert b"".join(pieces) == encode_content(1, PUBLISH, None, b"a" * 300_000)


@pytest.mark.parametrize(
    ("number", "properties", "body", "frame_max"),
    [
        (70000, None, b"", 0),
        (1, None, TEXT, 0),
        (1, None, b"", 8),
        (1, Properties(priority=256), b"", 0),
        (1, None, b"", 4096.5),
    ],
)
def test_a_content_in_pieces_is_checked_before_the_first_piece(
    number: int, properties: Properties | None, body: bytes, frame_max: int
) -> None:
    with pytest.raises(EncodeError):
        encode_content_in_pieces(number, PUBLISH, properties, body, frame_max)


@pytest.mark.parametrize("number", [-1, 3])
def test_there_are_as_many_pieces_as_a_content_has(number: int) -> None:
    pieces = encode_content_in_pieces(1, PUBLISH, None, b"a" * 300_000)

    with pytest.raises(IndexError):
        pieces[number]
