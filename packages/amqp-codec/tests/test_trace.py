"""Commands and recorded bytes as lines of text."""

import io
import os
import re
import runpy
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_codec import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Command,
    Method,
    Properties,
    ReplyCode,
    basic,
    channel,
    connection,
    encode_command,
    format_command,
    format_trace,
    queue,
)
from amqp_codec.__main__ import main


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (HEARTBEAT, "3 heartbeat"),
        (queue.Declare("q", durable=True), "3 queue.declare queue='q' durable=True"),
        (
            queue.DeclareOk("q", 0, 2),
            "3 queue.declare-ok queue='q' message_count=0 consumer_count=2",
        ),
        (
            connection.Close(ReplyCode.NOT_ALLOWED, "no"),
            "3 connection.close reply_code=530 reply_text='no' class_id=0 method_id=0",
        ),
        (
            connection.StartOk({"product": "p"}, "PLAIN", b"\0ada\0secret", "en_US"),
            "3 connection.start-ok client_properties={'product': 'p'} mechanism='PLAIN'"
            " response=*** locale='en_US'",
        ),
        (connection.Secure(b"nonce"), "3 connection.secure challenge=***"),
        (connection.SecureOk(b"secret"), "3 connection.secure-ok response=***"),
        (
            connection.UpdateSecret(b"secret", "expired"),
            "3 connection.update-secret new_secret=*** reason='expired'",
        ),
        (
            basic.Publish("", "q", mandatory=True),
            "3 basic.publish routing_key='q' mandatory=True + 42 bytes",
        ),
    ],
)
def test_a_command_is_formatted_as_one_line(method: Method, line: str) -> None:
    assert format_command(3, method, 42) == line


# ---------------------------------------------------------------------------------- recordings

START_OK = connection.StartOk({"product": "p"}, "PLAIN", b"\0ada\0swordfish", "en_US")
PUBLISH = Command(1, basic.Publish("", "q"), Properties(), b"a body that is not shown")
HEARTBEAT_FRAME = encode_command(Command(0, HEARTBEAT))
PUBLISH_LINE = "1 basic.publish routing_key='q' + 24 bytes"


