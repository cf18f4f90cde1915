"""Octets to commands, in any slices."""

import random
import struct
import sys
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amqp_codec import (
    HEARTBEAT,
    METHODS,
    Command,
    DecodeError,
    Decoder,
    Properties,
    ReplyCode,
    basic,
    channel,
    connection,
    encode_command,
    queue,
)
from amqp_codec.decoder import LEAST_UNFINISHED
from amqp_strategies import commands, same

METHOD, HEADER, BODY = 1, 2, 3
BEAT = encode_command(Command(0, HEARTBEAT))
DELIVER = basic.Deliver("tag", 1, False, "x", "k")


def frame(kind: int, number: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", kind, number, len(payload)) + payload + bytes((end,))


def header(
    number: int, size: int, *, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0"
) -> bytes:
    return frame(HEADER, number, struct.pack(">HHQ", class_id, weight, size) + rest)


def method(number: int, index: int = 0, payload: bytes | None = None) -> bytes:
    return frame(METHOD, number, DELIVER.encode() if payload is None else payload)


def test_a_command_comes_when_its_last_octet_has() -> None:
    octets = encode_command(Command(1, DELIVER, Properties(priority=1), b"body"))
    decoder = Decoder()

    for position in range(len(octets) - 1):
        assert decoder.feed(octets[position : position + 1]) == []
    assert decoder.feed(octets[-1:]) == [Command(1, DELIVER, Properties(priority=1), b"body")]
    assert decoder.feed(b"") == []


@given(st.lists(commands, max_size=6), st.data())
def test_any_slices_of_a_stream_give_the_same_commands(
    sent: list[Command], data: st.DataObject
) -> None:
    octets = b"".join(encode_command(command, frame_max=64 * 1024) for command in sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(octets)), max_size=12)))
    decoder = Decoder()

    received = [
        command
        for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)
        for command in decoder.feed(octets[start:end])
    ]

    assert same(received, sent)
    assert b"".join(encode_command(command, frame_max=64 * 1024) for command in received) == octets


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_octets_may_come_in_any_type(kind: type) -> None:
    octets = encode_command(Command(1, DELIVER, None, b"body"))
    decoder = Decoder()

    first = decoder.feed(kind(octets))
    assert decoder.feed(kind(octets[:9])) == []
    second = decoder.feed(kind(octets[9:]))

    assert first == second == [Command(1, DELIVER, Properties(), b"body")]
    assert type(first[0].body) is bytes


def test_contents_of_channels_interleave_and_heartbeats_come_at_any_point() -> None:
    one, two = b"a" * 10, b"b" * 6
    decoder = Decoder()

    received = decoder.feed(
        b"".join(
            [
                method(1),
                BEAT,
                method(2),
                header(2, 6),
                header(1, 10),
                frame(BODY, 1, one[:4]),
                BEAT,
                frame(BODY, 2, two[:3]),
                frame(METHOD, 3, channel.CloseOk().encode()),
                frame(BODY, 1, one[4:]),
                frame(BODY, 2, two[3:]),
            ]
        )
    )

    assert received == [
        Command(0, HEARTBEAT),
        Command(0, HEARTBEAT),
        Command(3, channel.CloseOk()),
        Command(1, DELIVER, Properties(), one),
        Command(2, DELIVER, Properties(), two),
    ]


def test_empty_body_frames_within_a_body_are_allowed() -> None:
    octets = method(1) + header(1, 2) + frame(BODY, 1, b"") + frame(BODY, 1, b"ab")

    assert Decoder().feed(octets) == [Command(1, DELIVER, Properties(), b"ab")]


def test_a_frame_end_where_a_whole_body_would_end_does_not_make_it_whole() -> None:
    pieces = frame(BODY, 1, b"ab") + frame(BODY, 1, b"\xce2345678")

    assert Decoder().feed(method(1) + header(1, 10) + pieces) == [
        Command(1, DELIVER, Properties(), b"ab\xce2345678")
    ]


def test_a_content_without_a_body_is_whole_with_its_header() -> None:
    assert Decoder().feed(method(1) + header(1, 0)) == [Command(1, DELIVER, Properties(), b"")]


