"""Frames that do not fit, and how connections end."""

import struct

import pytest

from aioamqp_testing.model import ManualClock, Node
from aioamqp_testing.session import Ending
from aioamqp_testing.session.journal import Journal
from amqp_codec import (
    Command,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    queue,
)
from fake_broker_support import UNSUPPORTED, SilentClient


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> list[Method]:
    return [connection.Close(code, text, class_id, method_id)]


def header(size: int, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0") -> bytes:
    return struct.pack(">HHQ", class_id, weight, size) + rest


NO_HEADER = (
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
)
NO_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"


def test_a_payload_may_be_eight_octets_longer_than_there_is_room_for() -> None:
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


@pytest.mark.parametrize(
    ("number", "index", "arguments"),
    [
        (0, 99 << 16 | 10, b""),
        (1, 99 << 16 | 10, b""),
        (1, 60 << 16 | 99, b""),
        (1, queue.Declare.INDEX, b"\0\0\0\0\0\0\0\x04\x01aZ\0"),
        (1, queue.Declare.INDEX, b"\0\0\0\0\0\0\0\x05\x01aS\0\0"),
    ],
)
def test_an_unknown_method_or_a_table_that_cannot_be_read_is_a_reset(
    client: SilentClient, number: int, index: int, arguments: bytes
) -> None:
    """Row 31."""
    client.method(number, index, arguments)

    assert client.heard() == []
    assert client.session.ending is Ending.RESET


@pytest.mark.parametrize(
    ("method", "arguments", "shown"),
    [
        (queue.Declare, b"\0\0\5ab", "<<0,0,5,97,98>>"),
        (basic.Qos, b"\0" * 7 + b"junk", "<<0,0,0,0,0,0,0,106,117,110,107>>"),
    ],
)
def test_arguments_of_the_wrong_length_are_quoted(
    client: SilentClient, method: type[Method], arguments: bytes, shown: str
) -> None:
    """Row 32."""
    client.method(1, method.INDEX, arguments)

    class_id, method_id = divmod(method.INDEX, 1 << 16)
    text = f"FRAME_ERROR - cannot decode {shown}"
    assert client.heard() == close(501, text, class_id, method_id)


def test_a_short_string_has_to_be_utf_8(client: SilentClient) -> None:
    """Row 62."""
    client.method(1, queue.Declare.INDEX, b"\0\0\2\xff\xfe\0\0\0\0\0")

    assert client.heard() == close(501, "FRAME_ERROR - Malformed UTF-8 in shortstr")


def test_a_routing_key_need_not_be_utf_8(client: SilentClient) -> None:
    client.say(1, queue.Declare("ü"))

    assert client.publish("\udcff") == []
    assert client.say(1, basic.Get("ü")) == [basic.GetEmpty()]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([(1, basic.Qos(0, 1).encode())], NO_HEADER),
        ([(3, b"abc")], NO_HEADER),
        ([(2, header(1, weight=1))], NO_HEADER),
        (
            [(2, header(1, class_id=50))],
            NO_HEADER.replace("non content header frame", "one for class 50"),
        ),
        ([(2, header(5)), (1, basic.Qos(0, 1).encode())], NO_BODY),
        ([(2, header(5)), (2, header(5))], NO_BODY),
        ([(2, header(1)), (3, b"toolong"), (3, b"more"), (1, basic.Qos(0, 1).encode())], NO_BODY),
    ],
)
def test_a_content_that_does_not_go_on_names_its_method(
    client: SilentClient, frames: list[tuple[int, bytes]], text: str
) -> None:
    """Rows 34-37."""
    client.raw(encode_command(Command(1, basic.Publish()))[: 8 + len(basic.Publish().encode())])

    for frame_type, payload in frames:
        assert client.heard() == []
        client.frame(frame_type, 1, payload)

    assert client.heard() == close(505, text, 60, 40)


