"""Hashes and random numbers of Erlang. The expected values were printed by Erlang/OTP 25."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from aioamqp_testing.model.erlang.hashing import (
    hash_header,
    hash_text,
    hash_texts,
    hash_undefined,
    jump_hash,
)
from amqp_codec import FieldValue, Float32, Int32, Int64, UInt8

TEXTS = {
    "": 13708901,
    "a": 112802447,
    "abc": 98228475,
    "twelve bytes": 93359736,
    "thirteen byte": 33196846,
    "éééééééééé": 9540427,
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": 131552894,
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_a_text_is_hashed_as_a_binary(text: str, expected: int) -> None:
    """Row U20."""
    assert hash_text(text) == expected


def test_texts_are_hashed_as_a_list_of_binaries() -> None:
    """Row U20."""
    assert [hash_texts(each) for each in ([], [""], ["a"], ["a", "", "bcd"])] == [
        113427502,
        38220213,
        53691870,
        118101414,
    ]


HEADERS: list[tuple[FieldValue, int]] = [
    ("x", 14442427),
    (b"x", 59194669),
    (Int32(5), 40839585),
    (Int32(-5), 39932925),
    (134217727, 17240753),
    (134217728, 127254635),
    (-134217728, 65405468),
    (-134217729, 11977661),
    (2**62, 45507489),
    (-(2**63), 112631110),
    (Int64(1), 126723940),
    (UInt8(200), 88973546),
    (1.5, 115320697),
    (-0.0, 28702447),
    (Float32(0.5), 88558663),
    (True, 32030443),
    (None, 27077197),
    (datetime(2020, 1, 1, tzinfo=UTC), 38437315),
    (Decimal("1.25"), 63403890),
    ({"a": Int32(1), "b": "x"}, 70774333),
    ([Int32(1), "x", []], 108982700),
]


@pytest.mark.parametrize(("value", "expected"), HEADERS, ids=repr)
def test_a_header_is_hashed_with_its_type(value: FieldValue, expected: int) -> None:
    """Row U20."""
    assert hash_header(value) == expected


def test_no_value_is_the_atom_undefined() -> None:
    """Row U20."""
    assert hash_undefined() == 45914356


def test_a_key_stays_in_its_bucket_or_moves_to_the_new_one() -> None:
    """Row U20."""
    for key in range(100):
        buckets = [jump_hash(key, number) for number in range(1, 30)]
        assert buckets[0] == 0
        for number, (before, after) in enumerate(itertools.pairwise(buckets), 1):
            assert after in (before, number)


def test_buckets_are_chosen_by_the_random_numbers_of_erlang() -> None:
    """Row U20."""
    assert [jump_hash(key, 1000) for key in (0, 1, 5, 134217727)] == [807, 856, 125, 220]
