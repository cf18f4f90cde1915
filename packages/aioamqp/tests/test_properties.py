"""Properties of received messages, and of messages to publish."""

import copy
import math
import pickle
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from aioamqp.constants import DeliveryMode
from aioamqp.envelope import Envelope, ReturnEnvelope
from aioamqp.properties import Properties, encode_properties, from_pamqp, to_codec
from amqp_codec import DecodeError, EncodeError, basic
from amqp_codec import Properties as CodecProperties


def test_the_specification_s_type_is_message_type_for_programs() -> None:
    assert Properties.from_codec(CodecProperties(type="order")).message_type == "order"


def test_absent_properties_are_none_except_for_the_cluster_id() -> None:
    properties = Properties.from_codec(CodecProperties())

    values = {name: getattr(properties, name) for name in Properties.__slots__}
    assert values.pop("cluster_id") == ""
    assert set(values.values()) == {None}


def test_properties_of_one_message_can_be_published_with_another() -> None:
    received = CodecProperties(headers={"a": 1}, type="t", priority=3)

    assert to_codec(Properties.from_codec(received)) == received


def test_received_properties_can_be_changed_and_published_again() -> None:
    received = CodecProperties(headers={"a": 1}, type="t", priority=3)
    properties = Properties.from_codec(received)

    properties.priority = None
    properties.message_type = "u"
    properties.reply_to = "q"

    assert (properties.priority, properties.message_type, properties.headers) == (
        None,
        "u",
        {"a": 1},
    )
    assert to_codec(properties) == CodecProperties(headers={"a": 1}, type="u", reply_to="q")


def test_received_properties_are_read_once() -> None:
    properties = Properties.from_codec(CodecProperties(headers={"a": 1}))

    assert properties.headers is properties.headers


DAMAGED = b"\x20\x00\x00\x00\x00\x03\x01a?"


def test_headers_that_cannot_be_decoded_are_none_and_their_bytes_are_kept() -> None:
    """Row C3."""
    codec = CodecProperties("text/plain", delivery_mode=2).encode()
    data = bytes([codec[0] | 0x20]) + codec[1:13] + DAMAGED[2:] + codec[13:]

    properties = Properties.from_codec(CodecProperties.decode(data, 0, len(data)))

    assert properties.headers is None
    assert isinstance(properties.headers_error, DecodeError)
    assert properties.raw_headers == DAMAGED[2:]
    assert (properties.content_type, properties.delivery_mode) == ("text/plain", 2)


def test_headers_that_cannot_be_decoded_are_published_again_as_they_are() -> None:
    """Row C3."""
    properties = Properties.from_codec(CodecProperties.decode(DAMAGED, 0, len(DAMAGED)))

    codec = to_codec(properties)

    assert codec is not None
    assert codec.encode() == DAMAGED


def test_headers_that_cannot_be_decoded_can_be_replaced() -> None:
    """Row C3."""
    properties = Properties.from_codec(CodecProperties.decode(DAMAGED, 0, len(DAMAGED)))

    properties.headers = {"a": 1}

    assert to_codec(properties) == CodecProperties(headers={"a": 1})


def test_the_error_of_headers_is_kept_when_they_are_replaced_unseen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    properties = Properties.from_codec(CodecProperties.decode(DAMAGED, 0, len(DAMAGED)))
    assert caplog.text == ""

    properties.headers = {"a": 1}

    assert properties.headers == {"a": 1}
    assert isinstance(properties.headers_error, DecodeError)
    assert properties.raw_headers == DAMAGED[2:]
    assert caplog.text.count("cannot be decoded") == 1


def test_an_envelope_can_be_changed() -> None:
    envelope = Envelope.from_codec(basic.Deliver("tag", 7, True, "ex", "key"))

    for name in Envelope.__slots__:
        setattr(envelope, name, "changed")

    assert {getattr(envelope, name) for name in Envelope.__slots__} == {"changed"}


def test_headers_that_can_be_decoded_have_no_error() -> None:
    properties = Properties.from_codec(CodecProperties(headers={"a": 1}))

    assert (properties.headers_error, properties.raw_headers) == (None, None)


@pytest.mark.parametrize(
    ("expiration", "text"),
    [
        ("60000", "60000"),
        (timedelta(minutes=1), "60000"),
        (timedelta(0), "0"),
        (timedelta(microseconds=1), "1"),
    ],
)
def test_an_expiration_is_milliseconds_or_a_timedelta(expiration: object, text: str) -> None:
    """Row U28."""
    codec = to_codec({"expiration": expiration})

    assert codec is not None
    assert codec.expiration == text


@pytest.mark.parametrize(
    ("expiration", "text"),
    [
        (60, r"timedelta or a str of milliseconds, not int: timedelta\(minutes=1\) or '60000'"),
        (b"60", "not bytes"),
        (timedelta(seconds=-1), "must not be negative"),
    ],
)
def test_an_expiration_without_a_unit_is_refused(expiration: object, text: str) -> None:
    """Row U28."""
    with pytest.raises(EncodeError, match=text):
        to_codec({"expiration": expiration})


