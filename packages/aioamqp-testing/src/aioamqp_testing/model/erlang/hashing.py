"""Erlang's hash ``phash2`` and generator ``exs1024``, by which exchanges of plugins select queues.

Erlang guarantees that ``phash2`` of a term is the same in all releases and on all machines. All
parts of a term are mixed into one hash of 32 bits, one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from struct import pack, unpack
from typing import Final

from amqp_codec import FieldValue, Timestamp

from .terms import decimal_pair, type_name

_32_BITS: Final = (1 << 32) - 1
_64_BITS: Final = (1 << 64) - 1
_21_BITS: Final = (1 << 21) - 1
_GOLDEN: Final = 0x9E3779B9
_RANGE: Final = 1 << 27  # of results, and of small integers on both sides of 0
_EMPTY_LIST: Final = 3468870702

# each kind of a term is mixed with a multiple of the golden ratio of its own
_SMALL_INTEGER: Final = _GOLDEN
_LIST_END: Final = _GOLDEN * 2 & _32_BITS
_ATOM: Final = _GOLDEN * 3 & _32_BITS
_TUPLE: Final = _GOLDEN * 9 & _32_BITS
_NEGATIVE: Final = _GOLDEN * 10 & _32_BITS
_POSITIVE: Final = _GOLDEN * 11 & _32_BITS
_FLOAT: Final = _GOLDEN * 12 & _32_BITS
_BINARY: Final = _GOLDEN * 13 & _32_BITS

_STATE_SIZE: Final = 16  # of exs1024, in words of 64 bits
_SEED_FACTORS: Final = (2097131, 2097133, 2097143)


def hash_text(text: str) -> int:
    """Return ``phash2`` of a binary with a text."""
    return _mix_binary(0, _encoded(text)) % _RANGE


def hash_texts(texts: Sequence[str]) -> int:
    """Return ``phash2`` of a list of binaries with texts."""
    value = 0
    for text in texts:
        value = _mix_binary(value, _encoded(text))
    return _mix_list_end(value) % _RANGE


def hash_undefined() -> int:
    """Return ``phash2`` of the atom ``undefined``."""
    return _mix_atom(0, "undefined") % _RANGE


def hash_routing_header(value: FieldValue) -> int:
    """Return the key for ``jump_hash`` of a header whose type RabbitMQ has dropped.

    RabbitMQ: an integer is its own key, also a timestamp, which is in milliseconds; of a table or
    an array only the first part counts.
    """
    if isinstance(value, datetime):
        return int(value.timestamp()) * 1000
    if isinstance(value, Timestamp):
        return int(value) * 1000
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Mapping) and value:
        key, first = next(iter(value.items()))
        return _mix_item(0, key, first) % _RANGE
    if isinstance(value, list | tuple) and value:
        return hash_header(value[0])
    return _mix_value(0, value) % _RANGE


def hash_header(value: FieldValue) -> int:
    """Return ``phash2`` of a header as RabbitMQ holds it: a tuple of its type and its value."""
    return _mix_typed(0, value) % _RANGE


def jump_hash(key: int, buckets: int) -> int:
    """Return the bucket of a key by jump consistent hashing with Erlang's generator ``exs1024``.

    If a bucket is added at the end, a key stays in its bucket or moves to the new one.

    Args:
        key: any number; its lowest 21 bits count.
        buckets: their number, 1 or more.
    """
    bucket, following = -1, 0
    numbers = _random_numbers(key)
    while following < buckets:
        bucket = following
        following = int((bucket + 1) / next(numbers))
    return bucket


def _random_numbers(seed: int) -> Iterator[float]:
    """Yield the numbers of exs1024 that is seeded with one number three times."""
    first, second, third = [((seed & _21_BITS) + 1) * factor & _21_BITS for factor in _SEED_FACTORS]
    word = first << 43 | second << 22 | third << 1 | 1
    state: list[int] = []
    for _ in range(_STATE_SIZE):
        word ^= word >> 12
        word ^= word << 25 & _64_BITS
        word ^= word >> 27
        state.insert(0, word * 2685821657736338717 & _64_BITS)
    position = 0
    while True:
        before = state[position]
        position = (position + 1) % _STATE_SIZE
        current = state[position]
        current ^= current << 31 & _64_BITS
        current ^= current >> 11
        state[position] = current ^ before ^ before >> 30
        yield (state[position] * 1181783497276652981 & _64_BITS) / (1 << 64)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _mix_value(value: int, part: FieldValue) -> int:
    """Mix in a field value without its type."""
    if part is None:
        return _mix_atom(value, "undefined")
    if isinstance(part, bool):
        return _mix_atom(value, str(part).lower())
    if isinstance(part, int):
        return _mix_integer(value, part)
    if isinstance(part, float):
        high, low = unpack(">II", pack(">d", part + 0.0))
        return _mix_words(value, high, low, _FLOAT)
    if isinstance(part, str):
        return _mix_binary(value, _encoded(part))
    if isinstance(part, bytes | bytearray | memoryview):
        return _mix_binary(value, bytes(part))
    if isinstance(part, datetime):
        return _mix_integer(value, int(part.timestamp()))
    if isinstance(part, Decimal):
        scale, unscaled = decimal_pair(part)
        value = _mix_words(value, 2, 0, _TUPLE)
        return _mix_integer(_mix_integer(value, scale), unscaled)
    if isinstance(part, Mapping):
        for key, each in part.items():
            value = _mix_item(value, key, each)
    else:
        for each in part:
            value = _mix_typed(value, each)
    return _mix_list_end(value)


def _mix_item(value: int, key: str, part: FieldValue) -> int:
    """Mix in an item of a table: a tuple of its key, type and value."""
    value = _mix_binary(_mix_words(value, 3, 0, _TUPLE), _encoded(key))
    return _mix_value(_mix_atom(value, type_name(part)), part)


def _mix_typed(value: int, part: FieldValue) -> int:
    value = _mix_atom(_mix_words(value, 2, 0, _TUPLE), type_name(part))
    return _mix_value(value, part)


def _mix_atom(value: int, name: str) -> int:
    own = 0
    for byte in name.encode():
        own = (own << 4) + byte & _32_BITS
        high = own & 0xF0000000
        own ^= high >> 24 ^ high
    return _mix_words(value, own, 0, _ATOM) if value else own


def _mix_integer(value: int, number: int) -> int:
    if -_RANGE <= number < _RANGE:  # other integers have a kind of their own
        if number < 0:
            value = _mix_words(value, -number, 0, _SMALL_INTEGER)
        return _mix_words(value, number & _32_BITS, 0, _SMALL_INTEGER)
    kind = _NEGATIVE if number < 0 else _POSITIVE
    left = abs(number)
    return _mix_words(value, left & _32_BITS, left >> 32, kind)


def _mix_list_end(value: int) -> int:
    return _mix_words(value, 2, 0, _LIST_END) if value else _EMPTY_LIST


def _mix_binary(value: int, data: bytes) -> int:
    value = value + _BINARY & _32_BITS
    if not data:
        return value
    one = other = _GOLDEN
    whole = len(data) // 12 * 12
    for first, second, third in _triples(data[:whole]):
        one, other, value = _mix(one + first, other + second, value + third)
    ((first, second, third),) = _triples(data[whole:].ljust(12, b"\0"))
    # the lowest byte of the last word is the length
    return _mix(one + first, other + second, value + len(data) + (third << 8))[2]


def _triples(data: bytes) -> Iterator[tuple[int, int, int]]:
    words = unpack(f"<{len(data) // 4}I", data)
    return zip(words[::3], words[1::3], words[2::3], strict=True)


def _mix_words(value: int, first: int, second: int, kind: int) -> int:
    return _mix(kind + first, kind + second, value)[2]


def _mix(one: int, other: int, value: int) -> tuple[int, int, int]:
    """Mix three words of 32 bits so that each bit affects all others."""
    one, other, value = one & _32_BITS, other & _32_BITS, value & _32_BITS
    for first, second, third in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        one = (one - other - value & _32_BITS) ^ value >> first
        other = (other - value - one & _32_BITS) ^ one << second & _32_BITS
        value = (value - one - other & _32_BITS) ^ other >> third
    return one, other, value
