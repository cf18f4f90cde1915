"""Invalid and unexpected frames, and the errors that the broker sends for them."""

import pytest

from aioamqp_testing.session.reader.undocumented import AccessRequest, AccessRequestOk, CreditOk
from amqp_codec import Command, Method, Properties, basic, channel, connection, encode_method, queue
from tests.conformance.client import method_of
from tests.conformance.raw_client import (
    Endpoint,
    RawClient,
    close,
    close_channel,
    content_header,
    frame,
)
from tests.conformance.scenario import ByVersion, scenario

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8

NO_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
NO_HEADER = (
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
)
BODY_TOO_LONG = "FRAME_ERROR - content body frame exceeds remaining content size"
NO_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"

PUBLISH = frame(METHOD, 1, basic.Publish("", "nowhere").encode())
QOS = encode_method(1, basic.Qos(0, 1).encode())
UNREADABLE = encode_method(1, queue.Declare("").encode()[:4] + b"\0\0\5ab")
NOT_UTF_8 = encode_method(1, queue.Declare("").encode()[:4] + b"\0\0\2\xff\xfe\0\0\0\0\0")

DAMAGED = b"\x80\0\x09ab"
"""Encoded properties that end inside the content type."""


async def own_queue(raw: RawClient) -> str:
    """Declare an exclusive queue; return its name."""
    declared = await raw.request(queue.Declare(exclusive=True))
    assert isinstance(declared, queue.DeclareOk)
    return declared.queue


@scenario
async def test_a_frame_may_be_eight_bytes_larger_than_frame_max(endpoint: Endpoint) -> None:
    """Row 25."""
    raw = await endpoint.open_connection(1, frame_max=8192)
    name = await own_queue(raw)

    raw.send_frame(METHOD, 1, basic.Publish("", name).encode())
    raw.send_frame(HEADER, 1, content_header(8192))
    raw.send_frame(BODY, 1, b"x" * 8192)

    got = await raw.request(basic.Get(name, no_ack=True))
    assert isinstance(got, Command)
    assert got.body == b"x" * 8192


@scenario
async def test_a_frame_that_is_too_large_is_refused_by_its_header(endpoint: Endpoint) -> None:
    """Row 26."""
    raw = await endpoint.open_connection(1, frame_max=8192)

    raw.send(frame(BODY, 1, b"x" * 8193)[:7])

    text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8193,8184}"
    assert await raw.next_command() == close(501, text)


@pytest.mark.parametrize(
    ("payload", "end", "quoted"),
    [
        (b"\0\x3c\0\x0a", 0, "all octets = <<0,60,0,10>>: {invalid_frame_end_marker,0}"),
        (
            b"\x0c" * 9,
            7,
            'all octets = <<"\\f\\f\\f\\f\\f\\f\\f\\f\\f">>: {invalid_frame_end_marker,7}',
        ),
        # Erlang wraps terms at 80 columns.
        (
            b"\0\x3c\0\x0a" + b"\0" * 13,
            120,
            f"first 16 octets = <<0,60,0,10{',0' * 12}>>: {{invalid_frame_end_marker,\n"
            f"{' ' * 66}120}}",
        ),
        (
            b"\0" + b"\x7f" * 15,
            1,
            f"all octets = <<0{',127' * 13},\n{' ' * 23}127,127>>: {{invalid_frame_end_marker,1}}",
        ),
        (b"A" * 16, 99, f'all octets = <<"{"A" * 16}">>: {{invalid_frame_end_marker,99}}'),
        (b"A" * 17, 9, f'first 16 octets = <<"{"A" * 16}">>: {{invalid_frame_end_marker,9}}'),
        (
            b"A" * 17,
            99,
            f'first 16 octets = <<"{"A" * 16}">>: {{invalid_frame_end_marker,\n{" " * 51}99}}',
        ),
    ],
)
@scenario
async def test_an_invalid_frame_end_is_quoted(
    endpoint: Endpoint, payload: bytes, end: int, quoted: str
) -> None:
    """Row 27."""
    raw = await endpoint.open_connection(1)

    raw.send_frame(METHOD, 1, payload, bytes([end]))

    assert await raw.next_command() == close(501, f"FRAME_ERROR - type 1, {quoted}")


