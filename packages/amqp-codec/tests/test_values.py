"""Field tables and their values."""

import copy
import importlib
import json
import math
import pickle
import struct
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from amqp_codec import (
    CodecError,
    DecodeError,
    EncodeError,
    FieldValue,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongStr,
    Properties,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    decode_table,
    encode_table,
    field_type,
    to_builtins,
)
from amqp_codec.values import DEPTH_LIMIT, MAX_TABLE_SIZE
from amqp_strategies import same, tables


def wire(*entries: bytes) -> bytes:
    content = b"".join(entries)
    return struct.pack(">I", len(content)) + content


def decoded(value: bytes) -> FieldValue:
    table, end = decode_table(wire(b"\x01k", value))
    assert end == len(value) + 6
    return table["k"]


def encoded(value: FieldValue) -> bytes:
    return encode_table({"k": value})[6:]


WIRE = [
    (b"t\x00", False),
    (b"t\x01", True),
    (b"b\xff", -1),
    (b"B\xff", UInt8(255)),
    (b"s\x01\x00", 256),
    (b"u\xff\xff", 65535),
    (b"I\x00\x01\x00\x00", 65536),
    (b"i\xff\xff\xff\xff", 2**32 - 1),
    (b"l\x7f\xff\xff\xff\xff\xff\xff\xff", 2**63 - 1),
    (b"f\x3f\xc0\x00\x00", Float32(1.5)),
    (b"d\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5),
    (b"D\x02\x00\x00\x30\x39", Decimal("123.45")),
    (b"D\xff\xff\xff\xff\xff", Decimal("-1E-255")),
    (b"S\x00\x00\x00\x03\xe2\x82\xac", "€"),
    (b"S\x00\x00\x00\x02\xff\xfe", LongStr(b"\xff\xfe")),
    (b"x\x00\x00\x00\x02\xff\xfe", b"\xff\xfe"),
    (b"T\x00\x00\x00\x00\x65\x53\xf1\x00", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    (b"T\x00\x00\x00\x3a\xff\xf4\x41\x7f", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (b"T\x00\x00\x00\x3a\xff\xf4\x41\x80", Timestamp(253402300800)),
    (b"T\xff\xff\xff\xff\xff\xff\xff\xff", Timestamp(2**64 - 1)),
    (b"V", None),
    (b"F\x00\x00\x00\x00", {}),
    (b"F\x00\x00\x00\x03\x01nV", {"n": None}),
    (b"A\x00\x00\x00\x03b\x01V", [1, None]),
]


@pytest.mark.parametrize(("octets", "value"), WIRE, ids=lambda item: repr(item)[:30])
def test_every_type_of_the_dialect_is_decoded_and_encoded(octets: bytes, value: FieldValue) -> None:
    found = decoded(octets)

    assert found == value
    assert type(found) is type(value)
    assert encoded(value) == octets
    assert field_type(value) == chr(octets[0])


@pytest.mark.parametrize(
    ("octets", "value", "kept"),
    [
        (b"s\x00\x7f", 127, Int16),
        (b"u\x00\x01", 1, UInt16),
        (b"I\xff\xff\x80\x00", -32768, Int32),
        (b"I\x00\x00\xff\xff", 65535, Int32),
        (b"i\x7f\xff\xff\xff", 2**31 - 1, UInt32),
        (b"l\x00\x00\x00\x00\x00\x00\x00\x01", 1, Int64),
        (b"B\x05", 5, UInt8),
    ],
)
def test_a_width_that_a_plain_int_would_not_take_is_kept(
    octets: bytes, value: int, kept: type
) -> None:
    found = decoded(octets)

    assert found == value
    assert type(found) is kept
    assert encoded(found) == octets


@pytest.mark.parametrize(
    ("value", "octet"),
    [
        (-128, b"b"),
        (127, b"b"),
        (128, b"s"),
        (-32768, b"s"),
        (32767, b"s"),
        (32768, b"u"),
        (65535, b"u"),
        (65536, b"I"),
        (-32769, b"I"),
        (2**31 - 1, b"I"),
        (2**31, b"i"),
        (2**32 - 1, b"i"),
        (2**32, b"l"),
        (-(2**31) - 1, b"l"),
        (-(2**63), b"l"),
    ],
)
def test_a_plain_int_takes_the_narrowest_octet(value: int, octet: bytes) -> None:
    assert encoded(value)[:1] == octet
    assert decoded(encoded(value)) == value
    assert type(decoded(encoded(value))) is int


def test_wrappers_are_numbers_to_everyone_else() -> None:
    assert Int64(1) + 1 == 2
    assert str(Int64(1)) == f"{Int64(1)}" == "1"
    assert json.dumps({"count": Int64(1), "ratio": Float32(0.5)}) == '{"count": 1, "ratio": 0.5}'
    assert encoded(Int8(-5)) == b"b\xfb"


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (bytearray(b"ab"), b"x\x00\x00\x00\x02ab"),
        (memoryview(b"ab"), b"x\x00\x00\x00\x02ab"),
        (memoryview(b"abcd").cast("H"), b"x\x00\x00\x00\x04abcd"),
        ((1, 2), b"A\x00\x00\x00\x04b\x01b\x02"),
        (MappingProxyType({"n": 1}), b"F\x00\x00\x00\x04\x01nb\x01"),
        (Decimal("1E+2"), b"D\x00\x00\x00\x00\x64"),
        (Decimal("0E+200000000"), b"D\x00\x00\x00\x00\x00"),
        (Decimal("-0.50"), b"D\x02\xff\xff\xff\xce"),
        (float("inf"), b"d\x7f\xf0\x00\x00\x00\x00\x00\x00"),
        (type("Level", (int,), {})(3), b"b\x03"),
        (
            datetime(1970, 1, 1, 1, 0, 1, 999999, tzinfo=timezone(timedelta(hours=1))),
            b"T\x00\x00\x00\x00\x00\x00\x00\x01",
        ),
    ],
)
def test_other_python_types_travel_as_the_nearest_type(value: FieldValue, octets: bytes) -> None:
    assert encoded(value) == octets


def cycle() -> FieldValue:
    table: dict[str, FieldValue] = {}
    table["again"] = table
    return table


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (2**63, "k: 9223372036854775808 does not fit into 64 bits"),
        pytest.param(object(), "k: is of type object, which no field type", id="object"),
        ({"in": {1: 2}}, "k.in: has the key 1, but keys must be str"),
        ({"in": {"n" * 256: 2}}, "k.in: has the key 'nnn"),
        ({"in": {"\ud800": 2}}, "k.in: has the key '.ud800', but keys must be"),
        ([1, {"in": "\ud800"}], r"k\[1\].in: cannot be encoded as UTF-8"),
        (datetime(2026, 1, 1), "k: is a datetime without a time zone; add one"),
        (datetime(1969, 12, 31, tzinfo=UTC), "k: is -86400 seconds from 1970"),
        (Decimal("NaN"), "k: NaN has no digits"),
        (Decimal(2**31), "k: 2147483648 does not fit"),
        (Decimal("1E+200000000"), r"k: 1E\+200000000 does not fit: a decimal has 32 bits"),
        (Decimal("1" * 5000), "k: 1{60} does not fit"),
        (Decimal("1E-256"), "k: 1E-256 does not fit"),
        (Int8(128), "k: 128 is out of the range of Int8"),
        (UInt32(-1), "k: -1 is out of the range of UInt32"),
        (Float32(1e300), "k: 1e.300 is out of the range of Float32"),
        (cycle(), "again.again.*: is nested too deep, or contains itself"),
    ],
    ids=str,
)
def test_what_cannot_be_encoded_is_named(value: FieldValue, says: str) -> None:
    with pytest.raises(EncodeError, match=says) as caught:
        encode_table({"k": value})

    assert caught.value.path[0] == "k"
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CodecError)


