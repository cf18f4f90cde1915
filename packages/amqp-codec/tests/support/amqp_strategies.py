"""Hypothesis strategies for everything that the codec encodes."""

import datetime
import decimal
import math
from collections.abc import Mapping

from hypothesis import strategies as st

from amqp_codec import (
    HEARTBEAT,
    METHODS,
    Command,
    FieldValue,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongStr,
    Method,
    Properties,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
)

INTEGERS = {"octet": 8, "short": 16, "long": 32, "longlong": 64}

short_text = st.text(max_size=60).filter(lambda text: len(text.encode()) <= 255)
moments = st.datetimes(
    min_value=datetime.datetime(1970, 1, 1),
    timezones=st.just(datetime.UTC),
).map(lambda moment: moment.replace(microsecond=0, fold=0))
decimals = st.builds(
    lambda unscaled, scale: decimal.Decimal(unscaled).scaleb(-scale, decimal.Context(prec=10)),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 255),
)
explicit = st.one_of(
    st.integers(-(2**7), 2**7 - 1).map(Int8),
    st.integers(0, 2**8 - 1).map(UInt8),
    st.integers(-(2**15), 2**15 - 1).map(Int16),
    st.integers(0, 2**16 - 1).map(UInt16),
    st.integers(-(2**31), 2**31 - 1).map(Int32),
    st.integers(0, 2**32 - 1).map(UInt32),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(width=32).map(Float32),
    st.binary(max_size=20).map(lambda data: LongStr(b"\xff" + data)),  # not UTF-8
    st.integers(253402300800, 2**64 - 1).map(Timestamp),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    decimals,
    st.text(max_size=40),
    st.binary(max_size=40),
    moments,
    explicit,
)
values: st.SearchStrategy[FieldValue] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(short_text, inner, max_size=4)
    ),
    max_leaves=12,
)
tables = st.dictionaries(short_text, values, max_size=5)

FIELDS: dict[str, st.SearchStrategy[object]] = {
    "bit": st.booleans(),
    "shortstr": short_text,
    "longstr": st.binary(max_size=80),
    "table": tables,
    "timestamp": moments,
    **{name: st.integers(0, 2**bits - 1) for name, bits in INTEGERS.items()},
}


def methods(
    cls: type[Method], fields: Mapping[str, st.SearchStrategy[object]] = FIELDS
) -> st.SearchStrategy[Method]:
    """Instances of a method class."""
    return st.builds(cls, **{name: fields[wire_type] for name, wire_type in cls.FIELDS})


properties = st.builds(
    Properties,
    **{name: st.none() | FIELDS[wire_type] for name, wire_type in Properties.FIELDS},
)


def commands_of(cls: type[Method]) -> st.SearchStrategy[Command]:
    """Commands with a method of a class, and a content if it carries one."""
    channels = st.integers(1, 5)
    if not cls.HAS_CONTENT:
        return st.builds(Command, channels, methods(cls))
    return st.builds(Command, channels, methods(cls), properties, st.binary(max_size=200))


commands = st.one_of(
    st.just(Command(0, HEARTBEAT)), st.sampled_from(list(METHODS.values())).flatmap(commands_of)
)


def same(one: object, other: object) -> bool:
    """Compare values as they are encoded: types differ, and NaN equals itself."""
    if isinstance(one, Command) and isinstance(other, Command):
        parts = [(c.channel, c.method, c.properties, c.body) for c in (one, other)]
        return same(*parts)
    if isinstance(one, Method | Properties) and isinstance(other, Method | Properties):
        fields = [[getattr(f, name) for name, _ in f.FIELDS] for f in (one, other)]
        return type(one) is type(other) and same(*fields)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)
