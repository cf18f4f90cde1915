"""Whatever a caller passes is encoded or refused with an EncodeError: nothing else comes out."""

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqp_codec import (
    HEARTBEAT,
    METHODS,
    Command,
    Decoder,
    EncodeError,
    Properties,
    basic,
    connection,
    decode_table,
    encode_command,
    encode_content,
    encode_content_in_pieces,
    encode_method,
    encode_table,
    exchange,
    field_type,
    queue,
)
from hostile_values import MAKERS, Recipe, overriding, raising, recipes

PUBLISH = basic.Publish("x", "k").encode()
ANY: Any = None
MIB = 1024 * 1024


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail a test whose refusals take more than a few MiB."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * MIB


def outcome(encode: Callable[[], bytes | str]) -> bytes | str | None:
    """Encode something; return None if it was refused, which is the only other thing allowed."""
    try:
        found = encode()
    except EncodeError as error:
        assert error.reason
        assert all(type(name) is str for name in error.path)
        assert str(error).encode().endswith(error.reason.encode("utf-8", "backslashreplace"))
        return None
    assert type(found) in (bytes, str)
    return found


def check_table(table: Any) -> None:
    found = outcome(lambda: encode_table(table))
    if isinstance(found, bytes):
        assert decode_table(found)[1] == len(found)


def check_command(command: Any, frame_max: Any = 131072) -> None:
    """Check also that what is encoded is one command to a decoder."""
    found = outcome(lambda: encode_command(command, frame_max))
    if isinstance(found, bytes) and command.method.INDEX in METHODS:
        received = Decoder().feed(found)
        assert [type(c.method) for c in received] == [METHODS[command.method.INDEX]]


def check_everywhere(value: Any) -> None:
    """Pass a value to every entry point."""
    check_table(value)
    check_table({"k": value})
    check_table({"k": [1, value], "l": {"m": value}})
    outcome(lambda: encode_table({"a": 1}, value))
    outcome(lambda: field_type(value))
    for name, _ in Properties.FIELDS:
        check_command(Command(1, basic.Publish(), Properties(**{name: value}), b"body"))
    check_command(Command(1, basic.Publish(), Properties(headers={"k": value}), b"body"))
    for method in (
        basic.Publish(value, value, value, value),
        basic.Ack(value, value),
        basic.Qos(value, value, value),
        queue.Declare(value, value, value, value, value, value, value),
        exchange.Bind("a", "b", "c", False, {"k": value}),
        connection.StartOk(value, value, value, value),
        connection.Tune(value, value, value),
    ):
        check_command(Command(1, method))
    check_command(value)
    check_command(Command(value, basic.Ack(1)))
    check_command(Command(value, basic.Publish()))
    check_command(Command(value, HEARTBEAT))
    check_command(Command(1, value))
    check_command(Command(1, basic.Ack(1), value))
    check_command(Command(1, basic.Ack(1), None, value))
    check_command(Command(1, basic.Publish(), value))
    check_command(Command(1, basic.Publish(), None, value))
    check_command(Command(1, basic.Publish(), None, b"body"), value)
    check_command(Command(1, basic.Ack(1)), value)
    for channel, payload, frame_max in ((value, PUBLISH, 0), (1, value, 0), (1, PUBLISH, value)):
        outcome(lambda c=channel, p=payload, f=frame_max: encode_method(c, p, f))  # type: ignore[misc]
        outcome(lambda c=channel, p=payload, f=frame_max: encode_content(c, p, None, b"", f))  # type: ignore[misc]
        outcome(
            lambda c=channel, p=payload, f=frame_max: b"".join(  # type: ignore[misc]
                encode_content_in_pieces(c, p, None, b"body", f)
            )
        )
    outcome(lambda: encode_content(1, PUBLISH, value, b"body"))
    outcome(lambda: encode_content(1, PUBLISH, None, value, 4096))
    outcome(lambda: b"".join(encode_content_in_pieces(1, PUBLISH, value, value, 4096)))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.usefixtures("little_memory")
def test_a_hostile_value_is_refused_everywhere_or_encoded(name: str) -> None:
    check_everywhere(MAKERS[name]())


@pytest.mark.slow
@settings(max_examples=500)
@given(recipes)
def test_any_object_is_refused_everywhere_or_encoded(recipe: Recipe) -> None:
    check_everywhere(recipe.make())


@pytest.mark.slow
@settings(max_examples=500)
@given(st.data())
def test_every_argument_of_every_method_may_be_any_object(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from([cls for cls in METHODS.values() if cls.FIELDS]))
    values = {name: data.draw(recipes).make() for name, _ in cls.FIELDS}

    method = cls(**values)

    outcome(method.encode)
    check_command(Command(1, method))


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from([name for name, _ in Properties.FIELDS]), recipes))
def test_every_property_may_be_any_object(values: dict[str, Recipe]) -> None:
    made: dict[str, Any] = {name: recipe.make() for name, recipe in values.items()}

    properties = Properties(**made)

    outcome(properties.encode)
    check_command(Command(1, basic.Publish(), properties, b"body"))