def test_something_that_is_no_table_is_refused() -> None:
    with pytest.raises(EncodeError, match="must be a dict, not list"):
        encode_table([1])  # type: ignore[arg-type]


def test_nesting_is_limited_by_an_argument() -> None:
    nested: FieldValue = {"a": [{"b": 1}]}

    assert decode_table(encode_table({"k": nested}, max_depth=4), max_depth=4)[0] == {"k": nested}
    with pytest.raises(EncodeError, match="nested too deep"):
        encode_table({"k": nested}, max_depth=3)
    with pytest.raises(DecodeError, match="nested too deep"):
        decode_table(encode_table({"k": nested}), max_depth=3)
    with pytest.raises(EncodeError, match=r"k: is nested too deep"):
        encode_table({"k": [1]}, max_depth=1)


def nested(levels: int) -> dict[str, FieldValue]:
    """Return a table with tables and arrays in turn; it counts as the first level."""
    value: FieldValue = 1
    for level in range(levels - 1):
        value = [value] if level % 2 else {"k": value}
    return {"k": value}


def test_the_limit_for_nesting_is_limited_by_what_the_stack_holds() -> None:
    table = nested(DEPTH_LIMIT)

    octets = encode_table(table, DEPTH_LIMIT)
    assert encode_table(decode_table(octets, 0, DEPTH_LIMIT)[0], DEPTH_LIMIT) == octets
    for too_large in (DEPTH_LIMIT + 1, 10**9, 10**30, "100", None, 1.5, True):
        with pytest.raises(EncodeError, match="max_depth must be an int of at most 200, not"):
            encode_table(table, too_large)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_depth must be an int of at most 200, not"):
            decode_table(octets, 0, too_large)  # type: ignore[arg-type]
    for none_at_all in (0, -1, -(10**30)):
        with pytest.raises(EncodeError, match="nested too deep"):
            encode_table({}, none_at_all)
        with pytest.raises(DecodeError, match="nested too deep"):
            decode_table(bytes(4), 0, none_at_all)


