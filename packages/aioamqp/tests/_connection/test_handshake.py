"""Opening a connection, without input or output."""

from typing import Any

import pytest

from aioamqp._connection.handshake import Handshake, mechanism_named
from aioamqp.auth import Plain
from aioamqp.exceptions import HandshakeFailed, InvalidArgument
from amqp_codec import Method, connection, queue

START = connection.Start(0, 9, {}, b"AMQPLAIN PLAIN", b"en_US")
TUNE = connection.Tune(2047, 131072, 60)


def handshake(**limits: Any) -> Handshake:
    return Handshake(Plain("me", "secret"), "shop", **limits)


def start_ok(start: connection.Start, opening: Handshake | None = None) -> connection.StartOk:
    (answer,) = (opening or handshake()).receive_method(start)
    assert isinstance(answer, connection.StartOk)
    return answer


def tune_ok(tune: connection.Tune, **limits: int) -> connection.TuneOk:
    opening = handshake(**limits)
    opening.receive_method(START)
    answer = opening.receive_method(tune)[0]
    assert isinstance(answer, connection.TuneOk)
    return answer


def test_a_connection_is_opened_step_by_step() -> None:
    opening = handshake()

    answers = [opening.receive_method(method) for method in (START, TUNE, connection.OpenOk())]

    assert [[type(method) for method in methods] for methods in answers] == [
        [connection.StartOk],
        [connection.TuneOk, connection.Open],
        [],
    ]
    assert answers[1][1] == connection.Open("shop")
    assert opening.is_finished


def test_the_login_is_plain() -> None:
    answer = start_ok(START)

    assert (answer.mechanism, answer.response) == ("PLAIN", b"\0me\0secret")


@pytest.mark.parametrize(
    ("locales", "locale"),
    [(b"en_US", "en_US"), (b"de_DE en_US", "en_US"), (b"fr_FR de_DE", "fr_FR"), (b"", "en_US")],
)
def test_one_locale_is_chosen(locales: bytes, locale: str) -> None:
    start = connection.Start(0, 9, {}, b"PLAIN", locales)

    assert start_ok(start).locale == locale


def test_capabilities_are_announced() -> None:
    capabilities = start_ok(START).client_properties["capabilities"]

    assert isinstance(capabilities, dict)
    assert set(capabilities) == {
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "exchange_exchange_bindings",
        "publisher_confirms",
    }
    assert all(capabilities.values())


def test_the_program_s_client_properties_replace_the_default_ones() -> None:
    opening = Handshake(Plain("me", "x"), "/", {"product": "mine", "capabilities": {}})

    properties = start_ok(START, opening).client_properties

    assert (properties["product"], properties["capabilities"]) == ("mine", {})
    assert "product_version" in properties


@pytest.mark.parametrize(
    ("wanted", "offered", "negotiated"),
    [(0, 10, 10), (10, 0, 10), (10, 20, 10), (20, 10, 10), (0, 0, 0)],
)
def test_the_lower_channel_max_applies_and_zero_is_no_limit(
    wanted: int, offered: int, negotiated: int
) -> None:
    assert tune_ok(connection.Tune(offered, 0, 0), channel_max=wanted).channel_max == negotiated


def test_the_lower_frame_max_applies() -> None:
    assert tune_ok(TUNE, frame_max=1_000_000).frame_max == 131072
    assert tune_ok(TUNE, frame_max=8192).frame_max == 8192
    assert tune_ok(TUNE).frame_max == 131072


@pytest.mark.parametrize("wanted", [0, 5, 600])
def test_the_program_s_heartbeat_applies_whatever_the_server_offers(wanted: int) -> None:
    assert tune_ok(TUNE, heartbeat=wanted).heartbeat == wanted


def test_by_default_the_server_s_heartbeat_applies() -> None:
    assert tune_ok(TUNE).heartbeat == 60


@pytest.mark.parametrize(
    "limits",
    [
        {"channel_max": 70000},
        {"frame_max": 4095},
        {"frame_max": "131072"},  # range() would be searched for it
        {"heartbeat": -1},
        {"heartbeat": 1 << 16},
        {"heartbeat": 0.5},
    ],
)
def test_a_limit_out_of_range_is_refused_before_anything_is_sent(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"{next(iter(limits))}: must be an integer from"):
        handshake(**limits)


@pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN"])
@pytest.mark.parametrize("what", ["login", "password"])
def test_the_error_for_a_login_that_is_not_a_string_does_not_show_it(
    method: str, what: str
) -> None:
    login: Any = {"login": "guest", "password": "guest", what: b"secret"}

    with pytest.raises(InvalidArgument) as caught:
        mechanism_named(method, **login)

    assert str(caught.value) == f"{what}: must be a string, not bytes"


def test_a_refusal_has_the_server_s_code_and_text() -> None:
    opening = handshake()
    opening.receive_method(START)

    with pytest.raises(HandshakeFailed, match="403 ACCESS_REFUSED") as caught:
        opening.receive_method(connection.Close(403, "ACCESS_REFUSED - no"))

    assert (caught.value.code, caught.value.message) == (403, "ACCESS_REFUSED - no")


def test_the_error_for_an_unsupported_mechanism_lists_those_of_the_server() -> None:
    with pytest.raises(HandshakeFailed, match="PLAIN, but with GSSAPI or EXTERNAL"):
        handshake().receive_method(connection.Start(0, 9, {}, b"GSSAPI EXTERNAL", b"en_US"))


def test_plain_cannot_answer_a_challenge() -> None:
    opening = handshake()
    opening.receive_method(START)

    with pytest.raises(HandshakeFailed, match="asks for more than PLAIN"):
        opening.receive_method(connection.Secure(b"?"))


def test_a_mechanism_that_knows_challenges_answers_them() -> None:
    class Echo:
        name = "ECHO"

        def initial_response(self) -> bytes:
            return b"hello"

        def respond(self, challenge: bytes) -> bytes:
            return challenge * 2

    opening = Handshake(Echo(), "/")
    opening.receive_method(connection.Start(0, 9, {}, b"ECHO", b"en_US"))

    assert opening.receive_method(connection.Secure(b"ab")) == [connection.SecureOk(b"abab")]
    assert opening.receive_method(TUNE)


@pytest.mark.parametrize(
    "methods",
    [
        [TUNE],
        [connection.OpenOk()],
        [START, START],
        [START, connection.OpenOk()],
        [START, TUNE, TUNE],
        [START, queue.DeclareOk()],
    ],
    ids=lambda methods: " ".join(type(method).__name__ for method in methods),
)
def test_an_unexpected_method_ends_the_handshake(methods: list[Method]) -> None:
    opening = handshake()
    for method in methods[:-1]:
        opening.receive_method(method)

    with pytest.raises(HandshakeFailed, match=methods[-1].NAME):
        opening.receive_method(methods[-1])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_protocol_header_from_the_server_names_its_version(size: int) -> None:
    header = b"AMQP\x00\x01\x00\x00"
    opening = handshake()

    with pytest.raises(HandshakeFailed, match="AMQP 1-0-0"):
        for offset in range(0, len(header), size):
            assert opening.check_protocol_header(header[offset : offset + size]) == b""


def test_bytes_that_are_not_a_protocol_header_are_returned() -> None:
    opening = handshake()

    assert opening.check_protocol_header(b"\x01") == b"\x01"
    assert opening.check_protocol_header(b"AMQP\x00\x01\x00\x00") == b"AMQP\x00\x01\x00\x00"


def test_bytes_that_only_begin_like_a_protocol_header_are_returned_whole() -> None:
    opening = handshake()

    assert opening.check_protocol_header(b"AM") == b""
    assert opening.check_protocol_header(b"Q!") == b"AMQ!"


def test_the_error_for_a_lost_link_depends_on_the_progress_of_the_handshake() -> None:
    opening = handshake()
    sentences = [opening.explain_end()]
    for method in (START, TUNE):
        opening.receive_method(method)
        sentences.append(opening.explain_end())

    assert "at that port" in sentences[0]
    assert "login may have been refused" in sentences[1]
    assert "virtual host" in sentences[2]


def test_an_unknown_login_method_is_plain_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert mechanism_named("KERBEROS", "me", "x").name == "PLAIN"
    assert "KERBEROS" in caplog.text


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(vars(handshake())) + repr(Plain("me", "secret"))