def test_a_large_body_in_small_pieces_takes_linear_time() -> None:
    def steps(megabytes: int) -> int:
        """Count the lines that decoding executes; what one line copies: see FrameReader.pending in test_frame_reader.py."""
        octets = encode_command(Command(1, DELIVER, None, bytes(megabytes << 20)), 131072)
        decoder = Decoder(131072)
        count = 0

        def trace(*_: object) -> object:
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            for offset in range(0, len(octets), 4096):
                decoder.feed(octets[offset : offset + 4096])
        finally:
            sys.settrace(before)
        return count

    assert steps(8) < 5 * max(steps(2), 1000)


def test_64_mebibytes_in_pieces_of_4_kibibytes_come_whole() -> None:
    body = random.Random(0).randbytes(1 << 16) * 1024
    octets = encode_command(Command(1, DELIVER, None, body), 131072)
    decoder = Decoder(131072)

    received = []
    for offset in range(0, len(octets), 4096):
        received += decoder.feed(octets[offset : offset + 4096])

    assert [command.body == body for command in received] == [True]


ERRORS = {
    "frame end": (
        frame(METHOD, 1, channel.CloseOk().encode(), 0),
        501,
        "frame_end",
        "ends with 0x00",
    ),
    "frame type": (frame(9, 0, b"abc"), 501, "frame_type", "there is no frame type 9"),
    "frame type 5": (frame(5, 0, b"abc"), 501, "frame_type", "there is no frame type 5"),
    "frame type 0": (frame(0, 0, b"abc"), 501, "frame_type", "there is no frame type 0"),
    "frame size": (
        frame(BODY, 1, bytes(4089)),
        501,
        "frame_size",
        "a frame of 4097 bytes is larger than frame_max, 4096",
    ),
    "heartbeat with payload": (frame(8, 0, b"x"), 501, "heartbeat", "has a payload"),
    "heartbeat on a channel": (frame(8, 3, b""), 505, "heartbeat", "is on channel 3"),
    "unknown class": (
        frame(METHOD, 1, b"\0\x63\0\x0a"),
        502,
        "method_unknown",
        "there is no method 99.10",
    ),
    "no index": (frame(METHOD, 1, b"\0"), 502, "method_unknown", "there is no method 0.0"),
    "empty method": (frame(METHOD, 1, b""), 502, "method_unknown", "there is no method 0.0"),
    "arguments cut short": (
        method(1, payload=queue.Declare("abc").encode()[:10]),
        501,
        "method_arguments",
        "arguments of queue.declare",
    ),
    "arguments too long": (
        method(1, payload=basic.Ack(1).encode() + b"x"),
        501,
        "method_arguments",
        "arguments of basic.ack do not end",
    ),
    "table in arguments": (
        method(1, payload=queue.Declare("abc").encode()[:-4] + b"\0\0\0\4\x01kZ\0"),
        502,
        "field_value",
        "arguments of queue.declare cannot be decoded: a field value has the unknown type",
    ),
    "table beyond the arguments": (
        method(1, payload=queue.Declare("abc").encode()[:-4] + b"\0\0\0\7\x01kV"),
        501,
        "method_arguments",
        "arguments of queue.declare do not end where their frame does",
    ),
    "value beyond its table": (
        method(1, payload=queue.Declare("abc").encode()[:-4] + b"\0\0\0\4\x01kI\0"),
        502,
        "field_value",
        "arguments of queue.declare cannot be decoded: ",
    ),
    "header without a method": (header(1, 0), 505, "method_expected", "where a method is expected"),
    "body without a method": (frame(BODY, 1, b"x"), 505, "method_expected", "where a method is"),
    "method instead of header": (
        method(1) + method(1),
        505,
        "header_expected",
        "where the content header of basic.deliver is expected",
    ),
    "body instead of header": (method(1) + frame(BODY, 1, b"x"), 505, "header_expected", "type 3"),
    "header instead of body": (
        method(1) + header(1, 5) + header(1, 5),
        505,
        "body_expected",
        "where the content body of basic.deliver is expected",
    ),
    "method instead of body": (
        method(1) + header(1, 5) + method(1),
        505,
        "body_expected",
        "type 1",
    ),
    "another class": (
        method(1) + header(1, 5, class_id=50),
        505,
        "header_class",
        "50 instead of 60",
    ),
    "another class, body follows": (
        method(1) + header(1, 1, class_id=50) + frame(BODY, 1, b"x"),
        505,
        "header_class",
        "50 instead of 60",
    ),
    "weight": (method(1) + header(1, 5, weight=1), 505, "header_expected", "a weight other than 0"),
    "short header": (method(1) + frame(HEADER, 1, b"\0\x3c\0\0"), 502, "field_value", "properties"),
    "properties cut short": (
        method(1) + header(1, 1, rest=b"\x80\0\x05a") + frame(BODY, 1, b"x"),
        502,
        "field_value",
        "properties of a content do not end where their frame does",
    ),
    "more properties than flags": (
        method(1) + header(1, 5, rest=b"\0\0x"),
        502,
        "field_value",
        "properties",
    ),
    "body too long": (
        method(1) + header(1, 2) + frame(BODY, 1, b"abc"),
        501,
        "body_size",
        "a body is 1 bytes longer than its header says",
    ),
    "body too large": (
        method(1) + header(1, 5001),
        501,
        "body_size",
        "a body of 5001 bytes is larger than max_body_size, 5000",
    ),
    "body too large, in one piece": (
        method(1) + header(1, 5001) + frame(BODY, 1, b"x"),
        501,
        "body_size",
        "a body of 5001 bytes",
    ),
    "body's frame end": (
        method(1) + header(1, 1) + frame(BODY, 1, b"x", 1),
        501,
        "frame_end",
        "ends with 0x01",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_is_not_amqp_names_its_reply_code(name: str, step: int) -> None:
    octets, code, kind, says = ERRORS[name]
    decoder = Decoder(frame_max=4096, max_body_size=5000)

    with pytest.raises(DecodeError, match=says) as caught:
        for offset in range(0, len(octets), step):
            assert decoder.feed(octets[offset : offset + step]) == []

    assert caught.value.reply_code == code
    assert isinstance(caught.value.reply_code, ReplyCode)
    assert caught.value.kind == kind
    assert decoder.error is caught.value


@pytest.mark.parametrize("name", ERRORS)
def test_a_dead_decoder_stays_dead(name: str) -> None:
    decoder = Decoder(frame_max=4096, max_body_size=5000)
    good = frame(METHOD, 1, channel.CloseOk().encode())

    assert decoder.feed(good + ERRORS[name][0]) == [Command(1, channel.CloseOk())]
    assert decoder.error is not None
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            decoder.feed(good)
        assert caught.value is decoder.error


def test_a_frame_is_refused_by_its_first_seven_octets() -> None:
    with pytest.raises(DecodeError, match="of 4097 bytes"):
        Decoder(frame_max=4096).feed(struct.pack(">BHI", BODY, 1, 4089))
    with pytest.raises(DecodeError, match="no frame type"):
        Decoder().feed(struct.pack(">BHI", 9, 1, 4089))


def test_the_type_of_a_frame_is_refused_before_its_size_and_its_end() -> None:
    for answer in (b"HTTP/1.1 400 Bad Request", frame(9, 1, b"abc", 0)):
        with pytest.raises(DecodeError, match=f"there is no frame type {answer[0]}"):
            Decoder(frame_max=4096).feed(answer)


@pytest.mark.parametrize("frame_max", [0, 4096])
def test_a_protocol_header_in_place_of_a_frame_is_named(frame_max: int) -> None:
    """Row U29."""
    heartbeat = frame(8, 0, b"")
    for data in (b"AMQP\x00\x00\x09\x01", b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x00\x09"):
        with pytest.raises(DecodeError, match="a protocol header comes where a frame") as caught:
            Decoder(frame_max).feed(data)
        assert caught.value.kind == "frame_type"

        decoder = Decoder(frame_max)
        assert len(decoder.feed(heartbeat + data)) == 1
        assert str(decoder.error) == "a protocol header comes where a frame is expected"


def test_an_error_knows_the_frame_it_was_found_in() -> None:
    payload = queue.Declare("abc").encode()[:10]

    with pytest.raises(DecodeError) as caught:
        Decoder().feed(frame(METHOD, 7, payload))

    error = caught.value
    assert (error.frame_type, error.channel, error.size) == (METHOD, 7, 10)
    assert (error.payload, error.index, error.end) == (payload, queue.Declare.INDEX, None)
    with pytest.raises(DecodeError) as caught:
        Decoder().feed(frame(METHOD, 7, payload, 5))
    assert caught.value.end == 5


def test_the_limit_may_be_changed_between_feeds() -> None:
    octets = method(1) + header(1, 5000) + frame(BODY, 1, bytes(5000))
    decoder = Decoder(frame_max=4096)
    decoder.frame_max = 131072
    assert decoder.frame_max == 131072

    assert [len(command.body) for command in decoder.feed(octets)] == [5000]


def test_a_body_of_the_largest_size_is_taken() -> None:
    octets = method(1) + header(1, 4088) + frame(BODY, 1, bytes(4088))

    assert len(Decoder(frame_max=4096, max_body_size=4088).feed(octets)) == 1


def test_a_body_above_the_largest_size_is_refused_if_it_comes_at_once_too() -> None:
    octets = encode_command(Command(1, DELIVER, Properties(), b"body"))

    with pytest.raises(DecodeError, match="a body of 4 bytes is larger than max_body_size, 3"):
        Decoder(max_body_size=3).feed(octets)


def test_a_frame_larger_than_agreed_is_refused_behind_a_good_method_too() -> None:
    with pytest.raises(DecodeError, match="of 4097 bytes"):
        Decoder(frame_max=4096).feed(method(1) + header(1, 4089) + frame(BODY, 1, bytes(4089)))
    wide = Properties(headers={"a": "x" * 5000})
    with pytest.raises(DecodeError, match="larger than frame_max, 4096"):
        Decoder(frame_max=4096).feed(encode_command(Command(1, DELIVER, wide, b"x"), 131072))


GOOD = b"".join(
    [
        frame(METHOD, 0, connection.Start(0, 9, {"product": "x", "n": {"a": [1, 2.5]}}).encode()),
        encode_command(Command(1, DELIVER, Properties(headers={"a": 1}, priority=1), b"body")),
        BEAT,
        encode_command(Command(2, basic.GetOk(1), Properties(content_type="t"), bytes(20)), 20 + 8),
        frame(METHOD, 2, queue.DeclareOk("q", 1, 2).encode()),
    ]
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4),
    st.integers(1, 60),
)
@example([], 7)
def test_only_decode_errors_come_out_of_a_damaged_stream(
    damage: list[tuple[int, int]], step: int
) -> None:
    octets = bytearray(GOOD)
    for position, octet in damage:
        octets[position] = octet
    decoder = Decoder(frame_max=131072, max_body_size=1 << 20)

    try:
        for offset in range(0, len(octets), step):
            for command in decoder.feed(bytes(octets[offset : offset + step])):
                assert repr(command)
                encode_command(command, 0)
    except DecodeError as error:
        assert error.reply_code in (501, 502, 505)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_only_decode_errors_come_out_of_noise(octets: bytes) -> None:
    decoder = Decoder()

    try:
        decoder.feed(octets)
    except DecodeError as error:
        assert error.reply_code in (501, 502, 505)


@given(st.sampled_from(list(METHODS)), st.binary(max_size=80))
def test_only_decode_errors_come_out_of_damaged_arguments(index: int, octets: bytes) -> None:
    decoder = Decoder()

    try:
        for command in decoder.feed(frame(METHOD, 1, index.to_bytes(4, "big") + octets)):
            assert repr(command)
    except DecodeError as error:
        assert error.reply_code in (501, 502, 505)


@given(st.binary(max_size=80))
def test_only_decode_errors_come_out_of_damaged_properties(octets: bytes) -> None:
    decoder = Decoder()

    try:
        for command in decoder.feed(method(1) + header(1, 0, rest=octets)):
            assert repr(command)  # looks at every property, headers included
            assert encode_command(command) == method(1) + header(1, 0, rest=octets)
    except DecodeError as error:
        assert error.reply_code in (501, 502, 505)


def test_no_body_is_kept_for_a_channel_that_is_not_open() -> None:
    decoder = Decoder()
    decoder.channels = {2}
    pieces = [method(1), method(2), header(1, 4), header(2, 4)]

    received = decoder.feed(b"".join(pieces) + frame(BODY, 1, b"dro") + frame(BODY, 2, b"kep"))
    received += decoder.feed(frame(BODY, 1, b"p") + frame(BODY, 2, b"t"))

    assert [(command.channel, command.method.NAME, command.body) for command in received] == [
        (1, "basic.deliver", b""),
        (2, "basic.deliver", b"kept"),
    ]
    assert received[0].method == basic.Deliver()


@pytest.mark.parametrize("max_body_size", [2**23, 2**24])
def test_unfinished_bodies_are_limited_together(max_body_size: int) -> None:
    decoder, piece = Decoder(max_body_size=max_body_size), bytes(2**22)
    limit = max(2 * max_body_size, 2**24)
    last = limit // len(piece) + 1
    for number in range(1, last):
        assert decoder.feed(method(number) + header(number, 2**22 + 1)) == []
        assert decoder.feed(frame(BODY, number, piece)) == []
    decoder.feed(method(last) + header(last, 2**22 + 1))

    with pytest.raises(DecodeError, match="unfinished bodies of all channels") as raised:
        decoder.feed(frame(BODY, last, piece))

    assert raised.value.reply_code == ReplyCode.FRAME_ERROR


def test_unfinished_bodies_have_no_limit_unless_bodies_have() -> None:
    decoder = Decoder()

    decoder.feed(method(1) + header(1, 5) + frame(BODY, 1, b"unfi"))

    assert decoder.feed(frame(BODY, 1, b"n"))[0].body == b"unfin"


def test_a_body_is_the_same_wherever_its_frames_are_cut() -> None:
    body = bytes(range(1, 200))
    content = method(1) + header(1, 199)
    content += frame(BODY, 1, body[:90]) + frame(BODY, 1, b"") + frame(BODY, 1, body[90:])
    other = method(2) + header(2, 3) + frame(BODY, 2, b"two")
    data = content[:-1] + b"\xce" + other

    for first in range(len(data)):
        decoder, received = Decoder(max_body_size=1000), []
        for piece in (data[:first], data[first : first + 7], data[first + 7 :]):
            received += decoder.feed(piece)
        assert [(command.channel, command.body) for command in received] == [(1, body), (2, b"two")]
        assert all(type(command.body) is bytes for command in received)


def test_a_cut_body_frame_that_ends_badly_is_refused() -> None:
    decoder = Decoder()
    data = method(1) + header(1, 8) + frame(BODY, 1, b"abcdefgh", end=7)

    assert decoder.feed(data[:-5]) == []
    with pytest.raises(DecodeError, match="a frame ends with 0x07") as raised:
        decoder.feed(data[-5:] + method(1))

    error = raised.value
    assert (error.kind, error.channel, error.size, error.end) == ("frame_end", 1, 8, 7)


def test_a_body_is_copied_once() -> None:
    body = bytes(1 << 22)
    data = encode_command(Command(1, basic.Deliver(), Properties(), body))
    pieces = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    decoder = Decoder(131072, 1 << 23)
    tracemalloc.start()

    received = [command for piece in pieces for command in decoder.feed(piece)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert received[0].body == body
    assert peak < 1.05 * len(body)


def test_memory_is_reserved_for_a_limited_number_of_announced_bodies() -> None:
    decoder = Decoder(max_body_size=1 << 24)
    size = 1 << 23
    tracemalloc.start()

    for number in range(1, 101):
        assert decoder.feed(method(number) + header(number, size)) == []
        assert decoder.feed(frame(BODY, number, b"x")) == []
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < LEAST_UNFINISHED + (1 << 20)
    for number in (1, 50, 100):  # with memory that was reserved, and without
        (command,) = decoder.feed(frame(BODY, number, bytes(size - 1)))
        assert (command.channel, command.body) == (number, b"x" + bytes(size - 1))
