"""Publishing: returned messages and publisher confirms."""

from amqp_codec import (
    Command,
    FieldTable,
    Properties,
    basic,
    channel,
    confirm,
    encode_command,
    queue,
)
from fake_broker_support import SilentClient, channel_close, connection_close


def test_an_unroutable_message_comes_back_if_it_is_mandatory(client: SilentClient) -> None:
    assert client.publish("none", b"m") == []

    client.raw(
        encode_command(
            Command(1, basic.Publish("", "none", True), Properties(message_id="1"), b"m")
        )
    )

    (returned,) = client.commands()
    assert returned.method == basic.Return(312, "NO_ROUTE", "", "none")
    assert (returned.properties, returned.body) == (Properties(message_id="1"), b"m")


def test_the_return_comes_before_the_confirm(client: SilentClient) -> None:
    client.say(1, confirm.Select())

    assert client.publish("none", b"m", mandatory=True) == [
        basic.Return(312, "NO_ROUTE", "", "none"),
        basic.Ack(1),
    ]


def test_what_comes_in_one_piece_is_confirmed_in_one(client: SilentClient) -> None:
    """Rows 153 and 154."""
    client.say(1, queue.Declare("q"), confirm.Select())

    assert client.publish("q", *(b"m",) * 20) == [basic.Ack(20, multiple=True)]
    assert client.publish("q", b"m") == [basic.Ack(21)]


def test_a_nack_says_multiple_and_requeue_even_of_one(client: SilentClient) -> None:
    """Row 159."""
    limits: FieldTable = {"x-max-length": 2, "x-overflow": "reject-publish"}
    client.say(1, confirm.Select(), queue.Declare("q", arguments=limits))

    assert client.publish("q", b"0", b"1", b"2") == [basic.Ack(2, True), basic.Nack(3, True, True)]
    client.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"")))
    output = client.session.take_output()
    assert output == bytes.fromhex("01 0001 0000000d 003c 0078 0000000000000004 03 ce")


def test_unroutable_messages_are_confirmed_at_once_and_singly(client: SilentClient) -> None:
    """Rows 153 and 155."""
    client.say(1, queue.Declare("q"), confirm.Select())
    data = b"".join(
        encode_command(Command(1, basic.Publish("", key), Properties(), b"m"))
        for key in ("none", "q", "none", "q")
    )

    client.raw(data)

    assert client.heard() == [basic.Ack(1), basic.Ack(3), basic.Ack(4, multiple=True)]


def test_selecting_confirms_twice_does_not_begin_to_count_again(client: SilentClient) -> None:
    client.say(1, confirm.Select())
    client.publish("none", b"m")

    assert client.say(1, confirm.Select()) == [confirm.SelectOk()]
    assert client.publish("none", b"m") == [basic.Ack(2)]


def test_confirms_that_were_due_are_lost_with_the_channel(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"), confirm.Select())
    good = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))
    bad = encode_command(Command(1, basic.Publish("none", "q"), Properties(), b"m"))

    client.raw(good + bad + good)

    text = "NOT_FOUND - no exchange 'none' in vhost '/'"
    assert client.heard() == channel_close(404, text, basic.Publish)
    assert client.vhost.queues["q"].message_count == 1


def test_closing_a_channel_does_not_wait_for_confirms(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"), confirm.Select())
    publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

    client.raw(publish + encode_command(Command(1, channel.Close(200, ""))))

    assert client.heard() == [channel.CloseOk()]


def test_immediate_is_not_implemented_by_rabbitmq_either(client: SilentClient) -> None:
    """Row 142."""
    text = "NOT_IMPLEMENTED - immediate=true"

    assert client.publish("q", b"m", immediate=True) == connection_close(540, text, basic.Publish)
    assert client.node.refused == []


def test_a_message_may_be_too_large(client: SilentClient) -> None:
    """Row 146."""
    client.node.max_message_size = 3

    text = "PRECONDITION_FAILED - message size 4 is larger than configured max size 3"
    assert client.publish("none", b"1234", exchange="none") == channel_close(
        406, text, basic.Publish
    )