@pytest.mark.parametrize(
    ("kind", "number", "payload", "code", "text"),
    [
        (9, 1, b"abc", 501, 'FRAME_ERROR - type 9, all octets = <<"abc">>: unknown_frame'),
        (
            9,
            0,
            b"abcdefghijklmnopq",
            501,
            'FRAME_ERROR - type 9, first 16 octets = <<"abcdefghijklmnop">>: unknown_frame',
        ),
        # Erlang wraps terms at 80 columns.
        (
            77,
            1,
            b"\0abcdefghijklmnop",
            501,
            "FRAME_ERROR - type 77, first 16 octets = <<0,97,98,99,100,101,102,103,104,105,106,107,"
            f"108,\n{' ' * 29}109,110,111>>: unknown_frame",
        ),
        (
            0,
            0,
            b"\0" + b"\x7f" * 13,
            501,
            f"FRAME_ERROR - type 0, all octets = <<0{',127' * 13}>>: unknown_frame",
        ),
        (
            0,
            0,
            b"\0" + b"\x7f" * 14,
            501,
            f"FRAME_ERROR - type 0, all octets = <<0{',127' * 13},\n{' ' * 23}127>>: unknown_frame",
        ),
        (HEARTBEAT, 1, b"", 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        (
            HEARTBEAT,
            0,
            b"x",
            501,
            'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame',
        ),
        (
            HEADER,
            0,
            content_header(1),
            505,
            "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,1,0,0>>",
        ),
        (BODY, 0, b"abc", 505, 'UNEXPECTED_FRAME - type 3, all octets = <<"abc">>'),
        (HEADER, 1, content_header(1), 505, NO_METHOD),
        (BODY, 1, b"abc", 505, NO_METHOD),
        # Payloads that are too short for their frame type.
        (METHOD, 1, b"\0", 501, "FRAME_ERROR - type 1, all octets = <<0>>: unknown_frame"),
        (
            HEADER,
            1,
            b"\0<\0\0",
            501,
            "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame",
        ),
    ],
)
@scenario
async def test_an_unexpected_or_unknown_frame_is_quoted(
    endpoint: Endpoint, kind: int, number: int, payload: bytes, code: int, text: str
) -> None:
    """Rows 28, 33, 39, 40, 42."""
    raw = await endpoint.open_connection(1)

    raw.send_frame(kind, number, payload)

    assert await raw.next_command() == close(code, text)


@scenario
async def test_channel_max_limits_the_number_of_open_channels(endpoint: Endpoint) -> None:
    """Row 29. The limit is on the number of channels, not on channel numbers."""
    raw = await endpoint.open_connection(7, 9, channel_max=2)

    reply = await raw.request(channel.Open())

    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    assert reply == close(530, text)


BAD_TABLE = b"\0\0\0\0\0\0\0\x04\x01aZ\0"
NOT_A_NUMBER = b"\0\0\0\0\0\0\0\x07\x01af\x7f\xc0\0\0"
INFINITE = b"\0\0\0\0\0\0\0\x0b\x01ad\xff\xf0\0\0\0\0\0\0"


@pytest.mark.parametrize("arguments", [BAD_TABLE, NOT_A_NUMBER, INFINITE])
@scenario
async def test_a_table_that_cannot_be_decoded_resets_the_connection(
    endpoint: Endpoint, arguments: bytes
) -> None:
    """Row 31."""
    raw = await endpoint.open_connection(1)

    raw.send_method(1, queue.Declare.INDEX, arguments)

    assert await raw.commands_until_eof() == []
    assert raw.was_reset


@pytest.mark.parametrize(
    ("number", "method"), [(1, 99 << 16 | 10), (1, 60 << 16 | 99), (0, 10 << 16 | 99)]
)
@scenario
async def test_an_unknown_method_resets_the_connection(
    endpoint: Endpoint, number: int, method: int
) -> None:
    """Row 31."""
    raw = await endpoint.open_connection(1)

    raw.send_method(number, method)

    assert await raw.commands_until_eof() == []
    assert raw.was_reset


@pytest.mark.parametrize(
    ("method", "arguments", "quoted"),
    [
        (queue.Declare, b"\0\0\5ab", "<<0,0,5,97,98>>"),
        (basic.Qos, b"\0" * 7 + b"junk", "<<0,0,0,0,0,0,0,106,117,110,107>>"),
        (AccessRequest, b"\5/data", "<<5,47,100,97,116,97>>"),
        (AccessRequest, b"\0\0junk", "<<0,0,106,117,110,107>>"),
    ],
)
@scenario
async def test_arguments_that_are_too_short_or_too_long_are_quoted(
    endpoint: Endpoint, method: type[Method], arguments: bytes, quoted: str
) -> None:
    """Row 32."""
    raw = await endpoint.open_connection(1)

    raw.send_method(1, method.INDEX, arguments)

    assert await raw.next_command() == close(501, f"FRAME_ERROR - cannot decode {quoted}", method)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (connection.UpdateSecret, b"\0\0"),
        (connection.CloseOk, b"junk"),
        (queue.Declare, b"\0\0\5ab"),
        (queue.Declare, BAD_TABLE),
        (queue.Declare, NOT_A_NUMBER),
    ],
)
@scenario
async def test_arguments_on_channel_0_that_cannot_be_decoded_are_an_internal_error(
    endpoint: Endpoint, method: type[Method], arguments: bytes
) -> None:
    """Rows 32, 64."""
    raw = await endpoint.open_connection(1)

    raw.send_method(0, method.INDEX, arguments)

    assert await raw.next_command() == close(541, "INTERNAL_ERROR")


