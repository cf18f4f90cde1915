"""Values that nobody should encode: classes that raise, lie or never end, and values out of any range."""

import datetime
import decimal
import enum
import fractions
from array import array
from collections import ChainMap, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

from hypothesis import strategies as st

from amqp_codec import Float32, Int8, Int64, LongStr, Table, Timestamp, UInt8, basic

BUILTINS: tuple[tuple[type, tuple[Any, ...]], ...] = (
    (object, ()),
    (str, ("text",)),
    (int, (5,)),
    (float, (0.5,)),
    (bytes, (b"octets",)),
    (bytearray, (b"octets",)),
    (list, ([1, 2],)),
    (tuple, ((1, 2),)),
    (dict, ({"a": 1},)),
    (datetime.datetime, (2026, 1, 1)),
    (decimal.Decimal, ("1.5",)),
    (Int8, (1,)),
    (LongStr, (b"\xff",)),
    (Table, ({"a": 1},)),
    (basic.Publish, ("x", "k")),
    (basic.Properties, ()),
)
"""Classes to derive from, and arguments for them."""

NEVER_OVERRIDDEN = {
    "__class__",
    "__class_getitem__",
    "__del__",
    "__delattr__",
    "__getattribute__",
    "__init__",
    "__init_subclass__",
    "__new__",
    "__setattr__",
    "__slots__",
    "__subclasshook__",
}
ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    OverflowError,
    BufferError,
    RecursionError,
    StopIteration,
    OSError,
    Exception,
)


class RaisingMeta(type):
    """A metaclass whose classes have no name and cannot be hashed or compared."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")

    def __hash__(cls) -> int:
        raise RuntimeError("no hash")

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("no comparison")


class Anonymous(metaclass=RaisingMeta):
    """An instance of a class of that kind."""


def raising(error: type[Exception]) -> Callable[..., Any]:
    def method(*_: object, **__: object) -> Any:
        raise error("\ud800 refused")

    return method


def returning(result: object) -> Callable[..., Any]:
    return lambda *_, **__: result


def overriding(base: type, arguments: tuple[Any, ...], method: Callable[..., Any]) -> object:
    """Return an instance of a class that overrides every method that it inherits, and adds some."""
    added = {"__index__", "__int__", "__float__", "__bytes__", "__len__", "__iter__", "__bool__"}
    added |= {"__getitem__", "__buffer__", "__contains__", "encode", "keys", "items", "utcoffset"}
    names = (set(dir(base)) | added) - NEVER_OVERRIDDEN
    callables = {name for name in names if callable(getattr(base, name, method))}
    derived: Any = type(f"Overriding{base.__name__}", (base,), dict.fromkeys(callables, method))
    return derived(*arguments)


class Liar:
    """An object that claims to be of another class."""

    def __init__(self, cls: object) -> None:
        self.claim = cls

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        if isinstance(self.claim, Exception):
            raise self.claim
        return self.claim


class Endless(Mapping[str, int]):
    """A mapping that never stops to iterate, whatever its length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __getitem__(self, key: str) -> int:
        return 1


class EndlessList(list[int]):
    """A list of that kind."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class EndlessTuple(tuple[int, ...]):
    """A tuple of that kind."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1 << 62

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class Growing(Mapping[str, int]):
    """A mapping that changes what contains it while it is encoded."""

    def __init__(self, grow: Callable[[], None]) -> None:
        self.grow = grow

    def __len__(self) -> int:
        self.grow()
        return 0

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __getitem__(self, key: str) -> int:
        raise KeyError(key)


class BadZone(datetime.tzinfo):
    """A time zone whose offset is a fixed value or an exception."""

    def __init__(self, offset: Any) -> None:
        self.offset = offset

    def utcoffset(self, when: datetime.datetime | None) -> Any:
        if isinstance(self.offset, Exception):
            raise self.offset
        return self.offset

    def dst(self, when: datetime.datetime | None) -> None:
        return None

    def tzname(self, when: datetime.datetime | None) -> str:
        return "bad"


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Shade(str, enum.Enum):  # noqa: UP042 - programs have both kinds
    DARK = "dark"


class Unnamed:
    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()


def cycle_of_tables() -> object:
    table: dict[str, object] = {}
    table["self"] = table
    return table


def cycle_of_lists() -> object:
    array: list[object] = []
    array += [array, array]
    return array