def at_the_end_of_the_stack(calls_left: int, act: Callable[[], object]) -> None:
    """Do something when only so many calls are left before a RecursionError."""
    used, frame = 0, sys._getframe()
    while frame.f_back:
        used, frame = used + 1, frame.f_back

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            act()

    descend(sys.getrecursionlimit() - used - calls_left)


def test_a_stack_that_is_nearly_full_is_an_error_like_any_other() -> None:
    """Not for the compiled codec, which does not count its calls and so succeeds."""
    table = nested(90)
    octets = encode_table(table)

    for calls_left in (60, 100, 150):
        refused: list[str] = []

        def act(refused: list[str] = refused) -> None:
            for attempt in (lambda: encode_table(table), lambda: decode_table(octets)):
                try:
                    attempt()
                except (EncodeError, DecodeError) as error:
                    refused.append(str(error))

        at_the_end_of_the_stack(calls_left, act)
        assert all("nested too deep for the stack" in text for text in refused)


def test_the_size_of_a_table_is_limited() -> None:
    largest = {"k": bytes(MAX_TABLE_SIZE - 7)}

    assert len(encode_table(largest)) == MAX_TABLE_SIZE + 4
    for table in ({"kk": largest["k"]}, {"k": [largest["k"]]}, {"k": largest}):
        with pytest.raises(EncodeError, match=r"takes at least 41943\d\d bytes, but at"):
            encode_table(table)  # type: ignore[arg-type]


def test_hostile_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    octets = b""
    for _ in range(5000):
        octets = b"\x00F" + struct.pack(">I", len(octets)) + octets

    with pytest.raises(DecodeError, match="nested too deep"):
        decode_table(wire(octets))


@given(tables)
def test_a_table_survives_the_wire(table: dict[str, FieldValue]) -> None:
    octets = encode_table(table)

    found, end = decode_table(b"??" + octets + b"??", 2)

    assert end == len(octets) + 2
    assert same(found, table)
    assert encode_table(found) == octets
    assert encode_table(dict(found)) == octets


UNUSUAL = [
    wire(b"\x01kt\x02"),  # a boolean that is neither 0 nor 1
    wire(b"\x01kf\x7f\xa0\x00\x01"),  # a signalling NaN, which Python would make quiet
    wire(b"\x01kb\x01", b"\x01kb\x02"),  # a key twice
    wire(b"\x02\xff\xfeV"),  # a key that is not UTF-8
    wire(b"\x01kF", wire(b"\x01nt\x07")),
    wire(b"\x00V"),  # an empty key
]