def frame(frame_type: int, number: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", frame_type, number, len(payload)) + payload + bytes((end,))


def joined(*items: bytes | Command) -> tuple[bytes, list[int]]:
    """Return a recording, and the offset of each item."""
    data, offsets = b"", []
    for item in items:
        offsets.append(len(data))
        data += encode_command(item) if isinstance(item, Command) else item
    return data, offsets


def test_a_recording_is_a_line_for_each_command_heartbeat_and_header() -> None:
    """Row U29."""
    data, offsets = joined(
        PROTOCOL_HEADER,
        Command(0, START_OK),
        Command(0, connection.SecureOk(b"swordfish")),
        Command(0, connection.UpdateSecret(b"swordfish", "expired")),
        Command(1, channel.Open()),
        PUBLISH,
        Command(0, HEARTBEAT),
    )

    lines = list(format_trace(data))

    assert lines == list(
        zip(
            offsets,
            [
                "0 protocol-header AMQP 0-0-9-1",
                "0 connection.start-ok client_properties={'product': 'p'} mechanism='PLAIN'"
                " response=*** locale='en_US'",
                "0 connection.secure-ok response=***",
                "0 connection.update-secret new_secret=*** reason='expired'",
                "1 channel.open",
                PUBLISH_LINE,
                "0 heartbeat",
            ],
            strict=True,
        )
    )


def test_contents_of_different_channels_may_interleave() -> None:
    """Row U29."""
    first = encode_command(PUBLISH)
    second = encode_command(Command(2, basic.Publish("", "q"), Properties(), b"other"))

    lines = list(format_trace(first[:-32] + second + HEARTBEAT_FRAME + first[-32:]))

    assert [line for _, line in lines] == [
        "2 basic.publish routing_key='q' + 5 bytes",
        "0 heartbeat",
        PUBLISH_LINE,
    ]


def test_a_recording_that_begins_in_the_middle_is_read_from_the_next_frame() -> None:
    """Row U29."""
    data, _ = joined(Command(1, queue.Declare("a queue")), PUBLISH, Command(0, HEARTBEAT))
    whole = list(format_trace(data))

    for cut in range(1, whole[1][0]):
        assert list(format_trace(data[cut:])) == [
            (0, f"damaged: {whole[1][0] - cut} bytes"),
            *((offset - cut, line) for offset, line in whole[1:]),
        ]


def test_frames_of_a_content_whose_method_is_missing_are_named() -> None:
    """Row U29."""
    data = encode_command(PUBLISH)
    method = len(basic.Publish("", "q").encode()) + 8
    header = 22

    assert list(format_trace(data[method:] + HEARTBEAT_FRAME)) == [
        (
            0,
            f"damaged: {header} bytes: a frame of type 2 comes on channel 1"
            " where a method is expected",
        ),
        (
            header,
            "damaged: 32 bytes: a frame of type 3 comes on channel 1 where a method is expected",
        ),
        (header + 32, "0 heartbeat"),
    ]


@pytest.mark.parametrize("damage", [b"\0", b"\1\0\1", b"swordfish", b"AMQP is text", b"\3" * 50])
def test_damage_between_two_commands_is_named_with_its_offset(damage: bytes) -> None:
    """Row U29."""
    data, offsets = joined(Command(1, queue.Declare("a queue")), damage, PUBLISH)

    assert list(format_trace(data)) == [
        (0, "1 queue.declare queue='a queue'"),
        (offsets[1], f"damaged: {len(damage)} bytes"),
        (offsets[2], PUBLISH_LINE),
    ]


def test_a_damaged_command_does_not_show_its_secret() -> None:
    """Row U29."""
    start_ok = encode_command(Command(0, START_OK))
    for position in range(len(start_ok)):
        for octet in (0, 0xFF, start_ok[position] ^ 1):
            damaged = bytearray(start_ok)
            damaged[position] = octet
            lines = list(format_trace(bytes(damaged) + HEARTBEAT_FRAME))

            assert (len(start_ok), "0 heartbeat") in lines
            assert not any("sword" in line or "fish" in line for _, line in lines)


def test_arguments_that_cannot_be_decoded_are_named() -> None:
    """Row U29."""
    payload = queue.Declare("abc").encode()[:-2]

    assert list(format_trace(frame(1, 5, payload))) == [
        (
            0,
            f"damaged: {len(payload) + 8} bytes: the arguments of queue.declare do not end where"
            " their frame does",
        )
    ]


def test_a_content_without_its_end_is_named_and_what_follows_is_read() -> None:
    """Row U29."""
    unfinished = encode_command(PUBLISH)[:-32]
    data, offsets = joined(unfinished, Command(1, channel.Close(200, "")), PUBLISH)

    lines = list(format_trace(data))

    assert lines[0] == (
        0,
        "damaged: the content of basic.publish is not complete: a frame of type 1 comes on channel 1"
        " where the content body of basic.publish is expected",
    )
    assert [offset for offset, _ in lines[1:]] == offsets[1:]


def test_a_content_with_too_much_body_is_named_once() -> None:
    """Row U29."""
    data, offsets = joined(
        encode_command(PUBLISH)[:-32], frame(3, 1, bytes(30)), Command(0, HEARTBEAT)
    )

    assert list(format_trace(data)) == [
        (
            0,
            "damaged: the content of basic.publish is not complete: a body is 6 bytes longer than"
            " its header says",
        ),
        (offsets[2], "0 heartbeat"),
    ]


@pytest.mark.parametrize(
    ("kept", "line"),
    [
        (3, "unfinished: 3 bytes"),
        (9, "unfinished: 9 bytes of a method of 16 bytes on channel 1"),
    ],
)
def test_a_recording_that_ends_within_a_frame_says_so(kept: int, line: str) -> None:
    """Row U29."""
    data = HEARTBEAT_FRAME + encode_command(Command(1, queue.PurgeOk(7)))[:kept]

    assert list(format_trace(data)) == [(0, "0 heartbeat"), (8, line)]


def test_a_recording_that_ends_within_a_body_or_a_content_says_so() -> None:
    """Row U29."""
    data = encode_command(PUBLISH)

    assert [line for _, line in format_trace(data[:-5])] == [
        "unfinished: 27 bytes of a content body of 32 bytes on channel 1",
        "unfinished: the recording ends within the content of basic.publish",
    ]


def test_what_only_looks_like_the_beginning_of_a_long_frame_hides_nothing() -> None:
    """Row U29."""
    looks_like_a_body = b"\3\0\1\0\0\xff\xff"

    assert list(format_trace(looks_like_a_body + b"..." + encode_command(PUBLISH))) == [
        (0, "damaged: 10 bytes"),
        (10, PUBLISH_LINE),
    ]


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(encode_command(PUBLISH)))))
def test_any_bytes_can_be_traced(pieces: list[bytes]) -> None:
    data = b"".join(pieces)

    lines = list(format_trace(data))

    assert bool(lines) == bool(data)
    assert all(0 <= offset < len(data) for offset, _ in lines)


