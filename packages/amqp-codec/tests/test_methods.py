"""The generated classes, and the errors for invalid arguments."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amqp_spec
from amqp_codec import (
    HEARTBEAT,
    METHODS,
    Command,
    EncodeError,
    Method,
    Properties,
    ReplyCode,
    basic,
    channel,
    connection,
    exchange,
    protocol,
    queue,
)
from amqp_strategies import methods, properties, same

SPEC = amqp_spec.load()
every_method = pytest.mark.parametrize("cls", METHODS.values(), ids=lambda cls: cls.NAME)


def test_every_method_of_the_specification_has_a_class() -> None:
    specified = {
        c.index << 16 | m.index: f"{c.name}.{m.name}" for c in SPEC.classes for m in c.methods
    }

    assert {index: cls.NAME for index, cls in METHODS.items()} == specified


def test_methods_know_their_replies_and_whether_they_carry_a_content() -> None:
    for c in SPEC.classes:
        by_name = {m.name: METHODS[c.index << 16 | m.index] for m in c.methods}
        for m in c.methods:
            cls = by_name[m.name]
            assert tuple(by_name[r] for r in m.responses) == cls.REPLIES
            assert m.content == cls.HAS_CONTENT
            assert c.index << 16 | m.index == cls.INDEX
    assert (basic.GetOk, basic.GetEmpty) == basic.Get.REPLIES
    assert basic.Publish.HAS_CONTENT
    assert basic.Publish.REPLIES == ()


def test_fields_have_the_specification_s_names_and_order_without_the_reserved() -> None:
    assert basic.Qos.__match_args__ == ("prefetch_size", "prefetch_count", "global_")
    assert queue.Declare.__match_args__ == (
        "queue",
        "passive",
        "durable",
        "exclusive",
        "auto_delete",
        "no_wait",
        "arguments",
    )
    assert exchange.Declare(type="topic").type == "topic"


def test_there_are_fourteen_properties_and_each_is_absent_at_first() -> None:
    assert len(Properties.__match_args__) == 14
    assert {getattr(Properties(), name) for name in Properties.__match_args__} == {None}
    assert Properties().encode() == b"\0\0"


@pytest.mark.parametrize("unused", [1, 2, 3])
def test_flags_that_stand_for_no_property_pass_through(unused: int) -> None:
    octets = Properties(content_type="text").encode()
    octets = bytes([octets[0], octets[1] | unused]) + octets[2:]

    properties = Properties.decode(octets, 0, len(octets))

    assert properties == Properties(content_type="text")
    assert properties.encode() == octets


@every_method
def test_every_class_and_field_is_documented(cls: type[Method]) -> None:
    assert cls.__doc__
    assert f"Spec: [{cls.NAME}][]" in cls.__doc__
    for name, _ in cls.FIELDS:
        assert f"    {name}: " in cls.__doc__


@every_method
@given(data=st.data())
def test_a_method_survives_the_wire(cls: type[Method], data: st.DataObject) -> None:
    method = data.draw(methods(cls))
    payload = method.encode()

    found = cls.decode(b"??" + payload + b"??", 6, len(payload) + 2)

    assert payload[:4] == cls.INDEX.to_bytes(4, "big")
    assert same(found, method)
    assert found.encode() == payload


@given(properties)
def test_properties_survive_the_wire(properties: Properties) -> None:
    payload = properties.encode()

    found = Properties.decode(payload, 0, len(payload))

    assert same(found, properties)
    assert found.encode() == payload


def test_methods_are_equal_when_their_arguments_are() -> None:
    assert basic.Ack(1) == basic.Ack(delivery_tag=1, multiple=False)
    assert basic.Ack(1) != basic.Ack(2)
    assert basic.Ack(1) != basic.Nack(1)
    assert channel.CloseOk() == channel.CloseOk()
    assert channel.CloseOk() != channel.OpenOk()
    assert Properties(priority=1) == Properties(priority=1)
    assert Properties(headers={"a": 1}) != Properties(headers={"a": 2})
    assert Properties() != basic.GetEmpty()
    assert type(HEARTBEAT)() == HEARTBEAT
    assert hash(HEARTBEAT) == hash(type(HEARTBEAT)())
    assert channel.CloseOk() != HEARTBEAT
    assert Command(1, basic.Ack(1)) == Command(1, basic.Ack(1))
    assert Command(1, basic.Ack(1)) != Command(2, basic.Ack(1))
    assert Command(1, basic.Ack(1)) != basic.Ack(1)


def test_representations_show_what_was_given() -> None:
    assert repr(basic.Ack(1)) == "basic.Ack(delivery_tag=1, multiple=False)"
    assert repr(channel.CloseOk()) == "channel.CloseOk()"
    assert repr(Properties(priority=1)) == "basic.Properties(priority=1)"
    assert repr(Command(0, HEARTBEAT)) == "Command(0, HEARTBEAT)"
    publish = Command(3, basic.Publish("x", "k"), Properties(priority=1), b"body")
    assert repr(publish) == (
        "Command(3, basic.Publish(exchange='x', routing_key='k', mandatory=False, immediate=False),"
        " basic.Properties(priority=1), b'body')"
    )


def test_commands_and_methods_match_patterns() -> None:
    match Command(7, basic.Publish("x", "k"), Properties(), b"body"):
        case Command(number, basic.Publish("x", routing_key=key), _, body):
            assert (number, key, body) == (7, "k", b"body")
        case _:
            pytest.fail("no pattern matched")


def test_long_strings_may_be_given_as_text_and_are_octets() -> None:
    assert connection.Start(mechanisms="PLAIN") == connection.Start(mechanisms=b"PLAIN")
    assert connection.Start(mechanisms="PLAIN").mechanisms == b"PLAIN"


def test_short_strings_keep_octets_that_are_not_utf_8() -> None:
    payload = basic.GetEmpty().encode()[:4] + b"\x02\xff\xfe"

    assert basic.GetEmpty.decode(payload, 4, len(payload)) == basic.GetEmpty()
    payload = basic.CancelOk("\udcff\udcfe").encode()
    assert payload[4:] == b"\x02\xff\xfe"
    assert basic.CancelOk.decode(payload, 4, 7).consumer_tag == "\udcff\udcfe"


def test_reserved_fields_are_skipped_whatever_is_in_them() -> None:
    octets = b"\x01v\x09Something\x01"

    assert connection.Open.decode(octets, 0, len(octets)) == connection.Open("v")
    assert connection.Open("v").encode()[4:] == b"\x01v\x00\x00"
    longstr = b"\x00\x00\x00\x02ab"
    assert channel.OpenOk.decode(longstr, 0, len(longstr)) == channel.OpenOk()
    ticket = b"\x00\x63\x00\x00\x00"
    assert basic.Get.decode(ticket, 0, 4) == basic.Get()


def test_bits_share_an_octet_in_their_order() -> None:
    declare = queue.Declare("q", durable=True, no_wait=True)

    assert declare.encode()[8:9] == b"\x12"
    assert queue.Declare.decode(declare.encode(), 4, len(declare.encode())) == declare


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (lambda: basic.Publish("x", "k" * 256), "basic.publish.routing_key: must be at most 255"),
        (lambda: basic.Publish("x", "é" * 128), "basic.publish.routing_key: .* not 256"),
        (lambda: basic.Publish("x", "\ud800"), "routing_key: cannot be encoded as UTF-8"),
        (lambda: basic.Publish("x", 5), "routing_key: must be a str, not int"),  # type: ignore[arg-type]
        (lambda: basic.Publish("x", None), "routing_key: must not be None"),  # type: ignore[arg-type]
        (lambda: basic.Ack(-1), "basic.ack.delivery_tag: must be 0 to 18446744073709551615"),
        (lambda: basic.Ack(2**64), "basic.ack.delivery_tag: must be 0 to"),
        (lambda: basic.Ack("1"), "delivery_tag: must be an int, not str"),  # type: ignore[arg-type]
        (lambda: basic.Qos(0, 65536), "basic.qos.prefetch_count: must be 0 to 65535, not 65536"),
        (
            lambda: queue.Declare("q", arguments={"x": [{"y": object()}]}),  # type: ignore[dict-item]
            r"queue.declare.arguments.x\[0\].y: is of type object",
        ),
        (lambda: queue.Declare("q", arguments=5), "arguments: must be a dict, not int"),  # type: ignore[arg-type]
        (
            lambda: connection.SecureOk(5),  # type: ignore[arg-type]
            "response: must be bytes, bytearray or memoryview, not int",
        ),
        (lambda: connection.Tune(1, 2, 70000), "connection.tune.heartbeat: must be 0 to 65535"),
        (lambda: Properties(expiration=5), "expiration: must be a str, not int"),  # type: ignore[arg-type]
        (lambda: Properties(priority=256), "basic.properties.priority: must be 0 to 255, not 256"),
        (lambda: Properties(message_id="m" * 256), "basic.properties.message_id: must be at most"),
        (
            lambda: Properties(headers={"h": 2**64}),
            "basic.properties.headers.h: 184.* does not fit",
        ),
        (
            lambda: Properties(timestamp=datetime(2026, 1, 1)),
            "basic.properties.timestamp: is a datetime without a time zone",
        ),
        (lambda: Properties(timestamp=-1), "basic.properties.timestamp: is -1 seconds from 1970"),
        (
            lambda: Properties(timestamp="now"),  # type: ignore[arg-type]
            "timestamp: must be an aware datetime, not str",
        ),
    ],
)
def test_an_unusable_argument_is_named(method: object, says: str) -> None:
    unusable = method()  # type: ignore[operator]

    with pytest.raises(EncodeError, match=says):
        unusable.encode()


def test_an_argument_may_be_wrong_in_a_way_that_only_encoding_finds() -> None:
    properties = Properties(timestamp=datetime(2026, 1, 1, tzinfo=UTC), priority=1)
    ack = basic.Ack(1)

    assert str(ack.refusal(ValueError("boom"))) == "basic.ack: cannot be encoded: ValueError: boom"
    assert "cannot be encoded: ValueError: boom" in str(properties.refusal(ValueError("boom")))


def test_a_method_of_no_class_cannot_be_encoded_or_decoded() -> None:
    with pytest.raises(NotImplementedError):
        Method().encode()
    with pytest.raises(NotImplementedError):
        Method.decode(b"", 0, 0)
    assert HEARTBEAT.encode() == b""


def test_reply_codes_know_whether_they_close_the_connection() -> None:
    hard = {code for code in ReplyCode if code.is_hard}

    assert hard == {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541}
    assert ReplyCode(404) is ReplyCode.NOT_FOUND
    assert not ReplyCode.ACCESS_REFUSED.is_hard


def test_frame_constants_are_the_protocol_s() -> None:
    constants = protocol.constants

    assert (constants.FRAME_METHOD, constants.FRAME_HEADER, constants.FRAME_BODY) == (1, 2, 3)
    assert (constants.FRAME_HEARTBEAT, constants.FRAME_END) == (8, 206)
    assert constants.FRAME_MIN_SIZE == 4096