@pytest.mark.parametrize("octets", UNUSUAL)
def test_an_unchanged_table_is_encoded_to_the_octets_it_came_from(octets: bytes) -> None:
    table, _ = decode_table(octets)

    assert encode_table(table) == octets
    assert encode_table(copy.deepcopy(table)) == octets


def test_a_changed_table_is_encoded_as_it_is_now() -> None:
    table, _ = decode_table(wire(b"\x01kt\x02", b"\x01nl\x00\x00\x00\x00\x00\x00\x00\x01"))

    table["new"] = "x"

    changed = encode_table(table)
    assert decode_table(changed)[0] == {"k": True, "n": 1, "new": "x"}
    assert b"\x01nl\x00" in changed  # what was not changed keeps its type


def test_a_change_deep_inside_is_seen() -> None:
    table, _ = decode_table(encode_table({"outer": {"inner": [1, 2]}}))

    table["outer"]["inner"].append(3)  # type: ignore[index, call-overload, union-attr]

    assert decode_table(encode_table(table))[0] == {"outer": {"inner": [1, 2, 3]}}


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"\x00\x00", "cut short"),
        (wire(b"\x01kZ\x00"), "unknown type octet 0x5a"),
        (wire(b"\x05k"), "cut short"),
        (wire(b"\x01kI\x00"), "cut short"),
        (wire(b"\x01kS\x00\x00\x00\x09ab"), "longer than the table or array"),
        (wire(b"\x01kF\x00\x00\x00\x09ab"), "longer than the table or array"),
        (wire(b"\x01kA\x00\x00\x00\x01I\x00\x00\x00\x00"), "do not end where the array ends"),
        (wire(b"\x01kF\x00\x00\x00\x03\x01nb\x00"), "do not end where the table ends"),
        (struct.pack(">I", 10) + b"\x01kV", "cut short"),
    ],
)
def test_a_damaged_table_is_refused(octets: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says) as caught:
        decode_table(octets)

    assert caught.value.reply_code == 502


def test_decimals_are_exact_whatever_the_caller_s_context() -> None:
    with localcontext() as context:
        context.prec = 2

        assert decoded(b"D\x02\x7f\xff\xff\xff") == Decimal("21474836.47")


def test_nan_is_decoded() -> None:
    value = decoded(b"d\x7f\xf8\x00\x00\x00\x00\x00\x00")

    assert isinstance(value, float)
    assert math.isnan(value)


def test_headers_stay_octets_until_someone_asks() -> None:
    octets = UNUSUAL[2]
    raw = b"\x20\x00" + octets
    properties = Properties.decode(raw, 0, len(raw))

    assert properties.encode() == raw  # not accessed
    assert properties.headers == {"k": 2}
    assert properties.encode() == raw  # accessed, not changed
    properties.headers = {"k": 3}
    assert properties.encode() == b"\x20\x00" + wire(b"\x01kb\x03")


def test_headers_that_cannot_be_decoded_fail_when_asked_for_and_can_still_be_passed_on() -> None:
    raw = b"\x20\x00" + wire(b"\x01kZ\x00")
    properties = Properties.decode(raw, 0, len(raw))

    with pytest.raises(DecodeError, match="unknown type octet"):
        _ = properties.headers
    assert "unknown type octet" in repr(properties)
    assert properties.encode() == raw


def test_the_octet_l_is_the_same_in_capitals() -> None:
    octets = wire(b"\x01kL" + b"\xff" * 8)

    table, _ = decode_table(octets)

    assert table == {"k": -1}
    assert type(table["k"]) is Int64
    assert encode_table(table) == octets


DIFFERENT = (
    Int8(1),
    UInt8(2),
    Int16(3),
    UInt16(4),
    Int32(5),
    UInt32(6),
    Int64(7),
    Float32(0.5),
    LongStr(b"\xff"),
    Timestamp(253402300800),
)
"""A value of every class of ours that can come off the wire."""


