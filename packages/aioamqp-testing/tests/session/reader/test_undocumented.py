"""Methods that RabbitMQ answers though no protocol description lists them."""

from amqp_codec import Decoder, basic, channel, connection, encode_method, queue
from fake_broker_support import SilentClient


def test_access_is_granted_to_whoever_still_asks(client: SilentClient) -> None:
    """Row 75."""
    client.method(1, 30 << 16 | 10, b"\x05/data\x1f")

    assert client.session.take_output() == bytes.fromhex("0100010000000600 1e000b0001ce")
    assert client.say(1, basic.Qos()) == [basic.QosOk()]


def test_credit_is_about_a_consumer(client: SilentClient) -> None:
    """Row 77."""
    client.method(1, 60 << 16 | 200, b"\x01z\0\0\0\5\0")

    text = "PRECONDITION_FAILED - unknown consumer tag 'z'"
    assert client.heard() == [channel.Close(406, text, 60, 200)]

    client.method(2, 60 << 16 | 200, b"\x01z\0\0")
    (answer,) = client.heard()
    assert isinstance(answer, connection.Close)
    assert answer.reply_text == "FRAME_ERROR - cannot decode <<1,122,0,0>>"


def credit(client: SilentClient, count: int, *, drain: bool = False) -> None:
    client.method(1, 60 << 16 | 200, b"\x01z" + count.to_bytes(4, "big") + bytes((drain,)))


def credit_ok(available: int) -> bytes:
    return encode_method(1, (60 << 16 | 201).to_bytes(4, "big") + available.to_bytes(4, "big"))


def test_credit_is_how_many_messages_a_consumer_has_instead_of_its_prefetch_count(
    client: SilentClient,
) -> None:
    """Row 77."""
    client.say(1, queue.Declare("q"), basic.Qos(prefetch_count=1), basic.Consume("q", "z"))
    client.publish("q", b"m0", b"m1", b"m2", b"m3", b"m4")

    credit(client, 2)
    output = client.session.take_output()
    client.say(1, basic.Ack(1))

    assert output.startswith(credit_ok(4))
    assert [
        bytes(command.body) for command in Decoder().feed(output.removeprefix(credit_ok(4)))
    ] == [b"m1", b"m2"]
    assert client.bodies() == []


def test_draining_a_queue_is_an_internal_error(client: SilentClient) -> None:
    """Row 77. RabbitMQ 3.10 stumbles over telling the client that there is no more."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "z"))

    credit(client, 2, drain=True)

    output = client.session.take_output()
    assert output.startswith(credit_ok(0))
    (close,) = Decoder().feed(output.removeprefix(credit_ok(0)))
    assert close.method == connection.Close(541, "INTERNAL_ERROR", 0, 0)
