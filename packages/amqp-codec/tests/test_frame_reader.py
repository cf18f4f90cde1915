"""Received bytes to frames, in any slices."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    DecodeError,
    FrameReader,
    Properties,
    ReplyCode,
    basic,
    encode_command,
    queue,
)

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAMES = [
    (METHOD, 1, queue.Declare("q").encode()),
    (HEARTBEAT, 0, b""),
    (METHOD, 0xFFFF, b"\0"),
    (BODY, 2, bytes(300)),
    (9, 3, b"no frame type of AMQP"),
    (0, 0, b"\xce" * 20),
]


def frame(frame_type: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", frame_type, channel, len(payload)) + payload + bytes((end,))


def header(size: int, *, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0") -> bytes:
    return struct.pack(">HHQ", class_id, weight, size) + rest


def read_all(reader: FrameReader) -> list[tuple[int, int, bytes]]:
    frames = []
    while reader.next():
        frames.append((reader.frame_type, reader.channel, reader.payload))
    return frames


def fed(data: bytes, frame_max: int = 0) -> FrameReader:
    reader = FrameReader(frame_max)
    reader.feed(data)
    return reader


STREAM = b"".join(frame(*each) for each in FRAMES)


def test_frames_are_cut_without_a_look_at_what_they_mean() -> None:
    assert read_all(fed(STREAM)) == FRAMES


def test_the_payload_is_a_range_of_the_data() -> None:
    reader = fed(STREAM)

    assert reader.next()
    assert (reader.start, reader.end, reader.size) == (7, 7 + len(FRAMES[0][2]), len(FRAMES[0][2]))
    assert reader.data is STREAM
    assert reader.index == queue.Declare.INDEX


@given(st.data())
def test_any_slices_give_the_same_frames(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(STREAM)), max_size=12)))
    reader = FrameReader()
    frames: list[tuple[int, int, bytes]] = []

    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        reader.feed(STREAM[start:end])
        assert reader.pending == end - sum(len(frame(*each)) for each in frames)
        frames += read_all(reader)

    assert frames == FRAMES
    assert reader.pending == 0


@given(st.data())
def test_a_reader_may_be_fed_before_all_is_read(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(STREAM)), max_size=12)))
    reader = FrameReader()
    frames: list[tuple[int, int, bytes]] = []

    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        reader.feed(STREAM[start:end])
        if reader.next():
            frames.append((reader.frame_type, reader.channel, reader.payload))
    frames += read_all(reader)

    assert frames == FRAMES


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_may_be_of_any_type(kind: type) -> None:
    reader = fed(kind(STREAM[:40]))
    frames = read_all(reader)
    reader.feed(kind(STREAM[40:]))

    assert frames + read_all(reader) == FRAMES
    assert type(reader.payload) is bytes


def test_a_frame_that_has_begun_is_described() -> None:
    reader = FrameReader()
    assert not reader.next()
    assert reader.frame_type == -1

    reader.feed(frame(BODY, 7, b"abc")[:6])
    assert not reader.next()
    assert reader.frame_type == -1

    reader.feed(b"\3")
    assert not reader.next()
    assert (reader.frame_type, reader.channel, reader.size) == (BODY, 7, 3)
    assert reader.payload == b""

    reader.feed(b"ab")
    assert not reader.next()
    assert (reader.frame_type, reader.channel, reader.size) == (BODY, 7, 3)


def test_no_more_is_kept_than_a_frame_and_what_was_fed_last() -> None:
    data = frame(BODY, 1, bytes(131064)) * 100
    reader, largest = FrameReader(131072), 0

    for offset in range(0, len(data), 4096):
        reader.feed(data[offset : offset + 4096])
        read_all(reader)
        largest = max(largest, reader.pending)

    assert 131072 - 4096 <= largest < 131072 + 4096


def test_a_frame_above_frame_max_is_refused_by_its_prefix() -> None:
    reader = fed(frame(METHOD, 1, bytes(4088)) + struct.pack(">BHI", BODY, 2, 4089) + b"ab", 4096)
    assert reader.next()

    with pytest.raises(
        DecodeError, match="a frame of 4097 bytes is larger than frame_max, 4096"
    ) as caught:
        reader.next()

    error = caught.value
    assert (error.kind, error.reply_code) == ("frame_size", ReplyCode.FRAME_ERROR)
    assert (error.frame_type, error.channel, error.size) == (BODY, 2, 4089)
    assert (error.payload, error.end) == (b"ab", None)


def test_frame_max_may_be_changed_between_two_frames() -> None:
    reader = fed(frame(METHOD, 0, bytes(4)) + frame(BODY, 1, bytes(5000)), 4096)
    assert reader.next()

    reader.frame_max = 8192

    assert reader.frame_max == 8192
    assert reader.next()
    reader.frame_max = 0
    reader.feed(frame(BODY, 1, bytes(10000)))
    assert reader.next()


@pytest.mark.parametrize("end", [0, 0xCF])
def test_a_frame_has_to_end_with_the_frame_end(end: int) -> None:
    reader = fed(frame(9, 5, b"abc", end))

    with pytest.raises(DecodeError, match=f"ends with {end:#04x} instead of 0xce") as caught:
        reader.next()

    error = caught.value
    assert (error.kind, error.reply_code) == ("frame_end", ReplyCode.FRAME_ERROR)
    assert (error.frame_type, error.channel, error.size) == (9, 5, 3)
    assert (error.payload, error.end) == (b"abc", end)


def test_a_protocol_header_is_taken_before_the_first_frame() -> None:
    reader = fed(PROTOCOL_HEADER + STREAM)

    assert reader.take(8) == PROTOCOL_HEADER
    assert read_all(reader) == FRAMES


def test_a_protocol_header_may_come_in_any_slices() -> None:
    reader, taken = FrameReader(), []

    for position in range(len(PROTOCOL_HEADER)):
        taken.append(reader.take(8))
        reader.feed(PROTOCOL_HEADER[position : position + 1])

    assert taken == [None] * 8
    assert reader.take(8) == PROTOCOL_HEADER
    assert not reader.next()


def test_bytes_may_be_taken_when_a_frame_was_not_whole() -> None:
    reader = fed(STREAM[:4])
    assert not reader.next()
    reader.feed(STREAM[4:6])

    assert reader.take(5) == STREAM[:5]
    assert reader.pending == 1


# ---------------------------------------------------------------------------------- contents

PUBLISH = (METHOD, 1, basic.Publish("x", "k").encode())
CONTENT = encode_command(Command(1, basic.Publish("x", "k"), Properties(priority=1), b"body"))


def test_a_content_is_read_at_once() -> None:
    reader = fed(CONTENT + STREAM)
    assert reader.next()

    assert reader.next_content() == b"body"

    assert (reader.frame_type, reader.channel) == (HEADER, 1)
    assert reader.payload == header(4, rest=b"\x08\0\1")
    assert read_all(reader) == FRAMES


BEHIND_THE_METHOD = {
    "nothing": b"",
    "less than a header": frame(HEADER, 1, header(4))[:-4],
    "a header": frame(HEADER, 1, header(4)),
    "no body": frame(HEADER, 1, header(0)) + frame(METHOD, 1, b"\0\0\0\0"),
    "two bodies": frame(HEADER, 1, header(4)) + frame(BODY, 1, b"bo") + frame(BODY, 1, b"dy"),
    "half of a body": frame(HEADER, 1, header(4)) + frame(BODY, 1, b"body")[:-1],
    "another frame than a header": frame(BODY, 1, header(4)) + frame(BODY, 1, b"body"),
    "a header on another channel": frame(HEADER, 2, header(4)) + frame(BODY, 1, b"body"),
    "a header of another class": frame(HEADER, 1, header(4, class_id=50)) + frame(BODY, 1, b"body"),
    "a header with a weight": frame(HEADER, 1, header(4, weight=1)) + frame(BODY, 1, b"body"),
    "a short header": frame(HEADER, 1, header(4)[:11]) + b"\0" * 40,
    "a large header": frame(HEADER, 1, header(4, rest=bytes(5000))) + frame(BODY, 1, b"body"),
    "a large body": frame(HEADER, 1, header(5000)) + frame(BODY, 1, bytes(5000)),
    "a wrong end of the header": frame(HEADER, 1, header(4), 0) + frame(BODY, 1, b"body"),
    "a wrong end of the body": frame(HEADER, 1, header(4)) + frame(BODY, 1, b"body", 0),
    "another frame than a body": frame(HEADER, 1, header(4)) + frame(METHOD, 1, b"body"),
    "a body on another channel": frame(HEADER, 1, header(4)) + frame(BODY, 2, b"body"),
    "a frame end where the body would end": (
        frame(HEADER, 1, header(12)) + frame(BODY, 1, b"bo") + frame(BODY, 1, b"d\xce2345678")
    ),
}


@pytest.mark.parametrize("behind", BEHIND_THE_METHOD.values(), ids=BEHIND_THE_METHOD)
def test_any_other_content_is_left_to_be_read_frame_by_frame(behind: bytes) -> None:
    reader = fed(frame(*PUBLISH) + behind, 4096)
    assert reader.next()

    assert reader.next_content() is None

    assert (reader.frame_type, reader.channel, reader.payload) == PUBLISH
    assert reader.pending == len(behind)
