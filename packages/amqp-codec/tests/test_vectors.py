"""What RabbitMQ sends decodes, and encodes to the same octets."""

from pathlib import Path

import pytest

from amqp_codec import METHODS, Command, DecodeError, Decoder, basic, encode_command

VECTORS = [
    line.split()
    for line in (Path(__file__).parent / "vectors" / "rabbitmq-3.10.8.txt").read_text().splitlines()
    if not line.startswith("#")
]


def ids(vector: list[str]) -> str:
    return "-".join(vector[:3])


UNSPECIFIED = {"access.request-ok"}  # of AMQP 0-8: RabbitMQ still answers it, 0-9-1 has no class 30


def test_a_method_that_0_9_1_does_not_have_is_named() -> None:
    (octets,) = [bytes.fromhex(text) for _, _, what, text in VECTORS if what in UNSPECIFIED]

    with pytest.raises(DecodeError, match=r"there is no method 30\.11"):
        Decoder().feed(octets)


METHODS_AND_HEARTBEATS = [v for v in VECTORS if v[2] not in ("header", *UNSPECIFIED)]


@pytest.mark.parametrize("vector", METHODS_AND_HEARTBEATS, ids=ids)
def test_a_recorded_frame_encodes_to_the_octets_it_came_from(vector: list[str]) -> None:
    _, _, what, text = vector
    octets = bytes.fromhex(text)
    decoder = Decoder(frame_max=131072)

    commands = decoder.feed(octets)

    if commands:
        assert [encode_command(command) for command in commands] == [octets]
        assert commands[0].method.NAME.replace("-", "") == what.lower()
    else:  # the method of a content: complete it with an empty one
        empty = encode_command(Command(octets[1] << 8 | octets[2], basic.Deliver()))[-22:]
        (command,) = decoder.feed(empty)
        assert encode_command(command) == octets + empty


@pytest.mark.parametrize("vector", [v for v in VECTORS if v[2] == "header"], ids=ids)
def test_a_recorded_content_header_encodes_to_the_octets_it_came_from(vector: list[str]) -> None:
    octets = bytes.fromhex(vector[3])
    channel = octets[1] << 8 | octets[2]
    body = bytes(int.from_bytes(octets[11:19], "big"))
    whole = encode_command(Command(channel, basic.Deliver("tag", 1), None, body))
    method_size = len(basic.Deliver("tag", 1).encode()) + 8
    bodies = whole[method_size + 22 :]

    (command,) = Decoder().feed(whole[:method_size] + octets + bodies)

    assert encode_command(command) == whole[:method_size] + octets + bodies
    assert command.properties is not None
    assert repr(command.properties)  # every property and header can be looked at
    assert encode_command(command) == whole[:method_size] + octets + bodies


def test_the_vectors_hold_methods_of_every_kind_that_a_broker_sends() -> None:
    names = {what.lower() for _, _, what, _ in VECTORS}

    assert len(VECTORS) > 600
    assert len(names & {cls.NAME.replace("-", "") for cls in METHODS.values()}) >= 28
