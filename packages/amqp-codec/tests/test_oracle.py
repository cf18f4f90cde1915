"""The same bytes as pamqp 4.0.1, in both directions.

Known differences, each kept out of the generated arguments by name:

    float         pamqp sends 32 bits (f), we send 64 (d): a float is not worth half its digits
    table order   pamqp sorts keys, we keep their order, as RabbitMQ does
    long keys     pamqp cuts a key of a table at 128 octets; we send up to 255
    bytes         pamqp takes only bytearray for x, and gives bytearray back
    empty         pamqp leaves properties that are empty strings out, we send them as they are
    naive times   pamqp takes a naive datetime for UTC; we refuse to guess
    names         pamqp refuses names of queues and exchanges outside a pattern; RabbitMQ does not
    cluster_id    pamqp refuses anything but an empty one
    delivery_mode pamqp refuses all but 1 and 2
    deprecated    pamqp refuses values in reserved fields and in exchange.declare's internal flag
    text          pamqp decodes long strings to str where they are UTF-8; ours stay octets
    late times    pamqp takes seconds from 2106 on for milliseconds; they are seconds to us
    delivery tags pamqp sends them as signed, we up to 2**64 - 1
    channel.open  pamqp insists on "0" in the reserved field (so does its open-ok); we leave it empty
"""

import decimal
from typing import Any

import pamqp.base
import pamqp.body
import pamqp.commands
import pamqp.frame
import pamqp.header
import pytest
from hypothesis import given
from hypothesis import strategies as st

import amqp_spec
from amqp_codec import METHODS, Command, Decoder, Method, Properties, basic, channel, encode_command
from amqp_strategies import INTEGERS, methods, moments

MOMENTS = moments.filter(lambda moment: moment.year < 2106)
NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.:", max_size=100)
KEYS = st.text("abcxyz-_é", min_size=1, max_size=20)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(-(10**6), 10**6, places=3),
    st.text(max_size=30),
    st.binary(max_size=30).map(bytearray),
    MOMENTS,
)


def sort(table: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(table.items()))


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3).map(sort),
    max_leaves=8,
)


TABLES = st.dictionaries(KEYS, VALUES, max_size=4).map(sort)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "bit": st.booleans(),
    "shortstr": NAMES,
    "longstr": NAMES.map(str.encode),
    "table": TABLES,
    "timestamp": MOMENTS,
    **{name: st.integers(0, 2**bits - 1) for name, bits in INTEGERS.items()},
    "longlong": st.integers(0, 2**63 - 1),
}
SPEC = {c.index << 16 | m.index: m for c in amqp_spec.load().classes for m in c.methods}


def theirs_of(method: Method) -> pamqp.base.Frame:
    """Create pamqp's object for a method, whose attributes are also in the order of encoding."""
    cls: Any = pamqp.commands.INDEX_MAPPING[method.INDEX]
    theirs: pamqp.base.Frame = cls()
    ours = iter(method.FIELDS)
    for attribute, field in zip(cls.__slots__, SPEC[method.INDEX].fields, strict=True):
        if not field.reserved:
            name, wire_type = next(ours)
            value = getattr(method, name)
            setattr(theirs, attribute, value.decode() if wire_type == "longstr" else value)
    return theirs


def plain(value: object) -> object:
    """Return comparable values: pamqp decodes to bytearray and dict."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bytes(value) if isinstance(value, bytearray) else value


def test_the_oracle_knows_every_method() -> None:
    assert METHODS.keys() == pamqp.commands.INDEX_MAPPING.keys()


OPENING = (channel.Open, channel.OpenOk)


@pytest.mark.filterwarnings("ignore:This command is deprecated")
@pytest.mark.parametrize("cls", METHODS.values(), ids=lambda cls: cls.NAME)
@given(data=st.data())
def test_methods_have_the_oracle_s_octets(cls: type[Method], data: st.DataObject) -> None:
    fields = dict(FIELDS)
    if cls.NAME == "exchange.declare":
        fields["shortstr"] = NAMES.filter(bool)
    method = data.draw(methods(cls, fields))
    if hasattr(method, "internal"):
        method.internal = False

    theirs = theirs_of(method)
    octets = pamqp.frame.marshal(theirs, 5)

    header = b"\2\0\5\0\0\0\x0e\0\x3c" + bytes(12) + b"\xce" if cls.HAS_CONTENT else b""
    if cls not in OPENING:
        assert encode_command(Command(5, method)) == octets + header
    (command,) = Decoder().feed(octets + header)
    assert plain_arguments(command.method) == plain_arguments(method)
    size, number, unmarshaled = pamqp.frame.unmarshal(octets)
    assert (size, number) == (len(octets), 5)
    assert isinstance(unmarshaled, pamqp.base.Frame)
    ours = iter(cls.FIELDS)
    for attribute, field in zip(unmarshaled.__slots__, SPEC[cls.INDEX].fields, strict=True):
        if not field.reserved:
            name, wire_type = next(ours)
            value = getattr(unmarshaled, attribute)
            expected = getattr(command.method, name)
            assert plain(value) == (
                expected.decode() if wire_type == "longstr" else plain(expected)
            )


def plain_arguments(method: Method) -> list[object]:
    return [plain(getattr(method, name)) for name, _ in method.FIELDS]


def property_values(name: str, wire_type: str) -> st.SearchStrategy[object]:
    if name == "delivery_mode":
        return st.sampled_from([None, 1, 2])
    if name == "cluster_id":
        return st.none()
    if wire_type == "shortstr":
        return st.none() | NAMES.filter(bool)
    return st.none() | FIELDS[wire_type]


@given(
    st.fixed_dictionaries({name: property_values(name, kind) for name, kind in Properties.FIELDS}),
    st.binary(max_size=50),
)
def test_contents_have_the_oracle_s_octets(values: dict[str, Any], body: bytes) -> None:
    renamed = {
        ("message_type" if name == "type" else name): value for name, value in values.items()
    }
    renamed["cluster_id"] = ""
    theirs = pamqp.commands.Basic.Properties(**renamed)
    deliver = basic.Deliver("tag", 1, True, "x", "k")

    octets = pamqp.frame.marshal(theirs_of(deliver), 5)
    octets += pamqp.frame.marshal(pamqp.header.ContentHeader(0, len(body), theirs), 5)
    if body:
        octets += pamqp.frame.marshal(pamqp.body.ContentBody(body), 5)

    assert encode_command(Command(5, deliver, Properties(**values), body)) == octets
    (command,) = Decoder().feed(octets)
    assert command.body == body
    assert command.properties is not None
    for name, _ in Properties.FIELDS:
        assert plain(getattr(command.properties, name)) == plain(values[name])


@given(st.decimals(-(10**6), 10**6, places=2))
def test_decimals_keep_their_places(value: decimal.Decimal) -> None:
    octets = pamqp.frame.marshal(
        pamqp.header.ContentHeader(0, 0, pamqp.commands.Basic.Properties(headers={"d": value})), 5
    )
    deliver = encode_command(Command(5, basic.Deliver()))[:-22]

    (command,) = Decoder().feed(deliver + octets)

    assert command.properties is not None
    assert command.properties.headers is not None
    assert str(command.properties.headers["d"]) == str(value)
