"""Frames of a channel to commands, and frames that do not fit."""

import struct

import pytest

from aioamqp_testing.session import Ending
from amqp_codec import Command, Method, Properties, basic, connection, encode_command, queue
from fake_broker_support import SilentClient, connection_close


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> list[Method]:
    return [connection.Close(code, text, class_id, method_id)]


def header(size: int, class_id: int = 60, weight: int = 0, rest: bytes = b"\0\0") -> bytes:
    return struct.pack(">HHQ", class_id, weight, size) + rest


NO_HEADER = (
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
)


NO_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"


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


def test_contents_of_several_channels_may_be_mixed(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    one, two = (
        encode_command(Command(n, basic.Publish("", "q"), Properties(), b"%d" % n)) for n in (1, 2)
    )
    cut = 8 + len(basic.Publish("", "q").encode())

    client.raw(one[:cut] + two[:cut] + two[cut:] + one[cut:])

    assert [message.body for message in client.vhost.queues["q"].messages] == [b"2", b"1"]


def test_a_server_method_with_a_content_is_refused_once_it_is_complete(
    client: SilentClient,
) -> None:
    data = encode_command(Command(1, basic.Deliver(), Properties(), b"x"))

    client.raw(data[:-1])
    assert client.heard() == []
    client.raw(data[-1:])
    assert client.heard() == connection_close(
        503, "COMMAND_INVALID - unimplemented method", basic.Deliver
    )


def test_properties_come_out_byte_for_byte(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    # a table that no encoder would write: a key twice, and a boolean of 5
    table = b"\x01kt\x05\x01kV"
    client.frame(1, 1, basic.Publish("", "q").encode())
    client.frame(
        2,
        1,
        b"\0<\0\0" + b"\0" * 8 + b"\x20\0" + len(table).to_bytes(4, "big") + table,
    )

    client.raw(encode_command(Command(1, basic.Get("q"))))

    assert len(table).to_bytes(4, "big") + table in client.session.take_output()


def test_an_unknown_method_in_a_content_is_a_reset(client: SilentClient) -> None:
    client.frame(1, 1, basic.Publish("", "q").encode())

    client.method(1, 99 << 16 | 10)

    assert client.heard() == []
    assert client.session.ending is Ending.RESET


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_a_number_that_erlang_cannot_read_is_a_reset(client: SilentClient, number: float) -> None:
    client.raw(encode_command(Command(1, queue.Declare("q", arguments={"x": [number]}))))

    assert client.heard() == []
    assert client.session.ending is Ending.RESET