def test_an_empty_body_has_no_frame(client: SilentClient) -> None:
    """Row 38. The message is there before the frame is refused."""
    client.say(1, queue.Declare("q"))
    client.frame(1, 1, basic.Publish("", "q").encode())
    client.frame(2, 1, header(0))
    assert client.vhost.queues["q"].message_count == 1

    client.frame(3, 1, b"")

    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    assert client.heard() == close(505, text)


def test_properties_that_cannot_be_read_are_an_internal_error(client: SilentClient) -> None:
    """Rows 64 and 149."""
    for rest in (b"\x20\0\0\0\0\4\1kZ\0", b"\x80\0\x09ab", b"\0\0ab"):
        other = client.another(1)
        other.frame(1, 1, basic.Publish("", "q").encode())
        other.frame(2, 1, header(0, rest=rest))

        assert other.heard() == close(541, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    "method",
    [
        channel.Open(),
        queue.Declare("x"),
        connection.Open("/"),
        connection.TuneOk(),
        connection.CloseOk(),
        connection.Blocked("x"),
    ],
)
def test_only_a_few_methods_are_for_an_open_connection(
    client: SilentClient, method: Method
) -> None:
    """Row 41."""
    text = "CHANNEL_ERROR - unexpected method in connection state running"

    assert client.say(0, method) == close(504, text, *divmod(method.INDEX, 1 << 16))


def test_a_secret_can_be_updated(client: SilentClient) -> None:
    """Row 53."""
    assert client.say(0, connection.UpdateSecret(b"new", "why")) == [connection.UpdateSecretOk()]


def test_channel_max_limits_how_many_channels_there_are_and_not_their_numbers() -> None:
    """Row 29."""
    client = SilentClient().open(7, 9, channel_max=2)
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"

    assert client.say(3, channel.Open()) == close(530, text)


def test_a_channel_that_is_closing_still_counts() -> None:
    client = SilentClient().open(1, channel_max=1)
    client.say(1, queue.Declare("none", passive=True))

    client.say(1, channel.CloseOk())
    assert client.say(2, channel.Open()) == [channel.OpenOk()]


def test_a_client_that_does_not_answer_connection_close_is_reset_after_30_seconds(
    client: SilentClient,
) -> None:
    """Row 46."""
    client.say(1, channel.Open())

    client.clock.advance(29.9)
    assert client.session.ending is None
    client.clock.advance(0.1)
    assert client.session.ending is Ending.RESET


def test_close_ok_ends_the_connection_at_once(client: SilentClient) -> None:
    """Row 47."""
    client.say(1, channel.Open())

    client.say(0, connection.CloseOk())

    assert client.session.ending is Ending.RESET


def test_after_connection_close_only_the_end_is_talked_about(client: SilentClient) -> None:
    """Row 48."""
    client.say(1, channel.Open())

    assert client.say(1, queue.Declare("q")) == []
    assert client.say(0, connection.UpdateSecret(b"", "")) == []
    client.frame(9, 0, b"abc")
    client.frame(9, 1, b"abc")
    assert client.heard() == []
    assert client.say(0, connection.Close(200, "bye")) == [connection.CloseOk()]
    assert "q" not in client.vhost.queues


def test_what_a_client_says_behind_its_own_close_is_ignored(client: SilentClient) -> None:
    """Row 49."""
    octets = encode_command(Command(0, connection.Close(320, "my text"))) + encode_command(
        Command(1, queue.Declare("q"))
    )

    client.raw(octets)

    assert client.heard() == [connection.CloseOk()]
    assert client.session.ending is None
    client.clock.advance(30)
    assert client.session.ending is Ending.RESET


def test_everything_is_given_back_before_close_ok(client: SilentClient) -> None:
    """Rows 49 and 51."""
    other = client.another(1)
    client.say(1, queue.Declare("shared"), queue.Declare("mine", exclusive=True))
    client.publish("shared", b"1")
    client.say(1, basic.Consume("shared"))
    assert client.vhost.queues["shared"].unacked_count == 1

    client.say(0, connection.Close(200, "bye"))

    assert "mine" not in client.vhost.queues
    (got,) = other.say(1, basic.Get("shared"))
    assert isinstance(got, basic.GetOk)
    assert got.redelivered


