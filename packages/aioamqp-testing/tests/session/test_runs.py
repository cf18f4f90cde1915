"""Many frames taken at once: nobody can tell that from taking them one by one."""

import pytest

from amqp_codec import Command, Method, Properties, basic, channel, encode_command, queue
from fake_broker_support import SilentClient


def a_publish(body: bytes = b"m", number: int = 1, key: str = "q", **properties: object) -> bytes:
    command = Command(number, basic.Publish("", key), Properties(**properties), body)  # type: ignore[arg-type]
    return encode_command(command)


def a_method(method: Method, number: int = 1) -> bytes:
    return encode_command(Command(number, method))


def damaged(octets: bytes, at: int, octet: int) -> bytes:
    changed = bytearray(octets)
    changed[at] = octet
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
    octets = b"".join(run)
    at_once, one_by_one, single_octets = prepared(), prepared(), prepared()

    at_once.raw(octets)
    for piece in run:
        one_by_one.raw(piece)
    for octet in octets:
        single_octets.raw(bytes([octet]))

    assert outcome(at_once) == outcome(one_by_one) == outcome(single_octets)
