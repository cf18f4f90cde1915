"""How a connection begins, and the many ways in which it does not."""

import pytest

from aioamqp_testing.session import Ending
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    LongStr,
    Method,
    ReplyCode,
    channel,
    connection,
    encode_command,
    encode_table,
)
from fake_broker_support import SilentClient, start_ok

TUNE = connection.Tune(2047, 131072, 60)


@pytest.fixture
def client() -> SilentClient:
    return SilentClient()


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> connection.Close:
    return connection.Close(code, text, class_id, method_id)


def falls_silent(client: SilentClient) -> bool:
    """Return whether nothing is said for three seconds, and then the connection is reset."""
    client.clock.advance(2.9)
    quiet = client.heard() == [] and client.session.ending is None
    client.clock.advance(0.1)
    return quiet and client.heard() == [] and client.session.ending is Ending.RESET


def test_the_broker_says_who_it_is(client: SilentClient) -> None:
    """Rows 3, 6 and 7."""
    client.raw(PROTOCOL_HEADER)

    (start,) = client.heard()
    assert isinstance(start, connection.Start)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert (start.mechanisms, start.locales) == (b"AMQPLAIN PLAIN", b"en_US")
    assert list(start.server_properties) == [
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ]
    capabilities = start.server_properties["capabilities"]
    assert isinstance(capabilities, dict)
    assert set(capabilities.values()) == {True}


def test_a_header_in_single_bytes_is_a_header(client: SilentClient) -> None:
    for byte in PROTOCOL_HEADER:
        client.raw(bytes((byte,)))

    assert [type(method) for method in client.heard()] == [connection.Start]