def test_a_table_can_be_made_and_encoded() -> None:
    for table in (Table({"a": 1}), Table(a=1), Table([("a", 1)])):
        assert encode_table(table) == encode_table({"a": 1})
        assert encode_table({"in": table}) == encode_table({"in": {"a": 1}})
        assert Properties(headers=table).encode() == Properties(headers={"a": 1}).encode()
        table["b"] = 2
        assert encode_table(table) == encode_table({"a": 1, "b": 2})


@pytest.mark.parametrize("value", DIFFERENT, ids=repr)
def test_representations_name_the_class_and_texts_are_those_of_the_builtin(value: Any) -> None:
    kind: Any = type(value).__base__
    builtin = kind(value)

    assert repr(value) == f"{type(value).__name__}({builtin!r})"
    assert eval(repr(value)) == value
    if not isinstance(value, bytes):  # whose text cannot be had under python -bb
        assert str(value) == f"{value}" == str(builtin)
        assert f"{value:>8}" == f"{builtin:>8}"
        assert f"{value:.2f}" == f"{builtin:.2f}"


def received() -> dict[str, FieldValue]:
    """Headers as a program gets them, with every type that JSON knows."""
    headers: dict[str, FieldValue] = {
        "x-death": [{"count": Int64(1), "queue": "q", "long": UInt32(5)}],
        "ratio": Float32(0.5),
        "moment": Timestamp(253402300800),
        "small": Int8(-1),
        "flag": True,
        "nothing": None,
        "text": "text",
    }
    octets = Properties(headers=headers).encode()
    found = Properties.decode(octets, 0, len(octets)).headers
    assert isinstance(found, dict)
    return found


PLAIN = {
    "x-death": [{"count": 1, "queue": "q", "long": 5}],
    "ratio": 0.5,
    "moment": 253402300800,
    "small": -1,
    "flag": True,
    "nothing": None,
    "text": "text",
}


def test_json_takes_headers_off_the_wire() -> None:
    """Row U26."""
    assert json.dumps(received()) == json.dumps(PLAIN)
    assert json.dumps(received(), indent=1) == json.dumps(PLAIN, indent=1)  # another encoder
    assert json.dumps({Int64(1): Int64(1)}) == '{"1": 1}'


def test_pickle_takes_headers_off_the_wire() -> None:
    """Row U26."""
    found = pickle.loads(pickle.dumps(received()))

    assert found == PLAIN
    assert encode_table(found) == encode_table(received())


def exact(value: object) -> bool:
    """Return whether a value and all in it are of builtin classes themselves."""
    if type(value) is dict:
        return all(map(exact, value.values()))
    if type(value) is list:
        return all(map(exact, value))
    return type(value).__module__ == "builtins" and type(value) not in (dict, list)


def test_headers_off_the_wire_can_be_turned_into_builtins() -> None:
    assert to_builtins(received()) == PLAIN
    assert exact(to_builtins(received()))
    assert to_builtins((LongStr(b"\xff"), MappingProxyType({"a": ()}))) == [b"\xff", {"a": []}]
    assert to_builtins(Decimal("1.5")) == Decimal("1.5")
    assert not exact(received())


def test_values_that_contain_themselves_are_not_turned_into_builtins() -> None:
    """The compiled codec would exhaust the stack, which ends the process."""
    table: dict[str, FieldValue] = {}
    table["self"] = [table]

    for value in (table, nested(DEPTH_LIMIT + 1), nested(100_000)):
        with pytest.raises(EncodeError, match="nested too deep, or contains itself"):
            to_builtins(value)
    assert to_builtins(nested(DEPTH_LIMIT)) == nested(DEPTH_LIMIT)


@pytest.mark.parametrize("module", ["orjson", "msgpack", "yaml"])
def test_other_serializers_take_headers_as_builtins(module: str) -> None:
    """Row U26."""
    serializer = importlib.import_module(module)
    dumps = {"orjson": "dumps", "msgpack": "packb", "yaml": "safe_dump"}[module]

    assert getattr(serializer, dumps)(to_builtins(received())) == getattr(serializer, dumps)(PLAIN)