@pytest.mark.parametrize("headers", [b"abc", bytearray(b"abc"), "abc", [("a", 1)], 5, object()])
def test_headers_that_are_no_mapping_are_refused(headers: Any) -> None:
    kind = type(headers).__name__
    for properties in (Properties(headers=headers), Properties()):
        properties.headers = headers
        for encode in (
            properties.encode,
            lambda p=properties: encode_content(1, PUBLISH, p, b""),
            lambda p=properties: encode_command(Command(1, basic.Publish(), p)),
        ):
            with pytest.raises(EncodeError) as caught:
                encode()
            assert str(caught.value) == f"basic.properties.headers: must be a dict, not {kind}"
            assert caught.value.path == ("basic.properties", "headers")


def test_headers_off_the_wire_can_be_replaced_by_what_is_refused() -> None:
    received = Properties.decode(b"\x20\x00\x00\x00\x00\x00", 0, 6)
    received.headers = b"\x00\x00\x00\x00"  # type: ignore[assignment]

    with pytest.raises(EncodeError, match="must be a dict, not bytes"):
        received.encode()


LONG = 10**5000


@pytest.mark.parametrize(
    ("encode", "says"),
    [
        (
            lambda: encode_table({"k": LONG}),
            "k: an int of 16610 bits does not fit into 64 bits with a sign",
        ),
        (
            lambda: basic.Ack(LONG).encode(),
            "basic.ack.delivery_tag: must be 0 to 18446744073709551615, not an int of 16610 bits",
        ),
        (
            lambda: Properties(priority=LONG).encode(),
            "basic.properties.priority: must be 0 to 255, not an int of 16610 bits",
        ),
        (
            lambda: Properties(priority=-1).encode(),
            "basic.properties.priority: must be 0 to 255, not -1",
        ),
        (
            lambda: Properties(delivery_mode=-2).encode(),
            "basic.properties.delivery_mode: must be 0 to 255, not -2",
        ),
        (
            lambda: Properties(timestamp=LONG).encode(),
            "basic.properties.timestamp: is an int of 16610 bits seconds from 1970, but must be"
            " 0 to 18446744073709551615",
        ),
        (
            lambda: encode_command(Command(LONG, basic.Ack(1))),
            "channel: must be an int from 0 to 65535, not an int of 16610 bits",
        ),
        (
            lambda: encode_command(Command(1, HEARTBEAT, None, ANY)),
            "body: must be bytes, bytearray or memoryview, not NoneType",
        ),
        (lambda: encode_command(ANY), "must be a Command, not NoneType"),
        (
            lambda: encode_command(Command(1, ANY)),
            "method: must be a method such as basic.Publish(...), not NoneType",
        ),
        (
            lambda: encode_content(1, PUBLISH, "abc", b""),  # type: ignore[arg-type]
            "properties: must be Properties or None, not str",
        ),
        (
            lambda: encode_content(1, ANY, None, b""),
            "payload: must be bytes, bytearray or memoryview, not NoneType",
        ),
        (
            lambda: encode_content(1, b"x", None, b""),
            "payload: must be what a method's encode returned",
        ),
        (
            lambda: encode_content(1, PUBLISH, None, b"", "large"),  # type: ignore[arg-type]
            "frame_max: must be an int, not 'large'",
        ),
        (
            lambda: encode_method(1, PUBLISH, ANY),
            "frame_max: must be an int, not an object of type NoneType",
        ),
        (
            lambda: encode_table({"a": 1}, 201),
            "max_depth must be an int of at most 200, not 201",
        ),
        (
            lambda: encode_table({("a", "b"): 1}),  # type: ignore[dict-item]
            "has the key an object of type tuple, but keys must be str",
        ),
        (
            lambda: encode_table({b"k" * 1000: 1}),  # type: ignore[dict-item]
            f"has the key {b'k' * 40!r}, but keys must be str",
        ),
        (
            lambda: encode_table({"\udc80": object()}),  # type: ignore[dict-item]
            r"\udc80: is of type object, which no field type of AMQP can hold",
        ),
        (
            lambda: Properties(headers={"k": overriding(object, (), raising(OSError))}).encode(),  # type: ignore[dict-item]
            "basic.properties.headers.k: is of type Overridingobject, which no field type of AMQP"
            " can hold",
        ),
        (
            lambda: connection.StartOk({}, "PLAIN", "\ud800").encode(),
            r"connection.start-ok.response: cannot be encoded as UTF-8: '\ud800'",
        ),
        (
            lambda: connection.StartOk({}, "PLAIN", ANY).encode(),
            "connection.start-ok.response: must not be None",
        ),
        (
            lambda: basic.Publish(mandatory=overriding(object, (), raising(OSError))).encode(),  # type: ignore[arg-type]
            r"basic.publish.mandatory: cannot be encoded: OSError: \ud800 refused",
        ),
    ],
)
def test_a_refusal_says_where_and_why(encode: Callable[[], bytes], says: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode()

    assert str(caught.value) == says


def test_damaged_headers_do_not_hide_what_is_wrong_beside_them() -> None:
    damaged = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)
    damaged.priority = 256

    with pytest.raises(EncodeError, match=r"priority: must be 0 to 255, not 256$"):
        damaged.encode()


def test_an_exception_without_a_text_is_named() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Mute(dict[str, int]):
        def __len__(self) -> int:
            raise MuteError

    with pytest.raises(EncodeError) as caught:
        encode_table({"k": Mute()})

    assert str(caught.value) == "k: cannot be encoded: MuteError"
