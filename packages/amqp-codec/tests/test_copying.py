"""Copies and pickles of everything that the codec hands out."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amqp_codec
from amqp_codec import (
    HEARTBEAT,
    METHODS,
    CodecError,
    Command,
    DecodeError,
    EncodeError,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongStr,
    Method,
    Properties,
    ReplyCode,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    basic,
    decode_table,
    encode_command,
    encode_table,
)
from amqp_strategies import commands, methods, properties, same

Copier = Callable[[Any], Any]


def pickler(protocol: int) -> Copier:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


COPIERS: dict[str, Copier] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": pickler(n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}
every_way = pytest.mark.parametrize("copied", COPIERS.values(), ids=COPIERS.keys())

# Headers with a boolean that is 7, and a property flag that stands for nothing.
ODD = b"\x20\x01" + b"\x00\x00\x00\x04\x01kt\x07"
DAMAGED = b"\x20\x00" + b"\x00\x00\x00\x04\x01kZ\x07"


class Publication(basic.Publish):
    """A subclass that a program might make."""


class Stamped(Properties):
    """Another."""


class Letter(Command):
    """Another."""


class Refused(EncodeError):
    """Another."""


class Garbled(DecodeError):
    """Another."""


class Sheet(Table):
    """Another."""


@every_way
@pytest.mark.parametrize("cls", METHODS.values(), ids=lambda cls: cls.NAME)
def test_a_copied_method_is_equal(cls: type[Method], copied: Copier) -> None:
    method = cls()

    assert copied(method) == method
    assert type(copied(method)) is cls


@every_way
@given(data=st.data())
def test_a_copied_method_keeps_its_arguments(copied: Copier, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(list(METHODS.values())).flatmap(methods))

    assert same(copied(method), method)


@every_way
@given(value=properties)
def test_copied_properties_are_equal(copied: Copier, value: Properties) -> None:
    assert same(copied(value), value)


@every_way
@given(command=commands)
def test_a_copied_command_is_equal(copied: Copier, command: Command) -> None:
    """Rows U12 and C7."""
    found = copied(command)

    assert same(found, command)
    assert encode_command(found) == encode_command(command)


@every_way
@pytest.mark.parametrize("octets", [ODD, DAMAGED], ids=["odd", "damaged"])
def test_copied_properties_off_the_wire_are_encoded_to_the_same_octets(
    octets: bytes, copied: Copier
) -> None:
    received = Properties.decode(octets, 0, len(octets))

    found = copied(received)

    assert found == received  # although the damaged headers cannot be decoded
    assert found.encode() == octets


@every_way
@pytest.mark.parametrize("body", [b"body", bytearray(b"body"), memoryview(b"body")])
def test_a_copied_command_keeps_any_kind_of_body(
    body: bytes | bytearray | memoryview, copied: Copier
) -> None:
    command = Command(1, basic.Publish("x", "k"), Properties(priority=1), body)

    assert copied(command) == command


@every_way
@pytest.mark.parametrize(
    "value",
    [
        Int8(1),
        UInt8(1),
        Int16(1),
        UInt16(1),
        Int32(1),
        UInt32(1),
        Int64(1),
        Float32(0.5),
        LongStr(b"\xff"),
        Timestamp(253402300800),
        Table({"a": 1}),
        Table(),
        ReplyCode.NOT_FOUND,
        decode_table(encode_table({"a": [Int64(1), {"b": None}]}))[0],
        Publication("x", "k"),
        Stamped(priority=1, headers={"a": 1}),
        Letter(1, basic.Publish("x", "k"), Stamped(), b"body"),
        Sheet({"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_copied_value_is_equal_and_of_the_same_class(value: object, copied: Copier) -> None:
    found = copied(value)

    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@every_way
def test_a_copied_table_is_encoded_to_the_octets_it_came_from(copied: Copier) -> None:
    table, _ = decode_table(ODD[2:])

    assert encode_table(copied(table)) == ODD[2:]
    assert type(copied(table)) is Table


@every_way
def test_a_table_that_contains_itself_can_be_copied(copied: Copier) -> None:
    table = Table({"a": 1})
    table["self"] = table

    found = copied(table)

    assert list(found) == ["a", "self"]
    assert found["self"]["a"] == 1


@every_way
def test_there_are_no_copies_of_a_heartbeat(copied: Copier) -> None:
    assert copied(HEARTBEAT) is HEARTBEAT
    assert copied(type(HEARTBEAT)()) is HEARTBEAT
    assert encode_command(copied(Command(0, HEARTBEAT))) == encode_command(Command(0, HEARTBEAT))
    assert encode_command(Command(0, type(HEARTBEAT)())) == encode_command(Command(0, HEARTBEAT))


def decode_error(cls: type[DecodeError]) -> DecodeError:
    return cls(
        "a reason",
        reply_code=ReplyCode.FRAME_ERROR,
        kind="frame_end",
        frame_type=1,
        channel=2,
        size=3,
        payload=b"four",
        index=5,
        end=6,
    )


FIELDS_OF_ERRORS = (
    "reply_code",
    "kind",
    "frame_type",
    "channel",
    "size",
    "payload",
    "index",
    "end",
    "reason",
    "path",
)


@every_way
@pytest.mark.parametrize(
    "error",
    [
        CodecError("text"),
        EncodeError("a reason", ("headers", "x", "[0]")),
        EncodeError("a reason"),
        Refused("a reason", ("headers",)),
        decode_error(DecodeError),
        decode_error(Garbled),
        DecodeError("a reason"),
    ],
    ids=repr,
)
def test_a_copied_error_is_equal_with_all_its_fields(error: CodecError, copied: Copier) -> None:
    error.add_note("a note")

    found = copied(error)

    assert found == error
    assert hash(found) == hash(error)
    assert type(found) is type(error)
    assert (str(found), repr(found), found.args) == (str(error), repr(error), error.args)
    assert found.__notes__ == error.__notes__
    for name in FIELDS_OF_ERRORS:
        assert getattr(found, name, "none") == getattr(error, name, "none")


def test_errors_that_differ_are_not_equal() -> None:
    assert EncodeError("a") != EncodeError("b")
    assert EncodeError("a") != EncodeError("a", ("x",))
    assert EncodeError("a") != CodecError("a", ())
    assert EncodeError("a") != Refused("a")
    assert DecodeError("a", size=1) != DecodeError("a", size=2)
    assert CodecError("a") != "a"


def test_a_real_error_of_the_decoder_travels_between_processes() -> None:
    decoder = amqp_codec.Decoder(frame_max=4096)
    with pytest.raises(DecodeError) as caught:
        decoder.feed(b"\x01\x00\x01\x00\x00\x00\x02ab\x00")

    found = pickle.loads(pickle.dumps(caught.value))

    assert found == caught.value
    assert (found.kind, found.reply_code, found.channel) == ("frame_end", 501, 1)


def test_classes_of_the_codec_can_be_subclassed() -> None:
    class Counted(basic.Ack):
        def encode(self) -> bytes:
            return super().encode()[:4] + bytes(9)

    class Unlisted(Method):
        INDEX = 60 << 16 | 200
        NAME = "basic.credit"

        def encode(self) -> bytes:
            return self.INDEX.to_bytes(4, "big")

    assert encode_command(Command(1, Counted(5))) == encode_command(Command(1, basic.Ack(0)))
    assert encode_command(Command(1, Unlisted()))[7:-1] == b"\x00\x3c\x00\xc8"
    assert Stamped(priority=1).encode() == Properties(priority=1).encode()
    assert encode_command(Letter(1, basic.Ack(1))) == encode_command(Command(1, basic.Ack(1)))
    with pytest.raises(EncodeError, match="headers: a reason"):
        raise Refused("a reason", ("headers",))
    assert decode_error(Garbled).end == 6