@scenario
async def test_a_short_string_on_channel_0_must_be_utf_8(endpoint: Endpoint) -> None:
    """Row 62."""
    raw = await endpoint.open_connection(1)

    raw.send_method(0, connection.UpdateSecret.INDEX, b"\0\0\0\0\2\xff\xfe")

    text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
    assert await raw.next_command() == close(501, text, connection.UpdateSecret)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (QOS, NO_HEADER),
        (frame(BODY, 1, b"abc"), NO_HEADER),
        (frame(HEADER, 1, content_header(1, weight=1)), NO_HEADER),
        (
            frame(HEADER, 1, content_header(1, class_id=50)),
            NO_HEADER.replace("non content header frame", "one for class 50"),
        ),
        # Row F8: the weight is checked before the class.
        (frame(HEADER, 1, content_header(1, class_id=50, weight=1)), NO_HEADER),
        (frame(HEADER, 1, content_header(5)) + QOS, NO_BODY),
        (frame(HEADER, 1, content_header(5)) * 2, NO_BODY),
        # The payload of an unexpected frame is not decoded.
        (UNREADABLE, NO_HEADER),
        (NOT_UTF_8, NO_HEADER),
        (frame(HEADER, 1, content_header(5)) + UNREADABLE, NO_BODY),
        (frame(HEADER, 1, content_header(5, rest=DAMAGED)) + QOS, NO_BODY),
    ],
)
@scenario
async def test_an_interrupted_content_is_an_error_of_its_method(
    endpoint: Endpoint, data: bytes, text: str
) -> None:
    """Rows 34, 35, 36."""
    raw = await endpoint.open_connection(1)

    raw.send(PUBLISH + data)

    assert await raw.next_command() == close(505, text, basic.Publish)


@scenario
async def test_a_body_longer_than_announced_stops_its_channel(
    endpoint: Endpoint, by_version: ByVersion
) -> None:
    """Row 37. RabbitMQ 4.3 closes the connection."""
    raw = await endpoint.open_connection(1, 2)

    raw.send(PUBLISH + frame(HEADER, 1, content_header(1)) + frame(BODY, 1, b"toolong"))
    if by_version({"3.10": False, "4.3": True}):
        assert await raw.next_command() == close(501, BODY_TOO_LONG, basic.Publish)
        return
    raw.send(frame(BODY, 1, b"more"))

    assert await raw.request(basic.Qos(0, 1), channel=2) == basic.QosOk()
    raw.send(QOS)
    assert await raw.next_command() == close(505, NO_BODY, basic.Publish)


@scenario
async def test_an_empty_message_is_complete_without_a_body_frame(endpoint: Endpoint) -> None:
    """Rows 38, 33."""
    raw = await endpoint.open_connection(1)
    name = await own_queue(raw)

    raw.send_frame(METHOD, 1, basic.Publish("", name).encode())
    raw.send_frame(HEADER, 1, content_header(0))
    got = await raw.request(basic.Get(name, no_ack=True))
    assert isinstance(got, Command)
    assert got.body == b""

    raw.send(PUBLISH + frame(HEADER, 1, content_header(0)) + frame(BODY, 1, b""))
    assert await raw.next_command() == close(505, NO_METHOD)


@pytest.mark.parametrize(
    "method",
    [
        channel.Open(),
        queue.Declare("x"),
        connection.Open("/"),
        connection.TuneOk(2047, 131072, 0),
        connection.StartOk({}, "PLAIN", b"", "en_US"),
    ],
)
@scenario
async def test_a_channel_method_on_channel_0_is_a_connection_error(
    endpoint: Endpoint, method: Method
) -> None:
    """Row 41."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(method, channel=0)

    text = "CHANNEL_ERROR - unexpected method in connection state running"
    assert reply == close(504, text, type(method))


@pytest.mark.parametrize(
    "method",
    [
        connection.Close(200, "bye"),
        connection.TuneOk(2047, 131072, 0),
        Command(1, basic.Deliver("tag", 1, False, "", "q"), Properties(), b"m"),
        queue.DeclareOk("q"),
        channel.FlowOk(),
        channel.CloseOk(),
        AccessRequestOk(),
        CreditOk(),
    ],
)
@scenario
async def test_a_method_that_no_client_sends_on_a_channel_is_not_implemented(
    endpoint: Endpoint, method: Method | Command
) -> None:
    """Row 43."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(method)

    text = "COMMAND_INVALID - unimplemented method"
    assert reply == close(503, text, type(method_of(method)))