class OtherFloat(float):
    """As numpy has them."""


@pytest.mark.parametrize("kind", [dict, Properties.from_codec, OrderedDict])
@pytest.mark.parametrize(
    ("value", "path", "shown"),
    [
        (math.nan, (), "nan"),
        (-math.inf, (), "-inf"),
        (OtherFloat("nan"), (), "nan"),
        ({"scores": [1.0, math.inf]}, ("scores", "[1]"), "inf"),
        ((0, {"x": math.nan}), ("[1]", "x"), "nan"),
    ],
    ids=repr,
)
def test_a_number_that_rabbitmq_does_not_have_is_refused(
    kind: Callable[..., Any], value: Any, path: tuple[str, ...], shown: str
) -> None:
    headers: dict[str, Any] = {"tenant": "blue", "score": value}
    is_codec = kind == Properties.from_codec
    properties = kind(CodecProperties(headers=headers) if is_codec else {"headers": headers})

    with pytest.raises(
        EncodeError, match=f"must be a finite number, not {shown}: RabbitMQ"
    ) as caught:
        encode_properties(properties)

    assert caught.value.path == ("basic.properties", "headers", "score", *path)


@pytest.mark.parametrize(
    "value", [1.5, -0.0, sys.float_info.max, [0.1, {"a": (2.5,)}], "d\x7f"], ids=repr
)
def test_other_numbers_in_headers_are_encoded(value: Any) -> None:
    headers: dict[str, Any] = {"score": value}

    expected = CodecProperties(headers=headers).encode()
    assert encode_properties({"headers": headers}) == expected
    assert encode_properties(Properties.from_codec(CodecProperties(headers=headers))) == expected


def test_the_delivery_mode_has_names() -> None:
    """Row U28."""
    codec = to_codec({"delivery_mode": DeliveryMode.PERSISTENT})

    assert codec == CodecProperties(delivery_mode=2)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_received_properties_can_be_copied(copied: Callable[[Properties], Properties]) -> None:
    properties = Properties.from_codec(CodecProperties(headers={"a": 1}, type="t"))

    values = [getattr(copied(properties), name) for name in Properties.__slots__]

    assert values == [getattr(properties, name) for name in Properties.__slots__]


@pytest.mark.parametrize("properties", [Properties(), Properties.from_codec(CodecProperties())])
def test_an_attribute_that_is_no_property_is_an_error(properties: Any) -> None:
    with pytest.raises(AttributeError, match="'Properties' object has no attribute 'type'"):
        _ = properties.type
    assert not hasattr(properties, "_other")


@pytest.mark.parametrize("name", ["message_type", "type"])
def test_the_type_can_be_given_by_either_name(name: str) -> None:
    assert to_codec({name: "order"}) == CodecProperties(type="order")


def test_a_mapping_is_not_changed() -> None:
    given = {"message_type": "order", "timestamp": datetime(2026, 1, 1)}

    to_codec(given)

    assert set(given) == {"message_type", "timestamp"}


@pytest.mark.parametrize(
    "timestamp",
    [
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 2),
        time.struct_time((2026, 1, 2, 0, 0, 0, 4, 2, 0)),
    ],
)
def test_a_timestamp_without_a_time_zone_is_in_utc(timestamp: object) -> None:
    codec = to_codec({"timestamp": timestamp})

    expected = to_codec({"timestamp": datetime(2026, 1, 2, tzinfo=UTC)})
    assert codec is not None
    assert expected is not None
    assert codec.encode() == expected.encode()


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_properties_are_none(nothing: dict[str, object] | None) -> None:
    assert to_codec(nothing) is None


def test_an_unknown_property_is_named_beside_the_known_ones() -> None:
    with pytest.raises(EncodeError, match=r"'colour'.*content_type"):
        to_codec({"colour": "red", "priority": 1})


def test_properties_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(EncodeError, match="dict of properties, not int"):
        to_codec(5)  # type: ignore[arg-type]


def test_an_envelope_has_the_arguments_of_the_delivery() -> None:
    envelope = Envelope.from_codec(basic.Deliver("tag", 7, True, "ex", "key"))

    values = [getattr(envelope, name) for name in Envelope.__slots__]
    assert values == ["tag", 7, "ex", "key", True]


def test_a_return_envelope_has_the_reason_of_the_return() -> None:
    envelope = ReturnEnvelope.from_codec(basic.Return(312, "NO_ROUTE", "ex", "key"))

    values = [getattr(envelope, name) for name in ReturnEnvelope.__slots__]
    assert values == [312, "NO_ROUTE", "ex", "key"]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_properties_are_made_from_an_object_with_the_names_of_0_15(
    zone: timezone | None,
) -> None:
    theirs = SimpleNamespace(**dict.fromkeys(Properties.__slots__))
    theirs.message_type = "order"
    theirs.timestamp = datetime(2026, 1, 2, tzinfo=zone)

    properties = from_pamqp(theirs)

    assert properties.message_type == "order"
    assert properties.content_type is None
    assert properties.timestamp == datetime(2026, 1, 2, tzinfo=zone or UTC)