# ---------------------------------------------------------------------------------- the command

RECORDING, OFFSETS = joined(PROTOCOL_HEADER, Command(1, channel.Open()))
LINES = ["0 protocol-header AMQP 0-0-9-1", "1 channel.open"]
HEX = RECORDING.hex()


@pytest.mark.parametrize(
    "content",
    [
        RECORDING,
        HEX.encode(),
        HEX.upper().encode() + b"\n",
        RECORDING.hex(" ").encode(),
        RECORDING.hex(":").encode(),
        "\r\n".join(re.findall(".{1,8}", HEX)).encode(),
    ],
)
def test_the_command_reads_bytes_and_hexadecimal_digits(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row U29."""
    path = tmp_path / "recording"
    path.write_bytes(content)

    assert main([str(path)]) == 0
    plain = [f"{offset} {line}" for offset, line in zip(OFFSETS, LINES, strict=True)]
    assert capsys.readouterr().out.splitlines() == plain
    for sender, arrow in (("client", ">"), ("server", "<")):
        assert main([str(path), "--from", sender]) == 0
        marked = [f"{offset} {arrow} {line}" for offset, line in zip(OFFSETS, LINES, strict=True)]
        assert capsys.readouterr().out.splitlines() == marked


def test_the_command_reads_the_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row U29."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(RECORDING)))

    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "8 1 channel.open"


@pytest.mark.parametrize(
    ("content", "arguments", "reason"),
    [
        (None, [], "cannot read FILE: No such file or directory"),
        (b"", [], "the recording is empty"),
        (b"abc", [], "the recording is not hexadecimal: it has an odd number of digits"),
        (
            b"0x41",
            ["--hex"],
            "the recording is not hexadecimal: it contains 'x'; offsets and text beside the digits"
            " must be removed, with `xxd -r` for example",
        ),
    ],
)
def test_misuse_of_the_command_is_a_sentence(
    content: bytes | None,
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Row U29."""
    path = tmp_path / "recording"
    if content is not None:
        path.write_bytes(content)

    status = main([str(path), *arguments])

    output = capsys.readouterr()
    expected = reason.replace("FILE", str(path))
    assert (status, output.out) == (2, "")
    assert output.err == f"python -m amqp_codec: {expected}\n"


def test_the_command_ends_quietly_when_its_reader_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row U29."""
    path = tmp_path / "recording"
    path.write_bytes(encode_command(Command(1, queue.Declare("q"))) * 1000)
    read, write = os.pipe()
    os.close(read)

    with open(write, "w", encoding="utf-8") as output:
        monkeypatch.setattr("sys.stdout", output)
        assert main([str(path)]) == 0

    assert capsys.readouterr().err == ""


def test_the_command_runs_as_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row U29."""
    path = tmp_path / "recording"
    path.write_bytes(RECORDING)
    monkeypatch.setattr("sys.argv", ["amqp_codec", str(path)])
    monkeypatch.delitem(sys.modules, "amqp_codec.__main__")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("amqp_codec", run_name="__main__")

    assert ended.value.code == 0
    assert capsys.readouterr().out == "0 0 protocol-header AMQP 0-0-9-1\n8 1 channel.open\n"