@pytest.mark.parametrize("header", [b"GET / HT", b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"])
def test_another_protocol_is_answered_with_the_right_header_and_a_reset(
    client: SilentClient, header: bytes
) -> None:
    """Rows 1 and 2."""
    client.raw(header + b"and more")

    assert client.session.take_output() == PROTOCOL_HEADER
    assert client.session.ending is Ending.RESET


def test_a_handshake_may_take_ten_seconds(client: SilentClient) -> None:
    """Row 5."""
    client.raw(b"AMQP")

    endings = [client.session.ending]
    for seconds in (9.9, 0.1):
        client.clock.advance(seconds)
        endings.append(client.session.ending)

    assert endings == [None, None, Ending.RESET]
    assert client.session.take_output() == b""


def test_good_credentials_lead_to_tune_and_open(client: SilentClient) -> None:
    """Row 8."""
    assert client.start() == [TUNE]
    assert client.say(0, connection.TuneOk(10, 4096, 0)) == []
    assert client.say(0, connection.Open("/")) == [connection.OpenOk()]
    assert client.session.is_open
    assert client.session.user == "guest"

    client.clock.advance(3600)
    assert client.session.is_open


def test_a_whole_handshake_may_come_in_one_piece(client: SilentClient) -> None:
    """Row 22."""
    methods: list[tuple[int, Method]] = [
        (0, start_ok()),
        (0, connection.TuneOk(2047, 131072, 0)),
        (0, connection.Open("/")),
        (1, channel.Open()),
    ]
    client.raw(PROTOCOL_HEADER + b"".join(encode_command(Command(*method)) for method in methods))

    assert client.heard()[1:] == [TUNE, connection.OpenOk(), channel.OpenOk()]


def test_amqplain_is_accepted(client: SilentClient) -> None:
    """Row 9."""
    table = {"LOGIN": "guest", "PASSWORD": "guest"}

    assert client.start(mechanism="AMQPLAIN", response=encode_table(table)[4:]) == [TUNE]


@pytest.mark.parametrize(("user", "password"), [("guest", "wrong"), ("nobody", "guest")])
def test_a_wrong_password_is_refused_at_once_if_the_client_can_take_it(
    client: SilentClient, user: str, password: str
) -> None:
    """Row 10."""
    text = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
        " For details see the broker logfile."
    )

    assert client.start(user=user, password=password) == [close(403, text)]
    assert client.say(0, connection.CloseOk()) == []
    assert client.session.ending is Ending.RESET


@pytest.mark.parametrize(
    "options",
    [
        {"password": "wrong", "capabilities": {}},
        {"mechanism": "FOO"},
        {"response": b"guest guest"},
        {"response": b"\0guest"},
        {"response": b"\0guest\0guest\0more"},
        {"mechanism": "AMQPLAIN", "response": b"no table"},
        {"mechanism": "AMQPLAIN", "response": encode_table({"LOGIN": LongStr(b"\xff")})[4:]},
    ],
)
def test_every_other_failure_to_log_in_is_silent(
    client: SilentClient, options: dict[str, object]
) -> None:
    """Rows 11-13."""
    assert client.start(**options) == []
    assert falls_silent(client)


@pytest.mark.parametrize(
    "tune_ok",
    [
        connection.TuneOk(2047, 1000, 0),
        connection.TuneOk(2047, 131073, 0),
        connection.TuneOk(2047, 0, 0),
        connection.TuneOk(2048, 131072, 0),
        connection.TuneOk(0, 131072, 0),
    ],
)
def test_what_was_not_offered_cannot_be_agreed_on(
    client: SilentClient, tune_ok: connection.TuneOk
) -> None:
    """Row 16."""
    client.start()

    assert client.say(0, tune_ok, connection.Open("/")) == []
    assert falls_silent(client)


@pytest.mark.parametrize(
    "method", [connection.Open("/"), connection.Close(200, "bye"), connection.StartOk()]
)
def test_a_method_at_the_wrong_time_is_silent_before_tune_ok(
    client: SilentClient, method: Method
) -> None:
    """Row 14."""
    client.start()

    assert client.say(0, method) == []
    assert falls_silent(client)


def test_a_method_at_the_wrong_time_is_answered_after_tune_ok(client: SilentClient) -> None:
    client.start()
    tune_ok = connection.TuneOk(2047, 131072, 0)
    text = "CHANNEL_ERROR - unexpected method in connection state opening"

    assert client.say(0, tune_ok, tune_ok) == [close(504, text, 10, 31)]


def test_a_channel_before_the_connection_is_open_is_an_unexpected_frame(
    client: SilentClient,
) -> None:
    """Row 15."""
    client.start()
    client.say(0, connection.TuneOk(2047, 131072, 0))

    client.method(1, channel.Open.INDEX, b"\x010")

    text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,1,48>>"
    assert client.heard() == [close(505, text)]
    assert client.say(0, connection.Close(200, "bye")) == [connection.CloseOk()]


def test_an_unknown_virtual_host_is_refused(client: SilentClient) -> None:
    """Row 17."""
    client.start()
    client.say(0, connection.TuneOk(2047, 131072, 0))

    text = "NOT_ALLOWED - vhost nope not found"
    assert client.say(0, connection.Open("nope")) == [close(530, text, 10, 40)]


@pytest.mark.parametrize(
    ("frame_type", "payload", "end"),
    [(9, b"abc", b"\xce"), (1, b"a" * 5000, b"\xce"), (1, b"abc", b"x"), (1, b"\0", b"\xce")],
)
def test_garbage_in_the_handshake_is_silent(
    client: SilentClient, frame_type: int, payload: bytes, end: bytes
) -> None:
    client.raw(PROTOCOL_HEADER)
    client.heard()

    client.frame(frame_type, 0, payload, end)

    assert falls_silent(client)


def test_an_unknown_method_in_the_handshake_is_a_reset(client: SilentClient) -> None:
    client.raw(PROTOCOL_HEADER)
    client.heard()

    client.method(0, 99 << 16 | 99)

    assert client.session.ending is Ending.RESET


@pytest.mark.parametrize("header", [b"AMQP\x01\x01\x08\x00", b"AMQP\x01\x01\x09\x01"])
def test_amqp_0_8_is_greeted_and_then_refused(client: SilentClient, header: bytes) -> None:
    """Row 4, up to where this broker stops."""
    client.raw(header)
    (start,) = client.heard()
    assert isinstance(start, connection.Start)
    assert (start.version_major, start.version_minor) == (8, 0)
    assert start.server_properties["capabilities"] == {}

    (answer,) = client.say(0, connection.StartOk({}, "PLAIN", b"\0guest\0guest", "en_US"))

    assert isinstance(answer, connection.Close)
    assert answer.reply_code == ReplyCode.NOT_IMPLEMENTED
    assert client.node.refused == ["AMQP 0-8"]


def test_answers_to_open_have_the_fields_of_earlier_versions(client: SilentClient) -> None:
    """Row 24."""
    client.start()
    client.say(0, connection.TuneOk(2047, 131072, 0))

    client.raw(encode_command(Command(0, connection.Open("/"))))
    assert client.session.take_output() == b"\1\0\0\0\0\0\5\0\x0a\0\x29\0\xce"
    client.raw(encode_command(Command(1, channel.Open())))
    assert client.session.take_output() == b"\1\0\1\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce"