def test_a_lost_connection_gives_everything_back_and_leaves_no_timer(client: SilentClient) -> None:
    client.say(1, queue.Declare("mine", exclusive=True))

    client.session.connection_lost()
    client.session.connection_lost()

    assert client.vhost.queues == {}
    client.clock.advance(3600)
    assert client.session.take_output() == b""


def test_a_broker_that_stops_says_so(client: SilentClient) -> None:
    client.session.shut_down()

    text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert client.heard() == close(320, text)
    assert client.session.ending is Ending.CLOSE


def test_what_cannot_be_done_yet_is_refused_and_written_down(client: SilentClient) -> None:
    what = "a queue with x-dead-letter-strategy at-least-once"
    text = f"NOT_IMPLEMENTED - aioamqp-testing cannot do this yet: {what}"

    declare = queue.Declare("q", durable=True, arguments=UNSUPPORTED)
    assert client.say(1, declare) == close(540, text, 50, 10)
    assert client.node.refused == [what]


def test_contents_of_several_channels_may_be_mixed(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    one, two = (
        encode_command(Command(n, basic.Publish("", "q"), Properties(), b"%d" % n)) for n in (1, 2)
    )
    cut = 8 + len(basic.Publish("", "q").encode())

    client.raw(one[:cut] + two[:cut] + two[cut:] + one[cut:])

    assert [message.body for message in client.vhost.queues["q"].messages] == [b"2", b"1"]


def test_input_may_come_in_any_slices() -> None:
    client = SilentClient().open(1)
    octets = encode_command(Command(1, queue.Declare("q")))
    octets += encode_command(Command(1, basic.Publish("", "q"), Properties(), b"body"))
    octets += encode_command(Command(1, confirm.Select()))

    for octet in octets:
        client.raw(bytes((octet,)))

    assert client.heard() == [queue.DeclareOk("q"), confirm.SelectOk()]
    assert client.vhost.queues["q"].message_count == 1


def test_a_large_body_leaves_in_frames_of_the_agreed_size() -> None:
    """Row 150."""
    client = SilentClient().open(1, frame_max=4096)
    client.say(1, queue.Declare("q"))
    client.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"y" * 10000), 4096))

    client.raw(encode_command(Command(1, basic.Get("q", no_ack=True))))
    octets, sizes = client.session.take_output(), []
    while octets:
        frame_type, _, size = struct.unpack(">BHI", octets[:7])
        sizes += [size] if frame_type == 3 else []
        octets = octets[size + 8 :]

    assert sizes == [4088, 4088, 1824]


def test_properties_that_are_too_large_for_one_client_do_not_harm_another() -> None:
    client = SilentClient().open(1)
    small = SilentClient(client.node, client.clock).open(1, frame_max=4096)
    small.say(1, queue.Declare("q"), basic.Consume("q", "c"))

    assert client.publish("q", b"m", headers={"large": "x" * 5000}) == []

    assert client.session.is_open
    assert small.bodies() == [b"m"]


def test_the_journal_tells_what_was_said_and_why_it_ended() -> None:
    journal = Journal()
    client = SilentClient(Node(), ManualClock(), journal).open(1)
    client.say(1, queue.Declare("none", passive=True))
    client.publish("k", b"x" * 1000)
    client.session.connection_lost()

    text = str(journal)
    assert "-> 1 queue.Declare(queue='none', passive=True" in text
    assert "<- 1 channel.Close(reply_code=404, reply_text=\"NOT_FOUND - no queue 'none'" in text
    assert "1000 bytes b'" + "x" * 40 + "'..." in text
    assert text.endswith("the connection ends: the client has closed it")


def test_the_journal_keeps_only_the_last_of_very_many() -> None:
    journal = Journal(kept=2)
    for name in "abc":
        journal.open(name)
    for number in range(1000):
        journal.connections[-1].note(str(number))

    assert [each.name for each in journal.connections] == ["b", "c"]
    assert len(journal.connections[-1].lines) == 200
    assert "(800 earlier ones left out)" in str(journal)
