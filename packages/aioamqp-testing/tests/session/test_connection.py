"""How a connection reads, answers errors and ends."""

import pytest

from aioamqp_testing.session import Ending
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
from fake_broker_support import (
    CAPABILITIES,
    UNSUPPORTED,
    WHAT_IS_UNSUPPORTED,
    SilentClient,
    a_message,
)


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> list[Method]:
    return [connection.Close(code, text, class_id, method_id)]


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
    data = encode_command(Command(0, connection.Close(320, "my text"))) + encode_command(
        Command(1, queue.Declare("q"))
    )

    client.raw(data)

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
    text = f"NOT_IMPLEMENTED - aioamqp-testing cannot do this yet: {WHAT_IS_UNSUPPORTED}"
    client.say(1, queue.Declare("q"))

    assert client.say(1, UNSUPPORTED) == close(540, text, 60, 20)
    assert client.node.refused == [WHAT_IS_UNSUPPORTED]


# ---------------------------------------------------------------------------------- reading


def test_input_may_come_in_any_slices() -> None:
    client = SilentClient().open(1)
    data = encode_command(Command(1, queue.Declare("q")))
    data += encode_command(Command(1, basic.Publish("", "q"), Properties(), b"body"))
    data += encode_command(Command(1, confirm.Select()))

    for byte in data:
        client.raw(bytes((byte,)))

    assert client.heard() == [queue.DeclareOk("q"), confirm.SelectOk()]
    assert client.vhost.queues["q"].message_count == 1


def a_publish(body: bytes = b"m", number: int = 1, key: str = "q", **properties: object) -> bytes:
    command = Command(number, basic.Publish("", key), Properties(**properties), body)  # type: ignore[arg-type]
    return encode_command(command)


def a_method(method: Method, number: int = 1) -> bytes:
    return encode_command(Command(number, method))


def damaged(data: bytes, at: int, byte: int) -> bytes:
    changed = bytearray(data)
    changed[at] = byte
    return bytes(changed)


PUBLISH = a_publish()


ACK = a_method(basic.Ack(1))


TWO_BODIES = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"x" * 6000), 4096)


RUNS = {
    "publishes": [a_publish(b"a"), a_publish(b"b"), a_publish(b"c")],
    "publishes and acks": [PUBLISH, ACK, PUBLISH, ACK],
    "an ack that fails": [PUBLISH, ACK, a_method(basic.Ack(7)), PUBLISH, ACK],
    "a publish that closes the connection": [
        PUBLISH,
        a_method(basic.Ack(1)),
        encode_command(Command(1, basic.Publish("", "q", immediate=True), Properties(), b"m")),
    ],
    "a publish that closes the channel": [PUBLISH, a_publish(expiration="soon"), PUBLISH, ACK],
    "an empty body": [PUBLISH, a_publish(b""), PUBLISH],
    "a body in two frames": [PUBLISH, TWO_BODIES, PUBLISH],
    "another channel": [PUBLISH, a_publish(number=2), PUBLISH, a_publish(number=2)],
    "a channel that is not open": [PUBLISH, a_publish(number=3)],
    "something else between": [PUBLISH, a_method(queue.Purge("q")), PUBLISH, PUBLISH],
    "a channel that is closed": [PUBLISH, a_method(channel.Close(200, "", 0, 0))],
    "a header of another class": [PUBLISH, damaged(PUBLISH, 18 + 8, 50), PUBLISH],
    "properties that cannot be decoded": [PUBLISH, damaged(PUBLISH, len(PUBLISH) - 12, 0x80)],
    "a wrong end of a method": [PUBLISH, damaged(PUBLISH, 17, 0), PUBLISH],
    "a wrong end of a body": [PUBLISH, damaged(PUBLISH, len(PUBLISH) - 1, 0), PUBLISH],
    "another size of the body": [PUBLISH, damaged(PUBLISH, len(PUBLISH) - 7, 2), PUBLISH],
    "arguments that are too long": [PUBLISH, damaged(PUBLISH, 14, 200), PUBLISH],
    "an ack that is too short": [
        PUBLISH,
        b"\x01\x00\x01\x00\x00\x00\x0c\x00\x3c\x00\x50" + b"\x00" * 8 + b"\xce",
        PUBLISH,
    ],
    "a key that is no text": [PUBLISH, damaged(PUBLISH, 15, 0xFF), PUBLISH],
    "half of a publish": [PUBLISH, PUBLISH[:-3], PUBLISH[-3:], ACK],
}