def deep(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def broad(leaf: object, levels: int) -> object:
    """Return a list that contains another list twice, and so on: 2 ** levels leaves."""
    value = leaf
    for _ in range(levels):
        value = [value, value]
    return value


def growing_table() -> object:
    table: dict[str, object] = {}
    table["grow"] = Growing(lambda: table.update({str(len(table)): 1}))
    return table


def growing_list() -> object:
    array: list[object] = []
    array.append(Growing(lambda: array.append(array[0])))
    return array


def released() -> memoryview:
    view = memoryview(b"octets")
    view.release()
    return view


def naive(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


# Makers, as many of these values cannot be compared, printed or used twice.
MAKERS: dict[str, Callable[[], object]] = {
    "huge int": lambda: 10**5000,
    "huge negative int": lambda: -(10**5000),
    "huge Int64": lambda: Int64(10**5000),
    "huge UInt8": lambda: UInt8(-(10**5000)),
    "huge Timestamp": lambda: Timestamp(10**5000),
    "huge Float32": lambda: Float32(1e300),
    "huge Decimal": lambda: decimal.Decimal("1E+200000000"),
    "huge negative Decimal": lambda: decimal.Decimal("-1E+999999999999999999"),
    "tiny Decimal": lambda: decimal.Decimal("1E-200000000"),
    "zero of a huge exponent": lambda: decimal.Decimal("0E+200000000"),
    "long Decimal": lambda: decimal.Decimal("1" * 5000),
    "exact Decimal": lambda: decimal.Decimal("1." + "0" * 5000),
    "Decimal NaN": lambda: decimal.Decimal("sNaN"),
    "Decimal infinity": lambda: decimal.Decimal("-Infinity"),
    "NaN": lambda: float("nan"),
    "complex": lambda: 1j,
    "fraction": lambda: fractions.Fraction(1, 3),
    "naive datetime": lambda: naive("2026-01-01"),
    "early datetime": lambda: naive("0001-01-01T00:00:00+14:00"),
    "late datetime": lambda: naive("9999-12-31T23:59:59.999999-14:00"),
    "zone that raises": lambda: naive("2026-01-01").replace(tzinfo=BadZone(OSError("zone"))),
    "zone of 1 day": lambda: naive("2026-01-01").replace(tzinfo=BadZone(datetime.timedelta(1))),
    "zone of a str": lambda: naive("2026-01-01").replace(tzinfo=BadZone("+01:00")),
    "date": lambda: datetime.date(2026, 1, 1),
    "timedelta": lambda: datetime.timedelta(1),
    "lone surrogate": lambda: "\ud800" * 1000,
    "escaped octet": lambda: "\udcff",
    "256 characters": lambda: "k" * 256,
    "empty str": lambda: "",
    "bytes": lambda: b"abc",
    "memoryview of 16 bits": lambda: memoryview(b"abcd").cast("H"),
    "memoryview of 64 bits": lambda: memoryview(array("d", [1.0, 2.0])),
    "memoryview with steps": lambda: memoryview(b"abcdef")[::2],
    "memoryview backwards": lambda: memoryview(b"abcdef")[::-1],
    "memoryview of two dimensions": lambda: memoryview(bytes(6)).cast("B", (2, 3)),
    "memoryview of none": lambda: memoryview(bytes(4)).cast("I", ()),
    "released memoryview": released,
    "array": lambda: array("H", [1, 2]),
    "str": lambda: "text",
    "list": lambda: [1, 2],
    "list of pairs": lambda: [("a", 1)],
    "set": lambda: {1, 2},
    "range": lambda: range(5),
    "generator": lambda: (n for n in range(5)),
    "deque": lambda: deque([1]),
    "class": lambda: int,
    "method class": lambda: basic.Publish,
    "function": lambda: len,
    "module": lambda: datetime,
    "ellipsis": lambda: ...,
    "namespace": lambda: SimpleNamespace(HAS_CONTENT=True, encode=lambda: "text", NAME=5),
    "method that returns a list": lambda: SimpleNamespace(HAS_CONTENT=False, encode=lambda: [0]),
    "method that returns nothing": lambda: SimpleNamespace(HAS_CONTENT=True, encode=bytes),
    "mock": Mock,
    "mock of a str": lambda: Mock(spec=str),
    "mock of a dict": lambda: Mock(spec=dict),
    "mock of properties": lambda: Mock(spec=basic.Properties),
    "enum": lambda: Colour.RED,
    "IntEnum": lambda: Level.LOW,
    "str enum": lambda: Shade.DARK,
    "named tuple": lambda: decimal.Decimal(1).as_tuple(),
    "OrderedDict": lambda: OrderedDict(a=1),
    "defaultdict": lambda: defaultdict(int, a=1),
    "UserDict": lambda: UserDict({"a": 1}),
    "ChainMap": lambda: ChainMap({"a": 1}, {"b": 2}),
    "proxy": lambda: MappingProxyType({"a": 1}),
    "keys that are no str": lambda: {1: 1, "a": 2, None: 3},
    "key that raises": lambda: {overriding(str, ("key",), str.__hash__): 1},
    "key of bytes": lambda: {b"k": 1},
    "key of 256": lambda: {"k" * 256: 1},
    "key of a surrogate": lambda: {"\ud800": 1},
    "odd key over an odd value": lambda: {"\udcff": object()},
    "cycle of tables": cycle_of_tables,
    "cycle of lists": cycle_of_lists,
    "deep": lambda: deep(10000),
    "deep, but allowed": lambda: deep(90),
    "broad": lambda: broad("x" * 100000, 60),
    "endless mapping": lambda: Endless(2),
    "endless mapping without end": lambda: Endless(1 << 62),
    "endless list": lambda: EndlessList([1, 2]),
    "endless tuple": lambda: EndlessTuple((1, 2)),
    "growing table": growing_table,
    "growing list": growing_list,
    "nameless": Anonymous,
    "nameless class": lambda: Anonymous,
    "liar": lambda: Liar(str),
    "liar about a dict": lambda: Liar(dict),
    "liar about properties": lambda: Liar(basic.Properties),
    "liar about bytes": lambda: Liar(bytes),
    "liar about an int": lambda: Liar(int),
    "liar about a Decimal": lambda: Liar(decimal.Decimal),
    "liar about a datetime": lambda: Liar(datetime.datetime),
    "liar that raises": lambda: Liar(RuntimeError("no class")),
    "empty object": Unnamed,
}


class Recipe:
    """How to make a value: Hypothesis compares, hashes and prints what it generates itself."""

    def __init__(self, make: Callable[[], object], text: str) -> None:
        self.make = make
        self.text = text

    def __repr__(self) -> str:
        return self.text


def constant(value: object) -> Recipe:
    return Recipe(lambda: value, repr(value))


def named(name: str) -> Recipe:
    return Recipe(MAKERS[name], f"MAKERS[{name!r}]")


def overriding_with_error(base: tuple[type, tuple[Any, ...]], error: type[Exception]) -> Recipe:
    text = f"{base[0].__name__} that raises {error.__name__}"
    return Recipe(lambda: overriding(*base, raising(error)), text)


def overriding_with_result(base: tuple[type, tuple[Any, ...]], result: object) -> Recipe:
    text = f"{base[0].__name__} that returns {result!r}"
    return Recipe(lambda: overriding(*base, returning(result)), text)


def container(cls: Callable[[Any], object], items: list[Recipe]) -> Recipe:
    return Recipe(lambda: cls([item.make() for item in items]), f"{cls}({items})")


def mapping(cls: Callable[[Any], object], items: dict[Any, Recipe]) -> Recipe:
    return Recipe(lambda: cls({k: v.make() for k, v in items.items()}), f"{cls}({items})")


bases = st.sampled_from(BUILTINS)
results = st.one_of(
    st.none(), st.booleans(), st.integers(-300, 300), st.text(max_size=2), st.binary(max_size=2)
)
keys = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.binary(max_size=3))
leaves = st.one_of(
    st.sampled_from(sorted(MAKERS)).map(named),
    st.builds(overriding_with_error, bases, st.sampled_from(ERRORS)),
    st.builds(overriding_with_result, bases, results),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(0, 300),
        st.floats(),
        st.decimals(),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.text(),
        st.text(st.characters(), max_size=300),
        st.binary(),
        st.binary().map(bytearray),
        st.binary().map(lambda octets: memoryview(octets)),
    ).map(constant),
)
recipes: st.SearchStrategy[Recipe] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(container, st.sampled_from([list, tuple, deque]), st.lists(inner, max_size=3)),
        st.builds(
            mapping,
            st.sampled_from([dict, Table, OrderedDict, UserDict, MappingProxyType]),
            st.dictionaries(keys, inner, max_size=3),
        ),
    ),
    max_leaves=6,
)
"""Recipes for any objects at all."""