@pytest.mark.parametrize(
    "sent",
    [
        queue.Declare("x"),
        basic.Qos(0, 1),
        channel.Close(200, "bye"),
        channel.CloseOk(),
        Command(5, basic.Publish(), Properties(), b""),
    ],
)
@scenario
async def test_a_method_on_an_unopened_channel_is_a_connection_error(
    endpoint: Endpoint, sent: Method | Command
) -> None:
    """Row 44."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(sent, channel=5)

    text = "CHANNEL_ERROR - expected 'channel.open'"
    assert reply == close(504, text, type(method_of(sent)))


@scenario
async def test_a_method_on_a_closed_channel_is_a_connection_error(endpoint: Endpoint) -> None:
    """Row 44."""
    raw = await endpoint.open_connection(1)
    assert await raw.request(channel.Close(200, "bye")) == channel.CloseOk()

    reply = await raw.request(basic.Qos(0, 1))

    assert reply == close(504, "CHANNEL_ERROR - expected 'channel.open'", basic.Qos)


@scenario
async def test_a_channel_cannot_be_opened_twice(endpoint: Endpoint) -> None:
    """Row 45."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(channel.Open())

    assert reply == close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@scenario
async def test_a_short_string_must_be_utf_8(endpoint: Endpoint) -> None:
    """Row 62."""
    raw = await endpoint.open_connection(1)

    raw.send_method(1, queue.Declare.INDEX, b"\0\0\2\xff\xfe\0\0\0\0\0")

    assert await raw.next_command() == close(501, "FRAME_ERROR - Malformed UTF-8 in shortstr")


@scenario
async def test_a_long_reply_text_is_truncated_with_dots(endpoint: Endpoint) -> None:
    """Row 63."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(queue.Declare("q" * 255, passive=True))

    text = "NOT_FOUND - no queue '" + "q" * 230 + "..."
    assert reply == close_channel(404, text, queue.Declare)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        frame(HEADER, 1, content_header(5)),
        frame(HEADER, 1, content_header(5)) + frame(BODY, 1, b"toolong"),
    ],
)
@scenario
async def test_an_unknown_method_inside_a_content_resets_the_connection(
    endpoint: Endpoint, begun: bytes, by_version: ByVersion
) -> None:
    """Row 31. RabbitMQ 4.3 refuses a body that is too long before."""
    raw = await endpoint.open_connection(1)

    raw.send(PUBLISH + begun)
    if b"toolong" in begun and by_version({"3.10": False, "4.3": True}):
        assert await raw.next_command() == close(501, BODY_TOO_LONG, basic.Publish)
        return
    raw.send_method(1, 60 << 16 | 99)

    assert await raw.commands_until_eof() == []


@pytest.mark.parametrize("rest", [b"\x20\0\0\0\0\4\1kZ\0", DAMAGED, b"\0\0ab"])
@scenario
async def test_properties_that_cannot_be_decoded_are_an_internal_error(
    endpoint: Endpoint, rest: bytes
) -> None:
    """Row 64. The channel decodes properties when the message is complete."""
    raw = await endpoint.open_connection(1, 2)
    name = await own_queue(raw)

    raw.send_frame(METHOD, 1, basic.Publish("", name).encode())
    raw.send_frame(HEADER, 1, content_header(3, rest=rest))
    assert await raw.request(basic.Qos(0, 1), channel=2) == basic.QosOk()
    raw.send_frame(BODY, 1, b"abc")

    assert await raw.next_command() == close(541, "INTERNAL_ERROR")


@scenario
async def test_properties_are_decoded_only_if_the_exchange_exists(endpoint: Endpoint) -> None:
    """Rows 64, 139."""
    raw = await endpoint.open_connection(1)

    raw.send_frame(METHOD, 1, basic.Publish("no-such-exchange").encode())
    raw.send_frame(HEADER, 1, content_header(0, rest=DAMAGED))

    text = "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/'"
    assert await raw.next_command() == close_channel(404, text, basic.Publish)


@scenario
async def test_a_64_bit_integer_may_have_the_type_letter_capital_l(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 99, 100."""
    raw = await endpoint.open_connection(1)
    long = b"\x0cx-max-lengthL" + (5).to_bytes(8, "big")
    arguments = b"\0\0%c%b\x04%b%b" % (len(name), name.encode(), len(long).to_bytes(4, "big"), long)

    raw.send_method(1, queue.Declare.INDEX, arguments)

    assert await raw.next_command() == queue.DeclareOk(name, 0, 0)
    same = queue.Declare(name, exclusive=True, arguments={"x-max-length": 5})
    assert await raw.request(same) == queue.DeclareOk(name, 0, 0)