def prepared() -> SilentClient:
    """A client that has one delivery to acknowledge on channel 1."""
    client = SilentClient().open(1, 2)
    client.say(1, queue.Declare("q"))
    client.publish("q", b"first")
    client.say(1, basic.Get("q"))
    return client


def outcome(client: SilentClient) -> tuple[object, ...]:
    left = [message.body for message in client.vhost.queues["q"].messages]
    heard = client.commands()
    return heard, left, client.session.journal.lines, client.session.ending, client.session.is_open


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_it_makes_no_difference_in_which_pieces_frames_come(run: list[bytes]) -> None:
    data = b"".join(run)
    at_once, one_by_one, single_bytes = prepared(), prepared(), prepared()

    at_once.raw(data)
    for piece in run:
        one_by_one.raw(piece)
    for byte in data:
        single_bytes.raw(bytes([byte]))

    assert outcome(at_once) == outcome(one_by_one) == outcome(single_bytes)


# ---------------------------------------------------------------------------------- alarms


BLOCKING = {**CAPABILITIES, "connection.blocked": True}


@pytest.fixture
def publisher() -> SilentClient:
    client = SilentClient().open(1, capabilities=BLOCKING)
    client.say(1, queue.Declare("q"))
    return client


def alarm(client: SilentClient, reason: str = "low on memory") -> None:
    client.node.alarm = reason


def all_clear(client: SilentClient) -> None:
    client.node.alarm = ""
    client.session.unblock()


def test_only_who_publishes_during_an_alarm_is_told_of_it(publisher: SilentClient) -> None:
    """Row 59."""
    other = publisher.another(1)
    alarm(publisher)

    assert publisher.publish("q", b"") == [connection.Blocked("low on memory")]

    assert other.say(1, queue.Declare("mine")) == [queue.DeclareOk("mine")]
    assert other.session.is_reading
    assert not publisher.session.is_reading


def test_a_message_whose_body_is_still_to_come_is_not_taken_during_an_alarm(
    publisher: SilentClient,
) -> None:
    """Row 59. RabbitMQ's reader stops behind the content header."""
    alarm(publisher)
    publisher.publish("q", b"m")
    assert publisher.vhost.queues["q"].message_count == 0

    all_clear(publisher)

    assert publisher.heard() == [connection.Unblocked()]
    assert publisher.vhost.queues["q"].message_count == 1


def test_a_blocked_client_is_not_heard_but_has_its_deliveries(publisher: SilentClient) -> None:
    """Row 59."""
    publisher.say(1, basic.Consume("q", "c"))
    alarm(publisher)
    publisher.publish("elsewhere", b"m")

    assert publisher.say(1, queue.Declare("later")) == []

    publisher.vhost.queues["q"].publish(a_message())
    publisher.vhost.agenda.run_pending()
    assert publisher.heard() == [basic.Deliver("c", 1, False, "", "q")]


def test_when_an_alarm_ends_what_was_waiting_is_answered_in_order(publisher: SilentClient) -> None:
    """Row 60."""
    alarm(publisher)
    publisher.publish("q", b"1")
    publisher.say(1, queue.Declare("first"), queue.Declare("second"))

    all_clear(publisher)

    assert publisher.heard() == [
        connection.Unblocked(),
        queue.DeclareOk("first"),
        queue.DeclareOk("second"),
    ]


def test_a_client_that_does_not_know_of_alarms_just_waits() -> None:
    """Row 61."""
    client = SilentClient().open(1)
    client.say(1, queue.Declare("q"))
    alarm(client)

    assert client.publish("q", b"m") == []
    assert client.say(1, queue.Declare("later")) == []

    all_clear(client)
    assert client.heard() == [queue.DeclareOk("later")]


def test_a_client_that_publishes_in_the_next_alarm_is_told_again(publisher: SilentClient) -> None:
    alarm(publisher)
    publisher.publish("q", b"1")
    all_clear(publisher)
    publisher.heard()
    alarm(publisher, "low on disk")

    assert publisher.publish("q", b"2") == [connection.Blocked("low on disk")]


def test_who_has_nothing_to_do_with_an_alarm_is_not_told_that_it_is_over(
    publisher: SilentClient,
) -> None:
    alarm(publisher)
    all_clear(publisher)

    assert publisher.heard() == []


def test_a_blocked_client_is_not_taken_for_dead() -> None:
    client = SilentClient().open(1, heartbeat=1)
    alarm(client)
    client.publish("nowhere", b"m")

    client.clock.advance(60)
    assert client.session.is_open

    all_clear(client)
    client.clock.advance(3)
    assert not client.session.is_open
