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


# ---------------------------------------------------------------------------------- recordings

OTHER_HEADER = b"AMQP\x00\x01\x00\x00"
GOOD = [
    (METHOD, 1, queue.Declare("q").encode()),
    (HEADER, 1, header(4)),
    (BODY, 1, b"body"),
    (HEARTBEAT, 0, b""),
]
GOOD_STREAM = b"".join(frame(*each) for each in GOOD)


def read_recording(reader: FrameReader) -> list[tuple[int, int, bytes] | bytes]:
    """Read frames, and protocol headers and skipped bytes as bytes."""
    found: list[tuple[int, int, bytes] | bytes] = []
    while True:
        if skipped := reader.resynchronize():
            found.append(skipped)
        elif reader.next_header():
            found.append(reader.payload)
        elif reader.next():
            found.append((reader.frame_type, reader.channel, reader.payload))
        else:
            return found


@pytest.mark.parametrize("name", [PROTOCOL_HEADER, OTHER_HEADER])
def test_a_protocol_header_is_an_item_of_its_own(name: bytes) -> None:
    """Row U29."""
    reader = fed(name + GOOD_STREAM)

    assert reader.next_header()
    assert (reader.frame_type, reader.channel, reader.payload, reader.size) == (65, 0, name, 8)
    assert not reader.next_header()
    assert read_all(reader) == GOOD


@pytest.mark.parametrize("frame_max", [0, 4096])
def test_a_protocol_header_may_be_read_in_any_slices(frame_max: int) -> None:
    """Row U29."""
    reader = FrameReader(frame_max)

    for position in range(len(PROTOCOL_HEADER)):
        assert read_recording(reader) == []
        reader.feed(PROTOCOL_HEADER[position : position + 1])

    assert read_recording(reader) == [PROTOCOL_HEADER]


def test_a_protocol_header_may_be_read_after_a_frame_was_not_whole() -> None:
    """Row U29."""
    reader = fed(PROTOCOL_HEADER[:3])
    assert not reader.next()
    reader.feed(PROTOCOL_HEADER[3:5])
    assert not reader.next_header()
    reader.feed(PROTOCOL_HEADER[5:])

    assert reader.next_header()
    assert reader.payload == PROTOCOL_HEADER


def test_a_protocol_header_between_frames_is_refused_by_its_last_byte() -> None:
    reader = fed(PROTOCOL_HEADER, 4096)

    with pytest.raises(DecodeError, match="larger than frame_max"):
        reader.next()


@pytest.mark.parametrize("size", range(8))
def test_nothing_is_skipped_in_front_of_a_frame(size: int) -> None:
    """Row U29."""
    for each in (*GOOD, (BODY, 2, bytes(200000))):
        reader = fed(frame(*each))
        assert reader.resynchronize() == b""
        assert reader.next()

    reader = fed(frame(METHOD, 1, queue.Declare("q").encode())[:size])
    assert reader.resynchronize() == b""
    assert not reader.next()


GARBAGE = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(100),
    "frame-ends": b"\xce" * 20,
    "text with AMQP": b"it speaks AMQP 0-9-1",
    "the end of a frame": GOOD_STREAM[5:20],
    "a frame of another type": frame(9, 3, b"..."),
    "a wrong frame-end": frame(METHOD, 1, queue.Declare("q").encode(), 0),
    "a heartbeat with a payload": frame(HEARTBEAT, 0, b"."),
    "a heartbeat on a channel": frame(HEARTBEAT, 1, b""),
    "a method without an index": frame(METHOD, 1, b"\0"),
    "a large frame": struct.pack(">BHI", BODY, 1, 4089) + b"...",
    "a method that does not exist": b"." + frame(METHOD, 1, b"\0\1\0\1"),
    "a header of a class without content": b"." + frame(HEADER, 1, header(4, class_id=50)),
    "a frame with garbage behind it": b"." + frame(BODY, 1, b"body") + b".",
    "a first part of such a method": b"." + frame(METHOD, 1, b"\0\1\0\1" + bytes(900))[:20],
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_skipped_up_to_the_next_frame(garbage: bytes) -> None:
    """Row U29."""
    reader = fed(garbage + GOOD_STREAM, 4096)

    assert read_recording(reader) == [garbage, *GOOD]
    assert reader.pending == 0


def test_without_a_frame_max_a_frame_is_plausible_up_to_the_usual_size() -> None:
    """Row U29."""
    assert fed(frame(BODY, 1, bytes(131064))[:-1]).resynchronize() == b""
    assert fed(frame(BODY, 1, bytes(131065))[:-1]).resynchronize() != b""
    assert fed(frame(BODY, 1, bytes(131065))[:-1], 200000).resynchronize() == b""


def test_a_stream_that_begins_in_the_middle_is_read_from_the_next_frame() -> None:
    """Row U29."""
    first = len(frame(*GOOD[0]))
    for cut in range(1, first):
        assert read_recording(fed(GOOD_STREAM[cut:])) == [GOOD_STREAM[cut:first], *GOOD[1:]]


@given(st.data())
def test_a_damaged_stream_may_come_in_any_slices(data: st.DataObject) -> None:
    """Row U29."""
    stream = b"garbage" + GOOD_STREAM + PROTOCOL_HEADER + GOOD_STREAM
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    reader = FrameReader()
    found: list[tuple[int, int, bytes] | bytes] = []

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
        found += read_recording(reader)

    items = [each for each in found if each == PROTOCOL_HEADER or isinstance(each, tuple)]
    assert items == [*GOOD, PROTOCOL_HEADER, *GOOD]
    assert b"".join(each for each in found if isinstance(each, bytes)) == (
        b"garbage" + PROTOCOL_HEADER
    )


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
